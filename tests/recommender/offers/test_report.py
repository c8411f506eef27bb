"""What offers earned, from a lake: planted answers of a shop whose offers are good, worthless, or hunted."""

from __future__ import annotations

import csv
import gzip
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from planted_answers import Row, at, event, lake_of
from planted_coupons import (
    CATALOGUE,
    COUPON,
    DAYS,
    OFFERS,
    PROFIT,
    SETTINGS,
    VISITORS,
    bought,
    entry,
    none,
    offered,
    shop,
)

from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.segments.nights import Definition, nights, schema, write_night
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.offers.evidence import Evidence, evidence
from recommender.offers.incremental import CHANCES, EARLY, EARNS, HOLDOUT, LOSES, NOT_RANDOMISED, Line, Side, line
from recommender.offers.report import Report, report, report_of

MAPPINGS = Path(__file__).parents[3] / "notebooks" / "mappings"
GROCER = {
    "events": "transactions_sample",
    "offers": "campaign_descriptions",
    "redemptions": "coupon_redemptions",
    "campaigns": "campaigns",
}
SPAN = at(0), at(24 * DAYS)
EVEN = {f"u{n:04}" for n in range(0, VISITORS, 2)}
"""Members of the one segment."""


def told(snapshot: Snapshot) -> Report:
    return report(snapshot, SETTINGS, *SPAN, connect(threads=1))


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The night before everybody's first answer knows who is even; a later one knows nobody."""
    folder = tmp_path_factory.mktemp("offers")
    rows = [{"user_id": f"u{n:04}", "stage": None, "in even": int(f"u{n:04}" in EVEN)} for n in range(VISITORS)]
    for moment, members in ((at(-1), rows), (at(24 * 15), [])):
        table = pa.Table.from_pylist(members, schema(["even"]))
        write_night(folder / "nights", moment, {"even": Definition(0, {}, ())}, table.to_batches())
    snapshot = lake_of(folder / "lake", *shop(), **CATALOGUE)
    return evidence(snapshot, SETTINGS, *SPAN, connect(threads=1), nights=nights(folder / "nights"))


@pytest.fixture(scope="module")
def found(gathered: Evidence) -> Report:
    return report_of(gathered, SETTINGS)


def by(lines: Any, of: str) -> Line:
    (one,) = (one for one in lines if one.of == of)
    return one


def test_the_good_offer_earns_and_the_hunted_one_loses(found: Report) -> None:
    assert {one.of: (one.how, one.says) for one in found.offers} == {
        "good": (HOLDOUT, EARNS),
        "hunted": (HOLDOUT, LOSES),
        "worthless": (HOLDOUT, EARLY),
    }
    good, hunted = by(found.offers, "good"), by(found.offers, "hunted")
    _, low, high = good.figures["profit"].difference
    assert low < PROFIT["good"] < high
    _, low, high = hunted.figures["profit"].difference
    assert low < PROFIT["hunted"] < high
    assert found.funnel["hunted"]["redeemed"] > 200
    assert hunted.roi[0] < 0 < good.roi[1]


def test_all_visitors_with_an_answer_count_once_in_the_arm_that_was_drawn(found: Report) -> None:
    assert found.overall is not None
    assert sum(found.overall.visitors) == VISITORS
    assert sum(found.overall.rows) == VISITORS
    _, low, high = found.overall.figures["profit"].difference
    assert low < 2 * sum(PROFIT.values()) / 3 < high
    assert found.warnings == []


def test_each_night_is_a_line(found: Report) -> None:
    assert [one.of for one in found.nights] == ["v0", "v1"]
    assert all(sum(one.rows) == VISITORS for one in found.nights)
    spent = sum(own["cost"] for own in found.funnel.values())
    assert sum(one.totals["cost"][0] for one in found.nights) == pytest.approx(spent)


def test_the_funnel_counts_what_happened(found: Report) -> None:
    events, decisions = shop()
    mine = [row for row in events if row["user_id"] != "no"]
    for offer in OFFERS:
        own = found.funnel[offer]
        answers = [row for row in decisions if f'"{offer}"' in row["candidates"] and row["user_id"] != "no"]
        assert own["decided"] == sum(row["arm"] == "treated" for row in answers)
        assert own["held back"] == sum(row["arm"] == "control" for row in answers)
        assert own["shown"] == own["decided"]
        used = [row for row in mine if row["offer_id"] == offer and row["type"] == "offer_redeem"]
        assert (own["claimed"], own["redeemed"], own["cost"]) == (len(used), len(used), COUPON[offer] * len(used))
    assert found.counts["redeemed unseen"] == 0


def test_who_refuses_is_in_no_line(found: Report) -> None:
    assert found.funnel["good"]["redeemed"] == found.counts["redeemed"] - found.funnel["hunted"]["redeemed"]


def test_nothing_tried_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="trials of offers"):
        told(lake_of(tmp_path, [event("ann", "purchase", "tea", 1, amount=1)], [], **CATALOGUE))


def used_up(seed: int) -> tuple[list[Row], list[Row]]:
    """Two offers that change nothing; half of the visitors are held out. Some buy often, some never. Whoever is given
    `once` and buys claims it, is given `other` from then on, and nothing after eight offers seen in all; who is held
    out would be given `once` for ever."""
    rng = random.Random(seed)
    events, decisions = [], []
    for n in range(400):
        user, control, buys = f"u{n:03}", rng.random() < 0.5, rng.betavariate(0.6, 2.4)
        claimed, seen = False, 0
        for day in range(0, 20, 2):
            hour, name = 24.0 * day + rng.uniform(1, 20), f"d{n}-{day}"
            offer = "other" if claimed else "once"
            some = [entry(offer, 0.9)] if rng.random() < 0.9 else []
            entries = [none(1.0)] if seen >= 8 else [*some, none(0.1)]
            arm, version = "control" if control else "treated", f"v{day // 10}"
            decisions.append(offered(name, user, hour, *entries, arm=arm, version=version))
            given = len(entries) > 1 and not control
            if given:
                seen += 1
                events.append(event(user, "offer_exposure", None, hour, offer_id=offer, decision_id=name))
            if rng.random() < buys:
                events.append(event(user, "purchase", "tea", hour + 1, order_id=f"o{name}", amount=1_000))
                if given and not claimed:
                    events.append(event(user, "offer_claim", None, hour + 0.5, offer_id="once"))
                    claimed = True
    return events, decisions


@pytest.mark.parametrize("seed", range(3))
def test_offers_that_change_nothing_do_nothing_where_buyers_use_them_up(tmp_path: Path, seed: int) -> None:
    """Whoever looks at all trials says that both lose or earn, and is sure: buyers are in one arm only."""
    offers = [{"offer_id": "once", "kind": "cash", "value": 100, "per_user_limit": 1}, {"offer_id": "other"}]
    settings = replace(SETTINGS, offer_control_share=0.5)
    snapshot = lake_of(tmp_path, *used_up(seed), items=CATALOGUE["items"], offers=offers)
    gathered = evidence(snapshot, settings, *SPAN, connect(threads=1))
    found = report_of(gathered, settings)
    assert found.overall is not None
    assert sum(found.overall.visitors) == 400
    lines = [found.overall, *found.offers, *found.nights]
    assert [one.of for one in lines] == ["", "once", "v0", "v1"], "nobody was given the other before using up once"
    for one in lines:
        value, low, high = one.figures["margin"].difference
        assert abs(value) < (high - low) * 0.75, "three standard errors"
    every = gathered.trials
    rows = [np.flatnonzero((every.control == arm) & (every.intended == 0)) for arm in (False, True)]
    naive = line("once", HOLDOUT, gathered.values, *map(Side, rows))
    assert naive.says == LOSES
    told = gathered.trials.to_learn
    assert not (told.control & ~told.even).any()
    assert np.nanmax(told.propensity[~told.even]) == pytest.approx(0.9), "given that they are not held out"
    assert np.nanmax(told.propensity[told.even]) == pytest.approx(0.55)


def test_who_was_answered_with_nothing_at_first_is_compared_from_then_on(tmp_path: Path) -> None:
    """Both count by their first answer, though only the second is a trial."""
    answers = [
        offered(f"d{arm}{turn}", arm, 24.0 * turn + 1, *entries, arm=arm, version="v0")
        for arm in ("treated", "control")
        for turn, entries in enumerate(([none(1.0)], [entry("good"), none()]))
    ]
    bought_first = [event(user, "purchase", "tea", 2, amount=1_000) for user in ("treated", "control")]
    found = told(lake_of(tmp_path, bought_first, answers, **CATALOGUE))
    assert found.overall is not None
    for one, margin in ((found.overall, 600), (found.nights[0], 600), (found.offers[0], 0)):
        figure = one.figures["margin"]
        assert (one.visitors, figure.treated.mean, figure.control.mean) == ((1, 1), margin, margin)


def test_a_split_that_no_draw_makes_is_said(gathered: Evidence) -> None:
    warned = report_of(gathered, replace(SETTINGS, offer_control_share=0.05))
    assert any("held out, and offer_control_share says 5.0%" in line for line in warned.warnings)


def test_json_has_what_is_printed(found: Report) -> None:
    body = json.loads(json.dumps(found.as_json(), default=str))
    assert body["overall"]["says"] == found.overall.says if found.overall else False
    assert {one["of"] for one in body["offers"]} == set(OFFERS)
    early = next(one for one in body["offers"] if one["says"] == EARLY)
    assert early["more_visitors"] > 0
    assert early["more_days"] == pytest.approx(found.days(by(found.offers, early["of"])), abs=1e-3)
    assert body["offers"][0]["figures"]["cost"]["control"] == 0


def test_segments_are_of_the_night_before(found: Report) -> None:
    (line,) = found.segments
    assert line.of == "even"
    assert sum(line.visitors) == len(EVEN)


def test_without_a_holdout_known_chances_compare(tmp_path: Path) -> None:
    """Half were given it by a coin; nothing is told of all offers together."""
    rng = random.Random(0)
    events, decisions = [], []
    for n in range(800):
        given, hour = rng.random() < 0.5, rng.uniform(0, 20)
        what = (entry("good", 0.5),) if given else (none(0.5),)
        decisions.append(offered(f"d{n}", f"u{n}", hour, *what, arm=None, policy="coin"))
        if rng.random() < 0.2 + 0.4 * given:
            events += bought(f"u{n}", hour + 1, f"o{n}", "good" if given else None)
    found = told(lake_of(tmp_path, events, decisions, **CATALOGUE))
    assert found.overall is None
    assert any("nobody was held out" in line for line in found.warnings)
    assert [(one.of, one.how, one.says) for one in found.offers] == [("good", CHANCES, EARNS)]


def test_sends_that_nobody_drew_claim_no_cause(tmp_path: Path) -> None:
    rng = random.Random(0)
    events = [
        event(f"u{n}", "purchase", "tea", -24 * rng.uniform(5, 80), order_id=f"b{n}", amount=1_000) for n in range(300)
    ]
    events += [event(f"u{n}", "message_sent", None, 12, offer_id="good") for n in range(100)]
    events += [row for n in range(0, 100, 3) for row in bought(f"u{n}", 20, f"o{n}", "good")]
    gathered = evidence(lake_of(tmp_path, events, [], **CATALOGUE), SETTINGS, *SPAN, connect(threads=1))
    found = report_of(gathered, SETTINGS, np.zeros((len(gathered.trials), 1), np.float32))
    (one,) = found.offers
    assert (one.of, one.how, one.says) == ("good", NOT_RANDOMISED, NOT_RANDOMISED)
    assert one.figures["bought"].treated.mean == pytest.approx(34 / 100)
    assert any("no cause is claimed" in line for line in found.warnings)
    assert timedelta(days=DAYS) == found.until - found.since


@pytest.mark.real
def test_campaigns_of_a_grocer_from_files_to_the_report(real_data: Path, tmp_path: Path) -> None:
    """complete_journey until early May: campaigns 1 to 7 of 2017 were chosen by somebody, so no cause is claimed; what
    was sent and redeemed is what the files say."""
    lake, settings = Lake(tmp_path), AppSettings("grocer", currency="USD", time_zone="America/New_York", offer_days=30)
    for name, file in GROCER.items():
        mapping = Mapping.load(MAPPINGS / f"complete_journey_{name}.toml")
        import_file(lake, settings, mapping.table.name, real_data / f"complete_journey/{file}.csv.gz", mapping)
    since, until = datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 5, 1, tzinfo=UTC)
    found = report(lake.snapshot("grocer"), settings, since, until, connect(threads=1))
    sent = {"1": 13, "2": 48, "3": 12, "4": 81, "5": 166, "6": 65, "7": 198}
    assert {one.of: one.visitors[0] for one in found.offers} == sent
    assert {(one.how, one.says) for one in found.offers} == {(NOT_RANDOMISED, NOT_RANDOMISED)}
    assert found.overall is None
    assert any("no cause is claimed" in line for line in found.warnings)
    with gzip.open(real_data / "complete_journey/coupon_redemptions.csv.gz", "rt") as rows:
        used = [row for row in csv.DictReader(rows) if "2017-03-01" <= row["redemption_date"] < "2017-05-01"]
    assert sum(own["redeemed"] for own in found.funnel.values()) == len(used)
