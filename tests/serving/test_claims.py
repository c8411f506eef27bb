"""Claims: who may have which offer when, what it holds and costs, and that a request does nothing twice.

Most of it asks the store with a clock of its own; what HTTP adds stands at the end.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from planted_app import Client
from starlette.applications import Starlette

from portraits.checking import check
from portraits.errors import HuaxiangError, InvalidValue, NothingThere, OfferRefused
from portraits.history import MOST_MONEY, OFFERS
from portraits.settings import AppSettings
from serving import claims as sweep
from serving.app import v1
from serving.claims import expire
from serving.context import Context
from serving.events import store_batch
from serving.sent_events import prepare
from serving.settings import ProcessSettings
from serving.stores import Store, claim_facts, claim_steps, claims, orders, room
from serving.stores.books import Book, Change, charge, close, local_day, zone_of
from serving.stores.claim_facts import MOST_COST, Beyond
from serving.stores.claims import KEPT_DAYS, LATEST, USABLE, expire_due, named_by

NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)
"""A Wednesday, noon in Shanghai."""
HOUR = timedelta(hours=1)
CASH = {"kind": "cash", "value": 500}
_apps = itertools.count()


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


class Shop:
    """One app with a clock."""

    def __init__(self, store: Store) -> None:
        self.store, self.app_id, self.now = store, f"shop-{next(_apps)}", NOON
        self._requests = itertools.count()
        store.add_app(AppSettings(self.app_id))

    def offer(self, offer_id: str = "o", **columns: Any) -> None:
        row = check(OFFERS, {"offer_id": offer_id} | (CASH | columns if "kind" not in columns else columns))
        assert isinstance(row, dict), row
        self.row(row, **columns)

    def row(self, row: dict[str, Any], **columns: Any) -> None:
        """Also one that would be taken no more."""
        named = {"offer_id", *CASH, *columns}
        self.store.upsert(self.app_id, "offers", [{name: told for name, told in row.items() if name in named}])

    def _do(self, step: Callable[..., dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        body = {"request_id": f"r{next(self._requests)}"} | body
        with self.store.write() as connection:
            return step(connection, self.app_id, body, us(self.now))

    def claim(self, user_id: str = "ann", offer_id: str = "o", **more: Any) -> dict[str, Any]:
        return self._do(claim_steps.claim, {"user_id": user_id, "offer_id": offer_id} | more)

    def redeem(self, claim_id: str | None = None, **more: Any) -> dict[str, Any]:
        return self._do(claim_steps.redeem, {"claim_id": claim_id} | more)

    def give_back(self, claim_id: str | None = None, **more: Any) -> dict[str, Any]:
        return self._do(claim_steps.give_back, {"claim_id": claim_id} | more)

    def expire(self) -> int:
        return self.store.expire_claims(self.app_id, us(self.now))

    def tell(self, event_id: str, kind: str, user_id: str = "ann", offer_id: str = "o", **more: Any) -> list[Beyond]:
        """An event from a platform."""
        row = {"event_id": event_id, "user_id": user_id, "ts": self.now.isoformat(), "type": f"offer_{kind}"}
        batch = prepare([row | {"offer_id": offer_id} | more], datetime.now(UTC))
        assert not batch.rejected
        beyond: list[Beyond] = []
        with self.store.write() as connection:
            store_batch(connection, self.app_id, batch, beyond=beyond)
        return beyond

    def book(self, offer_id: str = "o") -> Book:
        day = local_day(us(self.now), zone_of(json.dumps({"time_zone": "Asia/Shanghai"})))
        return self.store.offer_books(self.app_id, day).get(offer_id, Book())

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.store.events_to_drain(self.app_id, 0).payloads]

    def refused(self, step: Callable[..., Any], *arguments: Any, **more: Any) -> str:
        with pytest.raises(OfferRefused) as refusal:
            step(*arguments, **more)
        assert refusal.value.code in OfferRefused.CODES
        assert refusal.value.status == 409
        return refusal.value.code


@pytest.fixture(scope="module")
def store(
    empty_store: Callable[[Path], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with empty_store(tmp_path_factory.mktemp("store")) as url:
        opened = Store.open(url)
        yield opened
        opened.close()


@pytest.fixture
def shop(store: Store) -> Shop:
    return Shop(store)


def test_a_claim_is_reserved_then_settled_then_given_back(shop: Shop) -> None:
    shop.offer(budget=2000, daily_budget=2000, valid_hours=48)
    made = shop.claim(decision_id="d1", store_id="s1")
    assert made | {"claim_id": ""} == {
        "claim_id": "",
        "offer_id": "o",
        "user_id": "ann",
        "state": "claimed",
        "reserved": 500,
        "cost": 0,
        "expires": (NOON + 48 * HOUR).isoformat(),
        "order_id": None,
    }
    assert shop.book() == Book(claims=1, reserved=500, settled=0, today=500)
    used = shop.redeem(made["claim_id"], order_id="x1", discount=300)
    assert used == made | {"state": "redeemed", "reserved": 0, "cost": 300, "order_id": "x1"}
    assert shop.book() == Book(claims=1, reserved=0, settled=300, today=300)
    back = shop.give_back(made["claim_id"])
    assert back == used | {"state": "returned", "cost": 0}
    assert shop.book() == Book()
    told = [
        (one["type"], one["event_id"], one.get("discount"), one.get("order_id"), one["decision_id"], one["store_id"])
        for one in shop.events()
    ]
    claim_id = made["claim_id"]
    assert told == [
        ("offer_claim", f"{claim_id}-claim", None, None, "d1", "s1"),
        ("offer_redeem", f"{claim_id}-redeem", 300, "x1", "d1", "s1"),
        ("offer_return", f"{claim_id}-return", None, "x1", "d1", "s1"),
    ]
    assert {json.loads(one["properties"])["claim_id"] for one in shop.events()} == {claim_id}


WEDNESDAY, NOON_HOUR, OTHERS = ["3"], ["12"], ["1", "2"]
REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "not begun": ("not_running", {"starts": (NOON + HOUR).isoformat()}, {}),
    "over": ("not_running", {"ends": NOON.isoformat()}, {}),
    "another weekday": ("not_running", {"days": OTHERS}, {}),
    "another hour": ("not_running", {"hours": ["4"]}, {}),
    "another store": ("wrong_store", {"stores": ["s1"]}, {"store_id": "s2"}),
    "not a member": ("wrong_tier", {"kind": "member", "value": 1000, "max_cost": 5}, {}),
    "another tier": ("wrong_tier", {"tiers": ["gold"]}, {"user_id": "sil"}),
    "limit 0": ("user_limit", {"per_user_limit": 0}, {}),
    "nothing bounds it": ("no_max_cost", {"kind": "discount", "value": 1000, "budget": 10**6}, {}),
    "nothing bounds it by day": ("no_max_cost", {"kind": "exchange", "value": 100, "daily_budget": 10**6}, {}),
    "no rule": ("incomplete_offer", {"kind": "cash"}, {}),
    "an unknown kind": ("incomplete_offer", {"kind": "magic", "value": 1}, {}),
    "budget 0": ("budget_spent", {"budget": 0}, {}),
    "budget below the cost": ("budget_spent", {"budget": 499}, {}),
    "a day's budget below it": ("daily_budget_spent", {"daily_budget": 499}, {}),
    "free, without budget": ("budget_spent", {"kind": "cash", "value": 0, "budget": 0}, {}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_rule_does_not_allow_is_refused_and_leaves_nothing(shop: Shop, why: str) -> None:
    code, columns, asked = REFUSED[why]
    shop.offer(**columns)
    shop.store.upsert(shop.app_id, "users", [{"user_id": "sil", "member_tier": "silver"}])
    assert shop.refused(shop.claim, **asked) == code
    assert (shop.book(), shop.events()) == (Book(), [])


def test_what_the_rule_allows(shop: Shop) -> None:
    shop.offer(stores=["s1"], days=WEDNESDAY, hours=NOON_HOUR, starts=NOON.isoformat(), tiers=["gold"], budget=1000)
    shop.store.upsert(shop.app_id, "users", [{"user_id": "gol", "member_tier": "gold", "consent": False}])
    assert shop.claim("gol", store_id="s1")["reserved"] == 500, "a rule is a rule, also for who refuses to be known"
    assert shop.claim("gol")["expires"] is None, "the store may be said when it is used"
    assert shop.refused(shop.claim, "gol") == "budget_spent"
    with pytest.raises(NothingThere, match="nowhere"):
        shop.claim(offer_id="nowhere")


COSTS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "cash": ({"kind": "cash", "value": 500}, {"amount": 3000}, 500),
    "cash of a smaller order": ({"kind": "cash", "value": 500}, {"amount": 400}, 400),
    "more than all of it, of a row from before": ({"kind": "discount", "value": 20_000}, {"amount": 1000}, 1000),
    "discount": ({"kind": "discount", "value": 1500, "max_cost": 1000}, {"amount": 3333}, 3333 * 15 // 100),
    "discount up to its most": ({"kind": "discount", "value": 1500, "max_cost": 1000}, {"amount": 99_999}, 1000),
    "member": ({"kind": "member", "value": 200, "max_cost": 1000}, {"amount": 5000}, 100),
    "exchange": ({"kind": "exchange", "value": 990, "max_cost": 2000}, {"amount": 2490}, 1500),
    "exchange of what is cheaper": ({"kind": "exchange", "value": 990, "max_cost": 2000}, {"amount": 800}, 0),
    "what was in fact taken off": ({"kind": "cash", "value": 500}, {"amount": 3000, "discount": 120}, 120),
    "nothing told": ({"kind": "discount", "value": 1500, "max_cost": 1000}, {}, 1000),
    "without any bound": ({"kind": "discount", "value": 1000}, {"amount": 10**9}, 10**8),
}


@pytest.mark.parametrize("what", COSTS)
def test_what_a_redemption_costs(shop: Shop, what: str) -> None:
    columns, order, cost = COSTS[what]
    shop.row({"offer_id": "o"} | CASH | columns, **columns)
    shop.store.upsert(shop.app_id, "users", [{"user_id": "ann", "member_tier": "gold"}])
    shop.claim()
    assert shop.redeem(user_id="ann", offer_id="o", **order)["cost"] == cost
    assert (shop.book().settled, shop.book().reserved, shop.book().today) == (cost, 0, cost)


def test_what_cannot_be_redeemed(shop: Shop) -> None:
    shop.offer(minimum=2000, stores=["s1"], valid_hours=1, budget=10_000)
    with pytest.raises(NothingThere, match="no claim"):
        shop.redeem(user_id="ann", offer_id="o")
    with pytest.raises(NothingThere, match="no claim"):
        shop.redeem("c-unknown")
    with pytest.raises(InvalidValue, match="claim_id"):
        shop.redeem(user_id="ann")
    one = shop.claim()["claim_id"]
    assert shop.refused(shop.redeem, one) == "wrong_store", "it must be said"
    assert shop.refused(shop.redeem, one, store_id="s2") == "wrong_store"
    assert shop.refused(shop.redeem, one, store_id="s1", amount=1999) == "below_minimum"
    assert shop.refused(shop.redeem, one, store_id="s1", discount=501) == "over_reserved"
    with pytest.raises(InvalidValue, match="discount = 2001: expected no more than the order's amount, 2000"):
        shop.redeem(one, store_id="s1", amount=2000, discount=2001)
    shop.now += HOUR
    assert shop.refused(shop.redeem, one, store_id="s1") == "claim_expired", "whether or not anybody wrote that down"
    assert shop.expire() == 1
    assert shop.refused(shop.redeem, one, store_id="s1") == "claim_expired"
    assert shop.refused(shop.give_back, one) == "claim_expired"
    two = shop.claim(store_id="s1")["claim_id"]
    shop.redeem(two)
    assert shop.refused(shop.redeem, two) == "claim_redeemed"
    shop.give_back(two)
    assert shop.refused(shop.redeem, two) == shop.refused(shop.give_back, two) == "claim_returned"
    assert shop.book() == Book()


def test_an_order_must_have_an_item_that_the_offer_is_for(shop: Shop) -> None:
    items = [{"item_id": one, "category": [kind, "small"]} for one, kind in (("tea", "drinks"), ("pan", "kitchen"))]
    shop.store.upsert(shop.app_id, "items", [*items, {"item_id": "bare"}])
    shop.offer("by item", **CASH, items=["tea", "cup"])
    shop.offer("by kind", **CASH, categories=["drinks"])
    shop.offer("either", **CASH, items=["cup"], categories=["drinks"])
    for offer_id in ("by item", "by kind", "either"):
        one = shop.claim(offer_id=offer_id)["claim_id"]
        assert shop.refused(shop.redeem, one, items=("pan",)) == "wrong_items"
        assert shop.redeem(one, items=("pan", "tea"))["state"] == "redeemed"
    for offer_id, item in (("by kind", "bare"), ("by kind", "never heard of"), ("either", "cup"), ("by item", "cup")):
        assert shop.redeem(shop.claim("bob", offer_id)["claim_id"], items=(item,))["state"] == "redeemed"
    one = shop.claim("cat", "by item")["claim_id"]
    assert shop.refused(shop.redeem, one, items=("never heard of",)) == "wrong_items"
    shop.offer("by item", **CASH, items=["pan"])
    assert shop.refused(shop.redeem, one, items=("pan",)) == "wrong_items", "as it was when it was claimed"
    assert shop.redeem(one, order_id="unknown")["state"] == "redeemed", "nothing is known of the order"


def test_what_is_known_of_an_order_counts_where_the_call_says_nothing(shop: Shop) -> None:
    shop.store.upsert(shop.app_id, "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "phone"}])
    shop.offer(**CASH, items=["tea"])
    shop.offer("here", **CASH, stores=["s1"])
    for n, (user, order, item, store) in enumerate(
        (("phone", "x", "pan", "s1"), ("ann", "y", "pan", "s2"), ("ann", "y", "tea", "s2"), ("mal", "z", "pan", "s2"))
    ):
        row = {"event_id": f"p{n}", "user_id": user, "ts": shop.now.isoformat(), "type": "purchase", "amount": 100}
        batch = prepare([row | {"order_id": order, "item_id": item, "store_id": store}], datetime.now(UTC))
        with shop.store.write() as connection:
            store_batch(connection, shop.app_id, batch)
    one, other = shop.claim()["claim_id"], shop.claim(offer_id="here")["claim_id"]
    assert shop.refused(shop.redeem, one, order_id="x") == "wrong_items"
    assert shop.redeem(one, order_id="y")["state"] == "redeemed"
    assert shop.redeem(shop.claim()["claim_id"], order_id="x", items=("tea",))["state"] == "redeemed", "the call first"
    assert shop.redeem(shop.claim()["claim_id"], order_id="z")["state"] == "redeemed", "it is another person's"
    assert shop.refused(shop.redeem, other, order_id="y") == "wrong_store"
    assert shop.redeem(other, order_id="x")["state"] == "redeemed", "the order says where"


def test_a_cost_that_nothing_bounds_must_be_told_and_fit_the_budget_of_now(shop: Shop) -> None:
    shop.offer(kind="discount", value=1000)
    one, two = (shop.claim()["claim_id"] for _ in range(2))
    with pytest.raises(InvalidValue, match="amount"):
        shop.redeem(one)
    shop.offer(kind="discount", value=1000, max_cost=100, budget=150)
    assert shop.redeem(one, amount=1000)["cost"] == 100
    assert shop.refused(shop.redeem, two, amount=1000) == "budget_spent"
    assert shop.redeem(two, amount=400)["cost"] == 40


def test_the_terms_are_those_of_the_claim_whatever_becomes_of_the_offer(shop: Shop) -> None:
    shop.offer(budget=1000, title="Five off")
    one, two = (shop.claim()["claim_id"] for _ in range(2))
    shop.offer(value=900, minimum=10**6, budget=600, title="Nine off")
    assert shop.redeem(one, amount=800)["cost"] == 500
    assert shop.refused(shop.claim) == "budget_spent"
    assert shop.book() == Book(claims=2, reserved=500, settled=500, today=1000), "the books know of no row"
    shop.give_back(one)
    assert shop.refused(shop.claim) == "budget_spent", "500 are held, 900 do not fit into 600"
    with shop.store.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM catalogue WHERE app_id = '{shop.app_id}'")
    assert shop.redeem(two)["cost"] == 500
    assert shop.book() == Book(claims=1, settled=500, today=500)


def test_a_request_does_nothing_twice(shop: Shop) -> None:
    shop.offer(per_user_limit=1)
    made = shop.claim(request_id="a")
    assert shop.claim(request_id="a") == made
    used = shop.redeem(made["claim_id"], request_id="b")
    assert [shop.redeem(made["claim_id"], request_id="b"), shop.claim(request_id="a")] == [used, made]
    back = shop.give_back(made["claim_id"], request_id="c")
    assert shop.give_back(made["claim_id"], request_id="c") == back
    assert len(shop.events()) == 3
    for step, body in (
        (shop.claim, {"user_id": "bob"}),
        (shop.redeem, {"claim_id": "c"}),
        (shop.claim, {"store_id": "s"}),
    ):
        assert shop.refused(step, request_id="a", **body) == "request_conflict"
    assert shop.refused(shop.redeem, made["claim_id"], request_id="d") == "claim_returned"
    assert shop.claim(request_id="d")["state"] == "claimed", "what was refused is not kept"
    assert shop.store.forget_requests(shop.app_id, us(shop.now + timedelta(days=KEPT_DAYS - 1))) == 0
    assert shop.store.forget_requests(shop.app_id, us(shop.now + timedelta(days=KEPT_DAYS + 1))) == 4


def test_a_limit_is_of_the_person_under_all_ids(shop: Shop) -> None:
    shop.offer(per_user_limit=2, tiers=["gold"], valid_hours=1)
    shop.store.upsert(shop.app_id, "users", [{"user_id": "ann", "member_tier": "gold"}])
    shop.store.upsert(shop.app_id, "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "phone"}])
    one = shop.claim("ann")["claim_id"]
    shop.claim("phone")
    assert shop.refused(shop.claim, "ann") == shop.refused(shop.claim, "phone") == "user_limit"
    assert shop.redeem(user_id="phone", offer_id="o")["claim_id"] == one, "the one that expires first"
    assert shop.refused(shop.claim, "phone") == "user_limit"
    shop.now += HOUR
    shop.expire()
    assert shop.refused(shop.claim, "phone") == "user_limit", "what expired was had"
    facts = shop.store.offer_facts(shop.app_id, ("ann", "phone"), 0)
    assert (facts.claims, facts.open) == ({"o": 2}, {})
    shop.give_back(one)
    assert shop.claim("phone")["user_id"] == "phone"
    assert shop.store.offer_facts(shop.app_id, ("phone", "ann"), 0).claims == {"o": 2}


def test_an_offer_that_stands_alone_may_be_held_beside_others_and_not_used_with_them(shop: Shop) -> None:
    shop.offer("alone", stacking="alone")
    shop.offer("with", stacking="with_others")
    shop.offer("free")
    one, two, three = (shop.claim(offer_id=name)["claim_id"] for name in ("alone", "with", "free"))
    shop.redeem(one, order_id="x")
    assert shop.refused(shop.redeem, two, order_id="x") == "not_stackable"
    assert shop.redeem(two, order_id="y")["state"] == shop.redeem(three, order_id="y")["state"] == "redeemed"


def test_a_day_has_its_own_budget(shop: Shop) -> None:
    shop.offer(daily_budget=1000, budget=1800)
    one, _ = shop.claim(), shop.claim()
    assert shop.refused(shop.claim) == "daily_budget_spent"
    shop.now += 12 * HOUR
    assert shop.book().today == 0, "midnight in Shanghai"
    shop.claim()
    shop.give_back(one["claim_id"])
    assert (shop.book().today, shop.book().spent) == (500, 1000), "what comes back is yesterday's"
    assert shop.redeem(shop.claim()["claim_id"], discount=200)["cost"] == 200
    assert shop.book() == Book(claims=3, reserved=1000, settled=200, today=700)
    assert shop.refused(shop.claim) == "daily_budget_spent"
    shop.now += 24 * HOUR
    assert shop.claim()["reserved"] == 500
    assert shop.refused(shop.claim) == "budget_spent", "1700 of 1800"


def test_what_expires_makes_room_in_the_same_moment_and_once(shop: Shop) -> None:
    shop.offer(budget=1000, valid_hours=1)
    shop.offer("ends", ends=(NOON + HOUR).isoformat())
    first = [shop.claim("ann"), shop.claim("bob"), shop.claim("cat", "ends")]
    assert shop.refused(shop.claim, "zoe") == "budget_spent"
    shop.now += HOUR
    assert shop.book().reserved == 1000, "until somebody needs the room, or looks"
    assert shop.claim("zoe")["state"] == "claimed"
    assert shop.book() == Book(claims=2, reserved=1000, today=1000), "as many as it takes"
    assert shop.book("ends").reserved == 500, "others' are left to the sweep"
    assert (shop.expire(), shop.expire()) == (2, 0)
    told = [one["event_id"] for one in shop.events() if one["type"] == "offer_expire"]
    assert sorted(told) == sorted(f"{one['claim_id']}-expire" for one in first)


def test_platforms_tell_facts_that_count_once(shop: Shop) -> None:
    shop.offer(budget=1000, per_user_limit=2)
    ours = shop.claim()
    shop.tell("echo", "claim", properties={"claim_id": ours["claim_id"]})
    assert shop.book().claims == 1, "our own, told back"
    for _ in range(2):
        assert shop.tell("e1", "claim") == []
    assert shop.book() == Book(claims=2, reserved=1000, today=1000)
    assert shop.refused(shop.claim) == "user_limit"
    shop.tell("e2", "redeem", order_id="x", discount=300)
    shop.tell("e3", "redeem", order_id="y", discount=200)
    assert shop.book() == Book(claims=2, settled=500, today=500), "each is one of the open ones"
    shop.tell("e4", "return", order_id="unknown")
    shop.tell("e5", "expire")
    assert shop.book().settled == 500, "there was none"
    for _ in range(2):
        shop.tell("e6", "return", order_id="x")
    assert shop.book() == Book(claims=1, settled=200, today=200)
    with shop.store.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM events WHERE app_id = '{shop.app_id}'")
    shop.tell("e1", "claim")
    assert shop.book().claims == 1, "known, although the night took the event away"
    shop.tell("e7", "claim", "bob")
    shop.tell("e8", "expire", "bob")
    assert shop.book() == Book(claims=1, settled=200, today=200)
    shop.tell("e9", "redeem", "bob", "unheard of", discount=70)
    assert shop.book("unheard of") == Book(claims=1, settled=70, today=70)
    assert {one["event_id"] for one in shop.events()} == {"e1", "e7", "e8", "e9"}


def test_facts_beyond_the_budget_close_the_offer_until_it_is_raised(shop: Shop) -> None:
    shop.offer(budget=1000, daily_budget=500)
    assert shop.tell("e1", "claim", "ann") == []
    assert shop.tell("e2", "claim", "bob") == [Beyond("o", "daily_budget")]
    assert shop.tell("e3", "redeem", "zoe", discount=1) == [Beyond("o", "budget")]
    assert shop.tell("e4", "redeem", "zoe", discount=400) == [], "it is said once"
    assert shop.book() == Book(claims=4, reserved=1000, settled=401, today=1401, closed="budget")
    assert shop.refused(shop.claim, "kim") == "offer_closed"
    shop.tell("e5", "return", "ann")
    shop.tell("e6", "return", "bob")
    assert shop.refused(shop.claim, "kim") == "offer_closed", "somebody has to look at it"
    shop.offer(budget=401, daily_budget=None)
    assert shop.book().closed == "budget"
    shop.offer(budget=900, daily_budget=None)
    assert shop.book().closed is None
    with shop.store.write() as connection:
        close(connection, shop.app_id, "o", "budget")
    shop.offer(budget=900, title="A new title")
    shop.offer(budget=899)
    assert shop.book().closed == "budget", "no higher one"
    shop.offer(budget=901)
    assert shop.claim("kim")["reserved"] == 500


def test_what_is_told_back_is_one_event(shop: Shop) -> None:
    """The lake has each step once, whoever else tells of it, and however often."""
    shop.offer()
    one, two = (shop.claim()["claim_id"] for _ in range(2))
    shop.redeem(one, order_id="x")
    shop.give_back(two)
    before, book = [row["event_id"] for row in shop.events()], shop.book()
    for _ in range(2):
        for claim_id, kinds in ((one, ("claim", "redeem")), (two, ("claim", "return"))):
            for kind in kinds:
                event = {"event_id": f"echo-{claim_id}-{kind}", "user_id": "ann", "type": f"offer_{kind}"}
                event |= {"offer_id": "o", "ts": shop.now.isoformat(), "properties": {"claim_id": claim_id}}
                batch = prepare([event], datetime.now(UTC))
                with shop.store.write() as connection:
                    assert store_batch(connection, shop.app_id, batch)[0] == ["duplicate"]
    assert ([row["event_id"] for row in shop.events()], shop.book()) == (before, book)


def test_a_redemption_of_what_had_expired_or_was_given_back_costs(shop: Shop) -> None:
    shop.offer(valid_hours=1)
    expired, returned = (shop.claim()["claim_id"] for _ in range(2))
    shop.give_back(returned)
    shop.now += HOUR
    shop.expire()
    assert shop.book() == Book()
    for claim_id in (expired, returned):
        shop.tell(f"late-{claim_id}", "redeem", discount=300, properties={"claim_id": claim_id})
    assert shop.book() == Book(claims=2, settled=600, today=600)
    shop.now -= HOUR / 2
    shop.give_back(expired)
    shop.now -= HOUR / 4
    shop.tell("echo", "redeem", discount=300, properties={"claim_id": expired})
    assert shop.book() == Book(claims=1, settled=300, today=300), "of before it was given back"


def test_an_echo_of_a_redemption_that_was_given_back_is_not_booked_again(shop: Shop) -> None:
    """By the claim that it names, or by order, offer and person; whoever told of the redemption first."""
    shop.offer(budget=10_000)
    ours = shop.claim()["claim_id"]
    shop.redeem(ours, order_id="x", discount=300)
    shop.tell("e0", "redeem", order_id="x", discount=300)
    assert shop.book() == Book(claims=1, settled=300, today=300), "our call's, told back"
    shop.give_back(ours)
    shop.tell("e1", "claim")
    shop.tell("e2", "redeem", order_id="y", discount=400)
    shop.tell("e3", "return", order_id="y")
    plain = shop.claim("bob")["claim_id"]
    shop.redeem(plain, discount=200)
    shop.give_back(plain)
    before = [one["event_id"] for one in shop.events()]
    assert shop.book() == Book()
    shop.now += HOUR
    for n, order in enumerate("xy"):
        shop.tell(f"late-{n}", "redeem", order_id=order, discount=300)
        shop.tell(f"again-{n}", "return", order_id=order)
    for n, more in enumerate(({"order_id": "x"}, {})):
        shop.tell(f"named-{n}", "redeem", discount=300, properties={"claim_id": ours}, **more)
    shop.tell("unordered", "redeem", "bob", properties={"claim_id": plain})
    assert (shop.book(), [one["event_id"] for one in shop.events()]) == (Book(), before)
    shop.tell("other", "redeem", order_id="z", discount=300, properties={"claim_id": ours})
    shop.tell("theirs", "redeem", "zoe", order_id="x", discount=50)
    assert shop.book() == Book(claims=2, settled=350, today=350), "another order, another person"
    for n in range(2):
        shop.tell(f"no order {n}", "redeem", "kim", discount=10)
    assert shop.book().settled == 370, "nothing tells the two apart"


def test_a_platform_names_its_coupons(shop: Shop) -> None:
    """Told again under another event_id it is the same coupon; another coupon of the same order and moment is not."""
    shop.offer(budget=10_000)

    def tell(event_id: str, kind: str, coupon: str, user_id: str = "ann", **more: Any) -> None:
        shop.tell(event_id, kind, user_id, properties={"claim_id": coupon}, **more)

    tell("e1", "claim", "A")
    tell("e2", "claim", "B")
    tell("retry", "claim", "A")
    assert shop.book() == Book(claims=2, reserved=1000, today=1000)
    tell("e3", "redeem", "A", order_id="x", discount=300)
    tell("e4", "redeem", "B", order_id="x", discount=200)
    for event_id, order in (("again", {"order_id": "x"}), ("once more", {})):
        tell(event_id, "redeem", "A", discount=300, **order)
    assert shop.book() == Book(claims=2, settled=500, today=500)
    tell("e5", "return", "B", order_id="x")
    tell("echo", "redeem", "B", order_id="x", discount=200)
    assert shop.book() == Book(claims=1, settled=300, today=300)
    assert [one["event_id"] for one in shop.events()] == ["e1", "e2", "e3", "e4", "e5"]
    tell("e6", "redeem", "A", "mal", discount=40)
    assert shop.book() == Book(claims=2, settled=340, today=340), "another person's coupon of that name"


def test_a_coupon_that_has_the_name_of_anothers_claim_counts_once(shop: Shop) -> None:
    shop.offer(budget=10_000)
    anns = shop.claim()["claim_id"]
    for event_id in ("kim's", "again"):
        shop.tell(event_id, "redeem", "kim", order_id=event_id, discount=40, properties={"claim_id": anns})
    assert shop.book() == Book(claims=2, reserved=500, settled=40, today=540)
    shop.tell("ann's", "redeem", order_id="x", discount=300, properties={"claim_id": anns})
    assert shop.book() == Book(claims=2, settled=340, today=340), "it is ann's all the same"


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "", "x" * 1000, 5, None, ["c"]])
def test_what_cannot_be_an_id_names_no_claim(shop: Shop, name: object) -> None:
    """Not every database takes any text: the events of a whole request would be refused for it, again and again."""
    shop.offer()
    shop.tell("e", "redeem", order_id="x", discount=100, properties=json.dumps({"claim_id": name}))
    assert shop.book().settled == 100


def test_a_platforms_coupon_is_the_claim_that_we_were_asked_for(shop: Shop) -> None:
    """The first that is told for its order; the second of that order is another."""
    shop.offer(budget=10_000)
    first, open_ = (shop.claim()["claim_id"] for _ in range(2))
    shop.redeem(first, order_id="x", discount=300)
    for coupon in ("A", "A", "B", "B", "C"):
        shop.tell(f"e{next(_apps)}", "redeem", order_id="x", discount=100, properties={"claim_id": coupon})
    assert shop.book() == Book(claims=3, settled=500, today=500), "A is our call's, B uses the open claim, C is new"
    assert shop.refused(shop.redeem, open_) == "claim_redeemed"
    shop.tell("unnamed", "redeem", order_id="x", discount=100)
    assert shop.book().settled == 500, "what names no coupon is the call's, as ever"


def test_an_event_names_a_claim_of_its_own_person_and_offer(shop: Shop) -> None:
    for name in ("o", "other"):
        shop.offer(name, budget=10_000)
    shop.store.upsert(shop.app_id, "identities", [{"link_id": "l", "user_id": "bob", "anonymous_id": "phone"}])
    bobs = shop.claim("bob")["claim_id"]
    shop.tell("e1", "redeem", "mal", discount=400, properties={"claim_id": bobs})
    shop.tell("e2", "redeem", "bob", "other", discount=70, properties={"claim_id": bobs})
    assert shop.book() == Book(claims=2, reserved=500, settled=400, today=900), "bob's is untouched"
    assert shop.book("other").settled == 70
    shop.tell("e3", "redeem", "phone", discount=300, properties={"claim_id": bobs})
    assert shop.book() == Book(claims=2, settled=700, today=700)


def test_what_is_said_beside_a_claim_must_be_so(shop: Shop) -> None:
    shop.offer()
    shop.store.upsert(shop.app_id, "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "phone"}])
    one = shop.claim()["claim_id"]
    for step in (shop.redeem, shop.give_back):
        assert shop.refused(step, one, user_id="bob") == shop.refused(step, one, offer_id="x") == "wrong_claim"
    assert shop.redeem(one, user_id="phone", offer_id="o", order_id="x")["state"] == "redeemed"
    assert shop.refused(shop.give_back, one, order_id="y") == "wrong_claim"
    assert shop.give_back(one, order_id="x")["state"] == "returned"


def test_a_redemption_asks_as_little_however_many_the_order_had(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A till that says order "0" for everybody: each of its facts is looked at in as many statements as the first."""
    shop.offer()
    asked: list[Any] = []
    ask = claim_facts.ask_within
    monkeypatch.setattr(claim_facts, "ask_within", lambda *what: [asked.append(what[1]), ask(*what)][1])
    counts = []
    for number in range(6):
        asked.clear()
        shop.tell(f"e{number}", "redeem", order_id="0")
        counts.append(len(asked))
    assert shop.book().claims == 6
    assert len({*counts}) == 1, counts


@pytest.mark.parametrize("asked", [(["c"], []), ([], ["x"]), (["c", "d"], ["x", "y"])])
def test_claims_are_found_by_their_ids_and_orders_and_no_others_are_read(
    shop: Shop, asked: tuple[list[str], list[str]]
) -> None:
    """An import of coupons asks so for every 500 rows."""
    with shop.store.write() as connection:
        query = named_by(shop.app_id, *asked).compile(connection, compile_kwargs={"literal_binds": True})
        if connection.dialect.name == "sqlite":
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").fetchall())
            assert "(app_id=? AND claim_id=?)" in plan
            assert "(app_id=? AND order_id=?)" in plan
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # as it would for a table of many rows
            assert "Seq Scan" not in str(connection.exec_driver_sql(f"EXPLAIN {query}").fetchall())


def test_a_use_that_is_told_after_the_claim_came_back_is_kept(shop: Shop) -> None:
    """Nobody had said that it was used: the event is no repetition, though it costs nothing any more."""
    shop.offer()
    one = shop.claim()["claim_id"]
    shop.now += HOUR
    shop.give_back(one)
    shop.now -= HOUR / 2
    shop.tell("late", "redeem", order_id="x", properties={"claim_id": one})
    assert "late" in [event["event_id"] for event in shop.events()]
    assert shop.book() == Book()
    shop.tell("late", "redeem", order_id="x", properties={"claim_id": one})
    assert [event["event_id"] for event in shop.events()].count("late") == 1


def test_of_a_closed_offer_nobody_looks_for_claims_that_are_due(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would not open it, and every visitor who is refused would have the writer look."""
    shop.offer(budget=1000)
    shop.claim()
    shop.tell("e", "redeem", "bob", discount=700)
    monkeypatch.delattr(room, "_due_of_offer")
    assert shop.refused(shop.claim, "cat") == "offer_closed"


def test_what_expires_makes_room_for_a_use_that_held_nothing(shop: Shop) -> None:
    """As for a claim: a visitor at the till is not refused what the next one may claim."""
    shop.offer(kind="discount", value=5000)
    one = shop.claim("ann")["claim_id"]
    shop.offer(kind="discount", value=5000, max_cost=500, budget=500, valid_hours=1)
    shop.claim("bob")
    assert shop.refused(shop.redeem, one, amount=800) == "budget_spent"
    shop.now += HOUR
    assert shop.redeem(one, amount=800)["cost"] == 400
    assert shop.book() == Book(claims=1, settled=400, today=400)


def test_the_order_that_was_refunded_says_which_claim(shop: Shop) -> None:
    shop.offer()
    used, kept = (shop.claim()["claim_id"] for _ in range(2))
    shop.redeem(used, order_id="x")
    with pytest.raises(NothingThere, match="for order y"):
        shop.give_back(user_id="ann", offer_id="o", order_id="y")
    assert shop.give_back(user_id="ann", offer_id="o", order_id="x")["claim_id"] == used
    assert shop.give_back(user_id="ann", offer_id="o")["claim_id"] == kept


def test_a_claim_whose_time_is_over_hides_no_good_one(shop: Shop) -> None:
    shop.offer(valid_hours=1)
    shop.claim()
    shop.now += HOUR
    good = shop.claim()["claim_id"]
    assert shop.redeem(user_id="ann", offer_id="o")["claim_id"] == good


def test_rows_of_before_there_were_bounds_are_kept_within_them(shop: Shop) -> None:
    shop.row({"offer_id": "o", "kind": "cash", "value": 2**63 - 1, "valid_hours": 2**63 - 1}, **CASH, valid_hours=0)
    made = shop.claim()
    assert (made["reserved"], made["expires"][:4]) == (MOST_MONEY, "2036")
    for n in range(3):
        shop.tell(f"e{n}", "redeem", "bob", "unheard of", discount=2**62)
    assert shop.book("unheard of").settled == 3 * MOST_COST


WHOSE = {"user_id": "ann", "offer_id": "o", "state": "claimed", "most": 1}
LOOK_UPS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "days of an offer": (room.DAYS_OF_OFFER, {"first": 1, "last": 9, "at_us": 1, "offer_id": "o"}, "claims_due_of_day"),
    "days of all": (room.DAYS_OF_ALL, {"first": 1, "last": 9, "at_us": 1}, "claims_due_of_day"),
    "due of a day": (room.DUE_OF_DAY, {"offer_id": "o", "day": 1, "at_us": 1, "most": 1}, "claims_due_of_day"),
    "claims that can be used": (USABLE, WHOSE | {"at_us": 1}, "claims_of_visitor"),
    "the latest claims": (LATEST, WHOSE, "claims_of_visitor"),
    "an order": (orders.PURCHASES, {"user_id": "ann", "since_us": 1, "most": 1}, "purchases_of_visitor"),
}


@pytest.mark.parametrize("what", LOOK_UPS)
def test_a_claim_and_its_use_walk_nothing_that_grows(shop: Shop, what: str) -> None:
    """Neither all claims that are due, for a refusal, nor all events of the visitor, for an order."""
    statement, values, index = LOOK_UPS[what]
    with shop.store.write() as connection:
        bound = statement.bindparams(app_id=shop.app_id, **values)
        query = bound.compile(connection, compile_kwargs={"literal_binds": True})
        if connection.dialect.name == "sqlite":
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").fetchall())
            assert "SCAN" not in plan
            assert "TEMP B-TREE" not in plan
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # as it would for a table of many rows
            plan = str(connection.exec_driver_sql(f"EXPLAIN {query}").fetchall())
            assert "Sort" not in plan
        assert index in plan


def test_of_very_many_claims_of_one_person_the_first_are_looked_at(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A till may say one user_id for everybody, and each of its redemptions would hold the writer up."""
    monkeypatch.setattr(claims, "MOST_OF_STATE", 1)
    shop.store.upsert(shop.app_id, "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "phone"}])
    shop.offer(valid_hours=10)
    due = [shop.claim("phone")["claim_id"] for _ in range(2)]
    shop.now += 9 * HOUR
    first = shop.claim("ann")["claim_id"]
    shop.now += HOUR
    shop.claim("phone")
    shop.claim("ann")
    assert shop.redeem(user_id="ann", offer_id="o", order_id="x")["claim_id"] == first, "no claim that is due hides it"
    shop.tell("e1", "redeem", order_id="y", discount=1)
    shop.tell("e2", "redeem", order_id="z", discount=2)
    assert shop.book() == Book(claims=5, reserved=1000, settled=503, today=1503), "each the oldest that was left"
    for order in "xyz":
        assert shop.give_back(user_id="phone", offer_id="o", order_id=order)["order_id"] == order
    shop.expire()
    for claim_id in due:
        assert shop.refused(shop.redeem, claim_id) == "claim_expired"
    assert shop.refused(shop.redeem, None, user_id="ann", offer_id="o") in {"claim_returned", "claim_expired"}


def test_what_expired_makes_room_day_by_day(shop: Shop) -> None:
    """A budget takes it of any day, a day's budget of this one alone, and a claim that holds nothing frees nothing."""
    shop.offer("free", value=0, valid_hours=1, budget=1)
    shop.offer(valid_hours=12, budget=1000, daily_budget=500)
    for user in ("ann", "bob"):
        shop.claim(user)
        shop.claim(user, "free")
        shop.now += 13 * HOUR  # the next day in Shanghai, and what the first one held is due
    shop.now -= 13 * HOUR
    assert shop.refused(shop.claim, "cat") == "daily_budget_spent", "what is due frees the budget, not the day"
    shop.offer(valid_hours=12, budget=1000, daily_budget=1000)
    shop.claim("cat")
    assert shop.book() == Book(claims=2, reserved=1000, today=1000)
    shop.offer("free", value=1, valid_hours=1, budget=1)
    assert shop.claim("dan", "free")["reserved"] == 1


def test_making_room_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four that are over one may expire in a transaction: one of the day, whose budget is short."""
    shop.offer(valid_hours=13)
    for user in ("ann", "bob"):
        shop.claim(user)
    shop.now += 12 * HOUR  # midnight in Shanghai
    shop.offer(valid_hours=1, daily_budget=1000)
    for user in ("cat", "dan"):
        shop.claim(user)
    shop.now += HOUR
    monkeypatch.setattr(room, "EXPIRED_AT_ONCE", 1)
    shop.offer(value=1000)
    assert shop.refused(shop.claim, "eve") == "daily_budget_spent", "it would take two"
    shop.offer(value=500)
    assert shop.claim("eve")["reserved"] == 500
    monkeypatch.undo()
    assert shop.claim("fay")["reserved"] == 500
    assert shop.expire() == 2


class Undone(Exception):
    """Ends a transaction that must not be kept."""


def test_what_is_charged_fits_whatever_was_read_before(shop: Shop) -> None:
    shop.offer()
    shop.claim()

    def fits(more: int, **budgets: int) -> bool:
        found = []
        with suppress(Undone), shop.store.write() as connection:
            day = local_day(us(shop.now), zone_of(json.dumps({"time_zone": "Asia/Shanghai"})))
            found.append(charge(connection, shop.app_id, {"offer_id": "o"} | budgets, day, Change(reserved=more)))
            raise Undone
        return found[0]

    for name in ("budget", "daily_budget"):
        assert [fits(more, **{name: 1000}) for more in (500, 501)] == [True, False]
        assert [fits(0, **{name: most}) for most in (501, 500)] == [True, False], "what is spent is over"


def test_a_lower_budget_is_no_alarm(shop: Shop) -> None:
    """What is beyond it was given by calls, before it was lowered; a fact that costs nothing goes no further."""
    shop.offer()
    shop.claim()
    shop.offer(budget=100)
    assert shop.tell("e1", "return", "nobody") == shop.tell("e2", "redeem", "bob", discount=0) == []
    assert shop.book().closed is None


def test_old_facts_are_history(shop: Shop) -> None:
    shop.offer()
    shop.now = datetime.now(UTC) - timedelta(days=KEPT_DAYS + 1)
    shop.tell("e1", "claim")
    assert (len(shop.events()), shop.book()) == (1, Book())


def test_who_is_forgotten_leaves_the_claims_and_the_sums_stay(shop: Shop) -> None:
    shop.offer(budget=10_000)
    shop.store.upsert(shop.app_id, "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "phone"}])
    shop.redeem(shop.claim("ann")["claim_id"], discount=300)
    shop.claim("phone")
    shop.claim("bob")
    rows = list(shop.store.rows_of_person(shop.app_id, ("ann", "phone")))
    assert sorted(row["user_id"] for table, row in rows if table == "claims") == ["ann", "phone"]
    assert len([row for table, row in rows if table == "claim_requests"]) == 3
    shop.store.forget(shop.app_id, "phone")
    assert shop.book() == Book(claims=2, reserved=500, settled=300, today=800), "hers is held no more"
    assert {row["user_id"] for table, row in shop.store.texts(shop.app_id) if table == "claims"} == {"bob"}
    assert not any(
        "ann" in str(row) or "phone" in str(row) for _, row in shop.store.texts(shop.app_id) if _ != "forgotten"
    )
    assert shop.refused(shop.claim, "ann") == "visitor_forgotten"
    assert shop.tell("e1", "claim", "ann") == []
    assert shop.book().claims == 2


def test_apps_share_nothing(shop: Shop, store: Store) -> None:
    other = Shop(store)
    for one in (shop, other):
        one.offer(budget=500)
    made = shop.claim(request_id="r")
    assert other.claim(request_id="r")["claim_id"] != made["claim_id"]
    with pytest.raises(NothingThere):
        other.redeem(made["claim_id"])
    assert other.book() == shop.book() == Book(claims=1, reserved=500, today=500)


# What HTTP adds.


@pytest.fixture
def context(store: Store, shop: Shop, tmp_path: Path) -> Iterator[Context]:
    url = store._dialect.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    opened = Context.open(ProcessSettings(home=tmp_path, store_url=url, secret="only for tests"))
    yield opened
    opened.close()


@pytest.fixture
def client(context: Context) -> Iterator[Client]:
    with Client(Starlette(routes=[v1(context)])) as opened:
        yield opened


class Caller:
    """Requests with a key or a token."""

    def __init__(self, client: Client, key: str) -> None:
        self._client, self._headers = client, {"authorization": f"Bearer {key}"}

    def __call__(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self._client.post(f"/v1{path}", json=body, headers=self._headers)
        assert answer.status_code == status, answer.text
        return answer.json() if status == 200 else answer.json()["error"]


def test_claims_over_http(client: Client, context: Context, shop: Shop) -> None:
    shop.offer(budget=1000, valid_hours=1)
    backend = Caller(client, shop.store.add_key(shop.app_id, "events"))
    claimed = {"request_id": "r1", "user_id": "ann", "offer_id": "o"}
    made = backend("/offers/claim", **claimed)
    assert backend("/offers/claim", **claimed) == made
    assert backend("/offers/claim", 409, **claimed | {"user_id": "bob"})["code"] == "request_conflict"
    assert backend("/offers/claim", 404, request_id="r2", user_id="ann", offer_id="nowhere")["code"] == "not_found"
    assert backend("/offers/claim", 422, user_id="ann", offer_id="o")["field"] == "request_id"
    used = backend("/offers/redeem", request_id="r3", claim_id=made["claim_id"], order_id="x", amount=900)
    assert (used["state"], used["cost"]) == ("redeemed", 500)
    assert backend("/offers/return", request_id="r4", claim_id=made["claim_id"])["state"] == "returned"
    over = backend("/offers/redeem", 409, request_id="r5", claim_id=made["claim_id"])
    assert over["code"] == "claim_returned"
    assert context.metrics.refused["claim_returned",] == 1
    shop.offer("some", **CASH, items=["tea"])
    backend("/offers/claim", request_id="r6", user_id="ann", offer_id="some")
    order = {"request_id": "r7", "user_id": "ann", "offer_id": "some", "order_id": "y"}
    assert backend("/offers/redeem", 409, **order, items=["pan"])["code"] == "wrong_items"
    assert backend("/offers/redeem", 422, **order, items="tea")["field"] == "items"
    assert backend("/offers/redeem", **order, items=["pan", "tea"])["state"] == "redeemed"
    reader = Caller(client, shop.store.add_key(shop.app_id, "recommend"))
    assert reader("/offers/claim", 403, **claimed)["code"] == "forbidden"


def test_a_phone_may_claim_for_itself_and_nothing_more(client: Client, shop: Shop) -> None:
    shop.offer()
    backend = Caller(client, shop.store.add_key(shop.app_id, "events"))
    phone = Caller(client, backend("/token", user_id="ann")["token"])
    made = phone("/offers/claim", request_id="r1", offer_id="o")
    assert made["user_id"] == "ann"
    assert phone("/offers/claim", request_id="r1", offer_id="o") == made
    assert phone("/offers/claim", 403, request_id="r2", offer_id="o", user_id="bob")["code"] == "forbidden"
    assert backend("/offers/claim", request_id="r1", user_id="bob", offer_id="o")["user_id"] == "bob", (
        "not the phone's r1"
    )
    for path in ("/offers/redeem", "/offers/return"):
        assert phone(path, 403, request_id="r3", claim_id=made["claim_id"])["code"] == "forbidden"


def test_a_share_of_an_order_is_no_more_than_all_of_it(client: Client, shop: Shop) -> None:
    backend = Caller(client, shop.store.add_key(shop.app_id, "admin"))
    for kind, value, status in (("discount", 10_000, 200), ("member", 10_001, 422), ("cash", 10_001, 200)):
        backend("/offers/catalogue", status, offers=[{"offer_id": kind, "kind": kind, "value": value}])


def test_a_row_is_good_with_what_it_leaves_as_it_is(client: Client, shop: Shop) -> None:
    """Else a coupon of 200 yuan becomes 200 per cent off, and an offer ends before it begins."""
    backend = Caller(client, shop.store.add_key(shop.app_id, "admin"))
    starts, ends = ((NOON + n * HOUR).isoformat() for n in (1, 2))

    def send(status: int, *rows: dict[str, Any]) -> Any:
        return backend("/offers/catalogue", status, offers=[{"offer_id": "o"} | row for row in rows])

    send(200, {"kind": "cash", "value": 20_000, "starts": starts, "ends": ends, "title": "before"})
    refused = send(422, {"kind": "cash", "title": "new"}, {"kind": "discount"})
    assert refused["field"] == "offers[1].value"
    assert "20000" in refused["message"]
    assert "where the row does not name it" in refused["message"]
    assert send(422, {"kind": "cash", "starts": ends})["field"] == "offers[0].ends"
    assert send(422, {"kind": "cash", "ends": starts})["field"] == "offers[0].ends"
    assert shop.store.row(shop.app_id, "offers", "o")["title"] == "before", "all of them or none"
    send(200, {"kind": "discount", "value": 2000, "starts": ends, "ends": None})
    send(200, {"kind": "cash", "value": 20_000}, {"kind": "discount", "value": 5000})
    shop.row({"offer_id": "o", "kind": "discount", "value": 20_000}, kind="", value=0)  # of before the check
    send(200, {"kind": "discount", "title": "new"})
    send(422, {"kind": "discount", "value": 20_001})


def test_alarms_of_facts_are_counted_and_logged(
    client: Client, context: Context, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.offer(budget=500)
    backend = Caller(client, shop.store.add_key(shop.app_id, "events"))
    told = [
        {"event_id": f"e{n}", "user_id": "ann", "ts": NOON.isoformat(), "type": "offer_claim", "offer_id": "o"}
        for n in range(3)
    ]
    assert backend("/events", events=told)["accepted"] == 3
    assert backend("/events", events=told)["duplicates"] == 3
    assert context.metrics.offers_beyond == {("budget",): 1}
    assert f"app {shop.app_id}: claims that a platform told of went beyond the budget of offer o" in caplog.text
    assert shop.book() == Book(claims=3, reserved=1500, today=1500, closed="budget")


def test_workers_let_claims_expire(client: Client, context: Context, shop: Shop) -> None:
    shop.offer(valid_hours=1)
    shop.claim()  # long ago
    assert client._runner.run(expire(context)) >= 1
    assert client._runner.run(expire(context)) == 0
    assert [one["type"] for one in shop.events()] == ["offer_claim", "offer_expire"]


def test_an_error_in_one_app_does_not_end_the_sweep(
    client: Client, context: Context, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shops = [Shop(store) for _ in range(2)]
    for one in shops:
        one.offer(valid_hours=1)
        one.claim()
    broken = min(one.app_id for one in shops)

    def failing(connection: Any, app_id: str, at_us: int) -> int:
        if app_id == broken:
            raise RuntimeError("planted")
        return expire_due(connection, app_id, at_us)

    monkeypatch.setattr(sweep, "expire_due", failing)
    assert client._runner.run(expire(context)) >= 1
    assert f"claims of app {broken} whose time is over could not expire" in caplog.text
    monkeypatch.undo()
    assert client._runner.run(expire(context)) == 1


def test_every_refusal_of_ours_is_in_the_list() -> None:
    """Codes are labels of a metric: a closed list."""
    source = "".join(
        Path(module.__file__ or "").read_text(encoding="utf-8")
        for module in (claim_steps, room, __import__("recommender.offers.terms", fromlist=["x"]))
    )
    assert isinstance(OfferRefused("not_running", "o", "why"), HuaxiangError)
    assert all(f'"{code}"' in source or code.startswith("claim_") for code in OfferRefused.CODES)
