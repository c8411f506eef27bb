"""Definitions of segments in the store: every version is kept, the last one counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, insert, select

from portraits.errors import NothingThere, TooMuch
from serving.stores import schema
from serving.stores.apps import touch
from serving.stores.database import Database, now_us

MOST_SEGMENTS = 200
"""Segments of one app: a night evaluates them all."""

Rules = Mapping[str, Any]
"""Rules by the names of their segments."""
Check = Callable[[Rules], None]
"""Hears the app's saved rules as they are now, and may raise."""


class Wanted(NamedTuple):
    """A definition to be saved: its name, what people call it, and its rule as JSON."""

    name: str
    title: str
    rule: Any


@dataclass(frozen=True, slots=True)
class Segment:
    """One version of a definition. `rule` is the grammar's JSON value, `title` what people call it."""

    name: str
    version: int
    title: str
    rule: Any
    deleted: bool
    created: datetime

    def to_dict(self) -> dict[str, Any]:
        """For machines: JSON's own types only."""
        told = {"name": self.name, "version": self.version, "title": self.title, "rule": self.rule}
        return told | {"created": self.created.isoformat()}


class Segments(Database):
    """The part of the store that saves, lists and deletes segments."""

    def save_segment(self, app_id: str, wanted: Wanted, check: Check = lambda _: None) -> Segment:
        """See `put_segment`."""
        with self.write() as connection:
            return put_segment(connection, app_id, wanted, check)

    def delete_segment(self, app_id: str, name: str, check: Check = lambda _: None) -> None:
        """See `drop_segment`."""
        with self.write() as connection:
            drop_segment(connection, app_id, name, check)

    def segments(self, app_id: str) -> list[Segment]:
        """The app's segments as they are now, by name."""
        return [_segment(row) for row in self.read(_current(app_id))]

    def segment(self, app_id: str, name: str, version: int | None = None) -> Segment:
        """One segment, by default as it is now; a `version` is there although it was replaced. Raises NothingThere."""
        c = schema.segments.c
        if version is None:
            statement = _current(app_id).where(c.name == name)
        else:
            statement = select(schema.segments).where(c.app_id == app_id, c.name == name, c.version == version)
        rows = self.read(statement)
        if not rows:
            raise NothingThere("segment", name, f"list them with: huaxiang segments list --app {app_id}")
        return _segment(rows[0])


def put_segment(connection: Connection, app_id: str, wanted: Wanted, check: Check = lambda _: None) -> Segment:
    """Saves a definition as its next version, inside a transaction that no other writer is in.

    One that says what the last version says changes nothing. `check` hears the app's other rules and may refuse: since
    nobody else writes meanwhile, two segments cannot come to refer to each other.

    Raises:
        UnknownApp. TooMuch: the app has `MOST_SEGMENTS`. Whatever `check` raises; nothing was saved.
    """
    found = {row.name: _segment(row) for row in connection.execute(_current(app_id))}
    old = found.pop(wanted.name, None)
    check({other: segment.rule for other, segment in found.items()})
    if old is not None and (old.title, old.rule) == (wanted.title, wanted.rule):
        return old
    if old is None and len(found) >= MOST_SEGMENTS:
        raise TooMuch("segments", len(found) + 1, MOST_SEGMENTS)
    return _add(connection, app_id, wanted, deleted=False)


def drop_segment(connection: Connection, app_id: str, name: str, check: Check = lambda _: None) -> None:
    """Deletes a segment: its versions stay, none of them counts. `check` hears the app's other rules and may refuse.

    Raises:
        NothingThere. Whatever `check` raises; nothing was deleted.
    """
    found = {row.name: _segment(row) for row in connection.execute(_current(app_id))}
    old = found.pop(name, None)
    if old is None:
        raise NothingThere("segment", name, f"list them with: huaxiang segments list --app {app_id}")
    check({other: segment.rule for other, segment in found.items()})
    _add(connection, app_id, Wanted(name, old.title, old.rule), deleted=True)


def _add(connection: Connection, app_id: str, wanted: Wanted, *, deleted: bool) -> Segment:
    name, title, rule = wanted
    c = schema.segments.c
    last = connection.execute(select(func.max(c.version)).where(c.app_id == app_id, c.name == name)).scalar()
    created_us = now_us()
    touch(connection, app_id)
    row = {
        "app_id": app_id,
        "name": name,
        "version": (last or 0) + 1,
        "title": title,
        "rule": json.dumps(rule, ensure_ascii=False, separators=(",", ":")),
        "deleted": deleted,
        "created_us": created_us,
    }
    connection.execute(insert(schema.segments), row)
    return Segment(name, (last or 0) + 1, title, rule, deleted, datetime.fromtimestamp(created_us / 1e6, UTC))


def _current(app_id: str) -> Select[Any]:
    """The last version of each segment that is not deleted."""
    c, later = schema.segments.c, schema.segments.alias("later")
    last = select(func.max(later.c.version)).where(later.c.app_id == c.app_id, later.c.name == c.name).scalar_subquery()
    return select(schema.segments).where(c.app_id == app_id, c.version == last, c.deleted.is_(False)).order_by(c.name)


def _segment(row: Any) -> Segment:
    created = datetime.fromtimestamp(row.created_us / 1e6, UTC)
    return Segment(row.name, row.version, row.title, json.loads(row.rule), bool(row.deleted), created)
