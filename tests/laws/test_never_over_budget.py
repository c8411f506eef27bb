"""Law 10: claims never exceed a budget or a person's limit, at any concurrency, and the books are the sums of the rows.

Many processes claim the last coupons; then one walks at random through all that can happen to a claim, beside a model
that is a list.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from claiming import PATIENT_S, Wish, claim_all
from hypothesis import given, settings
from hypothesis import strategies as st

from portraits.errors import NothingThere, OfferRefused
from portraits.settings import AppSettings
from serving.events import store_batch
from serving.sent_events import prepare
from serving.stores import Store, claim_steps
from serving.stores.books import Book

pytestmark = pytest.mark.law

PROCESSES = 64
COUPONS, A_DAY, PEOPLE = 100, 30, 8
VALUE = 500
_apps = itertools.count()


@pytest.fixture(scope="module")
def url(
    empty_store: Callable[[Path], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with empty_store(tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


def rows(store: Store, app_id: str) -> list[Any]:
    with store.write() as connection:
        columns = "offer_id, user_id, state, reserved, cost, day, claim_id"
        return list(connection.exec_driver_sql(f"SELECT {columns} FROM claims WHERE app_id = '{app_id}'"))


def test_many_processes_claim_the_last_coupons(store: Store, url: str) -> None:
    store.add_app(AppSettings("crowd"))
    offers = [
        {"offer_id": "last", "kind": "cash", "value": VALUE, "budget": COUPONS * VALUE + VALUE - 1},
        {"offer_id": "today", "kind": "cash", "value": VALUE, "daily_budget": A_DAY * VALUE},
        {"offer_id": "mine", "kind": "cash", "value": VALUE, "per_user_limit": 1},
    ]
    store.upsert("crowd", "offers", offers)
    links = [{"link_id": f"l{n}", "user_id": f"person-{n}", "anonymous_id": f"phone-{n}"} for n in range(PEOPLE)]
    store.upsert("crowd", "identities", links)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["claiming", "serving.stores.postgres"])
    start, said = context.Barrier(PROCESSES), context.Queue()
    crowd = [context.Process(target=claim_all, args=(url, "crowd", wishes(n), start, said)) for n in range(PROCESSES)]
    for one in crowd:
        one.start()
    heard = [said.get(timeout=PATIENT_S) for one in crowd for _ in wishes(0)]
    for one in crowd:
        one.join(PATIENT_S)
        assert one.exitcode == 0
    outcomes = Counter((offer_id, what if "_" in what else "claimed") for _, offer_id, what in heard)
    assert outcomes == {
        ("last", "claimed"): COUPONS,
        ("last", "budget_spent"): 2 * PROCESSES - COUPONS,
        ("today", "claimed"): A_DAY,
        ("today", "daily_budget_spent"): PROCESSES - A_DAY,
        ("mine", "claimed"): PEOPLE,
        ("mine", "user_limit"): PROCESSES - PEOPLE,
    }
    kept = rows(store, "crowd")
    assert {row[-1] for row in kept} == {what for _, _, what in heard if "_" not in what}
    assert Counter(row[0] for row in kept) == {"last": COUPONS, "today": A_DAY, "mine": PEOPLE}
    books = store.offer_books("crowd")
    for offer_id, claims in (("last", COUPONS), ("today", A_DAY), ("mine", PEOPLE)):
        assert (books[offer_id].claims, books[offer_id].reserved) == (claims, claims * VALUE)


def wishes(process: int) -> list[Wish]:
    """Everyone wants two of the last coupons, one of the day's, and one as a person who has two ids."""
    visitor, person = f"v{process}", f"{('person', 'phone')[process // PEOPLE % 2]}-{process % PEOPLE}"
    wanted = [(visitor, "last"), (person, "mine"), (visitor, "today"), (visitor, "last")]
    return [Wish(f"r{process}-{n}", user_id, offer_id) for n, (user_id, offer_id) in enumerate(wanted)]


# One after another, beside a list.

NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)
"""In UTC, of a Wednesday; the app's days are UTC's."""
HELD, LIMIT, VALID = 100, 2, timedelta(hours=5)
USERS = ("ann", "ann-phone", "bob", "cat")


@dataclass
class One:
    """A claim as the model keeps it."""

    person: str
    at: datetime
    held: int
    cost: int = 0
    state: str = "claimed"
    moved: datetime = NOON

    def due(self, now: datetime) -> bool:
        return self.at + VALID <= now


@dataclass
class Model:
    """An offer of which a claim holds HELD, a person may have LIMIT."""

    budget: int = 350
    daily: int = 250
    closed: bool = False
    claims: list[One] = field(default_factory=list)

    def spent(self, now: datetime | None = None, without: tuple[int, ...] = ()) -> int:
        return sum(
            one.held if one.state == "claimed" else one.cost
            for one in self.claims
            if one.state in ("claimed", "redeemed") and id(one) not in without
            if now is None or one.at.date() == now.date()
        )

    def no_room(self, now: datetime, without: tuple[int, ...] = ()) -> str:
        if self.closed:
            return "offer_closed"
        if self.spent(None, without) + HELD > self.budget:
            return "budget_spent"
        return "daily_budget_spent" if self.spent(now, without) + HELD > self.daily else ""

    def claim(self, person: str, now: datetime) -> str:
        if sum(one.person == person and one.state != "returned" for one in self.claims) >= LIMIT:
            return "user_limit"
        if self.no_room(now):
            due = [one for one in self.claims if one.state == "claimed" and one.due(now)]
            due.sort(key=lambda one: (one.at.date() != now.date(), one.at))
            enough = (place for place in range(len(due) + 1) if not self.no_room(now, tuple(map(id, due[:place]))))
            needed = next(enough, None)
            if needed is None:
                return self.no_room(now, tuple(map(id, due)))
            for one in due[:needed]:
                one.state, one.moved = "expired", now
        self.claims.append(One(person, now, HELD, moved=now))
        return "claimed"

    def first(self, person: str, now: datetime, *states: str) -> One | None:
        """As a request without claim_id means it: what can be used, what was, and the rest."""

        def place(one: One) -> tuple[int, datetime]:
            if one.state == "claimed" and not one.due(now):
                return 0, one.at
            return 1 + (one.state != "redeemed"), NOON - one.moved + NOON

        mine = [one for one in self.claims if one.person == person and one.state in (states or (one.state,))]
        return min(mine, key=place, default=None)

    def redeem(self, person: str, discount: int, now: datetime) -> str:
        one = self.first(person, now)
        if one is None or one.state != "claimed":
            return "nothing" if one is None else f"claim_{one.state}"
        if one.due(now):
            return "claim_expired"
        if discount > one.held:
            return "over_reserved"
        one.state, one.cost, one.moved = "redeemed", discount, now
        return "redeemed"

    def give_back(self, person: str, now: datetime) -> str:
        one = self.first(person, now)
        if one is None or one.state not in ("claimed", "redeemed"):
            return "nothing" if one is None else f"claim_{one.state}"
        one.state, one.cost, one.moved = "returned", 0, now
        return "returned"

    def expire(self, now: datetime) -> str:
        for one in self.claims:
            if one.state == "claimed" and one.due(now):
                one.state, one.moved = "expired", now
        return ""

    def told(self, kind: str, person: str, discount: int, now: datetime) -> str:
        before = self.spent()
        one = self.first(person, now, *(("claimed", "redeemed") if kind == "return" else ("claimed",)))
        if kind == "claim" or (kind == "redeem" and one is None):
            one = One(person, now, HELD, moved=now)
            self.claims.append(one)
        if one is not None and kind != "claim":
            one.state = {"redeem": "redeemed", "return": "returned", "expire": "expired"}[kind]
            one.cost, one.moved = (discount if kind == "redeem" else 0), now
        self.closed |= self.spent() > max(self.budget, before)
        return ""

    def book(self, now: datetime) -> Book:
        held = sum(one.held for one in self.claims if one.state == "claimed")
        live = sum(one.state in ("claimed", "redeemed") for one in self.claims)
        settled = sum(one.cost for one in self.claims if one.state == "redeemed")
        return Book(live, held, settled, self.spent(now), "budget" if self.closed else None)


@dataclass
class Walk:
    """The same steps in the store."""

    store: Store
    app_id: str
    number: int = 0
    last: tuple[Callable[..., dict[str, Any]], dict[str, Any], str] | None = None

    def ask(self, step: Callable[..., dict[str, Any]], now: datetime, body: dict[str, Any]) -> str:
        self.number += 1
        body = {"request_id": f"r{self.number}", "offer_id": "o"} | body
        try:
            with self.store.write() as connection:
                answer = step(connection, self.app_id, body, microseconds(now))
        except OfferRefused as refusal:
            return refusal.code
        except NothingThere:
            return "nothing"
        self.last = step, body, str(answer)
        return str(answer["state"])

    def again(self, now: datetime) -> None:
        """The last request that did something: it says the same and does nothing."""
        if self.last is not None:
            step, body, said = self.last
            with self.store.write() as connection:
                assert str(step(connection, self.app_id, body, microseconds(now))) == said

    def tell(self, kind: str, user_id: str, discount: int, now: datetime) -> str:
        self.number += 1
        event = {"event_id": f"e{self.number}", "user_id": user_id, "ts": now.isoformat(), "type": f"offer_{kind}"}
        batch = prepare([event | {"offer_id": "o", "discount": discount}], datetime.now(UTC))
        for _ in range(2):
            with self.store.write() as connection:
                store_batch(connection, self.app_id, batch)
        return ""


def microseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


STEPS = st.one_of(
    st.tuples(st.just("claim"), st.sampled_from(USERS), st.just(0)),
    st.tuples(st.just("claim"), st.sampled_from(USERS), st.just(0)),
    st.tuples(st.just("redeem"), st.sampled_from(USERS), st.sampled_from([0, 60, HELD, HELD + 1])),
    st.tuples(st.just("return"), st.sampled_from(USERS), st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.integers(1, 8)),
    st.tuples(st.just("expire"), st.just(""), st.just(0)),
    st.tuples(st.just("again"), st.just(""), st.just(0)),
    st.tuples(st.just("budget"), st.just(""), st.sampled_from([0, 150, 350, 600])),
    st.tuples(
        st.sampled_from(["told claim", "told redeem", "told return", "told expire"]),
        st.sampled_from(USERS),
        st.sampled_from([0, 60, 170]),
    ),
)


@settings(max_examples=40)
@given(steps=st.lists(STEPS, min_size=4, max_size=25))
def test_the_books_are_the_sums_of_the_rows_at_every_step(store: Store, steps: list[tuple[str, str, int]]) -> None:
    app_id, now, model = f"walk-{next(_apps)}", NOON, Model()
    store.add_app(AppSettings(app_id, time_zone="UTC"))
    walk = Walk(store, app_id)
    put_offer(store, app_id, model)
    store.upsert(app_id, "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "ann-phone"}])
    for kind, user_id, number in steps:
        now += timedelta(seconds=1)
        person, before = user_id.partition("-")[0], model.spent()
        if kind == "wait":
            now += timedelta(hours=number)
        elif kind == "budget":
            model.closed &= number <= model.budget or model.spent() >= number
            model.budget = number
            put_offer(store, app_id, model)
        elif kind == "again":
            walk.again(now)
        elif kind == "claim":
            assert walk.ask(claim_steps.claim, now, {"user_id": user_id}) == model.claim(person, now)
            assert model.spent() <= max(model.budget, before), "law 10"
        elif kind == "redeem":
            said = walk.ask(claim_steps.redeem, now, {"user_id": user_id, "discount": number})
            assert said == model.redeem(person, number, now)
        elif kind == "return":
            assert walk.ask(claim_steps.give_back, now, {"user_id": user_id}) == model.give_back(person, now)
        elif kind == "expire":
            store.expire_claims(app_id, microseconds(now))
            model.expire(now)
        else:
            what = kind.removeprefix("told ")
            assert walk.tell(what, user_id, number, now) == model.told(what, person, number, now)
        day = (now - datetime(1970, 1, 1, tzinfo=UTC)).days
        assert store.offer_books(app_id, day).get("o", Book()) == model.book(now), kind
        kept = rows(store, app_id)
        assert sum(row[3] for row in kept if row[2] == "claimed") == model.book(now).reserved
        assert sum(row[4] for row in kept if row[2] == "redeemed") == model.book(now).settled
    assert Counter(row[2] for row in rows(store, app_id)) == Counter(one.state for one in model.claims)


def put_offer(store: Store, app_id: str, model: Model) -> None:
    row = {"offer_id": "o", "kind": "cash", "value": HELD, "valid_hours": 5, "per_user_limit": LIMIT}
    store.upsert(app_id, "offers", [row | {"budget": model.budget, "daily_budget": model.daily}])
