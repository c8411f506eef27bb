"""A server whose answers are written beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Scripted:
    """Answers each request by the next of `script`, the last one for ever; None: hangs up without an answer.

    `trickles`: then goes on with a byte now and then, for as long as it is open.
    """

    script: list[Answer | None]
    relay: Callable[[str, bytes], None] | None = None
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    trickles: bool = False
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Scripted:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                scripted.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Notes the request and gives the next answer."""
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        self.seen.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}, body))
        if self.relay is not None:
            self.relay(handler.path, body)
        told = self.script[min(len(self.seen), len(self.script)) - 1]
        handler.close_connection = True
        if told is None:
            return
        status, headers, content = told
        handler.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
        with suppress(OSError):
            while self.trickles and not self.closing.wait(0.05):
                handler.wfile.write(b" ")
                handler.wfile.flush()
