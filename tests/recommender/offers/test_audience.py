"""Who comes, who may have what, who saw how many."""

from __future__ import annotations

from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pytest
from planted_answers import at, event, lake_of
from planted_trials import entry, none, offered

from portraits.build import build, past_of
from portraits.engine import connect
from portraits.past import Past
from portraits.people import Persons
from portraits.settings import AppSettings
from recommender.bundles.vocabulary import Vocabulary
from recommender.experiment import decisions_of
from recommender.offers.audience import HOURS, PERIOD_DAYS, Audience, claims_of, pace_of, seen_of

SETTINGS = AppSettings("shop", time_zone="Asia/Shanghai")
NOW = 10 * 24.0
"""Hours after the start, a Monday 0:00 UTC (8:00 in Shanghai)."""
OFFERS = [
    {"offer_id": "gold", "kind": "member", "value": 500, "tiers": ["gold"]},
    {"offer_id": "once", "kind": "cash", "value": 100, "per_user_limit": 1},
    {"offer_id": "open", "kind": "cash", "value": 100},
    {"offer_id": "stopped", "kind": "cash", "value": 100, "per_user_limit": 0},
]
USERS = [
    {"user_id": "ann", "member_tier": "gold"},
    {"user_id": "bob", "member_tier": "basic"},
    {"user_id": "no", "consent": False},
]
Shop = tuple[Past, Path, ir.Table]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """`ann` comes every day at 10:00 local time, `bob` came once, `no` refuses; `declared` never came."""
    root = tmp_path_factory.mktemp("shop")
    events = [event("ann", "item_view", "tea", 24 * day + 2) for day in range(10)]
    events += [event("bob", "item_view", "tea", 30), event("no", "item_view", "tea", 31)]
    events += [event("ann", "offer_exposure", None, hours, offer_id="open") for hours in (NOW - 1, NOW - 2, NOW - 30)]
    events += [event("ann", "offer_claim", None, NOW - 1, offer_id="once")]
    events += [event("bob", kind, None, 40, offer_id="once") for kind in ("offer_claim", "offer_return")]
    answers = [
        offered("ghost", "bob", NOW - 40, entry("open"), entry("once", None, 2), none(could=["open"]), arm="control"),
        offered("none", "bob", NOW - 3, none(), arm="control"),
        offered("old", "bob", NOW - 240, entry("open"), none(), arm="control"),
        offered("given", "ann", NOW - 2, entry("open"), none()),
    ]
    snapshot = lake_of(root / "lake", events, answers, offers=OFFERS, users=USERS)
    con = connect()
    build(snapshot, SETTINGS, at(NOW), root / "portraits", con)
    past = past_of(snapshot, SETTINGS, at(NOW), con)
    return past, root / "portraits", decisions_of(snapshot, past, Persons(snapshot, con, at(NOW)), con)


@pytest.fixture(scope="module")
def audience(shop: Shop) -> Audience:
    return Audience.read(Vocabulary.build(["ann", "bob", "declared"]), shop[1], shop[0])


def test_who_came_more_often_is_likelier_to_come(audience: Audience) -> None:
    ann, bob, declared, strangers = audience.weight
    assert 1 >= ann > 0.95
    assert ann > bob > declared > 0
    assert strangers == pytest.approx(2 * PERIOD_DAYS / 28), "two were new in four weeks"
    assert audience.newcomer.tolist() == [True, True, False]


def test_who_may_have_what_by_tier_and_claims(shop: Shop, audience: Audience) -> None:
    may = audience.eligible(OFFERS, claims_of(shop[0], OFFERS))
    told = {"ann": [1, 0, 1, 0], "bob": [0, 1, 1, 0], "declared": [0, 1, 1, 0], "stranger": [0, 1, 1, 0]}
    assert may.astype(int).tolist() == list(told.values())


def test_offers_seen_by_local_day(shop: Shop, audience: Audience) -> None:
    """The plan's moment is 8:00 local time: two exposures of that day, one of the day before (2:00)."""
    seen = seen_of(shop[0], audience.users, shop[2])
    assert seen[0].tolist() == [2, 1, 0, 0, 0, 0, 0]
    assert seen[1].tolist() == [0, 0, 2, 0, 0, 0, 0], "held out: two would have been shown, none the other time"
    assert not seen[2:].any()


def test_nobody_tires_of_what_nobody_tells_of(tmp_path: Path) -> None:
    """Without exposures of the treated, none are counted of who is held out."""
    ghost = offered("ghost", "bob", NOW - 1, entry("open"), none(), arm="control")
    snapshot, con = lake_of(tmp_path, [event("ann", "item_view", "tea", 1)], [ghost]), connect()
    past = past_of(snapshot, SETTINGS, at(NOW), con)
    decisions = decisions_of(snapshot, past, Persons(snapshot, con, at(NOW)), con)
    assert decisions.count().execute() == 1
    assert not seen_of(past, Vocabulary.build(["bob"]), decisions).any()


def test_pace_is_when_visitors_come(shop: Shop) -> None:
    pace = np.array(pace_of(shop[0])).reshape(7, HOURS // 7)
    assert pace.sum() == pytest.approx(1)
    assert (pace[:, 10] == pace.max(axis=1)).all()
    assert pace.min() > 0
