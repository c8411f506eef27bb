"""What came of the answers, table by table: against a plain reading of random logs, and intervals that hold."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from math import nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from planted_answers import Row, answer, at, event, lake_of, plainly
from scipy.stats import t

from portraits.decision_ids import signed
from portraits.engine import connect
from portraits.history import DECISIONS, EVENTS
from portraits.lake import Lake
from portraits.segments.nights import Definition, Night, write_night
from portraits.settings import AppSettings
from recommender.earned import Report, earned, led_to

UNTIL = at(1_000)
ITEMS = [f"i{n}" for n in range(6)]
PEOPLE = [f"u{n}" for n in range(60)]
SOURCES = ["als", "popular", "explore"]
SALT = "a" * 32
SEGMENTS = ("buyers", "new")

Membership = dict[str, int]


def report(root: Path, events: Sequence[Row], decisions: Sequence[Row], **more: Any) -> Report:
    nights = more.pop("nights", ())
    snapshot = lake_of(root, events, decisions, **more)
    settings = AppSettings("shop", control_share=0.3, objective="revenue")
    return earned(snapshot, settings, at(0), UNTIL, connect(threads=1), nights=nights, salt=SALT)


def night(root: Path, as_of: datetime, members: dict[str, Membership]) -> Night:
    """A night in which `members[user][segment]` is the whole number kept."""
    users = sorted(members)
    columns = {"user_id": users, "stage": [None] * len(users)}
    columns |= {f"in {name}": [members[user][name] for user in users] for name in SEGMENTS}
    schema = pa.schema([("user_id", pa.string()), ("stage", pa.string()), *((f"in {n}", pa.int64()) for n in SEGMENTS)])
    definitions = {name: Definition(1, {}, ()) for name in SEGMENTS}
    return write_night(root, as_of, definitions, pa.table(columns, schema).to_batches())


def log(seed: int) -> tuple[list[Row], list[Row]]:
    """Answers on two shelves of two models, some for nobody, and all that may follow them, right and wrong."""
    rng = random.Random(seed)
    decisions = []
    for n in range(240):
        user = rng.choice([*PEOPLE, *PEOPLE, "-"])
        arm = None if user == "-" else "control" if int(user[1:]) % 3 == 0 else "treated"
        row = answer(f"d{n}", user, rng.randrange(0, 90), arm=arm, placement=rng.choice(["home", "product", None]))
        shown = [
            {"item_id": item, "position": place, "source": rng.choice(SOURCES), "propensity": chance}
            for place, (item, chance) in enumerate(zip(rng.sample(ITEMS, 3), (1.0, 0.8, 0.25), strict=True), 1)
        ]
        decisions.append(row | {"candidates": json.dumps(shown), "version": rng.choice(["v1", "v2"])})
    events = [step for row in decisions for step in _after(row, rng)]
    orders = sorted({row["order_id"] for row in events if row["order_id"]})
    for n in range(60):
        order, item = rng.choice(orders), rng.choice([None, *ITEMS])
        user = order.split("/")[0]
        kind = rng.choice(["refund", "refund", "order_cancel"])
        more = {"order_id": order, "amount": rng.randrange(1, 400) if kind == "refund" else None}
        events.append(event(user, kind, item, 95 + n / 100, **more))
    return [row | {"quantity": n} for n, row in enumerate(events)], decisions


def _after(row: Row, rng: random.Random) -> list[Row]:
    user = rng.choice(PEOPLE) if row["user_id"] == "-" else row["user_id"]
    start = (row["ts"] - at(0)).total_seconds() / 3_600
    items = [one["item_id"] for one in json.loads(row["candidates"])]
    steps = []
    for place, item in enumerate(items, 1):
        named = rng.choice([row["decision_id"]] * 8 + ["d1", "unheard of", None])
        more = {"decision_id": named}
        if rng.random() < 0.9:
            steps.append(event(user, "exposure", item, start, **more, position=rng.choice([place, place + 3, None])))
        if rng.random() < 0.5:
            steps.append(event(user, "click", item, start + 0.1, **more))
        if rng.random() < 0.4:
            more["decision_id"] = rng.choice([None, named])
            order = f"{user}/{row['decision_id']}"
            bought = [item, rng.choice(ITEMS)]
            steps += [
                event(user, "purchase", one, start + 1 + n / 10, amount=rng.randrange(0, 900), order_id=order, **more)
                for n, one in enumerate(bought)
            ]
    return steps


def plain_facts(events: Sequence[Row], decisions: Sequence[Row]) -> list[Row]:
    """What came of each answer, item and visitor, read row by row."""
    answers = {row["decision_id"]: row for row in decisions}
    facts: dict[tuple[str, str, str], Row] = defaultdict(lambda: dict.fromkeys((*COUNTED, "revenue"), 0) | {"at": []})
    void = {(row["order_id"], row["item_id"]) for row in events if row["type"] == "order_cancel"}

    def stands(row: Row) -> bool:
        return row["order_id"] is None or not {(row["order_id"], None), (row["order_id"], row["item_id"])} & void

    for row in events:
        named = answers.get(row["decision_id"])
        own = named and named["user_id"] in (row["user_id"], "-") and named["ts"] <= row["ts"]
        if row["type"] in ("exposure", "click") and own:
            fact = facts[row["decision_id"], row["item_id"], row["user_id"]]
            fact["shown" if row["type"] == "exposure" else "clicks"] = 1
            if row["type"] == "exposure" and row["position"]:
                fact["at"].append(row["position"])
    lines = [row for row in events if row["type"] == "purchase" and stands(row)]
    back = [row for row in events if row["type"] == "refund" and stands(row)]
    belongs = {row[0]: row[1] for row in plainly(events, decisions, 24.0)}
    for line in lines:
        if name := belongs[line["quantity"]]:
            fact = facts[name, line["item_id"], line["user_id"]]
            fact["purchases"] += 1
            fact["revenue"] += line["amount"] - sum(share(line, row, lines) for row in back)
    told = []
    for (name, item, user), fact in facts.items():
        given = answers[name]
        entry = next((one for one in json.loads(given["candidates"]) if one["item_id"] == item), {})
        place = min(fact.pop("at"), default=entry.get("position"))
        keys = {"placement": given["placement"] or "", "version": given["version"], "arm": given["arm"]}
        keys |= {"source": entry.get("source", ""), "position": place, "explored": entry.get("source") == "explore"}
        weight = 1 / entry["propensity"] if entry else 0
        weighted = {f"weighted_{one}": fact[one] * weight for one in ("shown", "clicks", "revenue")}
        visitor = name if given["user_id"] == "-" else user  # an answer to nobody is a visitor of its own
        told.append(fact | keys | weighted | {"visitor": visitor, "decision_id": name})
    return told


def share(line: Row, refund: Row, lines: Sequence[Row]) -> float:
    """What of a refund is this line's."""
    alike = [
        row for row in lines
        if row["order_id"] == refund["order_id"] and refund["item_id"] in (None, row["item_id"])
    ]  # fmt: skip
    if not any(row is line for row in alike):
        return 0.0
    paid = sum(row["amount"] for row in alike)
    return float(refund["amount"] * (line["amount"] / paid if paid else 1 / len(alike)))


def plain_answers(decisions: Sequence[Row], key: str) -> list[Row]:
    """An answer once for each thing of `key` that it was or held."""
    told = []
    for row in decisions:
        entries = json.loads(row["candidates"])
        held = {
            "source": {one["source"] for one in entries},
            "position": {one["position"] for one in entries},
            "explored": {one["source"] == "explore" for one in entries},
        }
        visitor = row["decision_id"] if row["user_id"] == "-" else row["user_id"]
        values = held.get(key) or {row["version"] if key == "version" else row["placement"] or ""}
        told += [{key: value, "arm": row["arm"], "visitor": visitor, "answers": 1} for value in values]
    return told


def plain_interval(counted: np.ndarray, by: np.ndarray) -> tuple[float, float, float]:
    """A ratio of sums with the interval of its residuals; one value a visitor."""
    if not by.sum():
        return nan, nan, nan
    mean = counted.sum() / by.sum()
    if np.count_nonzero(counted) < 10:
        return mean, nan, nan
    error = np.std(counted - mean * by, ddof=1) * sqrt(len(by)) / by.sum()
    wide = t.ppf(0.975, len(by) - 1) * error
    return mean, mean - wide, mean + wide


COUNTED = ("shown", "clicks", "purchases")
FIGURES = {"ctr": ("clicks", "shown"), "cvr": ("purchases", "clicks"), "revenue_per_answer": ("revenue", "answers")}
WEIGHTED = {
    "weighted_ctr": ("weighted_clicks", "weighted_shown"),
    "weighted_revenue_per_shown": ("weighted_revenue", "weighted_shown"),
}
LIMITS = {"ctr": (0, 1), "cvr": (0, np.inf), "weighted_ctr": (0, 1)}
TABLES = {"placement": "placements", "version": "versions", "source": "sources", "position": "positions"}
SUMS = ("answers", *COUNTED, "revenue")


def agrees(row: Row, mine: Sequence[Row], figures: dict[str, tuple[str, str]]) -> None:
    """A row of the report is what these facts and answers give."""
    visitors = sorted({one["visitor"] for one in mine})
    sums = {
        name: np.array([sum(one.get(name, 0) for one in mine if one["visitor"] == who) for who in visitors], float)
        for name in {*SUMS, *(name for pair in figures.values() for name in pair)}
    }
    assert row["visitors"] == len(visitors)
    for name in SUMS:
        assert row[name] == pytest.approx(sums[name].sum(), abs=0.51)
    for name, (counted, by) in figures.items():
        low, high = LIMITS.get(name, (-np.inf, np.inf))
        value, *ends = plain_interval(sums[counted], sums[by])
        assert row[name] == pytest.approx((value, *np.clip(ends, low, high)), nan_ok=True), name


@pytest.mark.parametrize("seed", range(3))
def test_tables_are_those_of_a_plain_reading(seed: int, tmp_path: Path) -> None:
    events, decisions = log(seed)
    found = report(tmp_path, events, decisions)
    facts = plain_facts(events, decisions)
    assert sum(row["purchases"] for row in facts) > 50
    for key, name in [*TABLES.items(), ("explored", "explored")]:
        rows, held = getattr(found, name), plain_answers(decisions, key)
        groups = {(one[key], one["arm"]) for one in [*facts, *held]}
        if key == "explored":  # beside what was explored, not alone
            groups = {(value, arm) for value, arm in groups if (True, arm) in groups}
        assert {(row[key], row["arm"]) for row in rows} == groups
        assert len(rows) == len(groups)
        for row in rows:
            mine = [one for one in [*facts, *held] if (one[key], one["arm"]) == (row[key], row["arm"])]
            agrees(row, mine, FIGURES | WEIGHTED if key == "explored" else FIGURES)


def test_tables_sum_up_to_the_same(tmp_path: Path) -> None:
    found = report(tmp_path, *log(7))
    for name in ("shown", "clicks", "purchases", "led", "revenue"):
        sums = {sum(row[name] for row in getattr(found, one)) for one in TABLES.values()}
        assert max(sums) - min(sums) < 4, name  # of rounding
    assert sum(row["purchases"] for row in found.placements) <= found.counts["purchases"]


def test_of_a_day_all_is_told_in_one_row(tmp_path: Path) -> None:
    events, decisions = log(3)
    day = [row for row in decisions if at(24) <= row["ts"] < at(48)]
    events = [row for row in events if row["ts"] < at(48)]
    snapshot = lake_of(tmp_path, events, decisions)
    found = led_to(snapshot, AppSettings("shop"), at(24), at(48), connect(threads=1))
    named = {row["decision_id"] for row in day}
    facts = [row for row in plain_facts(events, decisions) if row["decision_id"] in named]
    assert found is not None
    assert found["answers"] == len(day)
    for name in ("shown", "clicks", "purchases"):
        assert found[name] == sum(row[name] for row in facts)
    assert found["revenue"] == pytest.approx(sum(row["revenue"] for row in facts), abs=0.51)
    assert led_to(snapshot, AppSettings("shop"), at(500), UNTIL, connect(threads=1)) is None


def test_a_segment_is_that_of_the_last_night_before_the_answer(tmp_path: Path) -> None:
    """u1 buys on the second day, and is a buyer of the night after; u9 is known to no night."""
    nights = [
        night(tmp_path / "nights", at(0), {"u1": {"buyers": 0b110, "new": 1}, "u2": {"buyers": 1, "new": 0}}),
        night(tmp_path / "nights", at(48), {"u1": {"buyers": 0b101, "new": 0}, "u2": {"buyers": 1, "new": 0}}),
    ]
    hours = {"u1": (1, 47, 49), "u2": (50, 400), "u9": (3,)}
    decisions = [answer(f"{who}-{hour}", who, hour, "tea") for who, told in hours.items() for hour in told]
    events = [event("u1", "click", "tea", hour + 0.1, decision_id=f"u1-{hour}") for hour in (1, 49)]
    found = report(tmp_path / "lake", events, decisions, nights=nights[::-1])
    told = {row["segment"]: (row["answers"], row["clicks"], row["visitors"]) for row in found.segments}
    assert told == {"new": (2, 1, 1), "buyers": (3, 1, 2)}


def test_who_is_linked_later_was_in_the_segments_of_either_id(tmp_path: Path) -> None:
    old = night(tmp_path / "nights", at(0), {"phone": {"buyers": 0, "new": 1}, "member": {"buyers": 1, "new": 1}})
    links = [{"link_id": "l1", "user_id": "member", "anonymous_id": "phone"}]
    decisions = [answer("d1", "phone", 1, "tea"), answer("d2", "member", 2, "tea")]
    bought = [event("member", "purchase", "tea", 3, amount=500, decision_id="d1")]
    found = report(tmp_path / "lake", bought, decisions, nights=[old], identities=links)
    told = [(row["segment"], row["answers"], row["purchases"], row["visitors"]) for row in found.segments]
    assert told == [("buyers", 2, 1, 1), ("new", 2, 1, 1)]
    assert found.ignored == {}


def test_what_names_an_answer_in_vain_is_counted_by_why(tmp_path: Path) -> None:
    """Somebody else's, one of later, one that was given and lost, one of another app, and one that nobody knows."""
    lost, other = signed(SALT), signed("b" * 32)
    named = {
        "another's": ("bob's", 2),
        "later": ("late", 2),
        "lost": (lost, 2),
        "forged": (other, 1),
        "unknown": ("x", 1),
    }
    decisions = [answer("bob's", "bob", 0, "tea"), answer("late", "ann", 20, "tea"), answer("own", "ann", 1, "tea")]
    events = [
        event("ann", "purchase", "tea", 3 + n / 10, amount=100, decision_id=name)
        for name, count in named.values() for n in range(count)
    ]  # fmt: skip
    events += [event("ann", kind, "tea", 2, decision_id=lost) for kind in ("exposure", "click")]
    events += [event("ann", "click", "tea", 2, decision_id="own")]
    found = report(tmp_path, events, decisions)
    none = {"answers": 1, "exposure": 0, "click": 0}
    told = {why: none | {"purchase": count} for why, (_, count) in named.items()}
    assert found.ignored == told | {"lost": {"answers": 1, "exposure": 1, "click": 1, "purchase": 2}}
    assert found.counts["answers lost"] == 1
    assert found.counts["of another's answer"] == 8
    assert any(said.startswith("1 exposures, 1 clicks, 2 purchases name one of 1 answers") for said in found.warnings)
    assert sum(row["purchases"] for row in found.placements) == 8  # of the click before them


def test_without_the_salt_an_answer_of_no_row_is_unknown(tmp_path: Path) -> None:
    events = [event("ann", "click", "tea", 2, decision_id=signed(SALT))]
    snapshot = lake_of(tmp_path, events, [answer("own", "ann", 1, "tea")])
    found = earned(snapshot, AppSettings("shop"), at(0), UNTIL, connect(threads=1))
    assert found.ignored == {"unknown": {"answers": 1, "exposure": 0, "click": 1, "purchase": 0}}


def test_a_phone_whose_clock_is_behind_saw_what_it_saw(tmp_path: Path) -> None:
    events = [event("ann", "exposure", "tea", 1 - 5 / 60, decision_id="own")]
    found = report(tmp_path, events, [answer("own", "ann", 1, "tea")])
    assert (found.placements[0]["shown"], found.ignored) == (1, {})


def test_answers_that_hold_offers_are_not_among_those_that_hold_items(tmp_path: Path) -> None:
    offers = answer("offers", "ann", 1, arm=None, policy="eligible")
    bought = event("ann", "purchase", "tea", 2, amount=100, decision_id="offers")
    found = report(tmp_path, [bought], [offers, answer("own", "ann", 1, "tea")])
    assert [(row["answers"], row["purchases"]) for row in found.placements] == [(1, 0)]
    assert (found.counts["by the answer they name"], found.ignored) == (1, {})


def test_what_an_ad_brought_counts_for_the_answer_that_it_names(tmp_path: Path) -> None:
    named = event("ann", "ad_click", None, 2, revenue=40, decision_id="own")
    found = report(tmp_path, [named, event("ann", "ad_click", None, 3, revenue=7)], [answer("own", "ann", 1, "tea")])
    assert [(row["revenue"], row["led"]) for row in found.placements] == [(40, 40)]
    assert {(row["source"], row["revenue"]) for row in found.sources} == {("als", 0), ("", 40)}


def test_what_is_explored_is_weighed_by_its_propensity(tmp_path: Path) -> None:
    """A newcomer that came 40 times of 80 chances and was clicked in half, another that came 8 times of 80, never."""
    decisions, events = [], []
    for n in range(48):
        item, chance = ("new", 0.5) if n < 40 else ("rare", 0.1)
        shown = [{"item_id": "tea", "source": "als", "propensity": 1.0}]
        shown.append({"item_id": item, "source": "explore", "propensity": chance})
        decisions.append(answer(f"d{n}", f"u{n}", 1) | {"candidates": json.dumps(shown)})
        events += [event(f"u{n}", "exposure", one, 2, decision_id=f"d{n}") for one in ("tea", item)]
    events += [event(f"u{n}", "click", "new", 3, decision_id=f"d{n}") for n in range(20)]
    rest, explored = report(tmp_path, events, decisions).explored
    assert (rest["explored"], rest["weighted_ctr"][0]) == (False, 0)
    assert explored["ctr"][0] == pytest.approx(20 / 48)
    assert explored["weighted_ctr"][0] == pytest.approx((0.5 + 0) / 2)


SHOPS, VISITORS = 200, 150
CHANCES, BUYS, PRICES = (0.1, 0.3, 0.6), 0.4, (300, 500, 1_000)


def many_shops(seed: int) -> tuple[pa.Table, pa.Table]:
    """Visitors who come one to five times, the keener the oftener; each shop is a placement of one app."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, SHOPS * VISITORS)
    times = rng.integers(1, 4, SHOPS * VISITORS) + kind
    who = np.repeat(np.arange(SHOPS * VISITORS), times)
    clicked = rng.random(len(who)) < np.array(CHANCES)[kind[who]]
    bought = np.flatnonzero(clicked & (rng.random(len(who)) < BUYS))
    names, users = np.char.add("d", np.arange(len(who)).astype(str)), np.char.add("u", who.astype(str))
    ts = np.datetime64(at(1).replace(tzinfo=None), "us")

    def rows(which: np.ndarray, kind: str, seconds: int, **more: Any) -> pa.Table:
        told = {"decision_id": names[which], "user_id": users[which], "event_id": np.char.add(kind, names[which])}
        told |= {"ts": np.full(len(which), ts + np.timedelta64(seconds, "s")), "type": np.full(len(which), kind)}
        return pa.table({**told, "item_id": np.full(len(which), "tea"), **more})

    everything, amounts = np.arange(len(who)), rng.choice(PRICES, len(bought))
    shown, clicks = rows(everything, "exposure", 1), rows(np.flatnonzero(clicked), "click", 2)
    events = pa.concat_tables([shown, clicks, rows(bought, "purchase", 3, amount=amounts)], promote_options="default")
    decisions = rows(everything, "", 0).select(["decision_id", "user_id", "ts"])
    decisions = decisions.append_column("placement", pa.array((who // VISITORS).astype(str)))
    decisions = decisions.append_column("arm", pa.array(["treated"] * len(who)))
    one = '[{"item_id":"tea","position":1,"source":"als"}]'
    return _typed(events, EVENTS), _typed(decisions.append_column("candidates", pa.array([one] * len(who))), DECISIONS)


def _typed(rows: pa.Table, table: Any) -> pa.Table:
    wanted = table.arrow_schema()
    return rows.cast(pa.schema([wanted.field(name) for name in rows.column_names]))


def test_95_of_100_intervals_hold_what_is_true(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for name, rows in zip(("events", "decisions"), many_shops(0), strict=True):
        lake.append("shop", name, rows, "planted")
    settings = AppSettings("shop", objective="revenue")
    rows = earned(lake.snapshot("shop"), settings, at(0), UNTIL, connect(threads=1)).placements
    assert len(rows) == SHOPS
    often = [2, 3, 4]  # times that each kind of visitor comes, on average
    ctr = sum(chance * times for chance, times in zip(CHANCES, often, strict=True)) / sum(often)
    true = {"ctr": ctr, "cvr": BUYS, "revenue_per_answer": ctr * BUYS * sum(PRICES) / len(PRICES)}
    for name, value in true.items():
        held = sum(low <= value <= high for _, low, high in (row[name] for row in rows))
        assert 0.90 <= held / SHOPS <= 0.99, name
