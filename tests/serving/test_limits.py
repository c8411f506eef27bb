"""How often one may ask, how much at once, and what a stream of wrong keys costs the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_app import Client
from planted_tenants import SECRET, open_tenants
from sqlalchemy import event
from starlette.applications import Starlette

from portraits.errors import InvalidValue, RateLimited
from portraits.settings import MOST_REQUESTS, AppSettings
from serving.app import LARGEST_BODY, v1
from serving.context import Context
from serving.limits import EVENTS_A_REQUEST, Limits
from serving.routes import LARGEST_BATCH, LARGEST_N, ROUTES
from serving.stores.apps import Tenant
from serving.stores.merchants import Provider
from serving.tenants import Asked, Grant
from serving.tokens import Token

SETTINGS = ("requests_per_second", "key_requests_per_second", "visitor_requests_per_second")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def grant(app: str = "shop", key: str = "k1", user: str = "", **settings: float) -> Grant:
    tenant = Tenant(AppSettings(app, **{"visitor_requests_per_second": 0.0} | settings), "", 1)
    return Grant(app, "admin", tenant, Any, key, float("inf"), Asked("", key, app), user)  # type: ignore[arg-type]


def taken(limits: Limits, one: Grant, times: int) -> int:
    """How many of so many requests at one moment are taken."""
    count = 0
    for _ in range(times):
        try:
            limits.count(one)
        except RateLimited:
            continue
        count += 1
    return count


# The count


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("rate", [1.0, 7.0, 100.0])
def test_as_many_as_the_rate_at_once_then_one_by_one(setting: str, rate: float) -> None:
    clock = Clock()
    limits, one = Limits(1, clock), grant(user="ann" if setting.startswith("visitor") else "", **{setting: rate})
    assert taken(limits, one, 1_000) == int(rate)
    clock.now += 1 / rate
    assert taken(limits, one, 1_000) == 1
    clock.now += 60
    assert taken(limits, one, 1_000) == int(rate)


@given(st.floats(1.0, 500.0), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_never_more_than_the_rate_and_one_second_s_worth(rate: float, pauses: list[float]) -> None:
    clock = Clock()
    limits, one, began = Limits(1, clock), grant(requests_per_second=rate), clock.now
    count = 0
    for pause in pauses:
        clock.now += pause
        count += taken(limits, one, 3)
        assert count <= rate * (clock.now - began) + max(rate, 1) + 1e-3


@given(st.floats(1.0, 50.0), st.integers(1, 64))
def test_after_the_stated_seconds_one_more_is_taken(rate: float, workers: int) -> None:
    clock = Clock()
    limits, one = Limits(workers, clock), grant(requests_per_second=rate)
    taken(limits, one, 200)
    with pytest.raises(RateLimited) as refused:
        limits.count(one)
    assert refused.value.retry_after_s >= 1
    clock.now += refused.value.retry_after_s
    assert taken(limits, one, 1) == 1


def test_without_a_limit_nothing_is_counted() -> None:
    assert taken(Limits(), grant(), 5_000) == 5_000


def test_the_workers_of_a_process_divide_an_app_s_rate_and_no_other() -> None:
    clock = Clock()
    assert taken(Limits(4, clock), grant(requests_per_second=100), 1_000) == 25
    assert taken(Limits(4, clock), grant(key_requests_per_second=100), 1_000) == 100
    assert taken(Limits(4, clock), grant(user="ann", visitor_requests_per_second=100), 1_000) == 100


def test_each_is_counted_apart_and_all_of_them_against_the_app() -> None:
    limits = Limits(1, Clock())
    rates = {"requests_per_second": 50.0, "key_requests_per_second": 20.0, "visitor_requests_per_second": 10.0}
    assert taken(limits, grant(user="ann", **rates), 100) == 10
    assert taken(limits, grant(user="bob", **rates), 100) == 10
    assert taken(limits, grant(key="k1", **rates), 100) == 20
    assert taken(limits, grant(key="k2", **rates), 100) == 10, "what is left of the app's"
    assert taken(limits, grant("cafe", **rates), 100) == 20, "another app has its own"


def test_a_raised_limit_counts_from_now_on() -> None:
    limits = Limits(100, Clock())
    assert taken(limits, grant(requests_per_second=1), 10) == 1
    assert taken(limits, grant(requests_per_second=500), 10) == 5


@pytest.mark.parametrize("rate", [1.0, 5.0, 20.0, 400.0])
def test_a_phone_s_batches_count_by_what_they_hold(rate: float) -> None:
    """One of any size is taken by whoever is at the rate; on the long run no more than the rate allows."""
    clock = Clock()
    limits, one, began = Limits(1, clock), grant(user="ann", visitor_requests_per_second=rate), clock.now
    events = 0
    for _ in range(2_000):
        clock.now += 0.01
        try:
            limits.count(one)
            limits.count_events(one, LARGEST_BATCH)
        except RateLimited:
            continue
        events += LARGEST_BATCH
    assert LARGEST_BATCH <= events <= EVENTS_A_REQUEST * rate * (clock.now - began + 1) + 2 * LARGEST_BATCH
    clock.now += 60
    assert taken(limits, one, 1) == 1


def test_a_small_batch_and_a_server_key_s_cost_no_more() -> None:
    clock = Clock()
    limits, ann = Limits(1, clock), grant(user="ann", visitor_requests_per_second=5.0)
    limits.count_events(ann, EVENTS_A_REQUEST)
    limits.count_events(grant(key_requests_per_second=5.0), LARGEST_BATCH)
    assert taken(limits, ann, 10) == 5


def test_who_stopped_asking_is_dropped() -> None:
    clock = Clock()
    limits = Limits(1, clock)
    for number in range(25_000):
        clock.now += 0.01
        limits.count(grant(user=f"visitor {number}", visitor_requests_per_second=5.0))
    assert len(limits._ahead) <= 10_001


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("wrong", [-1, 0.5, MOST_REQUESTS + 1, float("nan"), float("inf")])
def test_what_is_no_limit_is_refused(setting: str, wrong: float) -> None:
    with pytest.raises(InvalidValue):
        AppSettings("shop", **{setting: wrong})


# Over HTTP


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    process, store = open_tenants(tmp_path_factory.mktemp("home"))
    store.close()
    opened = Context.open(process)
    yield opened
    opened.close()


@pytest.fixture
def client(context: Context) -> Iterator[Client]:
    """A worker that has counted nothing yet."""
    with Client(Starlette(routes=[v1(context)])) as opened:
        yield opened


def bearer(credential: str, app: str = "") -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"} | ({"x-app-id": app} if app else {})


@pytest.mark.parametrize("setting", SETTINGS)
def test_over_the_limit_is_refused_with_the_time_to_wait_and_others_go_on(
    client: Client, context: Context, setting: str
) -> None:
    store = context.store
    quiet = {"control_share": 0.0, "exploration_share": 0.0, "visitor_requests_per_second": 0.0}
    store.save_app(AppSettings("shop", **quiet | {setting: 1.0}))
    key, other = store.add_key("shop", "admin"), store.add_key("bakery", "admin")
    found = store.find_key(key)
    assert found is not None
    text = context.tenants.tokens.make(Token("shop", found.key_id, "chen", time.time() + 60), time.time())
    mine = bearer(text if setting.startswith("visitor") else key)

    def ask(headers: dict[str, str]) -> httpx.Response:
        return client.post("/v1/recommend", json={"user_id": "chen"}, headers=headers)

    answers = [ask(mine) for _ in range(30)]
    refused = [one for one in answers if one.status_code == 429]
    assert answers[0].status_code == 200
    assert refused
    assert {(one.json()["error"]["code"], one.headers["retry-after"]) for one in refused} == {("rate_limited", "1")}
    assert setting in refused[0].json()["error"]["message"]
    assert ask(bearer(other)).status_code == 200
    store.save_app(AppSettings("shop", **quiet))
    until = time.monotonic() + 30
    while ask(mine).status_code != 200:
        assert time.monotonic() < until, "what is taken next sees that the limit is gone"
    assert {ask(mine).status_code for _ in range(20)} == {200}


def test_a_provider_s_keys_count_against_the_app(client: Client, context: Context) -> None:
    context.store.save_app(AppSettings("shop", requests_per_second=1.0))
    keys = [bearer(context.store.add_key(Provider("house"), "admin"), "shop") for _ in range(12)]
    found = [client.post("/v1/trending", json={}, headers=headers).status_code for headers in keys]
    assert found[0] == 200
    assert 429 in found
    context.store.save_app(AppSettings("shop"))


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_counts(client: Client, context: Context, path: str) -> None:
    """Whatever the body is: a request that is refused for it has cost as much."""
    context.store.save_app(AppSettings("shop", requests_per_second=1.0))
    headers = bearer(context.store.add_key("shop", "admin"))
    found = [client.post(f"/v1{path}", content=b"{", headers=headers).status_code]
    while found[-1] == 422 and len(found) < 50:
        found.append(client.post(f"/v1{path}", content=b"{", headers=headers).status_code)
    assert (found[0], found[-1]) == (422, 429)
    context.store.save_app(AppSettings("shop"))


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_is_not_read_further_than_its_limit_nor_by_who_may_not(
    client: Client, context: Context, path: str
) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 100_000

    headers = bearer(context.store.add_key("shop", "admin"))
    assert client.post(f"/v1{path}", content=endless(), headers=headers).status_code == 413
    assert read <= LARGEST_BODY // 100_000 + 2
    read = 0
    assert client.post(f"/v1{path}", content=endless(), headers=bearer("hx_shop_wrong")).status_code == 401
    assert read <= 1


def test_batches_and_shelves_have_a_largest_size(client: Client, context: Context) -> None:
    headers = bearer(context.store.add_key("shop", "admin"))
    for route in ROUTES.values():
        for field in route.form.fields:
            if field.kind == "rows":
                sent: dict[str, Any] = {field.name: [{}] * (field.most + 1)}
                assert field.most <= LARGEST_BATCH
            elif field.name == "n":
                assert field.greatest is not None
                assert field.greatest <= LARGEST_N or route.scope == "admin"
                sent = {"user_id": "chen", "item_id": "tea-green", "n": field.greatest + 1}
                sent = {name: value for name, value in sent.items() if route.form.has(name)}
            else:
                continue
            refused = client.post(f"/v1{route.path}", json=sent, headers=headers)
            assert refused.status_code == 422, (route.path, refused.text)
            assert refused.json()["error"]["field"] == field.name


# Wrong keys


@pytest.fixture
def lone(context: Context) -> Iterator[Context]:
    """A worker with an event loop of its own."""
    opened = Context.open(context.settings)
    yield opened
    opened.close()


def test_many_wrong_keys_cost_few_reads_and_keep_no_right_key_out(lone: Context) -> None:
    store = lone.store
    known, fresh = store.add_key("shop", "recommend"), store.add_key("shop", "recommend")
    reads: list[str] = []
    app = Starlette(routes=[v1(lone)])

    async def flood() -> tuple[list[int], int, int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(key: str) -> int:
                return (await client.post("/v1/trending", json={}, headers=bearer(key))).status_code

            assert await ask(known) == 200
            event.listen(store._dialect.engine, "before_cursor_execute", lambda *told: reads.append(told[2]))
            wrong = [asyncio.create_task(ask(f"hx_shop_{number:043}")) for number in range(600)]
            right, remembered = await ask(fresh), await ask(known)
            return list(await asyncio.gather(*wrong)), right, remembered

    refused, right, remembered = asyncio.run(flood())
    assert set(refused) == {401}
    assert (right, remembered) == (200, 200)
    look_ups = [statement for statement in reads if "keys" in statement]
    assert 1 <= len(look_ups) <= 10, "600 wrong keys are asked for together"
    assert len(lone.tenants._grants) == 2, "and none of them is remembered"


@pytest.mark.fault
def test_who_gives_up_waiting_leaves_the_others_in_line(lone: Context) -> None:
    fresh = lone.store.add_key("shop", "recommend")

    async def race() -> str:
        first = asyncio.create_task(lone.tenants.remembered("Bearer hx_shop_wrong"))
        second = asyncio.create_task(lone.tenants.remembered("Bearer hx_shop_wrong too"))
        third = asyncio.create_task(lone.tenants.remembered(f"Bearer {fresh}"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        second.cancel()
        return (await asyncio.wait_for(third, 10)).app_id

    assert asyncio.run(race()) == "shop"


def test_the_secret_is_in_no_answer(client: Client, context: Context) -> None:
    headers = bearer(context.store.add_key("shop", "events"))
    answer = client.post("/v1/token", json={"user_id": "chen"}, headers=headers)
    assert SECRET not in answer.text
    assert SECRET not in repr(context.settings)
