"""Who is the same person online: after any upserts what the night would say of the rows that are left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_links import Row, arrow, link, links_of

from portraits.identity import KINDS, MOST_IDS, MOST_USERS
from portraits.people import links
from portraits.settings import AppSettings
from serving.stores import Store
from serving.stores.database import now_us
from serving.stores.nights import Version


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    opened.add_app(AppSettings("cafe"))
    yield opened
    opened.close()


def by_night(rows: dict[str, Row]) -> dict[str, str]:
    """What `portraits.people.links` says of the rows, each id and its person."""
    table = links(arrow([dict.fromkeys((*KINDS, "linked_at")) | row for row in rows.values()])).people
    return dict(zip(table["id"].to_pylist(), table["user_id"].to_pylist(), strict=True))


def check(store: Store, batches: list[list[Row]], app_id: str = "shop") -> None:
    """After each batch the store says what the night would say."""
    now: dict[str, Row] = {}
    for batch in batches:
        store.upsert(app_id, "identities", batch)
        for row in batch:
            now[row["link_id"]] = now.get(row["link_id"], {}) | row
        assert store.people(app_id) == by_night(now)


def renamed(row: Row, number: int) -> Row:
    return row | {"link_id": f"l{number}"}


few = st.integers(0, 25)
rows_over_few_links = st.builds(renamed, links_of(ids=12, users=8), few)
crowds = st.builds(renamed, links_of(ids=6, users=45), st.integers(0, 120))
undone = st.builds(link, few)


@pytest.mark.law
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(rows_over_few_links | undone, max_size=8), max_size=8))
def test_the_day_says_what_the_night_says(store: Store, batches: list[list[Row]]) -> None:
    """Links that come, change and are taken back in any order, among texts that are ids of several kinds."""
    app_id = f"app-{len(store.apps())}"
    store.add_app(AppSettings(app_id))
    check(store, batches, app_id)


@pytest.mark.law
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(crowds, min_size=15, max_size=60), max_size=6))
def test_crowds_are_taken_apart_alike(store: Store, batches: list[list[Row]]) -> None:
    app_id = f"app-{len(store.apps())}"
    store.add_app(AppSettings(app_id))
    taken_back = [[link(int(row["link_id"][1:])) for row in batch[::2]] for batch in batches]
    check(store, batches + taken_back, app_id)


def test_a_tablet_is_believed_until_too_many_used_it(store: Store) -> None:
    """And again as soon as fewer did."""
    rows = [link(n, user_id=f"u{n:02}", anonymous_id="tablet") for n in range(MOST_USERS + 1)]
    check(store, [rows[:-1], rows[-1:], [link(0)], [rows[0]]])
    assert store.people("shop") == {}


def test_a_hub_is_known_by_its_first_neighbours(store: Store) -> None:
    """The anonymous id of phones that had none, beside a user_id of the same text."""
    rows = [link(n, user_id=f"u{n}", openid=f"o{n}", anonymous_id="undefined") for n in range(MOST_IDS)]
    late = [link(2_000, user_id="u5", openid="o7"), link(2_001, user_id="new", anonymous_id="undefined")]
    check(store, [rows, late, [link(2_002, user_id="undefined", unionid="w")]])
    assert store.person("shop", "o7") == store.person("shop", "u7") == "u5"


def test_links_are_an_app_s_own_and_are_gone_with_null(store: Store) -> None:
    store.upsert("shop", "identities", [{"link_id": "l", "user_id": "ann", "openid": "o"}])
    assert (store.person("shop", "o"), store.person("cafe", "o")) == ("ann", "o")
    store.upsert("shop", "identities", [{"link_id": "l", "openid": None}])
    assert store.people("shop") == {}


def test_a_store_that_is_older_than_links_knows_them_after_its_migration(store_url: str) -> None:
    store = Store.open(store_url)
    store.add_app(AppSettings("shop"))
    rows = [{"link_id": f"l{n}", "user_id": f"u{n % 50}", "openid": f"o{n}"} for n in range(90)]
    store.upsert("shop", "identities", rows)
    before = store.people("shop")
    with store.write() as connection:
        config = Config()
        config.set_main_option("script_location", "serving.stores:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    store.close()
    store = Store.open(store_url)
    assert store.people("shop") == before
    store.close()


@pytest.mark.law
def test_who_refused_before_a_night_and_is_linked_after_it_is_left_out_of_it(store: Store) -> None:
    """Law 11: under all ids; the link alone is news to the night."""
    users = [{"user_id": "phone", "consent": False}, {"user_id": "fond", "consent": True}]
    store.upsert("shop", "users", [*users, {"user_id": "wordy", "note": '"consent":false'}])
    version = Version("v1", now_us() + 1, 0, store.state("shop").change_seq)
    assert store.left_out("shop", version) == []
    linked = [link(1, user_id="member", anonymous_id="phone"), link(2, user_id="other", anonymous_id="fond")]
    store.upsert("shop", "identities", [*linked, link(3, user_id="third", anonymous_id="wordy")])
    assert store.left_out("shop", version) == ["member", "phone"]
    assert store.left_out("cafe", version) == []
    store.upsert("shop", "identities", [link(1)])
    assert store.left_out("shop", version) == []


@pytest.mark.law
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(rows_over_few_links, max_size=12), asked=st.sets(st.integers(0, 25).map(str)))
def test_all_ids_of_some_are_those_that_all_people_tell(store: Store, rows: list[Row], asked: set[str]) -> None:
    store.upsert("shop", "identities", rows)
    people = store.people("shop")
    some = asked | set(sorted(people)[::3])
    persons = {people.get(one, one) for one in some}
    assert store.all_ids("shop", some) == some | {one for one, person in people.items() if person in persons}
    for one, ids in store.linked("shop", sorted(some)).items():
        assert ids == store.state("shop", one).ids
    assert set(store.linked("shop", sorted(some))) == some & set(people)
