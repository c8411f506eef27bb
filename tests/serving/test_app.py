"""`/v1` from outside: who may, what is refused, what is answered, what happens when things are broken."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_app import NOTHING_DRAWN, Client, night, open_shop, publish_night, purchase
from planted_shelf import Candidate
from starlette.applications import Starlette

from portraits.errors import StoreUnavailable
from portraits.history import CATALOGUES
from portraits.settings import AppSettings
from serving.app import LARGEST_BODY, Api, v1
from serving.context import Context
from serving.examples import EXAMPLES
from serving.observed import HUNG_UP
from serving.openapi import ROWS
from serving.publish import bundle_folder
from serving.routes import LARGEST_BATCH, LARGEST_N, ROUTES
from serving.stores import Store
from serving.stores.catalogues import LINKS_AT_ONCE
from serving.stores.claim_steps import claim, give_back, redeem
from serving.stores.keys import SCOPES
from serving.tenants import in_control

BUYERS = {"field": "orders", "op": ">", "value": 0}
SMALLEST: dict[str, dict[str, Any]] = {
    "/events": {"events": []},
    "/recommend": {"user_id": "ann"},
    "/similar": {"item_id": "green"},
    "/together": {"item_id": "green"},
    "/trending": {"n": 3},
    "/offers": {"user_id": "ann"},
    "/offers/claim": {"request_id": "r1", "user_id": "lee", "offer_id": "old"},
    "/offers/redeem": {"request_id": "r2", "user_id": "lee", "offer_id": "old"},
    "/offers/return": {"request_id": "r3", "user_id": "lee", "offer_id": "old"},
    "/forget": {"user_id": "ann"},
    "/token": {"user_id": "ann"},
    "/rules/list": {"holding": False},
    "/rules/delete": {"rule_ids": []},
    "/segments": {"name": "buyers", "rule": BUYERS},
    "/segments/list": {"lang": "en"},
    "/segments/delete": {"name": "nobody"},
    "/segments/preview": {"rule": BUYERS},
    "/segments/match": {"user_id": "ann"},
    "/segments/compare": {"one": {"rule": BUYERS}, "other": {"rule": BUYERS}},
    "/segments/profile": {"segment": {"rule": BUYERS}},
}
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Callable[[Path], AbstractContextManager[str]]
) -> Iterator[Context]:
    home = tmp_path_factory.mktemp("home")
    with empty_store(home) as url:
        process, store = open_shop(home, url)
        _claim_once(store)
        store.close()
        context = Context.open(process)
        yield context
        context.close()


def _claim_once(store: Store) -> None:
    """The smallest requests about claims are done: whoever sends them again gets the same answer."""
    offer = {"offer_id": "old", "kind": "cash", "value": 5}
    store.upsert("cafe", "offers", [offer])
    for step, path in ((claim, "/offers/claim"), (redeem, "/offers/redeem"), (give_back, "/offers/return")):
        with store.write() as connection:
            step(connection, "cafe", SMALLEST[path])
    store.upsert("cafe", "offers", [offer | {"ends": "2020-01-01T00:00:00+00:00"}])


@pytest.fixture
def away(shop: Context, database: str, request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    """Inside the block the store cannot be used."""
    if database == "sqlite":
        return _renamed(shop.settings.store_url.removeprefix("sqlite:///"))
    return request.getfixturevalue("postgres").away(shop.settings.store_url)


@contextmanager
def _renamed(path: str) -> Iterator[None]:
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE apps RENAME TO gone")
    try:
        yield
    finally:
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE gone RENAME TO apps")


@pytest.fixture(scope="module")
def client(shop: Context) -> Iterator[Client]:
    with Client(Starlette(routes=[v1(shop)])) as opened:
        yield opened


@pytest.fixture(scope="module")
def key(shop: Context) -> str:
    return shop.store.add_key("shop", "admin")


@pytest.fixture
def ask(client: Client, key: str) -> Ask:
    """Posts a body and gives the answer of a request that must be taken."""

    def post(path: str, **body: Any) -> Any:
        answer = client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


def smallest(path: str) -> dict[str, Any]:
    only = ROUTES[path].form.fields[0]
    return SMALLEST.get(path) or ({only.name: []} if only.kind == "rows" else EXAMPLES[path])


def shown(answer: Any) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


# Who may


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_a_route_takes_only_a_key_of_its_scope(client: Client, shop: Context, path: str) -> None:
    body = smallest(path)
    for scope in SCOPES:
        plain = shop.store.add_key("cafe", scope)
        answer = client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {plain}"})
        assert answer.status_code == (200 if scope in (ROUTES[path].scope, "admin") else 403), (scope, answer.text)


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer hx_shop_no", "Basic aHg6eA==", "hx_shop_no", "Bearer hx_\xff", "Bearer ' OR 1=1"],
)
def test_no_key_opens_nothing(client: Client, path: str, authorization: str) -> None:
    headers = {"authorization": authorization.encode("latin-1")}
    answer = client.post(f"/v1{path}", content=b"not even read", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("path", ROUTES)
def test_a_revoked_key_is_refused_at_once(client: Client, shop: Context, path: str) -> None:
    plain = shop.store.add_key("cafe", "admin")
    headers = {"authorization": f"Bearer {plain}"}
    assert client.post(f"/v1{path}", json=smallest(path), headers=headers).status_code == 200
    found = shop.store.find_key(plain)
    assert found is not None
    shop.store.revoke_key("cafe", found.key_id)
    assert client.post(f"/v1{path}", json=smallest(path), headers=headers).status_code == 401


@pytest.mark.law
def test_one_tenant_sees_nothing_of_another(client: Client, shop: Context, ask: Ask) -> None:
    """Law 4. The same ids in two apps are different things."""
    cafe = {"authorization": f"Bearer {shop.store.add_key('cafe', 'admin')}"}
    ask("/users", users=[{"user_id": "ann", "member_tier": "gold"}])
    ask("/offers/catalogue", offers=[{"offer_id": "o1", "kind": "cash", "value": 5}])
    assert client.post("/v1/recommend", json={"user_id": "ann"}, headers=cafe).json()["items"] == []
    assert client.post("/v1/similar", json={"item_id": "green"}, headers=cafe).json()["items"] == []
    assert client.post("/v1/offers", json={"user_id": "ann"}, headers=cafe).json()["offers"] == []
    sent = {"events": [purchase("cafe-1", "zoe", "green")]}
    assert client.post("/v1/events", json=sent, headers=cafe).json()["accepted"] == 1
    assert "green" in shown(ask("/recommend", user_id="zoe"))
    assert ask("/events", **sent)["accepted"] == 1, "an event_id is an app's own"
    assert "green" not in shown(ask("/recommend", user_id="zoe"))


# What is refused


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"\xff\xfe", "body"),
        (b'{"a":NaN}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"user_idd":"ann"}', "user_idd"),
        (b'{"\\ud800":1}', "\\ud800"),
    ],
)
def test_a_body_that_is_no_form_is_refused(client: Client, key: str, path: str, body: bytes, field: str) -> None:
    answer = client.post(f"/v1{path}", content=body, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"].encode("ascii", "backslashreplace").decode() == field


@pytest.mark.parametrize("path", [path for path in ROUTES if any(f.required for f in ROUTES[path].form.fields)])
def test_what_is_required_is_named(client: Client, key: str, path: str) -> None:
    answer = client.post(f"/v1{path}", json={}, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == next(f.name for f in ROUTES[path].form.fields if f.required)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a" * 129}, "user_id"),
        ({"user_id": 5}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"user_id": "a\x00"}, "user_id"),
        ({"user_id": "ann", "n": 0}, "n"),
        ({"user_id": "ann", "n": LARGEST_N + 1}, "n"),
        ({"user_id": "ann", "n": 5.5}, "n"),
        ({"user_id": "ann", "n": True}, "n"),
        ({"user_id": "ann", "n": 10**400}, "n"),
        ({"user_id": "ann", "lang": "fr"}, "lang"),
        ({"user_id": "ann", "exclude": "tea"}, "exclude"),
        ({"user_id": "ann", "exclude": ["tea", 5]}, "exclude[1]"),
        ({"user_id": "ann", "exclude": ["x"] * 501}, "exclude"),
        ({"user_id": "ann", "context": {"hour": 24}}, "context.hour"),
        ({"user_id": "ann", "filters": {"colour": ["red"]}}, "filters.colour"),
        ({"user_id": "ann", "filters": {"price_min": -1}}, "filters.price_min"),
        ({"user_id": "ann", "diversity": 1.5}, "diversity"),
        ({"user_id": "ann", "personalized": "no"}, "personalized"),
    ],
)
def test_a_field_that_cannot_be_taken_is_named(client: Client, key: str, body: Any, field: str) -> None:
    answer = client.post("/v1/recommend", content=json.dumps(body), headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_is_too_large_is_refused(client: Client, key: str, path: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    stated = client.post(f"/v1{path}", content=b" " * (LARGEST_BODY + 1), headers=headers)
    chunked = client.post(f"/v1{path}", content=_chunks(), headers=headers)
    assert (stated.status_code, chunked.status_code) == (413, 413)


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(4):
        yield b" " * 300_000


def test_a_batch_that_is_too_long_is_refused(client: Client, key: str) -> None:
    body = {"events": [{}] * (LARGEST_BATCH + 1)}
    answer = client.post("/v1/events", json=body, headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "events")


def test_few_links_are_taken_at_once(client: Client, key: str) -> None:
    """Each of them moves people, and events wait meanwhile."""
    rows = [{"link_id": f"l{n}", "user_id": f"u{n}", "anonymous_id": f"a{n}"} for n in range(LINKS_AT_ONCE + 1)]
    headers = {"authorization": f"Bearer {key}"}
    answer = client.post("/v1/identities", json={"identities": rows}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "identities")
    taken = client.post("/v1/identities", json={"identities": rows[1:]}, headers=headers)
    assert taken.json()["changed"] == LINKS_AT_ONCE


def test_paths_and_methods_that_are_not_there(client: Client, key: str) -> None:
    assert client.post("/v1/nothing", json={}).status_code == 404
    refused = client.get("/v1/recommend")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert client.post("/v1/openapi.json").status_code == 405


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(ROUTES)), data=st.data())
def test_a_wrong_request_is_never_a_500(client: Client, key: str, path: str, data: st.DataObject) -> None:
    fields = ROUTES[path].form.fields
    names = [field.name for field in fields]
    rows = [column.name for column in ROWS[fields[0].row].columns] if fields[0].row else ["x"]
    row = st.dictionaries(st.sampled_from(rows), JSON | st.just("2026-01-01T00:00:00Z"), max_size=5)
    values = JSON | st.lists(row, max_size=3)
    body = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, values)))
    answer = client.post(f"/v1{path}", content=json.dumps(body), headers={"authorization": f"Bearer {key}"})
    assert answer.status_code in (200, 422), answer.text


WITH_ROWS = sorted(path for path, route in ROUTES.items() if route.form.fields[0].row)


@pytest.mark.parametrize("odd", ["a\x00", "\ud800", "\uffff", "\U0010ffff"])
@pytest.mark.parametrize("path", WITH_ROWS)
def test_a_text_is_refused_by_every_database_or_by_none(client: Client, key: str, path: str, odd: str) -> None:
    """PostgreSQL takes no NUL, and no driver a lone surrogate: whatever takes rows must refuse them itself."""
    field = ROUTES[path].form.fields[0]
    usual = {"event_id": "e", "user_id": "ann", "type": "x", "ts": "2026-01-01T00:00:00Z"}
    for column in ROWS[field.row].columns:
        body = json.dumps({field.name: [usual | {column.name: odd}, {column.name: odd}, {odd: odd}]})
        answer = client.post(f"/v1{path}", content=body, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code in (200, 422), answer.text


# What is answered


def test_a_known_visitor_gets_the_night_s_table_with_reasons(ask: Ask) -> None:
    answer = ask("/recommend", user_id="ann", n=3, placement="home")
    assert shown(answer) == ["green", "black", "white"]
    assert not answer["degraded"]
    first = answer["items"][0]
    assert first["source"] == "als"
    assert first["reason"].keys() == {"code", "text", "evidence"}
    assert ask("/recommend", user_id="ann", n=3, lang="zh")["items"][0]["reason"]["text"] != first["reason"]["text"]


def test_an_unknown_visitor_gets_what_is_popular(ask: Ask) -> None:
    assert shown(ask("/recommend", user_id="nobody", n=3)) == ["cup", "mug", "black"]


def test_nothing_personal_when_the_request_or_the_visitor_says_so(ask: Ask) -> None:
    """Law 11, as far as the switch of the users catalogue goes."""
    assert shown(ask("/recommend", user_id="ann", n=2, personalized=False)) == ["cup", "mug"]
    ask("/users", users=[{"user_id": "ann", "consent": False}])
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["cup", "mug"]
    ask("/users", users=[{"user_id": "ann", "consent": True}])
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["green", "black"]


@pytest.mark.law
def test_what_was_asked_for_is_obeyed(ask: Ask) -> None:
    """Law 8 at the door; the rules themselves are the recommender's tests."""
    assert shown(ask("/recommend", user_id="ann", exclude=["green"], filters={"category": ["tea"]})) == [
        "black",
        "white",
    ]
    answer = ask("/recommend", user_id="ann", filters={"price_max": 1000})
    assert set(shown(answer)) == {"green", "black"}
    assert answer["removed"]["price"] >= 1
    assert "cup" not in shown(ask("/recommend", user_id="ann", context={"cart": ["cup"]}))


@pytest.mark.law
def test_the_next_answer_reflects_an_acknowledged_event(ask: Ask) -> None:
    """Law 6."""
    before = shown(ask("/recommend", user_id="bob"))
    assert (before.index("mug"), before.index("white")) == (1, 4)
    assert ask("/events", events=[purchase("p1", "bob", "mug")])["accepted"] == 1
    answer = ask("/recommend", user_id="bob")
    assert "mug" not in shown(answer), "bought: gone"
    place = shown(answer).index("white")
    assert place < 3, "its neighbour rises"
    assert answer["items"][place]["reason"]["code"] == "because_bought"


@pytest.mark.law
def test_a_catalogue_change_is_seen_by_the_next_answer(ask: Ask) -> None:
    cup = {"item_id": "cup", "title": "Cup", "category": ["ware"], "price": 1500}
    ask("/items", items=[cup | {"hidden": True}, {"item_id": "pot", "title": "Pot", "category": ["pots"]}])
    assert "cup" not in shown(ask("/recommend", user_id="eve"))
    assert shown(ask("/recommend", user_id="eve", filters={"category": ["pots"]})) == ["pot"]
    assert ask("/items", items=[cup | {"hidden": False}]) == {"changed": 1, "unchanged": 0}
    assert ask("/items", items=[cup]) == {"changed": 0, "unchanged": 1}
    assert "cup" in shown(ask("/recommend", user_id="eve"))


def test_similar_items(ask: Ask) -> None:
    assert shown(ask("/similar", item_id="green", n=1)) == ["black"]


def test_what_is_bought_together_and_what_rises(ask: Ask, shop: Context) -> None:
    before = ask("/together", item_id="green", n=1)
    assert before["items"][0]["reason"]["code"] == "similar_to", "no orders yet"
    good = shop.store.active("shop").bundle
    assert good is not None
    hours = {f"hour:{hour}": (("mug", 9),) for hour in range(24)} | {"hour:8": (("white", 9),)}
    made = night(together={"green": (("cup", 0.8),)}, occasions={"now": (("white", 3.5),), **hours})
    publish_night(shop.settings, shop.store, made)
    pair = ask("/together", item_id="green", n=1, user_id="ann")["items"][0]
    assert (pair["item_id"], pair["source"]) == ("cup", "together")
    assert pair["reason"]["evidence"] == {"item_id": "green", "title": "Green tea", "orders": 8, "lift": 2.0}
    assert shown(ask("/together", items=["mug", "green"], n=1)) == ["cup"]
    assert "cup" not in shown(ask("/together", items=["cup", "green"]))
    first = ask("/trending", n=2, lang="zh")["items"][0]
    assert (first["item_id"], first["reason"]["evidence"]) == ("white", {"times_usual": 3.5})
    assert shown(ask("/trending", n=1, filters={"category": ["ware"]})) == ["cup"]
    assert shown(ask("/recommend", user_id="stranger", n=1, context={"hour": 8})) == ["white"]
    by_the_clock = ask("/recommend", user_id="stranger", n=1)["items"][0]["reason"]
    assert by_the_clock["code"] == "popular_at_this_hour", "the hour that is not named is now"
    shop.store.reactivate("shop", "bundle", good.version)


def test_bought_together_with_nothing_is_refused(client: Client, key: str) -> None:
    answer = client.post("/v1/together", json={"n": 3}, headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "item_id")


def test_offers_hold_by_their_own_conditions(ask: Ask) -> None:
    member = {"offer_id": "gold", "kind": "member", "value": 500, "max_cost": 900, "tiers": ["gold"]}
    over = {"offer_id": "over", "kind": "cash", "value": 100, "ends": "2020-01-01T00:00:00Z"}
    ask("/offers/catalogue", offers=[member, over, {"offer_id": "all", "kind": "cash", "value": 100, "title": "All"}])
    found = {one["offer_id"]: one for one in ask("/offers", user_id="carl")["offers"]}
    assert "all" in found
    assert not {"gold", "over"} & set(found)
    assert found["all"]["reason"]["text"]
    ask("/users", users=[{"user_id": "carl", "member_tier": "gold"}])
    assert "gold" in {one["offer_id"] for one in ask("/offers", user_id="carl")["offers"]}


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_row_that_cannot_be_taken_is_named_and_nothing_is_stored(client: Client, key: str, name: str) -> None:
    path = next(route.path for route in ROUTES.values() if route.form.fields[0].name == name)
    good = {CATALOGUES[name].key: "fine-1"} | ({"kind": "cash"} if name == "offers" else {})
    headers = {"authorization": f"Bearer {key}"}
    answer = client.post(f"/v1{path}", json={name: [good, good | {"nonsense": 1}]}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, f"{name}[1].nonsense")
    assert client.post(f"/v1{path}", json={name: [good]}, headers=headers).json()["changed"] == 1


def test_each_answer_is_written_down(ask: Ask, shop: Context) -> None:
    answer = ask("/recommend", user_id="dora", n=2, placement="home")
    similar = ask("/similar", item_id="green", n=1)
    impersonal = ask("/recommend", user_id="dora", n=2, personalized=False)
    ask("/events", events=[purchase("after", "dora", "mug")])  # a commit takes along what waits
    rows = {row["decision_id"]: row for row in map(json.loads, shop.store.decisions_to_drain("shop").payloads)}
    row = rows[answer["decision_id"]]
    assert (row["user_id"], row["placement"], row["arm"], row["degraded"]) == ("dora", "home", "treated", False)
    assert (row["version"], row["policy"]) == (answer["version"], "popular")
    candidates = json.loads(row["candidates"])
    assert [(one["item_id"], one["position"]) for one in candidates] == [(i, p) for p, i in enumerate(shown(answer), 1)]
    assert [rows[one["decision_id"]]["arm"] for one in (similar, impersonal)] == [None, None]


def test_the_control_group_is_a_fixed_share_and_gets_the_popular_shelf(
    client: Client, shop: Context, ask: Ask, key: str
) -> None:
    shop.store.save_app(AppSettings("shop", **NOTHING_DRAWN | {"control_share": 0.3}))
    tenant = shop.store.tenant("shop")
    arms = [in_control(tenant, f"visitor {n}") for n in range(4_000)]
    assert abs(sum(arms) / len(arms) - 0.3) < 4 * (0.3 * 0.7 / len(arms)) ** 0.5
    assert arms == [in_control(tenant, f"visitor {n}") for n in range(4_000)]
    cafe = [in_control(shop.store.tenant("cafe"), f"visitor {n}") for n in range(4_000)]
    assert cafe != arms
    bought = [f"visitor {n}" for n in range(12)]
    ask("/events", events=[purchase(f"c-{user}", user, "green") for user in bought])
    answers = {user: ask("/recommend", user_id=user, n=1)["items"][0] for user in bought}
    for user, first in answers.items():
        assert first["item_id"] == ("cup" if in_control(tenant, user) else "black")
    on_a_page = {"n": 1, "item_id": "green", "personalized": False}
    assert {shown(ask("/recommend", user_id=user, **on_a_page))[0] for user in bought} == {"black"}, "alike for both"
    shop.store.save_app(AppSettings("shop", **NOTHING_DRAWN))


def test_a_new_version_is_served_by_the_next_request_and_an_old_one_again(ask: Ask, shop: Context) -> None:
    before = ask("/recommend", user_id="ann", n=1)
    table = {"ann": (Candidate("white", 0.9),)}
    version = publish_night(shop.settings, shop.store, night(table=table))
    after = ask("/recommend", user_id="ann", n=1)
    assert (after["version"], shown(after)) == (version, ["white"])
    shop.store.reactivate("shop", "bundle", before["version"])
    assert ask("/recommend", user_id="ann", n=1)["version"] == before["version"]


# Who is the same person


@pytest.mark.law
def test_a_link_counts_for_the_next_answer_and_is_gone_with_the_next(ask: Ask, shop: Context) -> None:
    """Law 6 across ids: what was done under one is known under the other, whichever is asked."""
    ask("/events", events=[purchase("g1", "anon-1", "green"), purchase("g2", "gina", "mug")])
    assert {"green", "mug"} & set(shown(ask("/recommend", user_id="gina"))) == {"green"}
    ask("/identities", identities=[{"link_id": "g", "user_id": "gina", "openid": "o-g", "anonymous_id": "anon-1"}])
    for known in ("gina", "anon-1", "o-g"):
        answer = ask("/recommend", user_id=known)
        assert (answer["user_id"], {"green", "mug"} & set(shown(answer))) == ("gina", set())
        assert ask("/offers", user_id=known)["user_id"] == "gina"
    ask("/events", events=[purchase("g3", "o-g", "cup")])
    assert "cup" not in shown(ask("/recommend", user_id="anon-1"))
    rows = {row["decision_id"]: row for row in map(json.loads, shop.store.decisions_to_drain("shop").payloads)}
    assert {"o-g", "anon-1"}.isdisjoint(row["user_id"] for row in rows.values())
    ask("/identities", identities=[{"link_id": "g", "openid": None, "anonymous_id": None}])
    apart = ask("/recommend", user_id="anon-1")
    assert (apart["user_id"], {"green", "mug", "cup"} & set(shown(apart))) == ("anon-1", {"mug", "cup"})


def test_whoever_signs_in_keeps_the_table_of_the_night_and_the_arm(ask: Ask, shop: Context) -> None:
    """Ann was ann at night; today she became a member under another id, which is hers from now on."""
    assert shown(ask("/recommend", user_id="member-7"))[0] != "green"
    ask("/identities", identities=[{"link_id": "a", "user_id": "member-7", "anonymous_id": "ann"}])
    for known in ("ann", "member-7"):
        answer = ask("/recommend", user_id=known)
        assert (answer["user_id"], shown(answer)[0]) == ("member-7", "green")
    shop.store.save_app(AppSettings("shop", control_share=0.5, exploration_share=0.0))
    tenant = shop.store.tenant("shop")
    first = "cup" if in_control(tenant, "member-7") else "green"
    assert {shown(ask("/recommend", user_id=known))[0] for known in ("ann", "member-7")} == {first}
    shop.store.save_app(AppSettings("shop", **NOTHING_DRAWN))
    ask("/identities", identities=[{"link_id": "a", "anonymous_id": None}])


@pytest.mark.law
def test_who_refuses_under_one_id_refuses_under_all(ask: Ask) -> None:
    """Law 11."""
    ask("/users", users=[{"user_id": "o-ann", "consent": False}])
    ask("/identities", identities=[{"link_id": "r", "user_id": "ann", "openid": "o-ann"}])
    ask("/events", events=[purchase("r1", "ann", "cup")])
    assert shown(ask("/recommend", user_id="ann"))[0] == "cup", "the popular shelf, without a trace of ann"
    ask("/identities", identities=[{"link_id": "r", "openid": None}])
    assert shown(ask("/recommend", user_id="ann"))[0] == "green"


@pytest.mark.law
def test_links_are_the_app_s_own(client: Client, shop: Context, ask: Ask) -> None:
    """Law 4."""
    ask("/identities", identities=[{"link_id": "t", "user_id": "tess", "openid": "o-t"}])
    cafe = {"authorization": f"Bearer {shop.store.add_key('cafe', 'admin')}"}
    assert client.post("/v1/recommend", json={"user_id": "o-t"}, headers=cafe).json()["user_id"] == "o-t"


# What is broken


@pytest.mark.fault
def test_a_broken_bundle_answers_from_the_catalogue_and_says_so(ask: Ask, shop: Context) -> None:
    good = shop.store.active("shop").bundle
    assert good is not None
    version = publish_night(shop.settings, shop.store, night())
    array = bundle_folder(shop.settings, "shop", version) / "candidate_items.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"!")
    answer = ask("/recommend", user_id="frank", n=3)
    assert (answer["degraded"], answer["version"], len(answer["items"])) == (True, None, 3)
    shop.store.reactivate("shop", "bundle", good.version)
    assert not ask("/recommend", user_id="frank")["degraded"]


@pytest.mark.fault
def test_without_its_store_the_service_answers_nothing_personal_and_accepts_nothing(
    client: Client, ask: Ask, key: str, away: AbstractContextManager[None], caplog: pytest.LogCaptureFixture
) -> None:
    """Law 7, and law 5 from the other side: what cannot be kept is not acknowledged."""
    ask("/recommend", user_id="ann")
    with away:
        answer = ask("/recommend", user_id="ann", n=3)
        assert (answer["degraded"], shown(answer)) == (True, ["cup", "mug", "black"])
        assert ask("/offers", user_id="ann")["degraded"]
        body = {"events": [purchase("lost", "ann", "green")]}
        refused = client.post("/v1/events", json=body, headers={"authorization": f"Bearer {key}"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["message"] == StoreUnavailable.OUTWARD, "no word of the driver's"
    assert any("not available (" in record.message for record in caplog.records), "that is in the log"
    deadline = time.monotonic() + 30
    while ask("/recommend", user_id="ann")["degraded"]:  # a remote store is left alone for a moment
        assert time.monotonic() < deadline
    assert shown(ask("/recommend", user_id="ann", n=1)) == ["green"]
    assert ask("/events", **body)["accepted"] == 1


@pytest.mark.fault
def test_a_client_that_hung_up_is_answered_all_the_same(shop: Context) -> None:
    """Nobody hears it; but BentoML keeps a request that sends nothing until its timeout, which holds a worker up that
    was asked to end."""
    sent: list[Any] = []
    key = shop.store.add_key("shop", "events")

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/events", "headers": headers}
    asyncio.run(Api(shop)(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == HUNG_UP
