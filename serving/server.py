"""The serving process as a child: how it is started, when it is ready, how it stops."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Self

from portraits.errors import CannotServe
from serving.settings import ProcessSettings

LOCALHOST = "127.0.0.1"
READY_WITHIN_S = 120
ANSWER_WITHIN_S = 20
"""How long a worker that was asked to end waits for its clients to take their answers; a client that reads nothing
would hold it up for ever."""
STOP_WITHIN_S = 15
POLL_S = 0.1
LOG_TAIL_BYTES = 2_000


def command(host: str, port: int) -> list[str]:
    """The command line of the serving process."""
    serve = [sys.executable, "-m", "bentoml", "serve", "serving.service:Huaxiang", "--host", host, "--port", str(port)]
    return [*serve, "--timeout-graceful-shutdown", str(ANSWER_WITHIN_S)]


def with_secret(process: ProcessSettings, port: int | None) -> ProcessSettings:
    """The settings with a secret of this run where none is given, and the port to use (0: a free one).

    Raises:
        CannotServe: something else listens on the port.
    """
    wanted = process.port if port is None else port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, wanted))
        except OSError as error:
            raise CannotServe(wanted, error.strerror or "not available") from None
        free = probe.getsockname()[1]
    return replace(process, secret=process.secret or secrets.token_hex(32), port=free)


@dataclass(frozen=True, slots=True)
class Server:
    """A serving process that was started here. Its output is in `log`."""

    child: subprocess.Popen[bytes]
    port: int
    log: Path

    @classmethod
    def start(cls, process: ProcessSettings) -> Server:
        """Starts serving on localhost; in a session of its own, so that Ctrl-C reaches only the caller."""
        log = process.home / "serve.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command(LOCALHOST, process.port),
                env=os.environ | process.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(child, process.port, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self) -> None:
        """Returns when requests are answered. Raises CannotServe when that does not come to pass."""
        until = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            if self.child.poll() is not None or time.monotonic() > until:
                raise CannotServe(self.port, f"the server did not start; {self.log} ends with: {self._tail()}")
            time.sleep(POLL_S)

    def wait(self) -> NoReturn:
        """Waits for a Ctrl-C. Raises CannotServe when the server ends without having been asked to."""
        code = self.child.wait()
        raise CannotServe(self.port, f"the server ended with code {code}; {self.log} ends with: {self._tail()}")

    def stop(self) -> None:
        """Asks the server to end, and makes it end when it does not."""
        for ask in (signal.SIGTERM, signal.SIGKILL):
            if self.child.poll() is not None:
                return
            os.killpg(self.child.pid, ask)
            try:
                self.child.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                continue

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOCALHOST, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()


def link(port: int, token: str) -> str:
    """Where a one-time token opens the console."""
    return f"http://{LOCALHOST}:{port}/console/enter?token={token}"
