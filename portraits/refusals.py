"""The rows of one import that are not taken, each staged for the quarantine with its reason.

Two kinds: rows that cannot be read or break the contract, which count against the app's `quarantine_limit`, and rows of
visitors who were forgotten, which do not. Of the second only their place in the file is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits import quarantine
from portraits.errors import QuarantineFull
from portraits.forgotten import REASON, REFERRER, Forgotten, refused_ids
from portraits.identity import KINDS
from portraits.reading import LINE
from portraits.records import Refused


class Refusals:
    """What an import refused until now. `broken`: rows that cannot be taken; `unwanted`: rows of the forgotten.

    `path` is the file that is imported, `limit` how many broken rows the app allows, `stage` the folder that the
    refused rows are written into.
    """

    def __init__(self, path: Path, limit: int, forgotten: Forgotten, stage: Path) -> None:
        self._path = path
        self._limit = limit
        self._forgotten = forgotten
        self._stage = stage
        self._first_reason = ""
        self.broken = 0
        self.unwanted = 0

    def add(self, refused: Iterable[Refused]) -> None:
        """Stages rows for the quarantine: one of a line, however many of its events were refused.

        Raises QuarantineFull.
        """
        first = {row.line: row for row in reversed(list(refused))}
        if not first:
            return
        rows = [self._kept_of(first[line]) for line in sorted(first)]
        self._first_reason = self._first_reason or f"line {rows[0].line}, {rows[0].column}: {rows[0].reason}"
        self.broken += len(rows)
        self.check_limit(0)
        self._write(rows, f"quarantine-read-{self.broken}")

    def check_limit(self, conflicts: int) -> None:
        """Raises QuarantineFull when, with these conflicts, more rows are refused than the app allows."""
        if self.broken + conflicts > self._limit:
            reason = self._first_reason or quarantine.CONFLICT
            raise QuarantineFull(str(self._path), self.broken + conflicts, self._limit, reason)

    def screen(self, rows: pa.Table) -> pa.Table:
        """The rows (with `line`) without those of forgotten visitors, which are refused; of the others only who
        brought them goes."""
        if not self._forgotten:
            return rows
        own = [name for name in (*KINDS, REFERRER) if name in rows.column_names]
        gone = {name: self._gone(rows[name]) for name in own}
        if REFERRER in gone:
            brought = gone.pop(REFERRER)
            kept = pc.if_else(brought, pa.scalar(None, pa.string()), rows[REFERRER])
            rows = rows.set_column(rows.column_names.index(REFERRER), REFERRER, kept)
        lost = pa.array(np.zeros(len(rows), bool))
        for theirs in gone.values():
            lost = pc.or_(lost, theirs)
        lines = pc.unique(rows.filter(lost)["line"])
        self._add_forgotten(lines.to_pylist())
        return rows.filter(pc.invert(pc.is_in(rows["line"], lines))) if len(lines) else rows

    def screen_judged(self, judged: Iterable[dict[str, Any]]) -> set[int]:
        """The same for rows that were judged one by one (`checking_files.judge`, with their line at LINE); who
        brought a visitor is taken out of them in place. The lines that were refused."""
        if not self._forgotten:
            return set()
        lost = set()
        for row in judged:
            if self._forgotten.among(row.get(name) for name in KINDS):
                lost.add(row[LINE])
            if self._forgotten.among([row.get(REFERRER)]):
                row[REFERRER] = None
        self._add_forgotten(sorted(lost))
        return lost

    def _gone(self, ids: pa.ChunkedArray) -> pa.Array:
        """Which of the ids were forgotten: each different id is hashed once."""
        found = self._forgotten.among(pc.unique(ids).to_pylist())
        return pc.is_in(ids, pa.array(sorted(found), pa.string())).combine_chunks()

    def _add_forgotten(self, lines: list[int]) -> None:
        """Stages their places alone. They do not count against the app's limit: nothing is wrong with the file."""
        if not lines:
            return
        self.unwanted += len(lines)
        rows = [Refused(line, "user_id", "", REASON, "") for line in sorted(lines)]
        self._write(rows, f"quarantine-forgotten-{self.unwanted}")

    def _kept_of(self, row: Refused) -> Refused:
        """What is kept of a refused row: nothing of its content when it names someone who was forgotten."""
        if not self._forgotten:
            return row
        named = self._forgotten.among(refused_ids(row.column, row.value, row.row))
        return Refused(row.line, row.column, "", row.reason, "") if named else row

    def _write(self, rows: list[Refused], name: str) -> None:
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=quarantine.STAGED)
        pq.write_table(table, self._stage / f"{name}.parquet")
