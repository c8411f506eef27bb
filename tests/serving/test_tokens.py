"""Visitors' tokens: who makes them, what they say, how long they live, and that they act for one visitor only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_app import Client, purchase
from planted_tenants import SECRET, open_tenants
from starlette.applications import Starlette

from portraits.errors import NoSecret, NotKnown
from portraits.history import ID_LIMIT
from portraits.settings import AppSettings
from serving.app import v1
from serving.context import Context
from serving.examples import EXAMPLES
from serving.routes import ROUTES
from serving.sent_events import own_event_id
from serving.stores.merchants import Provider
from serving.tokens import LONGEST_TTL_S, REMEMBERED_TOKENS, Token, Tokens
from serving.visitors import BACKEND_TYPES

NOW = 1_800_000_000.0
CHEN = Token("shop", "12345678", "chen", NOW + 60)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    process, store = open_tenants(tmp_path_factory.mktemp("home"))
    store.save_app(AppSettings("shop", control_share=0.0, visitor_requests_per_second=0.0))
    store.close()
    opened = Context.open(process)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(context: Context) -> Iterator[Client]:
    with Client(Starlette(routes=[v1(context)])) as opened:
        yield opened


def bearer(credential: str, app: str = "") -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"} | ({"x-app-id": app} if app else {})


def made(client: Client, key: str, app: str = "", status: int = 200, **body: Any) -> Any:
    """What /v1/token answers."""
    answer = client.post("/v1/token", json={"user_id": "chen"} | body, headers=bearer(key, app))
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def token(client: Client, context: Context) -> str:
    """Chen's, made by a backend."""
    return str(made(client, context.store.add_key("shop", "events"))["token"])


@pytest.fixture
def full_token(client: Client, context: Context) -> str:
    """Chen's, made with a key of scope admin."""
    return str(made(client, context.store.add_key("shop", "admin"))["token"])


# Making one


def test_a_backend_makes_a_token_that_says_for_how_long(client: Client, context: Context) -> None:
    key = context.store.add_key("shop", "events")
    before = time.time()
    for asked, lived in (({}, 900), ({"ttl": 5}, 5), ({"ttl": LONGEST_TTL_S}, LONGEST_TTL_S)):
        answer = made(client, key, **asked)
        assert answer.keys() == {"token", "expires"}
        expires = datetime.fromisoformat(answer["expires"]).timestamp()
        assert before + lived - 1 <= expires <= time.time() + lived
        assert client.post("/v1/recommend", json={}, headers=bearer(answer["token"])).status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"ttl": 0}, {"ttl": LONGEST_TTL_S + 1}, {"ttl": "1"}, {"user_id": ""}, {"scope": "admin"}]
)
def test_what_no_token_can_be_made_of_is_refused(client: Client, context: Context, wrong: dict[str, Any]) -> None:
    (field,) = wrong
    refused = made(client, context.store.add_key("shop", "events"), status=422, **wrong)
    assert refused["error"]["field"] == field


def test_without_a_secret_the_answer_says_what_is_missing(tmp_path_factory: pytest.TempPathFactory) -> None:
    process, store = open_tenants(tmp_path_factory.mktemp("no secret"), secret="")
    key = store.add_key("shop", "events")
    store.close()
    context = Context.open(process)
    with Client(Starlette(routes=[v1(context)])) as client:
        refused = made(client, key, status=503)
        assert refused["error"]["code"] == "no_secret"
        assert "HUAXIANG_SECRET" in refused["error"]["message"]
        forged = Tokens(SECRET).make(CHEN, NOW)
        assert client.post("/v1/trending", json={}, headers=bearer(forged)).status_code == 401
    context.close()


def test_a_provider_makes_tokens_for_each_of_its_apps(client: Client, context: Context) -> None:
    key = context.store.add_key(Provider("house"), "events")
    made(client, key, status=403)
    made(client, key, "bakery", status=403)
    text = made(client, key, "shop")["token"]
    assert client.post("/v1/recommend", json={}, headers=bearer(text)).status_code == 200
    assert client.post("/v1/recommend", json={}, headers=bearer(text, "bakery")).status_code == 403


def test_a_token_lives_no_longer_than_the_key_that_made_it(client: Client, context: Context) -> None:
    store = context.store
    old = store.add_key("shop", "events")
    found = store.find_key(old)
    assert found is not None
    before, text = time.time(), made(client, old)["token"]
    store.rotate_key(found.key_id, 1 / 60)
    late = made(client, old, ttl=3_600)
    assert datetime.fromisoformat(late["expires"]).timestamp() <= before + 62
    store.rotate_key(found.key_id, 0)
    for one in (text, late["token"]):
        assert client.post("/v1/trending", json={}, headers=bearer(one)).status_code == 401


# Acting for one visitor only


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_a_token_calls_what_is_a_visitor_s_and_only_for_itself(
    client: Client, token: str, full_token: str, path: str
) -> None:
    route = ROUTES[path]
    own = EXAMPLES[path] | ({"user_id": "chen"} if route.form.has("user_id") else {})
    if not route.user or route.scope == "admin":
        refused = client.post(f"/v1{path}", json=own, headers=bearer(token))
        assert refused.status_code == 403, "a key of scope events does not open by a token what it does not open"
    token = full_token
    answer = client.post(f"/v1{path}", json=own, headers=bearer(token))
    if not route.user:
        assert answer.status_code == 403, answer.text
        return
    assert answer.status_code in (200, 404), answer.text
    if route.form.has("user_id"):
        for other in ("lin", "Chen", "chen ", "o-chen", 5):
            refused = client.post(f"/v1{path}", json=own | {"user_id": other}, headers=bearer(token))
            assert refused.status_code in (403, 422), refused.text
            assert refused.status_code == 403 or other == 5
        without = {name: value for name, value in own.items() if name != "user_id"}
        for body in (without, without | {"user_id": None}):
            filled = client.post(f"/v1{path}", json=body, headers=bearer(token))
            assert filled.status_code == answer.status_code, filled.text


@pytest.mark.law
def test_what_a_visitor_may_do_is_what_was_thought_of() -> None:
    """No catalogue, marketing or admin route, no links: a new route is closed to phones until it says otherwise."""
    rights = {"/portrait", "/portrait/export", "/tags/delete", "/personalization", "/forget"}
    pages = {"/events", "/recommend", "/similar", "/together", "/trending", "/offers", "/offers/claim"}
    assert {path for path, route in ROUTES.items() if route.user} <= rights | pages


def test_events_of_others_and_of_money_are_refused_one_by_one(client: Client, context: Context) -> None:
    token = made(client, context.store.add_key("shop", "events"), user_id="dora")["token"]
    view = {"type": "item_view", "item_id": "tea-green", "ts": ago(days=6)}
    sent = [
        {"event_id": "t1", "user_id": "dora", **view},
        {"event_id": "t2", **view},
        {"event_id": "t3", "user_id": "lin", **view},
        *(purchase(f"t-{kind}", "dora", "tea-green") | {"type": kind} for kind in sorted(BACKEND_TYPES)),
        {"event_id": "t4", "user_id": "dora", **view, "type": "ad_click", "revenue": 10**9},
        {"event_id": "t5", "user_id": "dora", **view, "points": 0},
        {"event_id": "t6", "user_id": None, **view, "type": "click"},
        "no event",
        {"event_id": "t7", **view, "ts": ago(days=8)},
    ]
    answer = client.post("/v1/events", json={"events": sent}, headers=bearer(token)).json()
    assert answer["accepted"] == 3
    refused = {one["index"]: (one["field"], one["reason"]) for one in answer["rejected"]}
    assert refused.keys() == set(range(len(sent))) - {0, 1, 12}
    assert refused[2] == ("user_id", "not the user_id of this token")
    assert {refused[place][0] for place in range(3, 10)} == {"type"}
    assert (refused[10][0], refused[11][0]) == ("revenue", "points")
    assert refused[14] == ("ts", "more than 7 days ago: only a server key may send it")
    kept = context.store.events_to_drain("shop")
    own = {own_event_id("dora", sent) for sent in ("t1", "t2", "t6")}
    assert {json.loads(text)["user_id"] for text in kept.payloads if json.loads(text)["event_id"] in own} == {"dora"}


def ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def test_a_server_key_may_tell_what_is_long_past(client: Client, context: Context) -> None:
    key = context.store.add_key("shop", "events")
    event = {"event_id": "old", "user_id": "dora", "type": "item_view", "item_id": "tea-green", "ts": ago(days=300)}
    assert client.post("/v1/events", json={"events": [event]}, headers=bearer(key)).json()["accepted"] == 1


def test_a_phone_s_event_ids_are_its_own(client: Client, context: Context) -> None:
    """It cannot take the id of an event that the backend or another phone will send; its own retry is known again."""
    key = context.store.add_key("shop", "events")
    event = {"event_id": "order-77", "user_id": "eve", "type": "click", "item_id": "tea-green", "ts": ago(days=0)}

    def sent(credential: str, **changed: Any) -> Any:
        answer = client.post("/v1/events", json={"events": [event | changed]}, headers=bearer(credential)).json()
        return answer["accepted"], answer["duplicates"], [one["field"] for one in answer["rejected"]]

    token, lin = (made(client, key, user_id=one)["token"] for one in ("eve", "lin"))
    assert sent(token) == (1, 0, [])
    assert sent(token) == (0, 1, [])
    assert sent(token, user_id=None) == (0, 1, []), "whichever way it is read"
    assert sent(token, item_id="tea-black") == (0, 0, ["event_id"])
    assert sent(lin, user_id="lin") == (1, 0, [])
    assert sent(key, type="purchase", amount=9_900) == (1, 0, [])
    assert sent(token, event_id=own_event_id("lin", "order-77")) == (1, 0, [])
    kept = [json.loads(text) for text in context.store.events_to_drain("shop").payloads]
    ids = [one["event_id"] for one in kept if one["ts"][:19] == event["ts"][:19]]
    assert ids[:3] == [own_event_id("eve", "order-77"), own_event_id("lin", "order-77"), "order-77"]
    assert len(set(ids)) == 4
    assert max(map(len, ids)) <= ID_LIMIT


def test_a_whole_batch_of_another_visitor_changes_nothing(client: Client, context: Context, token: str) -> None:
    before = context.store.state("shop", "lin").recent
    sent = [purchase("foreign", "lin", "tea-green"), {**purchase("foreign 2", "lin", "tea-green"), "type": "click"}]
    answer = client.post("/v1/events", json={"events": sent}, headers=bearer(token)).json()
    assert (answer["accepted"], [one["index"] for one in answer["rejected"]]) == (0, [0, 1])
    assert context.store.state("shop", "lin").recent == before


def test_a_token_of_a_linked_id_acts_for_that_id_and_hears_of_no_other(client: Client, context: Context) -> None:
    """It may be a guest's, on a device that several use."""
    link = {"link_id": "g", "user_id": "gina", "openid": "o-gina", "anonymous_id": "guest"}
    admin = context.store.add_key("shop", "admin")
    client.post("/v1/identities", json={"identities": [link]}, headers=bearer(admin))
    assert client.post("/v1/portrait", json={"user_id": "guest"}, headers=bearer(admin)).json()["user_id"] == "gina"
    text = made(client, context.store.add_key("shop", "events"), user_id="guest")["token"]
    for path, body in (
        ("/recommend", {}),
        ("/offers", {}),
        ("/portrait", {}),
        ("/tags/delete", {"tag": "categories"}),
        ("/personalization", {"on": False}),
        ("/personalization", {"on": True}),
    ):
        answer = client.post(f"/v1{path}", json=body, headers=bearer(text))
        assert (answer.status_code, answer.json()["user_id"]) == (200, "guest"), answer.text
        assert "gina" not in answer.text
    assert client.post("/v1/portrait", json={}, headers=bearer(text)).json()["ids"] == ["guest"]
    assert client.post("/v1/recommend", json={"user_id": "gina"}, headers=bearer(text)).status_code == 403


@pytest.mark.fault
def test_without_the_store_a_known_key_s_tokens_are_answered_and_others_are_told_to_wait(
    client: Client, context: Context
) -> None:
    """Law 7 for phones: the signature and what is remembered of the key are enough for a shelf."""
    key, unseen = context.store.add_key("shop", "admin"), context.store.add_key("shop", "admin")
    text = made(client, key, user_id="vera")["token"]
    assert client.post("/v1/recommend", json={}, headers=bearer(text)).status_code == 200
    found = context.store.find_key(key)
    assert found is not None
    fresh = Tokens(SECRET).make(Token("shop", found.key_id, "wim", time.time() + 60), time.time())
    with sqlite3.connect(context.settings.store_url.removeprefix("sqlite:///")) as other:
        other.execute("ALTER TABLE apps RENAME TO gone")
    try:
        for one in (text, fresh, key):
            body = {"user_id": "vera"} if one == key else {}
            answer = client.post("/v1/recommend", json=body, headers=bearer(one))
            assert (answer.status_code, answer.json()["degraded"]) == (200, True)
        refused = client.post("/v1/recommend", json={"user_id": "vera"}, headers=bearer(unseen))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        made(client, key, status=503)
    finally:
        with sqlite3.connect(context.settings.store_url.removeprefix("sqlite:///")) as other:
            other.execute("ALTER TABLE gone RENAME TO apps")
    assert not client.post("/v1/recommend", json={}, headers=bearer(fresh)).json()["degraded"]


@pytest.mark.fault
def test_a_key_that_cannot_be_looked_up_again_is_not_forgotten(client: Client, context: Context) -> None:
    """Settings change, and at that moment the store fails: whoever was known still gets a shelf, and says so."""
    headers, body = bearer(context.store.add_key("shop", "recommend")), {"user_id": "yan"}
    assert not client.post("/v1/recommend", json=body, headers=headers).json()["degraded"]
    context.store.save_app(context.store.app("shop"))
    with sqlite3.connect(context.settings.store_url.removeprefix("sqlite:///")) as other:
        other.execute("ALTER TABLE keys RENAME TO gone")
    try:
        for _ in range(3):
            answer = client.post("/v1/recommend", json=body, headers=headers)
            assert (answer.status_code, answer.json()["degraded"]) == (200, True)
    finally:
        with sqlite3.connect(context.settings.store_url.removeprefix("sqlite:///")) as other:
            other.execute("ALTER TABLE gone RENAME TO keys")
    assert not client.post("/v1/recommend", json=body, headers=headers).json()["degraded"]


# The text itself


def test_a_token_is_a_jwt_that_anybody_can_check(client: Client, context: Context) -> None:
    """Against RFC 7519 by hand: three parts, HMAC-SHA256 over the first two, by a key made of the secret."""
    text = Tokens(SECRET).make(CHEN, NOW)
    head, claims, signature = text.split(".")
    key = hmac.digest(SECRET.encode(), b"huaxiang token", "sha256")
    assert _bytes(signature) == hmac.new(key, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert json.loads(_bytes(head)) == {"alg": "HS256", "typ": "JWT"}
    told = json.loads(_bytes(claims))
    assert told == {
        "iss": "huaxiang",
        "aud": "huaxiang visitor",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "sub": "chen",
        "app": "shop",
        "key": "12345678",
    }


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_remembered_token_ends_in_time() -> None:
    tokens, until = Tokens(SECRET), time.time() + 1_000
    text = tokens.make(Token("shop", "k", "chen", until), time.time())
    for _ in range(2):
        assert tokens.read(text, until - 2).user_id == "chen"
    with pytest.raises(NotKnown):
        tokens.read(text, until)


def test_nothing_is_signed_or_read_without_a_secret() -> None:
    with pytest.raises(NoSecret):
        Tokens("").make(CHEN, NOW)
    with pytest.raises(NotKnown):
        Tokens("").read(Tokens(SECRET).make(CHEN, NOW), NOW)


@given(
    user_id=st.text(min_size=1, max_size=128).filter(lambda text: text.isprintable()),
    ttl=st.integers(1, LONGEST_TTL_S),
    cut=st.integers(0, 2_000),
    letter=st.characters(min_codepoint=33, max_codepoint=126),
)
def test_what_was_signed_is_read_and_no_other_spelling_of_it(user_id: str, ttl: int, cut: int, letter: str) -> None:
    now = float(int(time.time()))
    wanted = Token("shop", "12345678", user_id, now + ttl)
    tokens = Tokens(SECRET)
    text = tokens.make(wanted, now)
    assert tokens.read(text, now) == wanted
    place = cut % len(text)
    for changed in (text[:place] + letter + text[place + 1 :], text[:place] + letter + text[place:], text[:place]):
        if changed != text:
            with pytest.raises(NotKnown):
                Tokens(SECRET).read(changed, now)


def test_every_spelling_of_the_last_letter_but_one_is_refused() -> None:
    """Base64 leaves two bits of a signature's last letter unused: four letters would mean the same bytes."""
    now = time.time()
    text = Tokens(SECRET).make(Token("shop", "k", "chen", now + 60), now)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/"
    taken = []
    for letter in letters:
        try:
            Tokens(SECRET).read(text[:-1] + letter, now)
        except NotKnown:
            continue
        taken.append(letter)
    assert taken == [text[-1]]


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 2_000,
        b"{" * 2_000,
        b'{"alg":"none"}',
        b'{"alg":"HS512"}',
        b'{"alg":1e999}',
        b"null",
        b"",
        b'{"typ":"JWT"}',
    ],
)
def test_no_other_header_is_even_parsed(head: bytes) -> None:
    _, claims, signature = Tokens(SECRET).make(CHEN, NOW).split(".")
    for key in (SECRET.encode(), hmac.digest(SECRET.encode(), b"huaxiang token", "sha256")):
        spelt = base64.urlsafe_b64encode(head).rstrip(b"=").decode()
        forged = (
            base64.urlsafe_b64encode(hmac.digest(key, f"{spelt}.{claims}".encode(), "sha256")).rstrip(b"=").decode()
        )
        for end in (signature, forged, ""):
            with pytest.raises(NotKnown):
                Tokens(SECRET).read(f"{spelt}.{claims}.{end}", NOW)


def test_what_is_remembered_is_bounded() -> None:
    assert 1_000 <= REMEMBERED_TOKENS <= 1_000_000
