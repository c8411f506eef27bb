"""`/v1` as a small ASGI application: authenticate, bound, check, answer; every refusal in one envelope.

It is mounted below BentoML's own routes and never raises into them, because BentoML would answer in other shapes. The
order is fixed: the key is known before a byte of the body is read, the body is bounded before it is parsed, and it is
checked before anything is stored or looked up.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from portraits.errors import HuaxiangError, InvalidValue, NothingThere, StoreUnavailable, TooMuch, WrongMethod
from serving.call import Call
from serving.context import Context
from serving.openapi import document
from serving.routes import ROUTES, Route

LARGEST_BODY = 1_000_000
"""Bytes of a request's body."""

log = logging.getLogger(__name__)
_NO_HEADERS: list[tuple[bytes, bytes]] = []
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Api:
    """Everything below `/v1`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._openapi = _ENCODER.encode(document()).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await self._answer(scope, receive)
            status, headers = 200, _NO_HEADERS
        except ClientDisconnect:
            return
        except HuaxiangError as error:
            status, headers, body = _refusal(error)
        except Exception:
            log.exception("a request of %s failed", scope["path"])
            status, headers, body = _refusal(_Unexpected())
        await _send(send, status, headers, body)

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == "/openapi.json":
            _allow(scope, "GET")
            return self._openapi
        route = ROUTES.get(path)
        if route is None:
            raise NothingThere("path", path, "the routes are listed in /v1/openapi.json")
        _allow(scope, "POST")
        call = await self._call(route, scope, receive)
        return _ENCODER.encode(await route.handler(call)).encode("utf-8", "replace")

    async def _call(self, route: Route, scope: Scope, receive: Receive) -> Call:
        authorization = _header(scope, b"authorization").decode("latin-1")
        grant = self._context.tenants.remembered(authorization)
        grant.need(route.scope)
        body = route.form.read(_parse(await _body(scope, receive)))
        return Call(self._context, grant, authorization, body, receive)


class _Unexpected(HuaxiangError):
    """Our own mistake; its traceback is in the log, not in the answer."""

    code = "internal"
    status = 500

    def __init__(self) -> None:
        super().__init__("the server failed; nothing was accepted, the log knows why")


def v1(context: Context) -> Mount:
    """All of `/v1`, on an open context."""
    return Mount("/v1", app=Api(context))


def _header(scope: Scope, name: bytes) -> bytes:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), b"")


def _allow(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise WrongMethod(scope["method"], method)


async def _body(scope: Scope, receive: Receive) -> bytes:
    stated = _header(scope, b"content-length")
    if stated.isdigit() and int(stated) > LARGEST_BODY:
        raise TooMuch("body", int(stated), LARGEST_BODY)
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


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidValue("body", body[:80].decode("utf-8", "replace"), "a JSON object") from None
    if not isinstance(value, dict):
        raise InvalidValue("body", value, "a JSON object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _refusal(error: HuaxiangError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    envelope = {"code": error.code, "message": error.message} | ({"field": error.field} if error.field else {})
    headers = []
    if isinstance(error, StoreUnavailable):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return error.status, headers, json.dumps({"error": envelope}).encode()


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body})
