"""One budget for all offers is kept by claims, and paced by the day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from planted_plan import plan

from portraits.errors import OfferRefused, UnknownApp
from portraits.settings import AppSettings
from recommender.offers.pacing import DEARER, LEAST_LEFT
from serving.events import store_batch
from serving.ledgers import Ledger
from serving.offering import NO_OFFERING
from serving.sent_events import prepare
from serving.stores import Store, claim_steps, room
from serving.stores.claim_facts import Beyond

NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)
"""A Wednesday, noon in Shanghai."""
DAY = timedelta(days=1)
WEEK = {"offer_budget": 1200, "offer_budget_from": "2026-03-02", "offer_budget_until": "2026-03-08"}


@pytest.fixture
def store(empty_store: Callable[[Path], AbstractContextManager[str]], tmp_path: Path) -> Iterator[Store]:
    with empty_store(tmp_path) as url:
        opened = Store.open(url)
        opened.add_app(AppSettings("shop", **WEEK))
        opened.upsert("shop", "offers", [{"offer_id": one, "kind": "cash", "value": 500} for one in ("one", "two")])
        yield opened
        opened.close()


def claim(store: Store, user_id: str, offer_id: str, at: datetime = NOON) -> str:
    with store.write() as connection:
        body = {"user_id": user_id, "offer_id": offer_id, "request_id": f"{user_id}-{offer_id}-{at}"}
        return str(claim_steps.claim(connection, "shop", body, int(at.timestamp() * 1e6))["claim_id"])


def spent(store: Store) -> int:
    found = store.offer_total("shop")
    assert found is not None
    return found.spent


def test_claims_of_all_offers_share_it(store: Store) -> None:
    claim(store, "ann", "one")
    second = claim(store, "ann", "two", NOON + DAY)
    assert spent(store) == 1000
    with pytest.raises(OfferRefused, match="1500 of the 1200") as refused:
        claim(store, "bob", "one")
    assert refused.value.code == "budget_spent"
    assert spent(store) == 1000  # nothing of what was refused is kept
    with store.write() as connection:
        body = {"claim_id": second, "discount": 100, "request_id": "r"}
        claim_steps.redeem(connection, "shop", body, int((NOON + DAY).timestamp() * 1e6))
    assert spent(store) == 600
    claim(store, "bob", "one")


def test_what_cannot_be_held_is_not_claimed_and_kept_at_the_till(store: Store) -> None:
    """Law 10, also for a claim of before the budget was set, for which nothing is held."""
    week = store.app("shop")
    store.upsert("shop", "offers", [{"offer_id": "share", "kind": "discount", "value": 1000}])
    with pytest.raises(OfferRefused) as refused:
        claim(store, "ann", "share")
    assert refused.value.code == "no_max_cost"
    store.save_app(replace(week, offer_budget=0))
    made = claim(store, "ann", "share")
    store.save_app(week)

    def redeem(amount: int) -> None:
        with store.write() as connection:
            body = {"claim_id": made, "amount": amount, "request_id": f"r{amount}"}
            claim_steps.redeem(connection, "shop", body, int(NOON.timestamp() * 1e6))

    with pytest.raises(OfferRefused, match="1201 of the 1200"):
        redeem(12_010)
    redeem(12_000)
    assert spent(store) == 1200


def test_facts_beyond_it_are_told_once(store: Store) -> None:
    def tell(discount: int) -> list[Beyond]:
        row = {"event_id": f"e{discount}", "user_id": "ann", "ts": NOON.isoformat(), "type": "offer_redeem"}
        beyond: list[Beyond] = []
        with store.write() as connection:
            batch = prepare([row | {"offer_id": "one", "discount": discount}], datetime.now(UTC))
            store_batch(connection, "shop", batch, beyond=beyond)
        return beyond

    assert [tell(discount) for discount in (1200, 1, 2)] == [[], [Beyond("one", "total")], []]


def test_other_days_are_not_of_it(store: Store) -> None:
    claim(store, "ann", "one", NOON - 7 * DAY)
    claim(store, "ann", "one", NOON + 7 * DAY)
    assert spent(store) == 0


def test_what_expires_makes_room_under_it_whatever_its_offer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the days that the budget covers, and no more than it takes."""
    rows = [{"offer_id": "short", "kind": "cash", "value": 300, "valid_hours": 1}]
    store.upsert("shop", "offers", [*rows, {"offer_id": "large", "kind": "cash", "value": 1300}])
    claim(store, "old", "short", NOON - 7 * DAY)
    for user in ("ann", "bob", "cat"):
        claim(store, user, "short")
    later = NOON + timedelta(hours=1)
    monkeypatch.setattr(room, "EXPIRED_AT_ONCE", 0)
    with pytest.raises(OfferRefused, match="1400 of the 1200"):
        claim(store, "dan", "one", later)
    monkeypatch.undo()
    with pytest.raises(OfferRefused, match="for all offers"):
        claim(store, "dan", "large", later)
    assert store.offer_books("shop")["short"].reserved == 1200, "what is refused moves nothing"
    claim(store, "dan", "one", later)
    assert store.offer_books("shop")["short"].reserved == 900, "one of them was enough"
    assert store.offer_total("shop").spent == 1100
    claim(store, "dan", "two", later)
    found = store.offer_books("shop")
    assert (found["short"].reserved, store.offer_total("shop").spent) == (300, 1000), "the one of last week stays"
    with pytest.raises(OfferRefused):
        claim(store, "eve", "one", later)


def test_what_expires_makes_room_once_however_many_claim(store: Store) -> None:
    """Four claims are due, and 1200 is full with them: of eight at once exactly four come in their places."""
    offers = [{"offer_id": f"s{n}", "kind": "cash", "value": 300, "valid_hours": 1} for n in range(4)]
    store.upsert("shop", "offers", offers)
    for n in range(4):
        claim(store, "old", f"s{n}")

    def one_more(n: int) -> bool:
        try:
            claim(store, f"new{n}", f"s{n % 4}", NOON + timedelta(hours=1))
        except OfferRefused as refusal:
            return refusal.code != "budget_spent"
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one_more, range(8))) == 4
    assert store.offer_total("shop").spent == 1200
    assert sum(book.reserved for book in store.offer_books("shop").values()) == 1200


def test_a_higher_one_opens_it_again(store: Store) -> None:
    for user in ("ann", "bob"):
        claim(store, user, "one")
    with pytest.raises(OfferRefused):
        claim(store, "cat", "one")
    store.save_app(replace(store.app("shop"), offer_budget=5000))
    claim(store, "cat", "one")
    store.save_app(replace(store.app("shop"), offer_budget=0))
    assert store.offer_total("shop") is None
    with pytest.raises(UnknownApp):
        store.offer_total("nobody")


def test_the_day_paces_it(store: Store) -> None:
    """Of an even week 60 of 168 hours have passed: with 500 of 1200 spent, what is left has to last longer, so that it
    is dearer; with 1000, what no price holds back is not given for a while."""
    offers = store.changes("shop", "offers")
    made = plan([[900, 900]], [[500, 500]], offers=["one", "two"], prices={"": 0.5, "one": 0.1})
    offering = NO_OFFERING.renewed(offers, None, made, None)
    now = NOON.astimezone(ZoneInfo("Asia/Shanghai"))
    before = Ledger.of(0.0, {}, store.offer_total("shop")).paced(offering, now)
    assert before.admitted.all()
    bare = NO_OFFERING.renewed([*offers, {"offer_id": "share", "kind": "discount", "value": 1000}], None, made, None)
    found = [Ledger.of(0.0, {}, total).paced(bare, now).admitted[1] for total in (store.offer_total("shop"), None)]
    assert found == [False, True], "what could not be claimed is not shown"
    assert before.prices.tolist() == pytest.approx([0.1, 0.0])  # far behind: nothing beyond what each budget asks
    claim(store, "ann", "one")
    after = Ledger.of(0.0, {}, store.offer_total("shop")).paced(offering, now)
    rate = 1.5 * ((108 / 168 + LEAST_LEFT) / (700 / 1200 + LEAST_LEFT)) ** DEARER
    assert after.prices.tolist() == pytest.approx([0.1 + rate - 1, rate - 1])
    assert after.admitted.all()
    assert not after.late.any(), "no more than one claim ahead"
    claim(store, "ann", "two")
    spent_most = Ledger.of(0.0, {}, store.offer_total("shop")).paced(offering, now)
    assert spent_most.late.all()
    assert not spent_most.admitted.any(), "1000 of 1200"
    assert Ledger.of(0.0, {}).paced(offering, now).prices.tolist() == pytest.approx([0.6, 0.5])
