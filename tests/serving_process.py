"""A real `bentoml serve` for tests and benchmarks: started on a free port, ready when it says so, ended for sure."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from serving.settings import ProcessSettings

READY_S = 60.0
SERVICE = "serving.service:Huaxiang"
WORKER = "_bentoml_impl.worker.service"
"""What the command line of BentoML's workers holds."""


class Service:
    """`with Service(settings) as service:` - `service.url` answers inside the block."""

    def __init__(
        self,
        settings: ProcessSettings,
        what: str = SERVICE,
        folder: Path | None = None,
        prefix: Sequence[str] = (),
        *,
        waits: bool = True,
        **environment: str,
    ) -> None:
        """`prefix`: words before the command, such as those that run it elsewhere; `environment`: added to it; `waits`:
        to start it is to wait until it is ready."""
        self.settings = settings
        self._prefix, self._waits = prefix, waits
        self._environment = environment
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._what = what
        self._folder = folder or Path(__file__).parents[1]
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115 - closed with the process
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except RuntimeError:
            self._log.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._log.close()

    def start(self) -> None:
        """Starts the service in a process group of its own and, if it `waits`, waits until it is ready."""
        command = [
            *self._prefix,
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            self._what,
            "--port",
            str(self.port),
            "--host",
            "127.0.0.1",
        ]
        self._process = subprocess.Popen(
            command,
            cwd=self._folder,
            env={**os.environ, **self.settings.environment(), **self._environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + READY_S
        while self._waits and not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the service did not start:\n{self.log()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Asks it to end as an operator would, and waits."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9 for the supervisor and every worker; they are sessions of their own, so one signal is not enough."""
        if self._process is None or self._process.poll() is not None:
            return
        supervisor = psutil.Process(self._process.pid)
        workers = supervisor.children(recursive=True)
        supervisor.kill()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        self._process.wait(30)
        psutil.wait_procs(workers, timeout=30)

    @property
    def pid(self) -> int:
        """The supervisor's process. Raises RuntimeError before it was started."""
        if self._process is None:
            raise RuntimeError("the service was not started")
        return self._process.pid

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests, in the order they were started."""
        children = psutil.Process(self.pid).children(recursive=True)
        return sorted(
            (one for one in children if any(WORKER in word for word in _command(one))), key=psutil.Process.create_time
        )

    def new_worker(self, before: Sequence[psutil.Process]) -> psutil.Process:
        """The worker that the supervisor has started since. Raises TimeoutError."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            fresh = [one for one in self.workers() if one not in before]
            if fresh:
                return fresh[0]
            time.sleep(0.05)
        raise TimeoutError("no worker was started")

    def cpu_seconds(self) -> float:
        """Processor time of the workers so far."""
        if self._process is None:
            return 0.0
        workers = psutil.Process(self._process.pid).children(recursive=True)
        return float(sum(sum(worker.cpu_times()[:2]) for worker in workers))

    def log(self) -> str:
        """What it printed so far."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:  # noqa: S310 - our own address
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
