"""Who comes, who may have what, who saw how many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted_answers import at, event, lake_of

from portraits.build import build, past_of
from portraits.engine import connect
from portraits.past import Past
from portraits.settings import AppSettings
from recommender.bundles.vocabulary import Vocabulary
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
Shop = tuple[Past, Path]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """`ann` comes every day at 10:00 local time, `bob` came once, `no` refuses; `declared` never came."""
    root = tmp_path_factory.mktemp("shop")
    events = [event("ann", "item_view", "tea", 24 * day + 2) for day in range(10)]
    events += [event("bob", "item_view", "tea", 30), event("no", "item_view", "tea", 31)]
    events += [event("ann", "offer_exposure", None, hours, offer_id="open") for hours in (NOW - 1, NOW - 2, NOW - 30)]
    events += [event("ann", "offer_claim", None, NOW - 1, offer_id="once")]
    events += [event("bob", kind, None, 40, offer_id="once") for kind in ("offer_claim", "offer_return")]
    snapshot = lake_of(root / "lake", events, [], offers=OFFERS, users=USERS)
    con = connect()
    build(snapshot, SETTINGS, at(NOW), root / "portraits", con)
    return past_of(snapshot, SETTINGS, at(NOW), con), root / "portraits"


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
    seen = seen_of(shop[0], audience.users)
    assert seen[0].tolist() == [2, 1, 0, 0, 0, 0, 0]
    assert not seen[1:].any()


def test_pace_is_when_visitors_come(shop: Shop) -> None:
    pace = np.array(pace_of(shop[0])).reshape(7, HOURS // 7)
    assert pace.sum() == pytest.approx(1)
    assert (pace[:, 10] == pace.max(axis=1)).all()
    assert pace.min() > 0
