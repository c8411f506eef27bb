"""Offers hold by their own conditions; each condition is tried on its edge; the rule is told in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from plain_offers import eligible
from planted_shelf import NOW, item

from portraits.checking import check
from portraits.history import OFFERS
from recommender.answers.catalogue import Catalogue
from recommender.offers.eligible import Eligible, OfferFacts
from recommender.offers.wording import describe, money
from recommender.types import Query

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOBODY = OfferFacts()
LOCAL = NOW.astimezone(SHANGHAI)  # a Monday, 12:00


def offer(offer_id: str = "o", **columns: Any) -> dict[str, Any]:
    row = check(OFFERS, {"offer_id": offer_id, "kind": "cash", "value": 2000, **columns})
    assert isinstance(row, dict)
    return row


def ask(*offers: dict[str, Any], facts: OfferFacts = NOBODY, local: datetime = LOCAL, **asked: Any) -> list[Eligible]:
    catalogue = Catalogue.empty()
    catalogue.apply([item("tea", title="Tea", category=["food", "tea"]), item("cup", category=["home"])])
    query = Query("ann", asked.pop("n", 10), NOW, **asked)
    return eligible(offers, query, facts, local, "CNY", catalogue=catalogue)


DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("columns", "facts", "holds"),
    [
        ({}, {}, True),
        ({"kind": "lottery"}, {}, False),
        ({"value": None}, {}, False),
        ({"starts": NOW}, {}, True),
        ({"starts": NOW + SECOND}, {}, False),
        ({"ends": NOW}, {}, False),
        ({"ends": NOW + SECOND}, {}, True),
        ({"days": ["1"]}, {}, True),
        ({"days": ["2", "7"]}, {}, False),
        ({"hours": ["11", "12"]}, {}, True),
        ({"hours": ["4"]}, {}, False),
        ({"days": ["1"], "hours": ["13"]}, {}, False),
        ({"kind": "member", "value": 500}, {}, False),
        ({"kind": "member", "value": 500}, {"tier": "gold"}, True),
        ({"kind": "member", "value": 500, "tiers": ["gold"]}, {"tier": "silver"}, False),
        ({"tiers": ["gold"]}, {}, False),
        ({"tiers": ["gold"]}, {"tier": "gold"}, True),
        ({"per_user_limit": 2}, {"claims": {"o": 1}}, True),
        ({"per_user_limit": 2}, {"claims": {"o": 2}}, False),
        ({"per_user_limit": 0}, {}, False),
        ({"budget": 6000}, {"spent": {"o": 4000}}, True),
        ({"budget": 6000}, {"spent": {"o": 4001}}, False),
        ({"budget": 6000}, {"spent": {"other": 6000}}, True),
        ({"daily_budget": 6000}, {"spent": {"o": 9000}, "spent_today": {"o": 4000}}, True),
        ({"daily_budget": 6000}, {"spent_today": {"o": 4001}}, False),
        ({"kind": "discount", "value": 1000, "max_cost": 500, "budget": 1000}, {"spent": {"o": 500}}, True),
        ({"kind": "discount", "value": 1000, "max_cost": 500, "budget": 1000}, {"spent": {"o": 501}}, False),
        ({"kind": "exchange", "value": 0, "budget": 1000}, {"spent": {"o": 1000}}, False),
        ({"minimum": 10**9}, {}, True),
    ],
)
def test_a_condition_is_kept_to_its_edge(columns: dict[str, Any], facts: dict[str, Any], holds: bool) -> None:
    assert bool(ask(offer(**columns), facts=OfferFacts(**facts))) == holds


@pytest.mark.parametrize(
    ("columns", "asked", "code"),
    [
        ({"stores": ["s1"]}, {}, "for_everyone"),
        ({"stores": ["s1"]}, {"store_id": "s1"}, "for_everyone"),
        ({"stores": ["s1"]}, {"store_id": "s2"}, None),
        ({"items": ["tea"]}, {}, "for_everyone"),
        ({"items": ["tea"]}, {"item_id": "tea"}, "for_this_item"),
        ({"items": ["tea"]}, {"item_id": "cup"}, None),
        ({"items": ["tea"]}, {"item_id": "cup", "cart": ("tea",)}, "for_this_item"),
        ({"categories": ["food"]}, {"item_id": "tea"}, "for_this_item"),
        ({"categories": ["food"]}, {"item_id": "cup"}, None),
        ({"categories": ["food"]}, {"item_id": "unknown"}, None),
        ({"items": ["unknown"]}, {"item_id": "unknown"}, "for_this_item"),
        ({}, {"item_id": "cup"}, "for_everyone"),
    ],
)
def test_an_offer_for_certain_things_covers_what_is_at_hand(
    columns: dict[str, Any], asked: dict[str, Any], code: str | None
) -> None:
    assert [one.reason.code for one in ask(offer(**columns), **asked)] == ([code] if code else [])


def test_the_evidence_is_the_item_at_hand() -> None:
    assert ask(offer(items=["tea"]), item_id="tea")[0].reason.evidence == {"item_id": "tea", "title": "Tea"}


@pytest.mark.parametrize(
    ("columns", "expires"),
    [
        ({}, None),
        ({"ends": NOW + DAY}, NOW + DAY),
        ({"hours": ["12", "13"]}, datetime(2026, 3, 2, 14, tzinfo=SHANGHAI)),
        ({"days": ["1"]}, datetime(2026, 3, 3, 0, tzinfo=SHANGHAI)),
        ({"days": ["1", "2"], "hours": ["12"]}, datetime(2026, 3, 2, 13, tzinfo=SHANGHAI)),
        ({"days": ["1"], "ends": NOW + SECOND}, NOW + SECOND),
        ({"days": list("1234567")}, None),
    ],
)
def test_an_offer_expires_with_itself_or_its_hours(columns: dict[str, Any], expires: datetime | None) -> None:
    assert ask(offer(**columns))[0].expires == expires


def test_hours_are_local_even_where_the_zone_is_off_by_half_an_hour() -> None:
    local = datetime(2026, 3, 2, 12, 10, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert ask(offer(hours=["12"]), local=local)[0].expires == local.replace(hour=13, minute=0)


def test_what_ends_first_comes_first_and_n_are_given() -> None:
    offers = [offer("b"), offer("a"), offer("soon", ends=NOW + SECOND), offer("later", ends=NOW + DAY)]
    assert [one.offer_id for one in ask(*offers)] == ["soon", "later", "a", "b"]
    assert [one.offer_id for one in ask(*offers, n=2)] == ["soon", "later"]


def test_rows_may_hold_times_as_text() -> None:
    row = offer() | {"ends": "2026-03-02T12:00:01+08:00"}
    assert ask(row)[0].expires == NOW + SECOND


def test_an_offer_reads_the_same_to_everyone() -> None:
    row = offer(kind="member", value=500)
    texts = {ask(row, facts=OfferFacts(tier=tier))[0].reason.text for tier in ("gold", "silver")}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("columns", "english", "chinese"),
    [
        ({}, "¥20 off", "立减¥20"),
        ({"minimum": 10050}, "¥20 off, on orders from ¥100.50", "满¥100.50立减¥20"),
        ({"kind": "discount", "value": 1500}, "15% off", "8.5折"),
        ({"kind": "discount", "value": 10000}, "100% off", "免费"),
        ({"kind": "exchange", "value": 990}, "yours for ¥9.90", "换购价¥9.90"),
        (
            {"kind": "member", "value": 1000, "tiers": ["gold"]},
            "10% off for members, for members of tier gold",
            "会员9折，限gold会员",
        ),
        (
            {"categories": ["茶"], "items": ["a", "b"]},
            "¥20 off, for 茶 and 2 certain products",
            "立减¥20，适用于茶及指定2件商品",
        ),
        ({"stores": ["a"]}, "¥20 off, in 1 certain store", "立减¥20，限1家门店"),
        (
            {"days": ["2", "1"], "hours": ["9", "10", "20"]},
            "¥20 off, Mon, Tue 9:00-11:00, 20:00-21:00",
            "立减¥20，周一、周二 9:00-11:00、20:00-21:00",
        ),
        ({"per_user_limit": 1}, "¥20 off, at most 1 a person", "立减¥20，每人限1次"),
        (
            {"ends": datetime(2026, 3, 2, 16, tzinfo=UTC)},
            "¥20 off, until 2026-03-03 00:00",
            "立减¥20，截至2026-03-03 00:00",
        ),
    ],
)
def test_the_rule_in_words(columns: dict[str, Any], english: str, chinese: str) -> None:
    assert describe(offer(**columns), "CNY", "en", SHANGHAI) == english
    assert describe(offer(**columns), "CNY", "zh", SHANGHAI) == chinese


def test_a_stored_value_whose_kind_became_a_share_says_no_more_than_all() -> None:
    """As rows are changed column by column, a cash value may find itself one of a discount."""
    stored = offer(value=20_000) | {"kind": "discount"}
    assert describe(stored, "CNY", "en", SHANGHAI) == "100% off"
    assert describe(stored, "CNY", "zh", SHANGHAI) == "免费"


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0, "CNY", "¥0"),
        (5, "CNY", "¥0.05"),
        (-1250, "USD", "-$12.50"),
        (1200, "JPY", "1200 JPY"),
        (1234, "KWD", "1.234 KWD"),
    ],
)
def test_money_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert money(amount, currency) == text
