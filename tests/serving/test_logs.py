"""Logs: one JSON object a line, bounded, and nothing in it that a visitor said."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from planted_app import Client, open_shop
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.app import v1
from serving.context import Context
from serving.examples import EXAMPLES
from serving.logs import LINES_A_SECOND, LOGGERS, Bound, JsonLines, configure
from serving.observed import Observed, of_request
from serving.routes import ROUTES

CANARY = "canary-7f3a"
"""What a visitor, a key or a mistake might hold; it must be in no line."""


@contextmanager
def logged(bound: bool = False) -> Iterator[io.StringIO]:
    """All that is logged inside the block at any level, as the service's workers write it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines(of_request))
    handler.addFilter(lambda record: not record.name.startswith("http"))  # the client of these tests logs, too
    if bound:
        handler.addFilter(Bound())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


async def fail(_: Request) -> Response:
    """What a mistake of ours would do: the text of an exception may be anybody's."""
    try:
        {}[CANARY]
    except KeyError as error:
        raise ValueError(CANARY) from error
    return Response()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    process, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    context = Context.open(process)
    yield context
    context.close()


@pytest.fixture(scope="module")
def client(shop: Context) -> Iterator[Client]:
    routes = [v1(shop), Route(f"/{CANARY}", fail), Route("/fail", fail)]
    around = [Middleware(Observed, metrics=shop.metrics)]
    with Client(Starlette(routes=routes, middleware=around)) as opened:
        yield opened


def lines(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def with_canaries(body: Any) -> Iterator[Any]:
    """The body with each of its values in turn replaced by a text of a visitor's, in its type and in another."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield body | {name: {CANARY: CANARY}}
            for other in with_canaries(value):
                yield body | {name: other}
        yield body | {CANARY: CANARY}
    elif isinstance(body, list):
        for place, value in enumerate(body):
            for other in with_canaries(value):
                yield [*body[:place], other, *body[place + 1 :]]
    yield CANARY
    yield [CANARY]


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_nothing_that_was_sent_is_in_the_log(shop: Context, client: Client, path: str) -> None:
    rights = {"authorization": f"Bearer {shop.store.add_key('shop', 'admin')}"}
    wrong = {
        "authorization": f"Bearer {CANARY}",
        "x-app-id": CANARY,
        "user-agent": CANARY,
        "x-request-id": f"{CANARY} x",
    }
    with logged() as text:
        for body in with_canaries(EXAMPLES.get(path, {})):
            client.post(f"/v1{path}?q={CANARY}", json=body, headers=rights)
        client.post(f"/v1{path}", content=CANARY.encode(), headers=rights)
        client.post(f"/v1{path}", json=EXAMPLES.get(path, {}), headers=wrong)
        client.post(f"/v1{path}/{CANARY}", json={}, headers=rights)
    assert any(line["logger"] == "serving.observed" for line in lines(text))
    assert CANARY not in text.getvalue()


def test_a_failure_is_found_by_its_request_id_and_told_without_its_text(client: Client) -> None:
    with logged() as text:
        answer = client.get("/fail")
    failed, told = lines(text)[-2:]
    assert (answer.status_code, told["status"], told["level"]) == (500, 500, "ERROR")
    assert answer.headers["x-request-id"] == failed["request_id"] == told["request_id"]
    assert answer.headers["x-request-id"] in answer.text
    assert [cause["type"] for cause in failed["exception"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert failed["exception"][0]["at"][-1].endswith("fail")
    assert CANARY not in text.getvalue()


def test_a_line_says_who_and_how_it_ended(shop: Context, client: Client) -> None:
    key = shop.store.add_key("cafe", "recommend")
    with logged() as text:
        client.post("/v1/recommend", json={"n": 0}, headers={"authorization": f"Bearer {key}"})
    (line,) = [one for one in lines(text) if one["logger"] == "serving.observed"]
    assert line.pop("ms") >= 0
    assert line.pop("timestamp").endswith("+00:00")
    assert len(line.pop("request_id")) > 8
    assert line == {
        "level": "INFO",
        "logger": "serving.observed",
        "message": "answered",
        "route": "/v1/recommend",
        "app_id": "cafe",
        "status": 422,
        "code": "invalid_value",
    }


def test_a_plain_request_is_only_counted(shop: Context, client: Client) -> None:
    key = shop.store.add_key("shop", "recommend")
    with logged() as text:
        client.post("/v1/recommend", json={"user_id": "ann"}, headers={"authorization": f"Bearer {key}"})
    assert not [one for one in lines(text) if one["logger"].startswith("serving")]


def test_a_task_that_nobody_waited_for_is_told_without_what_it_said() -> None:
    async def forget() -> None:
        task = asyncio.ensure_future(asyncio.wait_for(fail_later(), 1))
        while not task.done():
            await asyncio.sleep(0)

    async def fail_later() -> None:
        raise ValueError(CANARY)

    with logged() as text:
        asyncio.run(forget())
        gc.collect()
    (line,) = [one for one in lines(text) if one["level"] == "ERROR"]
    assert line["message"] == "Task exception was never retrieved"
    assert CANARY not in text.getvalue()


def test_a_start_that_failed_is_told_by_its_kind() -> None:
    """uvicorn writes the whole traceback as its message."""
    try:
        int(CANARY)
    except ValueError:
        whole = traceback.format_exc()
    with logged() as text:
        logging.getLogger("uvicorn.error").error(whole)
    (line,) = lines(text)
    assert line["message"] == "Traceback (most recent call last): ValueError"
    assert CANARY not in text.getvalue()


def test_refusals_in_great_number_keep_no_failure_out() -> None:
    log = logging.getLogger("serving.test")
    with logged(bound=True) as text:
        for _ in range(10 * LINES_A_SECOND):
            log.info("refused")
        log.warning("slow")
        log.error("failed")
    assert [line["message"] for line in lines(text)][-2:] == ["slow", "failed"]


def test_a_line_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    for name in ("", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [logging.StreamHandler(text)])
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    configure(of_request)
    logging.getLogger("uvicorn.error").error("cannot bind")
    assert [line["message"] for line in lines(text)] == ["cannot bind"]


def test_lines_are_bounded_and_those_left_out_are_counted() -> None:
    log = logging.getLogger("serving.test")
    many = 10 * LINES_A_SECOND
    with logged(bound=True) as text:
        for _ in range(many):
            log.error("again")
        written = len(lines(text))
        while "left_out" not in lines(text)[-1]:
            log.error("later")
    assert written <= 2 * LINES_A_SECOND
    told = [line.get("left_out", 0) for line in lines(text)]
    assert sum(told) >= many - written
