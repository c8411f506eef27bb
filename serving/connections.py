"""Connections that say nothing, or spell their headers letter by letter, are closed.

uvicorn waits for a request's headers for ever and keeps them however long they are: a thousand clients that drip
(slowloris) would hold a thousand descriptors, and one that never ends its headers all of the memory. RFC 9112, section
9.5, lets a server close what is idle. The body has a deadline of its own, which is answered (`app.BODY_S`).
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 10.0
"""From the connection's first moment, and from the first byte of each later request."""
LARGEST_HEADERS = 65_536
"""Bytes, about: what came in one piece with the last of the headers is not counted."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection with a deadline and a bound for the headers of each request."""

    _deadline: asyncio.TimerHandle | None = None
    _in_headers = True
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADERS_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_headers:
            self._disarm()
            return
        self._bytes += len(data)
        if self._bytes > LARGEST_HEADERS:
            self.transport.close()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self.transport.close)

    def on_message_begin(self) -> None:
        self._in_headers, self._bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bound_connections() -> None:
    """Makes uvicorn, where it is not told otherwise, serve such connections, and as many as the machine allows."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Connection.__name__}"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
