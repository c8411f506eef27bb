"""Keys, merchants and providers in the store, on each kind of database."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import pytest

from portraits.errors import InvalidValue, NothingThere, UnknownApp
from portraits.settings import AppSettings
from serving.stores import Store, schema
from serving.stores.keys import Found, Key, Owner, hash_key
from serving.stores.merchants import Merchant, Provider

OWNERS: tuple[Owner, ...] = ("shop", Provider("house"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    for provider, merchant, app in (("house", "tea", "shop"), ("guild", "bread", "bakery")):
        opened.add_provider(provider)
        opened.add_merchant(merchant, provider)
        opened.add_app(AppSettings(app), merchant)
    opened.add_app(AppSettings("kiosk"))
    yield opened
    opened.close()


def known(store: Store, plain: str) -> Key:
    found = store.find_key(plain)
    assert found is not None
    return found


def opened(store: Store, plain: str, *named: str) -> set[str | None]:
    """The apps beside which a key is found; None: beside no app."""
    found = store.find_keys({hash_key(plain)}, set(), set(named))
    return {one.tenant.settings.app_id if one.tenant else None for one in found}


# Whose an app is


def test_merchants_and_providers_are_added_once_and_keep_what_is_not_named(store: Store) -> None:
    assert not store.add_provider("house", "The House")
    assert not store.add_provider("house")
    assert not store.add_merchant("tea", name="Tea & Sons")
    listed = [(one.provider_id, one.name, one.merchants) for one in store.providers()]
    assert listed == [("guild", "guild", 1), ("house", "The House", 1)]
    assert store.merchants("house") == [Merchant("tea", "Tea & Sons", "house", ("shop",))]
    assert store.add_merchant("own")
    bread, own = Merchant("bread", "bread", "guild", ("bakery",)), Merchant("own", "own", None)
    assert store.merchants() == [bread, own, Merchant("tea", "Tea & Sons", "house", ("shop",))]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda store: store.add_merchant("new", "nobody"),
        lambda store: store.add_app(AppSettings("shop"), "nobody"),
        lambda store: store.add_app(AppSettings("new"), "nobody"),
        lambda store: store.add_key(Provider("nobody"), "admin"),
        lambda store: store.keys(Provider("nobody")),
        lambda store: store.merchants("nobody"),
        lambda store: store.rotate_key("00000000", 1),
        lambda store: store.revoke_key("shop", "00000000"),
        lambda store: store.key("00000000"),
    ],
)
def test_what_is_not_there_is_named_and_nothing_is_kept(store: Store, wrong: Callable[[Store], object]) -> None:
    before = [store.read(table.select()) for table in schema.metadata.sorted_tables]
    with pytest.raises(NothingThere):
        wrong(store)
    assert [store.read(table.select()) for table in schema.metadata.sorted_tables] == before


@pytest.mark.parametrize(
    "wrong",
    [
        lambda store: store.add_provider("The House"),
        lambda store: store.add_merchant(""),
        lambda store: store.add_key(Provider("house"), "root"),
        lambda store: store.rotate_key("00000000", -1),
        lambda store: store.rotate_key("00000000", math.nan),
    ],
)
def test_what_cannot_be_is_refused(store: Store, wrong: Callable[[Store], object]) -> None:
    with pytest.raises(InvalidValue):
        wrong(store)


def test_an_app_that_is_not_there_is_unknown(store: Store) -> None:
    with pytest.raises(UnknownApp):
        store.add_key("nowhere", "events")


# What a key opens


def test_a_key_of_an_app_opens_that_app_whatever_is_named(store: Store) -> None:
    plain = store.add_key("shop", "events")
    assert opened(store, plain) == opened(store, plain, "bakery", "nowhere") == {"shop"}
    assert opened(store, "hx_shop_guess", "shop") == set()


def test_a_key_of_a_provider_opens_those_of_the_named_apps_that_are_its_own(store: Store) -> None:
    plain = store.add_key(Provider("house"), "events")
    assert opened(store, plain) == opened(store, plain, "bakery", "kiosk", "nowhere") == {None}
    assert opened(store, plain, "bakery", "shop") == {None, "shop"}
    store.add_merchant("bread", "house")
    assert opened(store, plain, "bakery", "shop") == {None, "bakery", "shop"}
    store.add_merchant("tea", "guild")
    assert opened(store, plain, "bakery", "shop") == {None, "bakery"}


def test_many_keys_are_found_at_once_by_hash_and_by_id(store: Store) -> None:
    plain = [
        store.add_key("shop", "events"),
        store.add_key("bakery", "admin"),
        store.add_key(Provider("house"), "admin"),
    ]
    ids = [known(store, one).key_id for one in plain]
    wrong = {f"{number:064x}" for number in range(500)}
    found = store.find_keys({hash_key(plain[0]), *wrong}, {ids[1], "00000000"}, {"shop"})
    assert {(one.key_id, one.scope) for one in found} == {(ids[0], "events"), (ids[1], "admin")}
    assert store.find_keys(set(), {ids[2]}, {"shop"}) == [
        Found(hash_key(plain[2]), ids[2], "admin", math.inf, "", None),
        Found(hash_key(plain[2]), ids[2], "admin", math.inf, "", store.tenant("shop")),
    ]


# How a key ends


@pytest.mark.parametrize("owner", OWNERS)
def test_a_key_that_ended_is_found_nowhere(store: Store, owner: Owner) -> None:
    plain = store.add_key(owner, "admin")
    key = known(store, plain)
    assert key.owner == owner
    for other in (*OWNERS, "bakery", Provider("guild")):
        if other != owner:
            with pytest.raises(NothingThere):
                store.revoke_key(other, key.key_id)
    assert opened(store, plain, "shop")
    store.revoke_key(owner, key.key_id)
    assert store.find_key(plain) is None
    assert not opened(store, plain, "shop")
    assert store.find_keys(set(), {key.key_id}, {"shop"}) == []
    with pytest.raises(NothingThere, match="revoked"):
        store.rotate_key(key.key_id, 1)


@pytest.mark.parametrize("owner", OWNERS)
def test_whoever_remembers_a_key_is_told_that_something_changed(store: Store, owner: Owner) -> None:
    """The revision that every request reads moves, of each app that the key opens and of no other."""
    plain = store.add_key(owner, "admin")
    key_id = known(store, plain).key_id
    for change in (
        lambda: store.rotate_key(key_id, 1),
        lambda: store.revoke_key(owner, key_id),
        lambda: store.add_merchant("tea", "guild"),
    ):
        before = {app: store.revision(app) for app in ("shop", "bakery")}
        change()
        assert store.revision("shop") > before["shop"]
        assert store.revision("bakery") == before["bakery"]


@pytest.mark.parametrize("owner", OWNERS)
def test_a_rotated_key_has_a_successor_and_a_grace_that_is_never_lengthened(store: Store, owner: Owner) -> None:
    old = store.add_key(owner, "recommend")
    key_id = known(store, old).key_id
    new = known(store, store.rotate_key(key_id, 1))
    assert (new.scope, new.owner, new.ends, new.revoked) == ("recommend", owner, None, False)
    was = known(store, old)
    assert was.ends is not None
    assert 3_500 < was.ends.timestamp() - time.time() <= 3_600
    (found,) = (one for one in store.find_keys({hash_key(old)}, set(), set()) if one.own_app_id or one.tenant is None)
    assert found.until == pytest.approx(was.ends.timestamp(), abs=1e-3)
    store.rotate_key(key_id, 5)
    assert store.key(key_id).ends == was.ends
    store.rotate_key(key_id, 0)
    assert store.find_key(old) is None
    assert [key.revoked for key in store.keys(owner)] == [True, False, False, False]


def test_keys_are_kept_as_hashes_only(store: Store) -> None:
    for owner in OWNERS:
        plain = store.add_key(owner, "admin")
        newer = store.rotate_key(known(store, plain).key_id, 1)
        kept = str(store.read(schema.keys.select()))
        for one in (plain, newer):
            assert hash_key(one) in kept
            assert one.rsplit("_", 1)[1] not in kept
