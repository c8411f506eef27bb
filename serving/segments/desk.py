"""A marketer's desk for one app, for commands: its segments, its published portraits, its nights, in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from portraits import deleted
from portraits.dictionary import FIELDS
from portraits.engine import connect
from portraits.errors import InvalidValue, NothingThere, UnknownName
from portraits.field import Field
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.rules import Rule
from portraits.segments.cap import by_lot, by_score, check_size
from portraits.segments.nights import Night, nights
from portraits.segments.tables import laid_out_tables, masked, moment_of, without
from portraits.settings import AppSettings
from serving.publish import portraits_folder
from serving.segments.counting import People
from serving.segments.definitions import Definitions
from serving.segments.files import check_ending, write_rows
from serving.segments.night import folder_of
from serving.settings import ProcessSettings
from serving.stores import Store

RANDOM = "random"


class Cap(NamedTuple):
    """At most `n` visitors: RANDOM ones (by lots of the `seed`), or those with the greatest value of the field `by`."""

    n: int
    by: str = RANDOM
    seed: int = 0


class Desk:
    """Raises UnknownApp for an app that is not there; NothingThere where a question needs a first night."""

    def __init__(self, process: ProcessSettings, store: Store, app_id: str) -> None:
        self.store = store
        self.app: AppSettings = store.app(app_id)
        self._process = process
        self._lake = Lake(process.lake)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """Fields of the published portraits; before the first night, all that portraits can have."""
        return FIELDS if self.store.active(self.app.app_id).portraits is None else self.portraits.fields

    @cached_property
    def segments(self) -> Definitions:
        return Definitions.of(self.store, self.app.app_id, self.fields)

    @cached_property
    def portraits(self) -> PortraitSet:
        """What was published last."""
        version = self.store.active(self.app.app_id).portraits
        if version is None:
            raise NothingThere("portraits", self.app.app_id, f"run first: huaxiang nightly --app {self.app.app_id}")
        return PortraitSet(portraits_folder(self._process, self.app.app_id, version.version))

    @cached_property
    def con(self) -> Backend:
        return connect()

    @cached_property
    def people(self) -> People:
        """Everyone with a published portrait who did not refuse since, without tags that were deleted since."""
        tables = laid_out_tables(self.con, self.portraits.path)
        moment = moment_of(self.portraits, self.app.time_zone)
        return People(masked(without(tables, self.left_out), self.fields, self.deleted), moment, self.fields)

    @property
    def left_out(self) -> list[str]:
        """Who refused since the portraits were built, or was forgotten."""
        version = self.store.active(self.app.app_id).portraits
        return [] if version is None else self.store.left_out(self.app.app_id, version)

    @cached_property
    def deleted(self) -> dict[str, list[str]]:
        """Tags that were deleted since the portraits were built, and by whom."""
        return deleted.cells(self.portraits, self.store.deleted_tags(self.app.app_id))

    @property
    def nights(self) -> list[Night]:
        """Nights with segments, oldest first."""
        return nights(folder_of(self._lake, self.app.app_id))

    def night(self, option: str, text: str | None, place: int) -> Night:
        """The last night whose moment (UTC) begins with `text` (2026-03-02), or the one at `place` from the end.

        Raises NothingThere, naming the nights there are.
        """
        known = self.nights
        fitting = [one for one in known if text is None or one.as_of.isoformat().startswith(text)]
        if len(fitting) < (place if text is None else 1):
            days = ", ".join(one.as_of.date().isoformat() for one in known) or "none yet"
            raise NothingThere("night", text or option, f"nights there are: {days}")
        return fitting[-place] if text is None else fitting[-1]

    def rule(self, name: str | None, file: Path | None) -> Rule:
        """A segment's rule, by name or from a file of JSON. Raises InvalidValue unless exactly one is given."""
        if (name is None) == (file is None):
            raise InvalidValue("--rule", str(file or ""), "either the name of a segment or --rule RULE.json")
        if file is not None:
            return self.segments.parse_text(file.read_text("utf-8"))
        return self.segments.rule(str(name))

    def export(self, rule: Rule, out: Path, columns: Sequence[str] = (), cap: Cap | None = None) -> int:
        """Writes a segment's members, sorted by user_id, as CSV or Parquet by the file's name; how many.

        `columns`: portrait fields beside user_id. The rule is asked once. Raises InvalidValue, UnknownName.
        """
        check_ending(out)
        for name in columns:
            if name not in self.fields:
                raise UnknownName("field", name, self.fields)
        members = self.people.members(rule)
        if cap is not None:
            members = self._capped(members, cap)
        wanted = list(dict.fromkeys(["user_id", *columns]))
        return write_rows(members.select(wanted).order_by("user_id"), out)

    def _capped(self, members: ir.Table, cap: Cap) -> ir.Table:
        check_size(cap.n)
        if cap.by != RANDOM:
            return by_score(members, cap.by, cap.n)
        ids = members.select("user_id").order_by("user_id").to_pyarrow()["user_id"]
        drawn: Any = ibis.memtable({"user_id": by_lot(ids, cap.n, cap.seed).to_pylist()}, schema={"user_id": "string"})
        return self.people.tables.portraits.semi_join(drawn, "user_id")
