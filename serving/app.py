"""`/v1` as a small ASGI application: authenticate, bound, check, answer; every refusal in one envelope.

It is mounted below BentoML's own routes and never raises into them, because BentoML would answer in other shapes. The
order is fixed: the key is known before a byte of the body is read, the body is bounded before it is parsed, and it is
checked before anything is stored or looked up.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from portraits.errors import (
    HuaxiangError,
    NothingThere,
    NotReceived,
    RateLimited,
    StoreUnavailable,
    TooMuch,
    WrongMethod,
)
from serving.call import Call
from serving.codec import encode
from serving.context import Context
from serving.limits import Limits
from serving.observed import HUNG_UP, lap, seen
from serving.openapi import document
from serving.routes import ROUTES, Route
from serving.started import Started

LARGEST_BODY = 1_000_000
"""Bytes of a request's body."""
LARGE_BODY = 100_000
"""Bytes above which a body is read in a thread: other requests would wait for it."""
BODY_S = 10.0
"""How long the body may take to arrive: a phone on a poor line needs a second, a client that drips has no end."""

GRACE_S = 0.1
"""How long the body of a request that is refused may come behind its head, before the connection is closed."""
RECEIVED = "huaxiang.received"
"""In the scope of a request whose body was read."""

log = logging.getLogger(__name__)
_NO_HEADERS: list[tuple[bytes, bytes]] = []
_JSON = b"content-type", b"application/json"


class Api:
    """Everything below `/v1`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = Limits(context.settings.workers)
        self._openapi = encode(document())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await self._answer(scope, receive)
            status, headers = 200, _NO_HEADERS
        except ClientDisconnect:
            # Nobody hears it, but BentoML keeps a request that sends nothing until its timeout, and a worker that is
            # asked to end waits for it.
            status, headers, body = HUNG_UP, _NO_HEADERS, b""
        except HuaxiangError as error:
            status, headers, body = self._refuse(error)
            if isinstance(error, (NotReceived, TooMuch)) or not (RECEIVED in scope or await _is_there(scope, receive)):
                headers.append((b"connection", b"close"))  # the body, or the rest of it, is not waited for
        except Exception:
            log.exception("a request failed")
            status, headers, body = self._refuse(_Unexpected(seen().request_id))
        await _send(send, status, headers, body)

    def _refuse(self, error: HuaxiangError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        seen().code = error.code
        self._context.metrics.refused[(error.code,)] += 1
        if error.code == StoreUnavailable.code:
            log.warning("%s", error.message)
        return _refusal(error)

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == "/openapi.json":
            _allow(scope, "GET")
            return self._openapi
        route = ROUTES.get(path)
        if route is None:
            raise NothingThere("path", path, "the routes are listed in /v1/openapi.json")
        request = seen()
        request.route = "/v1" + path
        _allow(scope, "POST")
        call = await self._call(route, scope, receive)
        lap("accept")
        answer = await route.handler(call)
        lap("work")
        body = encode(answer)
        lap("encode")
        return body

    async def _call(self, route: Route, scope: Scope, receive: Receive) -> Call:
        headers = dict(reversed(scope["headers"]))  # of several of a name the first
        authorization, named = headers.get(b"authorization", b""), headers.get(b"x-app-id", b"")
        grant = await self._context.tenants.remembered(authorization.decode("latin-1"), named.decode("latin-1"))
        seen().app_id = grant.app_id
        grant.need(route.scope, user=route.user)
        self._limits.count(grant)
        sent = await _body(headers.get(b"content-length", b""), receive)
        scope[RECEIVED] = True
        if len(sent) > LARGE_BODY:
            body = await asyncio.to_thread(route.read, sent, grant.user_id)
        else:
            body = route.read(sent, grant.user_id)
        if grant.user_id and "events" in body:
            self._limits.count_events(grant, len(body["events"]))
        return Call(self._context, grant, body, receive)


class _Unexpected(HuaxiangError):
    """Our own mistake; its traceback is in the log, not in the answer."""

    code = "internal"
    status = 500

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the server failed; nothing was accepted, its log has it as {request_id or 'an error'}")


def v1(context: Context) -> Mount:
    """All of `/v1`, on an open context."""
    return Mount("/v1", app=Api(context))


def _allow(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise WrongMethod(scope["method"], method)


async def _body(stated: bytes, receive: Receive) -> bytes:
    if stated.isdigit() and int(stated) > LARGEST_BODY:
        raise TooMuch("body", int(stated), LARGEST_BODY)
    started = Started(_whole(receive))
    if started.done:  # nearly always: a deadline costs more than reading what is there already
        return started.result
    try:
        async with asyncio.timeout(BODY_S):
            return await started
    except TimeoutError:
        raise NotReceived("body", BODY_S) from None


async def _is_there(scope: Scope, receive: Receive) -> bool:
    """Whether the body of a refused request is there, all of it: nearly always. Then the connection can go on, although
    nobody has read the body. Whoever waits to be asked for it (`Expect`) need not send it."""
    if any(name == b"expect" for name, _ in scope["headers"]):
        return False
    try:
        async with asyncio.timeout(GRACE_S):
            message = await receive()
    except TimeoutError:
        return False
    return message["type"] == "http.request" and not message.get("more_body")


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += bytes(message.get("body", b""))
        if len(body) > LARGEST_BODY:
            raise TooMuch("body", len(body), LARGEST_BODY)
        if not message.get("more_body"):
            return body


def _refusal(error: HuaxiangError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    message = StoreUnavailable.OUTWARD if error.code == StoreUnavailable.code else error.message
    envelope = {"code": error.code, "message": message} | ({"field": error.field} if error.field else {})
    headers = []
    if isinstance(error, StoreUnavailable | RateLimited):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return error.status, headers, encode({"error": envelope})


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    fixed = [_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body})
