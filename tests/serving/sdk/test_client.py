"""The Python client: a method for every route, light, and safe to use over a network that fails."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, get_origin, get_type_hints

import httpx
import pytest
from scripted_server import Scripted
from serving_process import Service

from portraits.history import TABLES
from serving.examples import EXAMPLES
from serving.openapi import ROWS, operation_id
from serving.routes import ROUTES
from serving.sdk import rows
from serving.sdk.answers import ANSWERS
from serving.sdk.client import AsyncHuaxiang, Huaxiang
from serving.sdk.errors import (
    CallFailed,
    EventsNotSent,
    Forbidden,
    InvalidRequest,
    NoAnswer,
    NotAsAgreed,
    NotAuthorized,
    NotFound,
    TooManyRequests,
    TooSlow,
    Unavailable,
)
from serving.sdk.exchange import PATIENT, Patience
from serving.stores import Store
from serving.writer import WAIT_S

QUICK = Patience(tries=3, try_s=2.0, deadline_s=10.0)
OK = (200, {}, b'{"accepted":1,"duplicates":0,"rejected":[]}')
AWAY = (503, {"retry-after": "0", "x-request-id": "r-1"}, b'{"error":{"code":"store_unavailable","message":"away"}}')
VIEW: rows.Event = {"user_id": "chen", "type": "item_view", "item_id": "tea-green"}
ROW_TYPES = {
    "events": rows.Event,
    "items": rows.ItemRow,
    "users": rows.UserRow,
    "stores": rows.StoreRow,
    "contents": rows.ContentRow,
    "identities": rows.IdentityRow,
    "offers": rows.OfferRow,
    "rules": rows.RuleRow,
}
MADE_HERE = {"event_id", "ts"}
"""What an event gets from the client where it is not given."""

# What it is made of


def test_it_needs_httpx_and_nothing_else() -> None:
    program = (
        "import sys, httpx; before = set(sys.modules); import serving.sdk.client;"
        "print(*(name for name in sys.modules if name not in before))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.partition(".")[0] in ("serving", "recommender", "portraits")}
    assert all(name == "serving" or name.startswith("serving.sdk") for name in ours)
    assert {name.partition(".")[0] for name in loaded - ours} <= sys.stdlib_module_names


@pytest.mark.law
@pytest.mark.parametrize("client", [Huaxiang, AsyncHuaxiang])
@pytest.mark.parametrize("path", ROUTES)
def test_every_route_has_a_method_with_its_fields(client: type, path: str) -> None:
    method = inspect.unwrap(getattr(client, operation_id(path)))
    parameters = {name: one for name, one in inspect.signature(method).parameters.items() if name != "self"}
    fields = {field.name: field for field in ROUTES[path].form.fields}
    assert parameters.keys() == fields.keys()
    needed = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    assert needed == {name for name, field in fields.items() if field.required}
    answer = get_type_hints(method)["return"]
    assert path == "/events" or answer.__args__ == (ANSWERS[path],)


@pytest.mark.parametrize("name", ROW_TYPES)
def test_a_row_has_the_columns_of_its_table(name: str) -> None:
    hints = get_type_hints(ROW_TYPES[name], include_extras=True)
    assert hints.keys() == set(ROWS[name].names)
    needed = {column for column, hint in hints.items() if "NotRequired" not in str(get_origin(hint))}
    assert needed == set(ROWS[name].required) - (MADE_HERE if name == "events" else set())


def test_every_table_that_is_sent_has_a_type() -> None:
    sent = {field.row for route in ROUTES.values() for field in route.form.fields if field.row}
    assert sent == ROW_TYPES.keys()
    assert TABLES["events"].names == tuple(ROWS["events"].names)


# Against the running service


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_every_method_is_answered(service: Service, key: str, path: str) -> None:
    name, body = operation_id(path), EXAMPLES[path]

    async def ask() -> Any:
        async with AsyncHuaxiang(service.url, key) as client:
            return await getattr(client, name)(**body)

    with Huaxiang(service.url, key) as client:
        answer, again = getattr(client, name)(**body), asyncio.run(ask())
    if path == "/events":
        assert (answer.total, again.total, again.duplicates) == (1, 1, 1)
    else:
        optional = {"removed", "rejected", "unknown", "rule", "none_because"}
        assert answer.keys() >= ANSWERS[path].__annotations__.keys() - optional
        assert answer.keys() == again.keys()
        assert not again.get("changed"), "the second time changes nothing"
        assert path != "/segments" or answer["version"] == again["version"]


def test_a_visitor_s_token_is_for_that_visitor(service: Service, key: str) -> None:
    with Huaxiang(service.url, key) as backend:
        made = backend.token("chen", ttl=60)
    with Huaxiang(service.url, made["token"]) as phone:
        assert phone.recommend("chen", n=1)["items"]
        with pytest.raises(Forbidden):
            phone.recommend("somebody-else")
        with pytest.raises(Forbidden):
            phone.items([{"item_id": "tea-green", "price": 1}])


def test_refusals_say_what_and_where(service: Service, store: Store, key: str) -> None:
    with Huaxiang(service.url, key) as client:
        with pytest.raises(InvalidRequest) as refused:
            client.recommend("chen", n=1_000)
        assert (refused.value.status, refused.value.field, refused.value.code) == (422, "n", "invalid_value")
        assert refused.value.request_id
        with pytest.raises(NotFound):
            client.segments_preview(name="nobody-knows")
    with pytest.raises(NotAuthorized), Huaxiang(service.url, "hx_shop_none") as client:
        client.trending()
    with pytest.raises(Forbidden), Huaxiang(service.url, store.add_key("shop", "events")) as client:
        client.trending()


def test_an_event_whose_answer_was_lost_is_stored_once(service: Service, key: str) -> None:
    """The first try reaches the service, and its answer does not come back."""
    answers: list[bytes] = []

    def relay(path: str, body: bytes) -> None:
        headers = {"authorization": f"Bearer {key}"}
        answers.append(httpx.post(f"{service.url}{path}", content=body, headers=headers, timeout=30).content)
        proxy.script[1] = (200, {}, answers[-1])

    with Scripted([None, OK], relay) as proxy, Huaxiang(proxy.url, key, patience=QUICK) as client:
        sent = client.events([VIEW])
    assert [json.loads(one)["accepted"] for one in answers] == [1, 0]
    assert (sent.accepted, sent.duplicates, sent.rejected) == (0, 1, [])


def test_more_events_than_a_request_holds(service: Service, key: str) -> None:
    given: list[Any] = [{**VIEW, "event_id": f"many-{n}", "ts": datetime.now(UTC)} for n in range(1_203)]
    given[7] = {"type": "item_view"}
    given[700] = {**VIEW, "properties": {"much": "x" * 1_000_000}}
    given[1_202] = {**VIEW, "amount": float("nan")}
    with Huaxiang(service.url, key) as client:
        sent = client.events(iter(given))
        again = client.events(iter(given))
    assert (sent.accepted, sent.duplicates) == (1_200, 0)
    assert [(one["index"], one["field"]) for one in sent.rejected] == [
        (7, "user_id"),
        (700, "events"),
        (1_202, "events"),
    ]
    assert (again.accepted, again.duplicates, again.total) == (0, 1_200, 1_203)


# Over a network that fails


def test_the_service_gives_up_before_the_client_does() -> None:
    """Else a client would send events again beside those that still wait."""
    assert WAIT_S < PATIENT.try_s < PATIENT.deadline_s / 2


@pytest.mark.parametrize("first", [AWAY, None, (429, {"retry-after": "0"}, b""), (502, {}, b"<html>"), (504, {}, b"")])
def test_what_was_not_taken_is_sent_again_as_it_was(first: Any) -> None:
    with Scripted([first, first, OK]) as server, Huaxiang(server.url, "k", patience=QUICK) as client:
        assert client.events([VIEW]).accepted == 1
    bodies = [body for _, _, body in server.seen]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1, "the same event_id and ts"
    assert {"event_id", "ts"} <= json.loads(bodies[0])["events"][0].keys()


def test_the_async_client_tries_again_too() -> None:
    async def ask(url: str) -> Any:
        async with AsyncHuaxiang(url, "k", patience=QUICK) as client:
            return await client.trending()

    with Scripted([None, AWAY, (200, {}, b'{"items":[]}')]) as server:
        assert asyncio.run(ask(server.url)) == {"items": []}
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((422, {}, b'{"error":{"code":"invalid_value","message":"no","field":"n"}}'), InvalidRequest),
        ((500, {}, b"<html>"), NotAsAgreed),
        ((200, {}, b"<html>"), NotAsAgreed),
        ((302, {"location": "/elsewhere"}, b""), NotAsAgreed),
        ((503, {"retry-after": "3600"}, b""), Unavailable),
        ((504, {}, b'{"error":{"code":"too_slow","message":"stopped"}}'), TooSlow),
        (
            (429, {"retry-after": format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True)}, b""),
            TooManyRequests,
        ),
    ],
)
def test_what_another_try_would_not_mend_is_said_at_once(answer: Any, error: type[CallFailed]) -> None:
    """Nor is it waited for longer than the caller has time."""
    with Scripted([answer]) as server, Huaxiang(server.url, "k", patience=QUICK) as client:
        with pytest.raises(error):
            client.trending()
        assert len(server.seen) == 1


def test_patience_ends_with_the_last_error() -> None:
    with Scripted([AWAY]) as server, Huaxiang(server.url, "k", patience=QUICK) as client:
        with pytest.raises(Unavailable) as refused:
            client.trending()
        assert (len(server.seen), refused.value.code, refused.value.request_id) == (3, "store_unavailable", "r-1")
    for url in (server.url, "nothing://server"):
        with pytest.raises(NoAnswer), Huaxiang(url, "k", patience=QUICK) as client:
            client.trending()


def test_an_answer_that_trickles_is_not_waited_for() -> None:
    """It would never end."""
    patience = Patience(tries=2, try_s=0.3)

    async def ask(url: str) -> None:
        async with AsyncHuaxiang(url, "k", patience=patience) as client:
            await client.trending()

    with Scripted([(200, {"content-length": "1000000"}, b"{")], trickles=True) as server:
        with pytest.raises(NoAnswer), Huaxiang(server.url, "k", patience=patience) as client:
            client.trending()
        with pytest.raises(NoAnswer):
            asyncio.run(ask(server.url))
    assert len(server.seen) == 4


def test_a_batch_that_fails_is_handed_back() -> None:
    """Nothing is lost in silence: what was answered, and what was not, under the ids it was sent with."""
    taken = (200, {}, b'{"accepted":500,"duplicates":0,"rejected":[]}')
    with (
        Scripted([taken, AWAY]) as server,
        Huaxiang(server.url, "k", patience=QUICK) as client,
        pytest.raises(EventsNotSent) as failed,
    ):
        client.events([VIEW] * 700)
    assert (failed.value.sent.accepted, len(failed.value.left)) == (500, 200)
    last = json.loads(server.seen[-1][2])["events"]
    assert [one["event_id"] for one in last] == [one["event_id"] for one in failed.value.left]
    assert isinstance(failed.value.__cause__, Unavailable)


def test_a_provider_s_key_names_the_app() -> None:
    with Scripted([OK]) as server, Huaxiang(server.url + "/", "hx_p", app_id="shop") as client:
        client.users([])
    path, headers, body = server.seen[0]
    assert (path, headers["x-app-id"], headers["authorization"]) == ("/v1/users", "shop", "Bearer hx_p")
    assert body == b'{"users":[]}'
