"""The books of a worker: fetched once for all who wait, kept for a second, read anew when this worker moved them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from planted_app import open_shop
from planted_plan import plan

from portraits.settings import AppSettings
from recommender.offers.pacing import DEARER
from recommender.offers.total import total_of
from serving import ledgers
from serving.ledgers import Ledger, Ledgers
from serving.offering import Offering
from serving.reads import Reads
from serving.stores import Store
from serving.stores.books import Book
from serving.stores.totals import Spending

DAYS = ("offer_budget_from", "offer_budget_until")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    _, opened = open_shop(tmp_path)
    yield opened
    opened.close()


def test_all_who_wait_share_one_read(store: Store) -> None:
    async def many() -> list[Ledger]:
        held = Ledgers(store, Reads(store))
        first = await asyncio.gather(*(held.of("shop") for _ in range(20)))
        return [*first, await held.of("shop")]

    assert len({id(one) for one in asyncio.run(many())}) == 1


def test_what_this_worker_moved_is_read_before_the_next_answer(store: Store) -> None:
    async def moved() -> list[bool]:
        held = Ledgers(store, Reads(store))
        before = await held.of("shop")
        reading = asyncio.ensure_future(held.of("cafe"))
        await asyncio.sleep(0)  # it begins
        held.moved("shop")
        held.moved("cafe")  # while it is read
        after = await held.of("shop")
        return [before is not after, await reading is not await held.of("cafe")]

    assert asyncio.run(moved()) == [True, True]


def test_what_is_a_second_old_answers_while_the_next_is_fetched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "FRESH_S", 0.0)

    async def ages() -> list[bool]:
        held = Ledgers(store, Reads(store))
        first = await held.of("shop")
        second = await held.of("shop")
        (task,) = held._coming.values()
        third = await task
        monkeypatch.setattr(ledgers, "OLD_S", 0.0)  # after a pause the books are read first
        fourth = await held.of("shop")
        return [second is first, third is not first, fourth is not third]

    assert asyncio.run(ages()) == [True, True, True]


def test_prices_are_the_night_s_where_nothing_was_spent_beyond_the_course() -> None:
    """Of the offer's own budget, and of the budget over all."""
    known = plan([[1, 1]], [[1, 1]], offers=["a", "b"], prices={"a": 0.5, "": 0.25})
    offering = Offering().renewed([row("a"), row("b"), row("new")], None, known, None)
    paced = Ledger.of(0.0, {}).paced(offering, NOON)
    assert paced.prices.tolist() == [0.75, 0.25, 0.25]
    assert paced.admitted.tolist() == [True, True, True]


def test_a_budget_far_ahead_of_its_course_is_dearer_and_late() -> None:
    """At noon half of the day's budget should be spent: 90% is far ahead of it, 45% is not."""
    known = plan([[1, 1]], [[1, 1]], offers=["a", "b"], prices={"a": 0.5})
    offering = Offering().renewed([row("a", daily_budget=1_000), row("b", daily_budget=1_000)], None, known, None)
    books = {"a": Book(today=900, settled=900), "b": Book(today=450, settled=450)}
    paced = Ledger.of(0.0, books).paced(offering, NOON)
    assert (paced.admitted.tolist(), paced.late.tolist(), paced.any_late) == ([True, True], [True, False], True)
    assert paced.prices[0] == pytest.approx(1.5 * (0.52 / 0.12) ** DEARER - 1)
    later = Ledger.of(0.0, books).paced(offering, NOON + timedelta(hours=11))
    assert (later.admitted.tolist(), later.any_late) == ([True, True], False)
    assert later.prices[0] < 0.5


def test_the_budget_for_all_offers_has_a_course_too() -> None:
    """One day's budget: at noon half of it should be spent."""
    total = total_of(AppSettings("shop", time_zone="UTC", offer_budget=1_000, **dict.fromkeys(DAYS, "2026-03-02")))
    assert total is not None
    known = plan([[1]], [[1]], offers=["a"], prices={"": 0.5})
    offering = Offering().renewed([row("a"), row("b")], None, known, None)
    paced = [Ledger.of(0.0, {}, Spending(total, spent)).paced(offering, NOON) for spent in (500, 560, 700, 1_000)]
    assert [bool(one.admitted.all()) for one in paced] == [True, True, True, False]
    assert [one.late.tolist() for one in paced] == [[False, False]] * 2 + [[True, True]] * 2
    assert paced[0].prices[0] == pytest.approx(0.5)
    assert 0.5 < paced[1].prices[0] < paced[2].prices[0]
    after = Ledger.of(0.0, {}, Spending(total, 1_000)).paced(offering, NOON + timedelta(days=1))
    assert (after.admitted.tolist(), after.any_late) == ([True, True], False), "it is over, and holds nothing"


def test_a_closed_offer_is_named() -> None:
    assert Ledger.of(0.0, {"a": Book(closed="over"), "b": Book()}).closed == {"a"}


def row(offer_id: str, **columns: Any) -> dict[str, Any]:
    return {"offer_id": offer_id, "kind": "cash", "value": 10, **columns}
