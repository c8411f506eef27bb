"""The plan of a night, from a lake to files."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from planted_answers import at, event, lake_of
from planted_trials import OFFERS, entry, none, offered

from portraits.build import build
from portraits.engine import connect
from portraits.settings import AppSettings
from recommender.offers.night import Left, budget, plan_offers
from recommender.offers.plan_files import FOLDER, OfferPlan

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SETTINGS = AppSettings("shop", time_zone="UTC", offer_days=2.0)


@pytest.mark.parametrize(
    ("offer", "spent", "expected"),
    [
        ({}, 0, None),
        ({"budget": 2_800}, 0, 2_800 * 7 / 28),
        ({"budget": 2_800, "ends": NOW + timedelta(days=14)}, 800, 2_000 / 2),
        ({"budget": 2_800, "ends": NOW + timedelta(days=1)}, 800, 2_000),
        ({"budget": 2_800, "daily_budget": 50}, 0, 350),
        ({"daily_budget": 50}, 1_000_000, 350),
        ({"budget": 2_800}, 3_000, 0),
        ({"daily_budget": 50, "ends": NOW + timedelta(days=1)}, 0, 50),
        ({"budget": 2_800, "ends": NOW - timedelta(days=1)}, 0, 0),
        ({"budget": 800, "starts": NOW + timedelta(days=5), "ends": NOW + timedelta(days=9)}, 0, 400),
    ],
    ids=["none", "open end", "spent", "ends soon", "daily", "daily only", "gone", "a day more", "over", "half of it"],
)
def test_a_weeks_share_of_a_budget(offer: dict[str, object], spent: int, expected: float | None) -> None:
    """Of an offer that ends within the week all that is left, and never more."""
    assert budget(offer, spent, NOW) == expected


def test_no_plan_spends_more_than_is_left() -> None:
    assert budget({"budget": 2_800}, 800, NOW, days=366) == 2_000
    assert budget({"budget": 2_800, "ends": NOW + timedelta(days=10)}, 800, NOW, days=366) == 2_000


def test_a_closed_offer_has_nothing_to_spend() -> None:
    left = Left(spent={"a": 100}, closed={"b"}, total=900.0)
    found = left.budgets([{"offer_id": "a", "budget": 500}, {"offer_id": "b"}, {"offer_id": "c"}], NOW)
    assert (list(found.offers), found.total) == ([400 * 7 / 28, 0.0, None], 900.0)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> list[OfferPlan]:
    """Two plans of the same lake: a few visitors, few trials."""
    root = tmp_path_factory.mktemp("night")
    events = [event(user, "item_view", "tea", hour) for user in ("ann", "bob", "no") for hour in (1, 30)]
    answers = [offered("d1", "ann", 2, entry("cash"), none(0.2)), offered("d2", "bob", 3, none(0.2))]
    users = [{"user_id": "no", "consent": False}, {"user_id": "told", "attributes": json.dumps({"age": 30})}]
    offers = [*OFFERS, {"offer_id": "over", "kind": "cash", "value": 1, "ends": at(5)}]
    offers += [{"offer_id": "later", "kind": "cash", "value": 1, "starts": at(24 * 30)}]
    offers += [{"offer_id": "vague", "kind": "cash"}]
    snapshot = lake_of(root / "lake", events, answers, offers=offers, users=users)
    build(snapshot, SETTINGS, at(24 * 9), root / "one")
    shutil.copytree(root / "one", root / "two")
    for name in ("one", "two"):
        made = plan_offers(snapshot, SETTINGS, root / name, at(24 * 9), connect())
        assert made is not None
        assert made.folder == root / name / FOLDER
    return [OfferPlan.open(root / name / FOLDER) for name in ("one", "two")]


def test_planned_are_offers_that_hold_and_visitors_who_do_not_refuse(planned: list[OfferPlan]) -> None:
    plan = planned[0]
    assert plan.offers == ("cash", "tenth")
    assert plan.users.array.tolist() == [b"ann", b"bob", b"told"], "also who declared something and never came"
    assert plan.manifest["account"]["estimates"]["offers"]["cash"]["trials"] == 1
    assert json.loads(json.dumps(plan.manifest["account"])) == plan.manifest["account"]


@pytest.mark.law
def test_the_same_history_gives_the_same_arrays(planned: list[OfferPlan]) -> None:
    one, two = planned
    assert one.manifest == two.manifest, "with the checksums of all arrays"


def test_without_offers_nothing_is_read(tmp_path: Path) -> None:
    snapshot = lake_of(tmp_path / "lake", [event("ann", "item_view", "tea", 1)], [])
    assert plan_offers(snapshot, SETTINGS, tmp_path / "portraits that are not there", at(9), connect()) is None
