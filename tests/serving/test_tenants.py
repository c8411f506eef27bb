"""Who may: every route with every wrong credential, tenants beside each other, keys that rotate and move."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_app import Client, purchase
from planted_tenants import SECRET, WORDS, content, fill, open_tenants
from starlette.applications import Starlette

from serving.app import v1
from serving.context import Context
from serving.examples import EXAMPLES
from serving.routes import ROUTES
from serving.stores import Store
from serving.stores.keys import SCOPES
from serving.stores.merchants import Provider
from serving.tokens import Token, Tokens

VISITOR = "chen"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    process, store = open_tenants(tmp_path_factory.mktemp("home"))
    store.close()
    opened = Context.open(process)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(context: Context) -> Iterator[Client]:
    with Client(Starlette(routes=[v1(context)])) as opened:
        for app, word in WORDS.items():
            fill(opened, context.store.add_key(app, "admin"), word)
        yield opened


def bearer(credential: str, app: str = "") -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"} | ({"x-app-id": app} if app else {})


def key_id(store: Store, plain: str) -> str:
    found = store.find_key(plain)
    assert found is not None
    return found.key_id


def token(store: Store, plain: str, app: str = "shop", secret: str = SECRET, **changes: Any) -> str:
    """A token of this key for the visitor, valid for a minute."""
    now = time.time()
    made = replace(Token(app, key_id(store, plain), VISITOR, now + 60), **changes)
    return Tokens(secret).make(made, now)


def settled(client: Client, store: Store, app_id: str = "") -> list[str]:
    """What the store holds once all that is written behind answers is there, which a commit takes along."""
    event = purchase("settled", "nobody", "nothing", datetime(2026, 3, 1, tzinfo=UTC))
    key = store.add_key("kiosk", "events")
    assert client.post("/v1/events", json={"events": [event]}, headers=bearer(key)).status_code == 200
    return [row for row in content(store, app_id) if '"kiosk"' not in row]


# Every wrong credential


@dataclass(frozen=True)
class Wrong:
    """What was sent and how it must be refused."""

    headers: Mapping[str, str | bytes]
    status: int


def wrong_credentials(store: Store) -> dict[str, Wrong]:
    """Credentials that open nothing of the shop, whichever route is asked."""
    admin, foreign = store.add_key("shop", "admin"), store.add_key("bakery", "admin")
    revoked, rotated = store.add_key("shop", "admin"), store.add_key("shop", "admin")
    provider, other = store.add_key(Provider("house"), "admin"), store.add_key(Provider("guild"), "admin")
    ended = store.add_key(Provider("house"), "admin")
    by_revoked = token(store, revoked)
    store.revoke_key("shop", key_id(store, revoked))
    store.rotate_key(key_id(store, rotated), 0)
    store.revoke_key(Provider("house"), key_id(store, ended))
    good = token(store, admin)
    header, payload, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    changed = jwt.encode(claims | {"sub": "somebody"}, "x" * 32).split(".")[1]
    return {
        "nothing": Wrong({}, 401),
        "no scheme": Wrong({"authorization": admin}, 401),
        "another scheme": Wrong({"authorization": f"Basic {admin}"}, 401),
        "an empty key": Wrong({"authorization": "Bearer "}, 401),
        "no text": Wrong({"authorization": b"Bearer hx_\xff\x00"}, 401),
        "an unknown key": Wrong(bearer("hx_shop_" + "A" * 43), 401),
        "a key with one letter more": Wrong(bearer(admin + "A"), 401),
        "a revoked key": Wrong(bearer(revoked), 401),
        "a key that was rotated out": Wrong(bearer(rotated), 401),
        "a revoked key of a provider": Wrong(bearer(ended, "shop"), 401),
        "a key of another app": Wrong(bearer(foreign, "shop"), 403),
        "a key that names another app": Wrong(bearer(admin, "bakery"), 403),
        "a key that names no app": Wrong(bearer(admin, "nowhere"), 403),
        "a provider without an app": Wrong(bearer(provider), 403),
        "a provider with another's app": Wrong(bearer(other, "shop"), 403),
        "a provider with an app of nobody's": Wrong(bearer(provider, "kiosk"), 403),
        "a provider with no such app": Wrong(bearer(provider, "nowhere"), 403),
        "a provider with bytes": Wrong({**bearer(provider), "x-app-id": b"\xff' OR 1=1"}, 403),
        "a token that is over": Wrong(bearer(token(store, admin, until=time.time() - 1)), 401),
        "a token of another app": Wrong(bearer(token(store, foreign, "bakery"), "shop"), 403),
        "a token of a key of another app": Wrong(bearer(token(store, foreign, "shop")), 403),
        "a token of a revoked key": Wrong(bearer(by_revoked), 401),
        "a token of no key": Wrong(bearer(token(store, admin, key_id="00000000")), 401),
        "a token with another secret": Wrong(bearer(token(store, admin, secret="x" * 32)), 401),
        "a token signed with nothing": Wrong(bearer(jwt.encode(claims, None, "none")), 401),
        "a token without its signature": Wrong(bearer(f"{header}.{payload}."), 401),
        "a token with another payload": Wrong(bearer(f"{header}.{changed}.{signature}"), 401),
        "half a token": Wrong(bearer(good[: len(good) // 2]), 401),
    }


def wrong_for(route: str, store: Store) -> dict[str, Wrong]:
    """Credentials of the shop that are good for something else."""
    wrong = {
        f"scope {scope} of {whose}": Wrong(bearer(store.add_key(owner, scope), "shop"), 403)
        for whose, owner in (("an app", "shop"), ("a provider", Provider("house")))
        for scope in SCOPES
        if scope not in (ROUTES[route].scope, "admin")
    }
    if not ROUTES[route].user:
        wrong["a token"] = Wrong(bearer(token(store, store.add_key("shop", "admin"))), 403)
    elif ROUTES[route].form.has("user_id"):
        wrong["a token of another visitor"] = Wrong(
            bearer(token(store, store.add_key("shop", "admin"), user_id="somebody")), 403
        )
    return wrong


@pytest.fixture(scope="module")
def wrong_everywhere(context: Context) -> dict[str, Wrong]:
    return wrong_credentials(context.store)


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_every_route_refuses_every_wrong_credential_and_changes_nothing(
    client: Client, context: Context, wrong_everywhere: dict[str, Wrong], path: str
) -> None:
    store = context.store
    wrong = wrong_everywhere | wrong_for(path, store)
    body = EXAMPLES[path] | ({"user_id": VISITOR} if ROUTES[path].form.has("user_id") else {})
    before = settled(client, store)
    for name, one in wrong.items():
        answer = client.post(f"/v1{path}", json=body, headers=one.headers)
        assert answer.status_code == one.status, (name, answer.text)
        assert answer.json().keys() == {"error"}, name
        assert answer.json()["error"].keys() >= {"code", "message"}, name
        assert not any(word in answer.text for word in (*WORDS.values(), "bakery", "kiosk")), (name, answer.text)
        assert ("www-authenticate" in answer.headers) == (one.status == 401), name
    assert settled(client, store) == before
    right = client.post(f"/v1{path}", json=body, headers=bearer(store.add_key("shop", "admin"), "shop"))
    assert right.status_code in (200, 404), right.text


@pytest.mark.law
def test_what_a_provider_may_not_see_looks_as_if_it_were_not_there(client: Client, context: Context) -> None:
    provider = context.store.add_key(Provider("house"), "admin")
    answers = [
        client.post("/v1/recommend", json={"user_id": VISITOR}, headers=bearer(provider, app))
        for app in ("bakery", "kiosk", "nowhere", "")
    ]
    assert {(one.status_code, one.text) for one in answers} == {(403, answers[0].text)}


# Tenants beside each other


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_no_call_of_one_app_shows_or_changes_anything_of_another(client: Client, context: Context, path: str) -> None:
    """Law 4, over the registry: with ids that both apps know and ids that only the other one knows."""
    store = context.store
    keys = {
        "an app's": bearer(store.add_key("shop", "admin")),
        "a provider's": bearer(store.add_key(Provider("house"), "admin"), "shop"),
    }
    if ROUTES[path].user:
        keys["a visitor's"] = bearer(token(store, store.add_key("shop", "admin")))
    before = settled(client, store, "bakery")
    for whose, headers in keys.items():
        for body in (EXAMPLES[path], named(EXAMPLES[path])):
            answer = client.post(f"/v1{path}", json=body, headers=headers)
            assert answer.status_code < 500, (whose, answer.text)
            foreign = answer.text if body is EXAMPLES[path] else answer.text.replace("zebra-user", "")
            assert "zebra" not in foreign, (whose, answer.text)
    assert settled(client, store, "bakery") == before


def named(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same request about the other app's visitor."""
    return json.loads(json.dumps(body).replace('"chen"', '"zebra-user"'))


def test_a_provider_s_key_does_what_a_key_of_the_app_does(client: Client, context: Context) -> None:
    store = context.store
    provider = store.add_key(Provider("house"), "recommend")
    own = store.add_key("shop", "recommend")
    body = {"user_id": "a stranger", "n": 2, "offers": False}
    shown = [
        client.post("/v1/recommend", json=body, headers=headers).json()["items"]
        for headers in (bearer(provider, "shop"), bearer(own), bearer(own, "shop"))
    ]
    assert shown[0] == shown[1] == shown[2] != []


# Keys that end, rotate and move, seen by the next request of workers that remembered them


@pytest.fixture(scope="module")
def apart(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Callable[[Path], AbstractContextManager[str]]
) -> Iterator[tuple[Store, list[Client]]]:
    """A store, and two workers on it."""
    home = tmp_path_factory.mktemp("apart")
    with empty_store(home) as url:
        process, store = open_tenants(home, url=url)
        contexts = [Context.open(process), Context.open(process)]
        clients = [Client(Starlette(routes=[v1(one)])) for one in contexts]
        yield store, clients
        for client, one in zip(clients, contexts, strict=True):
            client.__exit__()
            one.close()
        store.close()


def statuses(clients: list[Client], headers: Mapping[str, str]) -> list[int]:
    body = {"user_id": VISITOR, "n": 1}
    return [client.post("/v1/recommend", json=body, headers=headers).status_code for client in clients]


@pytest.mark.law
def test_every_worker_sees_at_once_that_a_key_ended(apart: tuple[Store, list[Client]]) -> None:
    store, clients = apart
    for owner in ("shop", Provider("house")):
        plain = store.add_key(owner, "recommend")
        assert statuses(clients, bearer(plain, "shop")) == [200, 200]
        by_token = bearer(token(store, plain))
        assert statuses(clients, by_token) == [200, 200]
        store.revoke_key(owner, key_id(store, plain))
        assert statuses(clients, bearer(plain, "shop")) == [401, 401]
        assert statuses(clients, by_token) == [401, 401]


def test_a_rotated_key_works_for_its_grace_beside_the_new_one(apart: tuple[Store, list[Client]]) -> None:
    store, clients = apart
    for owner in ("shop", Provider("house")):
        old = store.add_key(owner, "recommend")
        assert statuses(clients, bearer(old, "shop")) == [200, 200]
        new = store.rotate_key(key_id(store, old), 1)
        assert statuses(clients, bearer(old, "shop")) == statuses(clients, bearer(new, "shop")) == [200, 200]
        store.rotate_key(key_id(store, old), 0)
        assert statuses(clients, bearer(old, "shop")) == [401, 401]
        assert statuses(clients, bearer(new, "shop")) == [200, 200]


def test_the_end_of_a_grace_is_seen_without_a_change_in_the_store(apart: tuple[Store, list[Client]]) -> None:
    store, clients = apart
    old = store.add_key("shop", "recommend")
    until = time.time() + 1.0
    store.rotate_key(key_id(store, old), 1.0 / 3_600)
    while (seen := statuses(clients, bearer(old))) == [200, 200]:
        assert time.time() < until + 30
    assert time.time() >= until, seen
    assert statuses(clients, bearer(old)) == [401, 401]


def test_bytes_that_no_database_takes_are_no_app(apart: tuple[Store, list[Client]]) -> None:
    store, clients = apart
    key = f"Bearer {store.add_key(Provider('house'), 'admin')}"
    for app in (b"shop\x00", b"\xff", b"'; DROP TABLE keys", b"shop " * 1_000):
        headers = {b"authorization": key.encode(), b"x-app-id": app}
        for client in clients:
            assert client.post("/v1/trending", json={}, headers=headers).status_code == 403


def test_a_merchant_who_moves_is_the_new_provider_s_at_once(apart: tuple[Store, list[Client]]) -> None:
    store, clients = apart
    house, guild = (store.add_key(Provider(one), "recommend") for one in ("house", "guild"))
    by_house = bearer(token(store, house))
    assert statuses(clients, bearer(house, "shop")) == statuses(clients, by_house) == [200, 200]
    assert statuses(clients, bearer(guild, "shop")) == [403, 403]
    store.add_merchant("tea", "guild")
    assert statuses(clients, bearer(house, "shop")) == statuses(clients, by_house) == [403, 403]
    assert statuses(clients, bearer(guild, "shop")) == [200, 200]
    store.add_merchant("own", "house")
    assert not store.add_app(store.app("shop"), "own")
    assert statuses(clients, bearer(house, "shop")) == [200, 200]
    assert statuses(clients, bearer(guild, "shop")) == [403, 403]
    store.add_merchant("tea", "house")
    store.add_app(store.app("shop"), "tea")


# Whatever is sent


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_of_a_key_or_token_is_taken(client: Client, context: Context, mutable: Any, data: Any) -> None:
    good = data.draw(st.sampled_from(mutable))
    place = data.draw(st.integers(0, len(good)))
    text = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=2)
    changed = good[:place] + data.draw(text) + good[place + data.draw(st.integers(0, 2)) :]
    answer = client.post("/v1/trending", json={}, headers=bearer(changed))
    assert answer.status_code == (200 if changed == good else 401), answer.text


@pytest.fixture(scope="module")
def mutable(context: Context) -> list[str]:
    """A key and a token, both good."""
    plain = context.store.add_key("shop", "recommend")
    return [plain, token(context.store, plain, until=time.time() + 3_000)]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scheme=st.sampled_from([b"Bearer ", b"Bearer hx_", b"", b"Bearer eyJhbGciOiJIUzI1NiJ9."]),
    sent=st.binary(max_size=200),
    app=st.binary(max_size=50),
)
def test_whatever_bytes_come_they_are_refused(client: Client, scheme: bytes, sent: bytes, app: bytes) -> None:
    headers = {b"authorization": scheme + sent, b"x-app-id": app}
    answer = client.post("/v1/trending", json={}, headers=headers)
    assert answer.status_code == 401, answer.text
