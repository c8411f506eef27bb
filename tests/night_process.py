"""Nights as processes of their own, to be stopped and killed, without paying for the imports of each.

A fork server imports the night once; every night is then a fresh fork of it with its own home folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from serving.cli import main
from serving.settings import ProcessSettings
from serving.stores import Store

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["serving.cli.night", "bentoml", "night_process"])


@dataclass(frozen=True)
class Ended:
    """How a night ended and what it said."""

    code: int
    out: str
    err: str


@dataclass
class Home:
    """A home folder and the nights that are run in it."""

    folder: Path

    @property
    def process(self) -> ProcessSettings:
        return ProcessSettings(home=self.folder)

    def store(self) -> Store:
        return Store.open(self.process.store_url)

    def run(self, *arguments: str) -> Ended:
        """`huaxiang nightly` with these arguments, to its end."""
        with self.started(*arguments) as (night, err):
            told = err.read()
            night.join()
        assert night.exitcode is not None
        return Ended(night.exitcode, (self.folder / "out.txt").read_text("utf-8"), told)

    def kill_at(self, line: str, *arguments: str) -> None:
        """Runs a night and kills it the moment it has said `line`."""
        with self.started(*arguments) as (night, err):
            assert any(line in said for said in err), f"the night never said {line!r}"
            night.kill()
            night.join()
        assert night.exitcode == -signal.SIGKILL

    @contextmanager
    def started(self, *arguments: str) -> Iterator[tuple[multiprocessing.process.BaseProcess, TextIO]]:
        """A running night and what it says on stderr, line by line; killed when the block ends."""
        reading, writing = _CONTEXT.Pipe(duplex=False)
        night = _CONTEXT.Process(target=_night, args=(str(self.folder), arguments, writing))
        night.start()
        writing.close()
        with os.fdopen(os.dup(reading.fileno()), encoding="utf-8") as err:
            try:
                yield night, err
            finally:
                night.kill()
                night.join()
                reading.close()


def _night(home: str, arguments: tuple[str, ...], stderr: multiprocessing.connection.Connection) -> None:
    """The child: its stderr is the pipe, its stdout a file in its home; then the command line as ever."""
    out = os.open(Path(home) / "out.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(out, sys.stdout.fileno())
    os.dup2(stderr.fileno(), sys.stderr.fileno())
    stderr.close()
    os.environ["HUAXIANG_HOME"] = home
    main(["nightly", *arguments])
