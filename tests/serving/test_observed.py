"""Every request has an id, whoever made it up, and an answer, whatever happens inside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from planted_app import Client
from starlette.types import Receive, Scope, Send

from serving.metrics import Metrics
from serving.observed import CONSOLE, OTHER, Observed, lap, of_request, seen


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, fails before it answers, or after it has begun."""
    if scope["path"] == "/fails":
        raise ValueError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": of_request()["request_id"].encode()})
    lap("work")
    if scope["path"] == "/fails-late":
        raise ValueError


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture(scope="module")
def client(metrics: Metrics) -> Iterator[Client]:
    with Client(Observed(inside, metrics)) as opened:
        yield opened


@pytest.mark.parametrize("sent", ["abcdefgh", "0af76519-16cd.43dd_8448", "x" * 64])
def test_a_plain_request_id_is_kept(client: Client, sent: str) -> None:
    assert client.post("/", headers={"x-request-id": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "short", "x" * 65, "with space", 'quote"quote', "line\\nbreak", "emoji-é-é"])
def test_another_is_made_here(client: Client, sent: str) -> None:
    headers = {"x-request-id": sent.encode("latin-1")}
    made = {client.post("/", headers=headers).headers["x-request-id"] for _ in range(5)}
    assert len(made) == 5
    assert sent not in made


def test_what_is_inside_knows_the_id_and_nobody_outside_has_one(client: Client) -> None:
    answer = client.get("/")
    assert answer.text == answer.headers["x-request-id"]
    assert of_request() == {}
    assert seen().request_id == ""


def test_a_failure_is_answered_where_nothing_was_answered_yet(client: Client) -> None:
    failed, late = client.get("/fails"), client.get("/fails-late")
    assert (failed.status_code, late.status_code) == (500, 200)
    assert failed.headers["x-request-id"] in failed.text


def test_paths_are_counted_as_one_route_but_the_console(client: Client, metrics: Metrics) -> None:
    for path in ("/a", "/b", CONSOLE, f"{CONSOLE}/segments"):
        client.get(path)
    assert {route for route, _ in metrics._requests} == {OTHER, CONSOLE}
    assert sum(metrics.stages["work"].counts) > 0
