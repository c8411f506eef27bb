"""The process that counts, so that no phone waits for a marketer: `python -m serving.segments.counter FOLDER`.

It says READY once, then reads questions as JSON lines and answers them one after the other, at a low priority, on
THREADS and within MEMORY; what does not fit is spilled to FOLDER, which its parent removes. It keeps the sets that it
was asked about last open, each on a connection of its own. It ends when its parent does: then there is nothing left to
read.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from ibis.backends.duckdb import Backend

from portraits.dictionary import FIELDS
from portraits.engine import connect
from portraits.errors import HuaxiangError, NothingThere
from portraits.portrait_set import PortraitSet
from portraits.rules import Rule, parse
from portraits.segments.tables import laid_out_tables, masked, moment_of, without
from serving.everything import everything, page
from serving.publish import portraits_folder
from serving.segments.analyst import READY
from serving.segments.counting import People, profile_to_dict
from serving.settings import ProcessSettings
from serving.stores import Store

NICENESS = 10
MEMORY = "1GB"
THREADS = 2
KEEP_OPEN = 2
"""Sets that stay open: those that it was asked about last."""

Question = Mapping[str, Any]

log = logging.getLogger(__name__)


class Counter:
    """Answers questions about the published portraits of any app; each question names one app and its version."""

    def __init__(self, process: ProcessSettings, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._open: OrderedDict[tuple[str, str, str], tuple[Backend, People]] = OrderedDict()

    def answer(self, question: Question) -> dict[str, Any]:
        """The answer, or the error as it becomes one of HTTP."""
        try:
            return {"answer": QUESTIONS[question["ask"]](self, question)}
        except HuaxiangError as error:
            told = {"code": error.code, "status": error.status, "message": error.message, "field": error.field}
            return {"error": told}
        except Exception:
            log.exception("a question could not be answered")
            return {"error": {"code": "internal", "status": 500, "message": "counting failed", "field": None}}

    def fields(self, _: Question) -> dict[str, Any]:
        """Every field that a portrait can have, for an app that has none published."""
        return {"fields": [field.to_dict() for field in FIELDS.values()]}

    def preview(self, question: Question) -> dict[str, Any]:
        people = self._people(question)
        return people.preview(_rule(people, question, "rule")).to_dict()

    def compare(self, question: Question) -> dict[str, Any]:
        people = self._people(question)
        return people.compare(_rule(people, question, "one"), _rule(people, question, "other"))

    def profile(self, question: Question) -> dict[str, Any]:
        people = self._people(question)
        base = None if question["base"] is None else _rule(people, question, "base")
        return profile_to_dict(people.profile(_rule(people, question, "rule"), base, question["fields"]))

    def everything(self, question: Question) -> dict[str, Any]:
        """What is kept of one person, some rows of it."""
        rows = everything(self._process, self._store, question["app_id"], question["user_id"])
        return page(rows, question["after"], question["n"])

    @cached_property
    def _store(self) -> Store:
        return Store.open(self._process.store_url)

    def _people(self, question: Question) -> People:
        which = question["app_id"], question["version"], question["time_zone"]
        known = self._open.pop(which, None) or self._opened(*which)
        self._open[which] = known
        while len(self._open) > KEEP_OPEN:
            _, (con, _) = self._open.popitem(last=False)
            con.disconnect()
        people = known[1]
        left_out, deleted = question["left_out"], question["deleted"]
        if not left_out and not deleted:
            return people
        tables = masked(without(people.tables, left_out), people.fields, deleted)
        return People(tables, people.moment, people.fields)

    def _opened(self, app_id: str, version: str, time_zone: str) -> tuple[Backend, People]:
        portraits = PortraitSet(portraits_folder(self._process, app_id, version))
        portraits.verify()
        if portraits.manifest["app_id"] != app_id:
            raise NothingThere("portraits", version, f"publish them with: huaxiang nightly --app {app_id}")
        spill = self._folder / f"{app_id}-{version}-{time_zone.replace('/', '-')}"
        con = connect(memory_limit=MEMORY, threads=THREADS, temp=spill)
        tables = laid_out_tables(con, portraits.path)
        return con, People(tables, moment_of(portraits, time_zone), portraits.fields)


QUESTIONS: Mapping[str, Callable[[Counter, Question], dict[str, Any]]] = {
    "fields": Counter.fields,
    "preview": Counter.preview,
    "compare": Counter.compare,
    "profile": Counter.profile,
    "everything": Counter.everything,
}


def _rule(people: People, question: Question, name: str) -> Rule:
    return parse(question[name], people.fields, question["segments"])


def main() -> None:
    """Answers until there is nothing more to read."""
    os.nice(NICENESS)
    counter = Counter(ProcessSettings.from_env(), Path(sys.argv[1]))
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    with suppress(BrokenPipeError), open(answers, "wb", buffering=0) as told:  # a parent that is gone asks no more
        told.write(json.dumps(READY).encode() + b"\n")
        for line in sys.stdin:
            told.write(json.dumps(counter.answer(json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    main()
