"""What every online store does, whatever database is behind its URL.

The suite asks only what a URL gives: another database joins by another parameter of the fixture `database`.
"""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Connection, Integer, String, Text, insert, inspect, select, text

from portraits.errors import InvalidValue, NothingThere, StoreUnavailable, TooMuch, UnknownApp, UnknownName
from portraits.settings import AppSettings
from recommender.types import Recent
from serving.stores import Store, schema
from serving.stores import database as database_module
from serving.stores import store as store_module
from serving.stores.events import DecisionRow, EventRow, RejectedRow
from serving.stores.keys import SCOPES, hash_key
from serving.stores.segments import Wanted

NIGHT = datetime(2026, 3, 2, tzinfo=UTC)
NIGHT_US = int(NIGHT.timestamp() * 1e6)
HOUR_US = 3_600_000_000
ROW = {String: "x", Text: "{}", Integer: 1, BigInteger: 1, Boolean: True}
"""A value for each type of column."""
OTHER_COLLATIONS = """
SELECT attrelid::regclass, attname FROM pg_attribute
WHERE attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)
AND atttypid = 'varchar'::regtype AND attcollation <> '"C"'::regcollation AND attrelid <> 'alembic_version'::regclass
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    opened.add_app(AppSettings("cafe"))
    yield opened
    opened.close()


def migrations(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "serving.stores:migrations")
    config.attributes["connection"] = connection
    return config


def contents(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that is there."""
    names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    rows = {name: connection.execute(text(f'SELECT * FROM "{name}"')).mappings() for name in names}
    return {name: [dict(row) for row in found] for name, found in rows.items()}


def event(number: int, *, user: str = "ann", hours: float = 0, kind: str = "item_view", item: str = "tea") -> EventRow:
    """An event `hours` after the night began."""
    ts_us = NIGHT_US + int(hours * HOUR_US)
    payload = json.dumps({"event_id": f"e{number}"})
    return EventRow(f"e{number}", ts_us // (24 * HOUR_US), user, ts_us, kind, item, payload, f"content {number}")


def drained(store: Store, *rows: EventRow) -> None:
    """The rows are accepted and in the lake."""
    store.append_events("shop", rows)
    store.mark_drained("shop", store.events_to_drain("shop").last_seq)


def test_an_app_is_added_once(store: Store) -> None:
    assert not store.add_app(AppSettings("shop", currency="EUR"))
    assert [app.app_id for app in store.apps()] == ["cafe", "shop"]
    assert store.app("shop").currency == "CNY"
    store.save_app(AppSettings("shop", currency="EUR"))
    assert (store.app("shop").currency, store.app("cafe").currency) == ("EUR", "CNY")


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.app("nobody"),
        lambda store: store.save_app(AppSettings("nobody")),
        lambda store: store.add_key("nobody", "events"),
        lambda store: store.keys("nobody"),
        lambda store: store.state("nobody", "ann"),
        lambda store: store.revision("nobody"),
        lambda store: store.activate("nobody", as_of=NIGHT, bundle="v1"),
        lambda store: store.upsert("nobody", "items", [{"item_id": "tea"}]),
        lambda store: store.events_to_drain("nobody"),
        lambda store: store.changes_to_drain("nobody"),
        lambda store: store.save_segment("nobody", Wanted("buyers", "Buyers", {})),
    ],
)
def test_an_app_that_was_never_added_is_unknown(store: Store, ask: Callable[[Store], object]) -> None:
    with pytest.raises(UnknownApp, match="nobody"):
        ask(store)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_is_known_by_its_hash_until_it_is_revoked(store: Store, scope: str) -> None:
    plain = store.add_key("shop", scope)
    key = store.find_key(plain)
    assert key is not None
    assert (key.app_id, key.scope, key.revoked) == ("shop", scope, False)
    assert plain not in "".join(str(row) for row in store.read(schema.keys.select()))
    assert hash_key(plain) in str(store.read(schema.keys.select()))
    store.revoke_key("shop", key.key_id)
    assert store.find_key(plain) is None
    assert [old.revoked for old in store.keys("shop")] == [True]


def test_an_app_cannot_revoke_the_key_of_another(store: Store) -> None:
    plain = store.add_key("shop", "admin")
    key = store.find_key(plain)
    assert key is not None
    with pytest.raises(NothingThere):
        store.revoke_key("cafe", key.key_id)
    assert store.find_key(plain) == key
    assert store.keys("cafe") == []


def test_a_scope_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(InvalidValue, match="scope"):
        store.add_key("shop", "root")


def test_settings_keys_and_versions_move_the_revision(store: Store) -> None:
    seen = [store.revision("shop")]
    store.save_app(AppSettings("shop", seed=1))
    seen.append(store.revision("shop"))
    store.add_key("shop", "events")
    seen.append(store.revision("shop"))
    store.activate("shop", as_of=NIGHT, bundle="v1")
    seen.append(store.revision("shop"))
    assert seen == sorted(set(seen))
    assert store.revision("cafe") == 1


def test_an_event_is_accepted_once(store: Store) -> None:
    assert store.append_events("shop", [event(1), event(2)]) == ["accepted", "accepted"]
    assert store.append_events("shop", [event(2), event(3), event(3)]) == ["duplicate", "accepted", "duplicate"]
    assert store.append_events("shop", [event(1)._replace(content="other")]) == ["conflict"]
    assert store.append_events("shop", [event(1, hours=24)]) == ["accepted"], "another day is another event"
    assert store.append_events("cafe", [event(1)]) == ["accepted"], "another app is another event"
    assert len(store.events_to_drain("shop").payloads) == 4


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), max_size=6), max_size=6))
def test_outcomes_are_those_of_a_dictionary(store: Store, batches: list[list[tuple[int, int]]]) -> None:
    app_id = f"app-{len(store.apps())}"
    store.add_app(AppSettings(app_id))
    known: dict[int, int] = {}
    for batch in batches:
        expected = []
        for number, content in batch:
            first = known.setdefault(number, content)
            expected.append("conflict" if first != content else None)
        outcomes = store.append_events(app_id, [event(n)._replace(content=str(c)) for n, c in batch])
        assert [out == "conflict" for out in outcomes] == [one == "conflict" for one in expected]
    assert len(store.events_to_drain(app_id).payloads) == len(known)


def test_events_are_drained_in_order_and_in_pages(store: Store) -> None:
    store.append_events("shop", [event(number) for number in range(5)])
    store.append_events("cafe", [event(9)])
    first = store.events_to_drain("shop", limit=3)
    assert [json.loads(text)["event_id"] for text in first.payloads] == ["e0", "e1", "e2"]
    store.mark_drained("shop", first.last_seq)
    rest = store.events_to_drain("shop", limit=3)
    assert [json.loads(text)["event_id"] for text in rest.payloads] == ["e3", "e4"]
    store.mark_drained("shop", rest.last_seq)
    store.mark_drained("shop", first.last_seq)
    assert store.events_to_drain("shop").payloads == [], "a mark never goes back"


@pytest.mark.law
def test_an_event_leaves_only_when_the_lake_and_the_versions_hold_it(store: Store) -> None:
    """Law 5: acknowledged is kept."""
    later = NIGHT_US + 1_000 * HOUR_US
    store.append_events("shop", [event(1, hours=-2)])
    assert store.delete_drained("shop", later) == 0, "not in the lake, no version"
    drained(store, event(2, hours=-1), event(3, hours=1))
    assert store.delete_drained("shop", later) == 0, "no version"
    store.activate("shop", as_of=NIGHT, bundle="v1", portraits="v1")
    store.append_events("shop", [event(4, hours=-3)])
    assert store.delete_drained("shop", NIGHT_US - 90 * 60_000_000) == 1, "e1 alone is older than asked"
    assert store.delete_drained("shop", later) == 1, "e2; e3 is after as_of, e4 came after the drain"
    assert store.state("shop", "ann").recent == (
        Recent("item_view", "tea", NIGHT_US + HOUR_US),
        Recent("item_view", "tea", NIGHT_US - 3 * HOUR_US),
    )


@pytest.mark.law
def test_an_event_stays_for_a_bundle_that_may_be_served_again(store: Store) -> None:
    drained(store, event(1, hours=-1))
    store.activate("shop", as_of=NIGHT, bundle="v1", portraits="v1")
    drained(store, event(2, hours=5))
    store.activate("shop", as_of=NIGHT + timedelta(days=1), bundle="v2", portraits="v2")
    assert store.delete_drained("shop", NIGHT_US + 100 * HOUR_US, also_for="v1") == 1
    store.reactivate("shop", "bundle", "v1")
    assert [row.ts_us for row in store.state("shop", "ann").recent] == [NIGHT_US + 5 * HOUR_US]


@pytest.mark.law
def test_a_held_bundle_keeps_the_events_that_only_the_portraits_hold(store: Store) -> None:
    drained(store, event(1, hours=-1))
    store.activate("shop", as_of=NIGHT, bundle="v1", portraits="v1")
    drained(store, event(2, hours=5))
    store.activate("shop", as_of=NIGHT + timedelta(days=1), portraits="v2")
    assert store.delete_drained("shop", NIGHT_US + 100 * HOUR_US) == 1
    assert [row.ts_us for row in store.state("shop", "ann").recent] == [NIGHT_US + 5 * HOUR_US]


def test_deletion_goes_on_over_many_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.stores.events.DELETE_AT_ONCE", (3, 3))
    drained(store, *(event(number, hours=-1) for number in range(10)))
    store.activate("shop", as_of=NIGHT, portraits="v1")
    assert store.delete_drained("shop", NIGHT_US) == 10


def test_the_state_holds_what_the_versions_do_not(store: Store) -> None:
    assert store.state("shop", "ann").recent == ()
    drained(store, event(1, hours=-1, item="old"), event(2, hours=1, item="new"))
    store.activate("shop", as_of=NIGHT, bundle="v1", portraits="v1")
    store.append_events("shop", [event(3, hours=-2, item="late"), event(4, user="bob", item="other")])
    store.append_events("shop", [event(5, kind="exposure"), event(6)._replace(item_id=None)])
    store.append_events("cafe", [event(7)])
    state = store.state("shop", "ann")
    assert [row.item_id for row in state.recent] == ["new", "late"], "newest first"
    assert state.active.bundle is not None
    assert (state.active.bundle.version, state.active.bundle.as_of) == ("v1", NIGHT)
    assert store.state("shop").recent == ()


@pytest.mark.parametrize("linked", [False, True])
def test_the_state_tells_what_was_sent_back(store: Store, linked: bool) -> None:
    """A cancelled order names no item; of what moves money the order and the amount are told."""
    if linked:
        store.upsert("shop", "identities", [{"link_id": "l", "user_id": name, "unionid": "one"} for name in ("ann",)])
        store.upsert("shop", "identities", [{"link_id": "m", "user_id": "anna", "unionid": "one"}])
    money = {"order_id": "o", "amount": 500}
    bought = event(1, kind="purchase")._replace(payload=json.dumps(money))
    back = event(2, hours=1, kind="order_cancel")._replace(item_id=None, payload=json.dumps({"order_id": "o"}))
    store.append_events("shop", [bought, back, event(3, hours=2), event(4, kind="launch")._replace(item_id=None)])
    assert store.state("shop", "ann").recent == (
        Recent("item_view", "tea", NIGHT_US + 2 * HOUR_US),
        Recent("order_cancel", None, NIGHT_US + HOUR_US, "o"),
        Recent("purchase", "tea", NIGHT_US, "o", 500),
    )


def test_the_state_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append_events("shop", [event(n, hours=n / 1000) for n in range(store_module.RECENT_LIMIT + 7)])
    recent = store.state("shop", "ann").recent
    assert len(recent) == store_module.RECENT_LIMIT
    assert recent[0].ts_us == event(0, hours=(store_module.RECENT_LIMIT + 6) / 1000).ts_us


def test_a_catalogue_row_is_replaced_and_its_changes_are_logged(store: Store) -> None:
    tea, cup = {"item_id": "tea", "price": 100, "title": None}, {"item_id": "cup", "tags": ["红", "😀"]}
    assert store.upsert("shop", "items", [tea, cup]).changed == 2
    again = store.upsert("shop", "items", [tea, cup | {"price": 5}])
    assert (again.changed, again.unchanged) == (1, 1)
    assert store.row("shop", "items", "cup") == {"item_id": "cup", "tags": ["红", "😀"], "price": 5}
    assert [row["item_id"] for row in store.changes("shop", "items")] == ["tea", "cup"]
    log = store.changes_to_drain("shop")
    assert [json.loads(change.payload).get("price") for change in log] == [100, None, 5]
    assert store.changes("cafe", "items") == []


def test_the_last_row_of_a_key_in_one_batch_wins(store: Store) -> None:
    assert store.upsert("shop", "items", [{"item_id": "tea", "price": n} for n in (1, 2, 3)]).changed == 1
    assert store.row("shop", "items", "tea")["price"] == 3


def test_an_upsert_keeps_what_it_does_not_name_and_null_takes_away(store: Store) -> None:
    store.upsert("shop", "items", [{"item_id": "tea", "title": "Green tea", "price": 30, "stock": 5}])
    store.upsert("shop", "items", [{"item_id": "tea", "stock": 0}, {"item_id": "tea", "price": None}])
    assert store.row("shop", "items", "tea") == {"item_id": "tea", "title": "Green tea", "stock": 0}


def test_changes_since_a_version(store: Store) -> None:
    for number in range(4):
        store.upsert("shop", "items", [{"item_id": f"i{number}"}])
    seq = store.changes_to_drain("shop")[1].seq
    assert [row["item_id"] for row in store.changes("shop", "items", seq)] == ["i2", "i3"]
    moment = store.changes_to_drain("shop")[1].at_us
    assert [row["item_id"] for row in store.changes("shop", "items", seq, moment)] == ["i1", "i2", "i3"]
    assert store.state("shop").change_seq == store.changes_to_drain("shop")[-1].seq


def test_a_big_catalogue_goes_in_by_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.stores.catalogues.UPSERT_AT_ONCE", 3)
    assert store.upsert("shop", "items", [{"item_id": f"i{n}"} for n in range(10)]).changed == 10
    assert len(store.changes("shop", "items")) == 10
    store.mark_changes_drained("shop", store.changes_to_drain("shop")[6].seq)
    assert len(store.changes_to_drain("shop")) == 3
    assert len(store.changes("shop", "items")) == 10, "the catalogue stays"


def test_a_catalogue_that_does_not_exist_is_unknown(store: Store) -> None:
    with pytest.raises(UnknownName, match="events"):
        store.upsert("shop", "events", [])


def test_a_visitor_s_own_row_comes_with_the_state(store: Store) -> None:
    assert store.state("shop", "ann").consent
    store.upsert("shop", "users", [{"user_id": "ann", "consent": False, "member_tier": "gold"}])
    state = store.state("shop", "ann")
    assert not state.consent
    assert state.user == {"user_id": "ann", "consent": False, "member_tier": "gold"}
    assert store.state("cafe", "ann").consent


def linked(store: Store, **ids: str | None) -> None:
    store.upsert("shop", "identities", [{"link_id": "l", **ids}])


def test_the_state_of_a_linked_visitor_is_that_of_all_ids(store: Store) -> None:
    store.append_events("shop", [event(1, hours=-2, item="held"), event(2, user="anon", hours=-1, item="held")])
    store.mark_drained("shop", store.events_to_drain("shop").last_seq)
    store.activate("shop", as_of=NIGHT, bundle="v1", portraits="v1")
    new = [event(3, hours=1, item="a"), event(4, user="anon", hours=2, item="b"), event(5, user="bob", item="c")]
    store.append_events("shop", new)
    store.append_events("cafe", [event(6, user="anon")])
    store.upsert("shop", "users", [{"user_id": "anon", "consent": False}, {"user_id": "ann", "points": 3}])
    linked(store, user_id="ann", anonymous_id="anon")
    for asked in ("ann", "anon"):
        state = store.state("shop", asked)
        assert (state.user_id, state.ids) == ("ann", ("ann", "anon"))
        assert [row.item_id for row in state.recent] == ["b", "a"], "newest first"
        assert state.user == {"user_id": "ann", "points": 3, "consent": False}
        assert state.active == store.state("shop").active
    assert store.refusing("shop") == {"ann", "anon"}
    linked(store, anonymous_id=None)
    apart = store.state("shop", "ann")
    assert (apart.user_id, apart.ids, apart.consent) == ("ann", ("ann",), True)
    assert [row.item_id for row in apart.recent] == ["a"]
    assert store.refusing("shop") == {"anon"}


def test_a_visitor_of_many_events_under_many_ids_is_bounded_too(store: Store) -> None:
    each = store_module.RECENT_LIMIT - 100
    rows = [event(n, user=user, hours=n / 1000) for n in range(each) for user in ("ann", "anon")]
    store.append_events("shop", [row._replace(event_id=f"{row.user_id} {row.event_id}") for row in rows])
    linked(store, user_id="ann", anonymous_id="anon")
    recent = store.state("shop", "anon").recent
    assert len(recent) == store_module.RECENT_LIMIT
    assert [row.ts_us for row in recent] == sorted((row.ts_us for row in rows), reverse=True)[: len(recent)]


def test_versions_are_activated_and_come_back(store: Store) -> None:
    drained(store, event(1))
    store.activate("shop", as_of=NIGHT, bundle="v1", portraits="v1")
    store.activate("shop", as_of=NIGHT + timedelta(days=1), bundle="v2", events_seq=7, changes_seq=8)
    active = store.active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.bundle.events_seq, active.bundle.changes_seq) == ("v2", 7, 8)
    assert (active.portraits.version, active.portraits.events_seq) == ("v1", 1)
    store.reactivate("shop", "bundle", "v1")
    assert [old.version for old in store.activations("shop", "bundle")] == ["v1", "v2", "v1"]
    back = store.active("shop").bundle
    assert back is not None
    assert (back.as_of, back.events_seq) == (NIGHT, 1)
    with pytest.raises(NothingThere, match="v9"):
        store.reactivate("shop", "bundle", "v9")
    assert store.active("cafe").bundle is None


def test_every_version_of_a_segment_is_kept_and_the_last_one_counts(store: Store) -> None:
    rule = {"field": "orders", "op": ">", "value": 0}
    first = store.save_segment("shop", Wanted("buyers", "Buyers", rule))
    assert store.save_segment("shop", Wanted("buyers", "Buyers", rule)) == first, "nothing new is no version"
    second = store.save_segment("shop", Wanted("buyers", "买家", {"not": rule}))
    assert (first.version, second.version) == (1, 2)
    assert store.segments("shop") == [second]
    assert store.segment("shop", "buyers", 1) == first
    assert store.segments("cafe") == []
    with pytest.raises(NothingThere, match="buyers"):
        store.segment("cafe", "buyers")


def test_a_deleted_segment_is_gone_and_may_come_back(store: Store) -> None:
    store.save_segment("shop", Wanted("buyers", "Buyers", {}))
    store.delete_segment("shop", "buyers")
    assert store.segments("shop") == []
    for gone in ("buyers", "nobody"):
        with pytest.raises(NothingThere, match=gone):
            store.delete_segment("shop", gone)
    assert store.save_segment("shop", Wanted("buyers", "Buyers", {})).version == 3
    assert store.segment("shop", "buyers", 2).deleted


def test_a_check_that_refuses_leaves_segments_as_they_were(store: Store) -> None:
    heard: list[dict[str, object]] = []

    def refuse(others: dict[str, object]) -> None:
        heard.append(others)
        raise InvalidValue("rule", None, "another one")

    store.save_segment("shop", Wanted("a", "A", {"x": 1}))
    with pytest.raises(InvalidValue):
        store.save_segment("shop", Wanted("b", "B", {}), refuse)
    with pytest.raises(InvalidValue):
        store.delete_segment("shop", "a", refuse)
    assert heard == [{"a": {"x": 1}}, {}]
    assert [segment.name for segment in store.segments("shop")] == ["a"]


def test_an_app_has_only_so_many_segments(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.stores.segments.MOST_SEGMENTS", 2)
    for name in ("a", "b"):
        store.save_segment("shop", Wanted(name, name, {}))
    with pytest.raises(TooMuch, match="segments"):
        store.save_segment("shop", Wanted("c", "c", {}))
    assert store.save_segment("shop", Wanted("a", "a", {"x": 1})).version == 2


def test_all_that_a_visitor_did_since_is_read_newest_first(store: Store) -> None:
    store.append_events(
        "shop",
        [
            event(1, hours=-2),
            event(2, hours=-1, kind="launch")._replace(item_id=None),
            event(3, hours=1, kind="exposure"),
            event(4, hours=2),
            event(5, hours=3, user="bob"),
            event(6, hours=4, user="eve"),
        ],
    )
    store.append_events("cafe", [event(7)])

    def read(*ids: str, **later: int) -> list[str]:
        return [json.loads(payload)["event_id"] for _, payload in store.events_of("shop", ids, **later)]

    assert read("ann") == ["e4", "e3", "e2", "e1"]
    assert read("ann", "bob") == ["e4", "e3", "e2", "e1", "e5"]
    assert read("ann", after_seq=2, since_us=NIGHT_US + HOUR_US) == ["e4", "e3"]
    assert read("ann", after_seq=100, since_us=NIGHT_US + 2 * HOUR_US) == ["e4"]
    assert read("nobody") == []


def test_who_refused_since(store: Store) -> None:
    rows = [("ann", False), ("bob", True), ("eve", None)]
    store.upsert("shop", "users", [{"user_id": user, "consent": consent} for user, consent in rows])
    seq = store.state("shop").change_seq
    assert store.refused("shop") == ["ann"]
    assert store.refused("shop", seq) == []
    store.upsert("shop", "users", [{"user_id": "bob", "consent": False}])
    assert store.refused("shop", seq) == ["bob"]
    assert store.refused("cafe") == []


def test_many_rows_are_read_some_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "STREAMED", 3)
    store.append_events("shop", [event(number) for number in range(10)])
    wanted = select(schema.events.c.event_id).order_by(schema.events.c.seq)
    assert [row.event_id for row in store.stream(wanted)] == [f"e{number}" for number in range(10)]
    begun = store.stream(wanted)
    assert next(begun).event_id == "e0"
    begun.close()
    assert store.append_events("shop", [event(10)]) == ["accepted"]
    assert len(list(store.stream(wanted))) == 11


def test_a_night_is_recorded_step_by_step(store: Store) -> None:
    store.start_run("shop", "r1", NIGHT)
    store.step_done("shop", "r1", "drain", {"events": 5})
    store.start_run("shop", "r1", NIGHT)
    store.step_done("shop", "r1", "train", {"verdict": "publish"})
    running = store.runs("shop")[0]
    assert (running.status, running.finished) == ("running", None)
    store.finish_run("shop", "r1", "published", {"version": "v1"})
    store.start_run("shop", "r2", NIGHT)
    latest, first = store.runs("shop")
    assert latest.run_id == "r2"
    assert first.steps == {"drain": {"events": 5}, "train": {"verdict": "publish"}}
    assert (first.status, first.summary, first.as_of) == ("published", {"version": "v1"}, NIGHT)
    assert first.finished is not None
    assert store.runs("cafe") == []
    with pytest.raises(NothingThere, match="r9"):
        store.step_done("shop", "r9", "drain", {})


def test_rejections_and_decisions_leave_when_they_are_drained(store: Store) -> None:
    store.add_rejected("shop", [RejectedRow(5, "/v1/events", n, "ts", "soon", "not a time", "{}") for n in range(3)])
    store.add_decisions("shop", [DecisionRow(f"d{n}", "ann", 5, f'{{"decision_id":"d{n}"}}') for n in range(3)])
    kept = store.rejected_to_drain("shop")
    assert [(row.line, row.reason) for _, row in kept] == [(0, "not a time"), (1, "not a time"), (2, "not a time")]
    assert store.delete_rejected("shop", kept[1][0]) == 2
    assert [row.line for _, row in store.rejected_to_drain("shop")] == [2]
    page = store.decisions_to_drain("shop")
    assert [json.loads(text)["decision_id"] for text in page.payloads] == ["d0", "d1", "d2"]
    assert store.delete_decisions("shop", page.last_seq) == 3
    assert store.decisions_to_drain("shop").payloads == []


def test_a_write_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(UnknownApp):
        store.upsert("nobody", "items", [{"item_id": "tea"}])
    assert store.changes("nobody", "items") == []
    assert store.append_events("shop", [event(1)]) == ["accepted"], "the next writer gets its turn"


def _append(url: str, writer: int, batches: int) -> None:
    store = Store.open(url)
    for batch in range(batches):
        rows = [event(n, user=f"w{writer}")._replace(event_id=f"{writer}-{batch}-{n}") for n in range(10)]
        store.append_events("shop", rows)
    store.close()


@pytest.mark.fault
def test_two_processes_open_a_new_store_and_write_at_once(new_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append, args=(new_url, number, 30)) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = Store.open(new_url)
    assert len(store.events_to_drain("shop", 0).payloads) == 2 * 30 * 10
    store.close()


@pytest.mark.law
def test_whoever_follows_the_numbers_misses_nothing(store: Store, store_url: str) -> None:
    """Law 5: the lake asks for what came after the last number that it has; no lower number may come after that."""
    stores = [Store.open(store_url) for _ in range(3)]

    def write(writer: int) -> None:
        for number in range(40):
            row = event(number)._replace(event_id=f"{writer}-{number}")
            assert stores[writer].append_events("shop", [row]) == ["accepted"]
            stores[writer].upsert("shop", "items", [{"item_id": f"{writer}-{number}"}])

    with ThreadPoolExecutor(len(stores)) as threads:
        writing = [threads.submit(write, writer) for writer in range(len(stores))]
        seen, last, changes, last_change = 0, 0, 0, 0
        over = False
        while not over:
            over = all(one.done() for one in writing)
            page = store.events_to_drain("shop", last)
            seen, last = seen + len(page.payloads), page.last_seq
            changed = store.changes_to_drain("shop", last_change)
            changes, last_change = changes + len(changed), changed[-1].seq if changed else last_change
        for one in writing:
            one.result()
    for opened in stores:
        opened.close()
    assert (seen, changes) == (120, 120)


@pytest.mark.fault
def test_a_broken_database_is_unavailable_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")


@pytest.mark.fault
def test_a_table_that_is_gone_makes_the_store_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store.open(f"sqlite:///{path}")
    store.add_app(AppSettings("shop"))
    assert store.state("shop", "ann").recent == ()
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE events RENAME TO hidden")
    with pytest.raises(StoreUnavailable, match="events"):
        store.state("shop", "ann")
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE hidden RENAME TO events")
    assert store.state("shop", "ann").recent == (), "and comes back by itself"


@pytest.mark.parametrize("wrong", ["not a url", "sqlite://", "oracle://host/name"])
def test_a_url_that_cannot_be_opened_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidValue, match="HUAXIANG_STORE"):
        Store.open(wrong)


def test_the_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    with store.write() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION
    assert ScriptDirectory.from_config(migrations()).get_current_head() == schema.REVISION


def test_every_migration_goes_down_and_up_again_over_rows(new_url: str) -> None:
    store = Store.open(new_url)
    with store.write() as connection:
        for table in schema.metadata.sorted_tables:
            row = {column.name: ROW[type(column.type)] for column in table.columns if column.name != "seq"}
            connection.execute(insert(table), [row])
        config = migrations(connection)
        before = contents(connection)
        for step in ScriptDirectory.from_config(config).walk_revisions():
            if step.down_revision is not None:
                for go, where in ((command.downgrade, "-1"), (command.upgrade, "+1"), (command.downgrade, "-1")):
                    go(config, where)
        first = contents(connection)
        command.upgrade(config, "head")
        after = contents(connection)
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    store.close()
    assert {"apps", "keys", "events", "catalogue"} <= first.keys() < before.keys() == after.keys()
    for table, rows in first.items():
        assert len(rows) == len(before[table]) == len(after[table]) == 1
        assert rows[0].items() <= before[table][0].items()
        assert rows[0].items() <= after[table][0].items()


def test_texts_are_ordered_by_their_bytes(store: Store) -> None:
    names = ["Z", "a", "a-b", "ab", "B", "ä", "中", "😀", "_", "1", "10", "9"]
    store.save_rules("shop", dict.fromkeys(names, "{}"))
    with store.write() as connection:
        told = connection.execute(select(schema.rules.c.rule_id).order_by(schema.rules.c.rule_id)).scalars().all()
        assert told == sorted(names, key=str.encode)
        if connection.dialect.name == "postgresql":
            assert connection.exec_driver_sql(OTHER_COLLATIONS).all() == []
