"""What the recommender earns: the figures against a plain reading, and an effect that is there or is not."""

from __future__ import annotations

import random
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from statistics import mean, median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from planted_answers import Row, answer, at, event, lake_of, plainly, random_log

from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.history import EVENTS
from portraits.lake import Lake
from portraits.sample import history
from portraits.sample.plan import END
from portraits.settings import AppSettings
from recommender.earned import Report, earned

UNTIL = at(1_000)
ITEMS = [
    {"item_id": "tea", "price": 500, "cost": 200},
    {"item_id": "cup", "price": 1_000, "cost": 900},
    {"item_id": "pot", "price": 2_000},
]
COST = {"tea": 200, "cup": 900}
MARGIN = median([1 - 200 / 500, 1 - 900 / 1_000])


def report(root: Path, events: list[Row], decisions: list[Row], since: float = 0, **settings: Any) -> Report:
    snapshot = lake_of(root, events, decisions, items=ITEMS, users=[{"user_id": "no", "consent": False}])
    asked = AppSettings("shop", **{"control_share": 0.3} | settings)
    return earned(snapshot, asked, at(since), UNTIL, connect(threads=1))


def log(seed: int) -> tuple[list[Row], list[Row]]:
    """A random log with arms, money, refunds, clicks and somebody who refuses."""
    rng = random.Random(seed)
    events, decisions = random_log(seed)
    arms = {"ann": "treated", "bob": "control", "cid": "treated"}
    for row in decisions:
        row["arm"] = rng.choice([arms[row["user_id"]]] * 3 + [None])
    for row in events:
        row["quantity"] = rng.choice([None, 1, 2])
        row["amount"] = rng.randrange(300, 3_000) if row["type"] == "purchase" else None
    orders = sorted({row["order_id"] for row in events if row["order_id"]})
    for n in range(30):
        back = {"order_id": rng.choice(orders), "amount": rng.randrange(300), "quantity": 1}
        events.append(event(rng.choice(list(arms)), "refund", rng.choice(["tea", "cup", "pot"]), n, **back))
    events += [event("ann", "ad_click", "tea", hour, revenue=40) for hour in range(5)]
    events += [event("no", "purchase", "tea", 50, amount=9_999, decision_id="dn")]
    return events, [*decisions, answer("dn", "no", 1, "tea", arm="control")]


def worth(row: Row, objective: str) -> float:
    if objective == "revenue":
        return row["amount"] or 0
    cost, amount = COST.get(row["item_id"]), row["amount"] or 0
    return amount * MARGIN if cost is None else amount - cost * (row["quantity"] or 1)


def plain_value(user: str, events: list[Row], first: Any, objective: str) -> float:
    """Of a visitor from the first answer on: what was bought and stands, less refunds of these orders; by revenue also
    what ads brought."""
    void = [row for row in events if row["type"] == "order_cancel" and row["order_id"]]
    gone = {(row["user_id"], row["order_id"], row["item_id"]) for row in void}

    def stands(row: Row) -> bool:
        key = (row["user_id"], row["order_id"])
        return row["order_id"] is None or not {(*key, None), (*key, row["item_id"])} & gone

    mine = [row for row in events if row["user_id"] == user and row["ts"] >= first]
    bought = [row for row in mine if row["type"] == "purchase" and stands(row)]
    orders = {row["order_id"] for row in bought} - {None}
    back = [row for row in mine if row["type"] == "refund" and row["order_id"] in orders and stands(row)]
    ads = sum(row["revenue"] or 0 for row in mine) if objective == "revenue" else 0
    return sum(worth(row, objective) for row in bought) - sum(worth(row, objective) for row in back) + ads


@pytest.mark.parametrize(("seed", "objective"), [(0, "revenue"), (1, "margin"), (2, "auto")])
def test_the_figures_are_those_of_a_plain_reading(seed: int, objective: str, tmp_path: Path) -> None:
    events, decisions = log(seed)
    found = report(tmp_path, events, decisions, objective=objective)
    objective = {"auto": "revenue"}.get(objective, objective)
    assert found.objective == objective
    drawn = [row for row in decisions[:10] if row["arm"]]
    first = {user: min(row["ts"] for row in drawn if row["user_id"] == user) for user in {r["user_id"] for r in drawn}}
    groups = {"treated": [u for u in ("ann", "cid") if u in first], "control": [u for u in ("bob",) if u in first]}
    assert found.visitors == {arm: len(users) for arm, users in groups.items()}
    numbered = [row | {"quantity": n} for n, row in enumerate(events)]
    lines = [
        (events[row[0]], *row[1:]) for row in plainly(numbered, decisions, 24.0) if events[row[0]]["user_id"] != "no"
    ]
    arm_of = {row["decision_id"]: row["user_id"] for row in drawn}
    for arm, users in groups.items():
        means = {name: getattr(figure, arm).mean for name, figure in found.figures.items()}
        assert means["answers"] == pytest.approx(mean(sum(row["user_id"] == user for row in drawn) for user in users))
        led = {user: [row for row, named, *_ in lines if arm_of.get(named) == user] for user in users}
        assert means["purchases"] == pytest.approx(mean(len(rows) for rows in led.values()))
        assert means["value led to"] == pytest.approx(
            mean(sum(worth(row, objective) for row in rows) for rows in led.values())
        )
        assert means["value"] == pytest.approx(
            mean(plain_value(user, events, first[user], objective) for user in users)
        )
    assert found.counts["purchases"] == len(lines)
    assert found.counts["of another's answer"] == sum(row[-1] for row in lines)
    assert found.counts["view-through"] == sum(row[-2] is not None for row in lines)


def shop(effect: float, seed: int, visitors: int = 900) -> tuple[list[Row], list[Row]]:
    """Visitors of whom a third is control; each gets two answers, and buys with a probability that is `effect` higher
    after an answer of the recommender."""
    rng = random.Random(seed)
    events, decisions = [], []
    for n in range(visitors):
        user, arm = f"u{n}", "control" if n % 3 == 0 else "treated"
        for turn in range(2):
            name, hour = f"d{n}-{turn}", rng.uniform(0, 100)
            decisions.append(answer(name, user, hour, "tea", "cup", arm=arm, placement="home"))
            events += [event(user, "exposure", one, hour, decision_id=name) for one in ("tea", "cup")]
            if rng.random() < 0.3 + (effect if arm == "treated" else 0):
                events.append(event(user, "click", "tea", hour + 0.1, decision_id=name))
                if rng.random() < 0.6:
                    events.append(event(user, "purchase", "tea", hour + 1, amount=rng.randrange(300, 700)))
    return events, decisions


def test_arms_that_are_alike_do_not_differ(tmp_path: Path) -> None:
    found = report(tmp_path, *shop(0.0, seed=1), control_share=0.333)
    for figure in found.figures.values():
        assert figure.difference[1] <= 0 <= figure.difference[2]
        assert figure.says in ("too few to tell", "alike")
    assert found.warnings == []


def test_a_recommender_that_is_better_by_construction_is_found_out(tmp_path: Path) -> None:
    found = report(tmp_path, *shop(0.2, seed=0), control_share=0.333)
    for name in ("click rate", "clicks", "bought", "purchases", "value", "value led to"):
        assert found.figures[name].says == "more", name
    low, high = found.figures["click rate"].difference[1:]
    assert low < 0.2 / 2 < high
    assert found.figures["answers"].says == "alike"
    by_arm = {row["arm"]: row for row in found.placements}
    assert {row["placement"] for row in found.placements} == {"home"}
    assert (by_arm["control"]["answers"], by_arm["control"]["shown"]) == (600, 1_200)
    assert [row["source"] for row in found.sources] == ["als", "als"]
    assert sum(row["clicks"] for row in found.sources) == sum(row["clicks"] for row in found.placements)
    told = found.as_json()
    assert told["figures"]["value"]["says"] == "more"
    assert told["visitors"] == {"treated": 600, "control": 300}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    """Events and decisions of the sample shop, whose shelf is drawn at random for everybody."""
    folder = tmp_path_factory.mktemp("sample")
    history(3, 60_000, folder)
    parts = [pq.read_table(path) for path in sorted((folder / "events").glob("*.parquet"))]
    events = pa.concat_tables(parts).select(EVENTS.names)
    return events, pq.read_table(folder / "decisions.parquet")


def drawn(user_id: str) -> str:
    return "control" if sha256(user_id.encode()).digest()[0] % 2 else "treated"


def of_sample(root: Path, events: pa.Table, decisions: pa.Table) -> Report:
    arms = pa.array([drawn(one) for one in decisions["user_id"].to_pylist()])
    decisions = decisions.set_column(decisions.schema.get_field_index("arm"), "arm", arms)
    lake = Lake(root)
    lake.append("shop", "events", events, "sample")
    lake.append("shop", "decisions", decisions, "sample")
    asked = AppSettings("shop", control_share=0.5)
    return earned(lake.snapshot("shop"), asked, END - timedelta(days=60), END, connect(threads=1))


def test_in_the_sample_shop_a_draw_of_visitors_makes_no_difference(
    sample: tuple[pa.Table, pa.Table], tmp_path: Path
) -> None:
    found = of_sample(tmp_path, *sample)
    assert min(found.visitors.values()) > 100
    for name in ("click rate", "clicks", "bought", "purchases", "value", "value led to"):
        assert found.figures[name].says == "too few to tell", name


def test_in_the_sample_shop_a_known_effect_is_found(sample: tuple[pa.Table, pa.Table], tmp_path: Path) -> None:
    """Half of what the control group clicked (and bought by these clicks) is taken away: the others have twice as
    much, a lift of 100%."""
    events, decisions = sample
    columns = (events[name].to_pylist() for name in ("user_id", "item_id", "decision_id"))
    lost = [
        named is not None and drawn(user) == "control" and sha256(f"{named}{item}".encode()).digest()[0] % 2 == 1
        for user, item, named in zip(*columns, strict=True)
    ]
    kept = pc.or_(pc.equal(events["type"], "exposure"), pc.invert(pa.array(lost, pa.bool_())))
    found = of_sample(tmp_path, events.filter(kept), decisions)
    for name in ("click rate", "clicks"):
        assert found.figures[name].says == "more"
        _, low, high = found.figures[name].lift
        assert low < 1.0 < high


def test_who_changes_arms_stays_where_the_draw_put_them(tmp_path: Path) -> None:
    events, decisions = shop(0.0, seed=0, visitors=60)
    moved = [answer(f"m{n}", f"u{n}", 200, "tea", arm="treated") for n in range(0, 60, 3)]
    found = report(tmp_path, events, [*decisions, *moved])
    assert found.visitors == {"treated": 40, "control": 20}
    assert found.counts["changed arms"] == 20
    assert "20 visitors saw both arms" in " ".join(found.warnings)


def test_what_both_arms_get_alike_is_no_part_of_the_comparison(tmp_path: Path) -> None:
    events, decisions = shop(0.0, seed=0, visitors=60)
    alike = [answer(f"s{n}", f"x{n}", 1, "tea", arm=None, placement="product") for n in range(9)]
    found = report(tmp_path, events, [*decisions, *alike])
    assert sum(found.visitors.values()) == 60
    assert [row["answers"] for row in found.placements if row["arm"] is None] == [9]


def test_only_answers_of_the_span_and_what_followed_them_count(tmp_path: Path) -> None:
    decisions = [answer("old", "ann", 1, "tea"), answer("new", "ann", 50, "tea"), answer("c", "bob", 50, arm="control")]
    events = [event("ann", "purchase", "tea", hour, amount=100, decision_id="old") for hour in (2, 49, 51)]
    found = report(tmp_path, events, decisions, since=48)
    assert found.figures["value"].treated.mean == 100
    assert found.figures["purchases"].treated.mean == 0
    assert found.counts["purchases"] == 2


def test_it_warns_of_a_split_that_the_settings_did_not_make_and_of_missing_exposures(tmp_path: Path) -> None:
    events, decisions = shop(0.0, seed=0, visitors=300)
    seen = [row for row in events if row["type"] != "exposure"]
    found = report(tmp_path, seen, decisions, control_share=0.02)
    assert any("33.3%" in said and "2.0%" in said for said in found.warnings)
    assert any("no exposures" in said for said in found.warnings)
    assert sum(row["shown"] for row in found.placements) == 2 * len(decisions)


def test_without_a_control_group_it_only_describes(tmp_path: Path) -> None:
    found = report(tmp_path, [event("ann", "purchase", "tea", 2, amount=100)], [answer("d", "ann", 1, "tea")])
    assert found.figures == {}
    assert any("control_share" in said for said in found.warnings)
    assert found.placements[0]["answers"] == 1


def test_without_answers_there_is_nothing_to_tell(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="answers"):
        report(tmp_path, [event("ann", "purchase", "tea", 2)], [])


def test_clicks_are_counted_where_they_are_the_objective(tmp_path: Path) -> None:
    events = [event("ann", kind, "tea", hour, decision_id="d") for hour, kind in enumerate(["click", "item_view"], 2)]
    decisions = [answer("d", "ann", 1, "tea"), answer("c", "bob", 1, "tea", arm="control")]
    found = report(tmp_path, events, decisions, objective="clicks")
    assert (found.figures["value"].treated.mean, found.figures["value led to"].treated.mean) == (2, 1)
    assert found.figures["value"].control.mean == 0
