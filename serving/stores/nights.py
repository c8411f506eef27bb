"""Versions that are served and the record of the nights that made them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from portraits.errors import NothingThere
from serving.stores import schema
from serving.stores.apps import touch
from serving.stores.database import Database, now_us
from serving.stores.dialect import upsert

VersionKind = Literal["bundle", "portraits"]
Status = Literal["running", "published", "popular", "held", "rehearsed", "failed"]


class Version(NamedTuple):
    """A published version: what the lake held of events and changes when it was built, and the moment it is true at."""

    version: str
    as_of_us: int
    events_seq: int
    changes_seq: int

    @property
    def as_of(self) -> datetime:
        return datetime.fromtimestamp(self.as_of_us / 1e6, UTC)


class Active(NamedTuple):
    """What an app serves; None where nothing was published yet."""

    bundle: Version | None = None
    portraits: Version | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One night: its steps in order with what each left to know, and the summary that people read."""

    app_id: str
    run_id: str
    as_of: datetime
    started: datetime
    finished: datetime | None
    status: str
    steps: dict[str, Any]
    summary: dict[str, Any]


_REPLACED = ("version", "as_of_us", "events_seq", "changes_seq", "at_us")


class Nights(Database):
    """Activate and roll back versions, record runs."""

    def activate(
        self,
        app_id: str,
        *,
        as_of: datetime,
        bundle: str | None = None,
        portraits: str | None = None,
        events_seq: int | None = None,
        changes_seq: int | None = None,
    ) -> None:
        """Serves the named versions from the next request on, both from one moment on; a kind that is None stays as it
        is.

        `events_seq` and `changes_seq` say up to where the lake had been filled when the versions were built; by
        default, up to where it is filled now. Raises UnknownApp.
        """
        as_of_us, at_us = round(as_of.timestamp() * 1e6), now_us()
        with self.write() as connection:
            touch(connection, app_id)
            c = schema.apps.c
            filled = connection.execute(select(c.events_drained, c.changes_drained).where(c.app_id == app_id)).one()
            for kind, name in (("bundle", bundle), ("portraits", portraits)):
                if name is not None:
                    _activate(
                        connection,
                        app_id,
                        kind,
                        Version(
                            name,
                            as_of_us,
                            filled.events_drained if events_seq is None else events_seq,
                            filled.changes_drained if changes_seq is None else changes_seq,
                        ),
                        at_us,
                    )

    def reactivate(self, app_id: str, kind: VersionKind, version: str) -> None:
        """Serves again a version that was active before, as it was then; or a bundle that was held back, as of the
        portraits of its night. Raises NothingThere."""
        versions = chain(self.activations(app_id, kind), self.activations(app_id, "portraits"))
        known = next((old for old in versions if old.version == version), None)
        if known is None:
            raise NothingThere("version", version, f"list them with: huaxiang models list --app {app_id}")
        with self.write() as connection:
            touch(connection, app_id)
            _activate(connection, app_id, kind, known, now_us())

    def active(self, app_id: str) -> Active:
        """What the app serves now."""
        c = schema.active.c
        statement = select(c.kind, c.version, c.as_of_us, c.events_seq, c.changes_seq).where(c.app_id == app_id)
        return Active(**{row.kind: Version._make(row[1:]) for row in self.read(statement)})

    def activations(self, app_id: str, kind: VersionKind) -> list[Version]:
        """Every version that was ever made active, newest first; one that came back is there again."""
        c = schema.activations.c
        statement = select(c.version, c.as_of_us, c.events_seq, c.changes_seq)
        statement = statement.where(c.app_id == app_id, c.kind == kind).order_by(c.seq.desc())
        return [Version._make(row) for row in self.read(statement)]

    def first_activations(self, app_id: str, kind: VersionKind) -> dict[str, int]:
        """version -> the moment it was first made active, microseconds."""
        c = schema.activations.c
        statement = (
            select(c.version, func.min(c.at_us).label("first"))
            .where(c.app_id == app_id, c.kind == kind)
            .group_by(c.version)
        )
        return {row.version: row.first for row in self.read(statement)}

    def start_run(self, app_id: str, run_id: str, as_of: datetime) -> None:
        """Records that a night begins, or goes on after a crash."""
        started = {"app_id": app_id, "run_id": run_id, "as_of_us": round(as_of.timestamp() * 1e6)}
        rest = {"started_us": now_us(), "status": "running", "steps": "{}", "summary": "{}"}
        with self.write() as connection:
            upsert(connection, schema.runs, started | rest, replace=("status",))

    def step_done(self, app_id: str, run_id: str, step: str, result: dict[str, Any]) -> None:
        """Adds what a finished step left to know. Raises NothingThere."""
        with self.write() as connection:
            c = schema.runs.c
            which = (c.app_id == app_id) & (c.run_id == run_id)
            steps = connection.execute(select(c.steps).where(which)).scalar()
            if steps is None:
                raise NothingThere("run", run_id, "start it first")
            text = json.dumps(json.loads(steps) | {step: result}, ensure_ascii=False)
            connection.execute(update(schema.runs).where(which).values(steps=text))

    def finish_run(self, app_id: str, run_id: str, status: Status, summary: dict[str, Any]) -> None:
        """The night has ended by itself."""
        c = schema.runs.c
        done = {"finished_us": now_us(), "status": status, "summary": json.dumps(summary, ensure_ascii=False)}
        with self.write() as connection:
            connection.execute(update(schema.runs).where(c.app_id == app_id, c.run_id == run_id).values(**done))

    def moments(self) -> dict[str, dict[str, int]]:
        """By app, in microseconds: the moments that the active `model` and `portraits` are true at, and the moment up
        to which everything acknowledged is in the `lake`, because a night began then to fill it."""
        run, active = schema.runs.c, schema.active.c
        done = run.status.in_(("published", "popular", "held"))
        nights = select(run.app_id, func.max(run.as_of_us).label("us")).where(done).group_by(run.app_id)
        versions = self.read(select(active.app_id, active.kind, active.as_of_us))
        return {
            "model": {row.app_id: row.as_of_us for row in versions if row.kind == "bundle"},
            "portraits": {row.app_id: row.as_of_us for row in versions if row.kind == "portraits"},
            "lake": {row.app_id: row.us for row in self.read(nights)},
        }

    def runs(self, app_id: str, limit: int = 30) -> list[RunRecord]:
        """The last nights, newest first."""
        c = schema.runs.c
        rows = self.read(select(schema.runs).where(c.app_id == app_id).order_by(c.started_us.desc()).limit(limit))
        return [
            RunRecord(
                row.app_id,
                row.run_id,
                _moment(row.as_of_us),
                _moment(row.started_us),
                None if row.finished_us is None else _moment(row.finished_us),
                row.status,
                json.loads(row.steps),
                json.loads(row.summary),
            )
            for row in rows
        ]


def _activate(connection: Connection, app_id: str, kind: str, version: Version, at_us: int) -> None:
    row = {"app_id": app_id, "kind": kind, "at_us": at_us, **version._asdict()}
    upsert(connection, schema.active, row, replace=_REPLACED)
    connection.execute(insert(schema.activations), row)


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
