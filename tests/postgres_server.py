"""A real PostgreSQL for tests and benchmarks, from the binaries that the package pgserver brings; ended for sure.

It refuses to run as root, so root starts it as `nobody`, from a copy where `nobody` may read.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

USER, PASSWORD = "huaxiang", "only-for-tests"
READY_S = 60.0
UNTIL_STDIN_ENDS = """
"$@" <&- &
cat >/dev/null
kill -QUIT $! 2>/dev/null
wait
"""
"""Runs a server for as long as somebody holds the other end of stdin: a test that is killed leaves none behind."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "120",
    "fsync": "off",  # a test kills the server, not the machine
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10s",
}


class Server:
    """`with Server() as server, server.database() as url:` - an empty database inside the block.

    `settings`: of postgresql.conf, over `SETTINGS`.
    """

    def __init__(self, **settings: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._bin = _binaries()
        self.port = _free_port()
        try:
            self._make(SETTINGS | {"port": str(self.port)} | settings)
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            self.resume()
        self._let_go()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        self._let_go()
        with (self._folder / "log").open("ab") as log:
            command = ["sh", "-c", UNTIL_STDIN_ENDS, "sh", str(self._bin / "postgres"), "-D", "data"]
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.PIPE, stdout=log, stderr=log, **self._as
            )
        deadline = time.monotonic() + READY_S
        while not self._takes_connections():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {self._log()}")
            time.sleep(0.02)

    def stop(self, mode: str = "fast") -> None:
        """`fast`: clients are told; `immediate`: nothing is finished, the next start recovers from the log."""
        subprocess.run(
            [self._bin / "pg_ctl", "stop", "-w", "-s", "-D", "data", "-m", mode],
            cwd=self._folder,
            check=False,
            **self._as,
        )

    def kill(self) -> None:
        """kill -9 for the server and every process of it."""
        processes = self._processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._let_go()
        psutil.wait_procs(processes, timeout=30)

    def freeze(self) -> None:
        """Every process of it stops where it is: connections are taken by the system, nobody answers."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `freeze`."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a new database, a copy of `template`; it is gone after the block."""
        name = f"test_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def away(self, url: str) -> Iterator[None]:
        """Inside the block nobody gets to the database, and who was there was sent away."""
        name = url.rpartition("/")[2]
        self.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            yield
        finally:
            self.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of one statement of an operator's."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _make(self, settings: dict[str, str]) -> None:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            package = self._bin.parents[1]
            for name in (package.name, f"{package.name}.libs"):  # the binaries find their libraries beside the package
                shutil.copytree(package.with_name(name), self._folder / name, symlinks=True)
            self._bin = self._folder / package.name / "pginstall" / "bin"
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        (self._folder / "password").write_text(PASSWORD)
        (self._folder / "password").chmod(0o644)
        self._run("initdb", "-D", "data", "-U", USER, "--pwfile=password", "-A", "scram-sha-256", "-E", "UTF8", "-N",
                  "--locale=C")  # fmt: skip
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def _let_go(self) -> None:
        """Ends what is left of the server that was started last."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _takes_connections(self) -> bool:
        asked = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False, cwd=self._folder, **self._as).returncode == 0

    def _log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.is_file() else ""

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._folder,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **self._as,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')}")

    def _processes(self) -> list[psutil.Process]:
        pid = int((self._folder / "data" / "postmaster.pid").read_text().partition("\n")[0])
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]


def _binaries() -> Path:
    found = find_spec("pgserver")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("no pgserver: pip install -e '.[dev]' brings it")
    return Path(found.origin).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
