"""A night's working folder: what is finished stays finished, whatever kills the process.

`runs/<app>/<run_id>/` holds `run.json` (what was asked), one `<step>.json` for each finished step (its result and its
seconds, written atomically after the step's outputs are on disk) and `ended.json` when the run came to an end of its
own. A run without `ended.json` was killed: the next night takes it up where it stopped, if it is of the same question
and younger than `RESUME_WITHIN`. A run that ended by an error is not resumed: what it left may be what made it fail.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from portraits.errors import AnotherRunning
from serving.private import private, private_folder

RESUME_WITHIN = timedelta(hours=12)
KEEP_RUNS = 3


@dataclass(frozen=True, slots=True)
class Question:
    """What a night was asked to do. `as_of` None: the moment the drain begins."""

    as_of: datetime | None = None
    publish: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One night of one app, in its folder."""

    folder: Path
    app_id: str
    as_of: datetime
    question: Question
    resumed: bool

    @property
    def run_id(self) -> str:
        return self.folder.name

    def result(self, step: str) -> dict[str, Any] | None:
        """What the finished step left to know, or None when it has not finished."""
        done = _read(self._marker(step))
        return None if done is None else dict(done["result"])

    def seconds(self, step: str) -> float:
        """How long the finished step took. Raises FileNotFoundError before it has finished."""
        return float(json.loads(self._marker(step).read_text())["seconds"])

    def finish(self, step: str, result: dict[str, Any], seconds: float) -> None:
        """The step is done and its outputs are on disk; from here on it is not done again."""
        write_json(self._marker(step), {"result": result, "seconds": round(seconds, 3)})

    def end(self, status: str) -> None:
        """The run has ended by itself, as `done` or `failed`."""
        write_json(self.folder / "ended.json", {"status": status, "at": datetime.now(UTC).isoformat()})

    def _marker(self, step: str) -> Path:
        return self.folder / f"{step}.json"


@contextmanager
def only_night(locks: Path, app_id: str) -> Iterator[None]:
    """Holds the app's night for the length of the block; the lock dies with the process.

    Raises:
        AnotherRunning: another process holds it.
    """
    private_folder(locks.parent)
    locks.mkdir(exist_ok=True)
    with open(locks / f"night-{app_id}.lock", "a", opener=private) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherRunning("night", app_id) from None
        yield


def open_run(runs: Path, app_id: str, question: Question, now: datetime) -> Run:
    """The last run if it was killed and is of the same question, else a new one. Call it under `only_night`.

    Only the last: another night has moved the store and the lake on since an earlier one was killed.
    """
    folder = runs / app_id
    folder.mkdir(parents=True, exist_ok=True)
    for last in sorted(folder.iterdir())[-1:]:
        killed = _killed(last, question, now)
        if killed is not None:
            return killed
    as_of = question.as_of or now
    run = Run(folder / f"{now:%Y%m%dt%H%M%S%fz}", app_id, as_of, question, resumed=False)
    run.folder.mkdir()
    asked = None if question.as_of is None else question.as_of.isoformat()
    record = {"app_id": app_id, "asked": asked, "publish": question.publish, "as_of": as_of.isoformat()}
    write_json(run.folder / "run.json", record | {"started": now.isoformat()})
    return run


def forget_old_runs(runs: Path, app_id: str) -> int:
    """Deletes all but the last `KEEP_RUNS` working folders; how many went."""
    old = sorted((runs / app_id).iterdir())[:-KEEP_RUNS]
    for folder in old:
        shutil.rmtree(folder)
    return len(old)


def write_json(path: Path, value: Any) -> None:
    """The file as a whole or not at all, also after a power cut."""
    unfinished = path.with_name(f".{path.name}.tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _killed(folder: Path, question: Question, now: datetime) -> Run | None:
    record = _read(folder / "run.json")
    if record is None or (folder / "ended.json").exists():
        return None
    asked = None if record["asked"] is None else datetime.fromisoformat(record["asked"])
    if (
        Question(asked, record["publish"]) != question
        or now - datetime.fromisoformat(record["started"]) > RESUME_WITHIN
    ):
        return None
    return Run(folder, record["app_id"], datetime.fromisoformat(record["as_of"]), question, resumed=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
