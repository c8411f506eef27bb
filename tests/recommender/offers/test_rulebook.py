"""The rules read at once agree with the rules read one by one, and are read again when they may have changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from plain_offers import eligible
from planted_shelf import NOW, item

from recommender.answers.catalogue import Catalogue
from recommender.offers.eligible import OfferFacts
from recommender.offers.rulebook import Rulebook
from recommender.types import Query

SHANGHAI = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)


def catalogue() -> Catalogue:
    made = Catalogue.empty()
    made.apply([item("tea", title="Tea", category=["food", "tea"]), item("cup", category=["home"])])
    return made


def random_offer(rng: Random, number: int) -> dict[str, Any]:
    """Any rule: each condition is there or not."""

    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.3 else None

    days, hours = rng.sample("1234567", 3), rng.sample([str(hour) for hour in range(24)], 9)
    return {
        "offer_id": f"o{number:02}",
        "kind": rng.choice(["cash", "discount", "exchange", "member", "lottery"]),
        "value": rng.choice([None, 100, 500]),
        "items": maybe(rng.sample(["tea", "cup", "unknown"], 2)),
        "categories": maybe(rng.sample(["food", "home", "garden"], 1)),
        "stores": maybe(["s1"]),
        "tiers": maybe(["gold"]),
        "days": maybe(days),
        "hours": maybe(hours),
        "starts": maybe(NOW + rng.randint(-40, 40) * HOUR),
        "ends": maybe((NOW + rng.randint(-40, 40) * HOUR).isoformat()),
        "budget": maybe(1_000),
        "daily_budget": maybe(700),
        "per_user_limit": maybe(rng.randint(0, 2)),
        "max_cost": maybe(200),
    }


@pytest.mark.parametrize("seed", range(40))
def test_all_at_once_as_one_by_one(seed: int) -> None:
    rng, known = Random(seed), catalogue()
    offers = [random_offer(rng, number) for number in range(30)]
    rulebook = Rulebook(offers)
    books = [{offer["offer_id"]: rng.randint(0, 1_200) for offer in offers} for _ in range(2)]
    nothing: list[str] = []
    for _ in range(40):
        local = (NOW + rng.randint(-50, 50) * HOUR / 2).astimezone(SHANGHAI)
        claims = {offer["offer_id"]: rng.randint(0, 2) for offer in rng.sample(offers, 5)}
        closed = rng.sample([offer["offer_id"] for offer in offers], rng.randint(0, 2))
        claims, closed = rng.choice([claims, {}]), rng.choice([closed, nothing])
        facts = OfferFacts(rng.choice([None, "gold", "silver"]), claims, *rng.choice([books, ({}, {})]), closed)
        at_hand: dict[str, Any] = {"item_id": rng.choice([None, "tea", "cup", "unknown"])}
        at_hand |= {"cart": tuple(rng.sample(["tea", "cup"], rng.randint(0, 2)))}
        query = Query("ann", 100, NOW, store_id=rng.choice([None, "s1", "s2"]), **rng.choice([at_hand, {}]))
        plain = eligible(offers, query, facts, local, "CNY", catalogue=known)
        found = rulebook.holding(query, facts, local, catalogue=known)
        told = [
            rulebook.told(number, query, local, "CNY", covered=found.covered.get(number, ""), catalogue=known)
            for number in found.offers.tolist()
        ]
        assert told == plain


@pytest.mark.parametrize(
    ("columns", "holds"),
    [
        ({"starts": NOW}, [False, True, True]),
        ({"ends": NOW}, [True, False, False]),
        ({"hours": ["12"]}, [False, True, True]),
        ({"hours": ["11"]}, [True, False, False]),
    ],
)
def test_an_edge_is_kept_to_the_microsecond(columns: dict[str, Any], holds: list[bool]) -> None:
    """NOW is Monday noon in Shanghai."""
    rulebook = Rulebook([{"offer_id": "o", "kind": "cash", "value": 1} | columns])
    moments = [(NOW + step * timedelta(microseconds=1)).astimezone(SHANGHAI) for step in (-1, 0, 1)]
    query, facts = Query("ann", 1, NOW), OfferFacts()
    assert [len(rulebook.holding(query, facts, local).offers) == 1 for local in moments] == holds
    back = [len(rulebook.holding(query, facts, local).offers) == 1 for local in moments[::-1]]
    assert back == holds[::-1], "nothing depends on what was asked before"


@pytest.mark.parametrize(
    ("columns", "spent", "tier", "why"),
    [
        ({"ends": datetime(2020, 1, 1, tzinfo=UTC)}, {}, None, "none_running"),
        ({"budget": 100}, {"o": 100}, None, "budget"),
        ({"tiers": ["gold"]}, {}, "silver", "limits"),
        ({"per_user_limit": 0}, {}, None, "limits"),
    ],
)
def test_it_says_what_is_lacking(columns: dict[str, Any], spent: dict[str, int], tier: str | None, why: str) -> None:
    rulebook = Rulebook([{"offer_id": "o", "kind": "cash", "value": 1} | columns])
    facts = OfferFacts(tier, spent=spent)
    assert not len(rulebook.holding(Query("ann", 1, NOW), facts, NOW.astimezone(SHANGHAI)).offers)
    assert rulebook.lacking(facts, NOW.astimezone(SHANGHAI)) == why


def test_a_value_of_before_there_were_bounds_fits_no_budget() -> None:
    rulebook = Rulebook([{"offer_id": "o", "kind": "cash", "value": 2**63 - 1, "budget": 1000}])
    facts = OfferFacts(spent={"o": 1}, spent_today={"o": 2**62})
    assert rulebook.lacking(facts, NOW.astimezone(SHANGHAI)) == "budget"


def test_without_offers_nothing_holds() -> None:
    local = NOW.astimezone(SHANGHAI)
    assert not len(Rulebook([]).holding(Query("ann", 1, NOW), OfferFacts(), local).offers)
    assert Rulebook([]).lacking(OfferFacts(), local) == "none_running"
