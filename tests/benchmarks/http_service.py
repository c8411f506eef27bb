"""The service itself with one route more: an empty mounted ASGI route, the reference of `bench_http`."""

from __future__ import annotations

from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from serving.service import Huaxiang, app

BODY = b'{"items":[]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def empty(_scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers."""
    while (await receive()).get("more_body"):
        continue
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


app.router.routes.append(Mount("/empty", app=empty))

__all__ = ["Huaxiang"]
