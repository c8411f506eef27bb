"""Who was in which segment, night by night.

A night is one Parquet file, sorted by user_id, with one row a visitor: the lifecycle stage and, for each segment, a
whole number whose bit n - 1 says whether line n of its rule was true; line 1 is the whole rule, so bit 0 is the
membership. Segments come and go, hence each night has columns of its own and a file of its own (a table with one
schema would have to change under its readers); a file appears whole or not at all, is the unit of retention, and is
rewritten when a visitor is forgotten or refuses. What each segment meant that night is in the file's metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.errors import NothingThere
from portraits.rules.nodes import Rule

FOLDER = "segments"
"""Of the nights, beside the tables of an app's lake."""
KEEP_NIGHTS = 90
MOST_LINES = 62
"""Lines of one rule that a whole number has room for; of a longer rule the last lines are not told."""
ROW_GROUP = 65_536
USER, STAGE = "user_id", "stage"
_KEY = b"huaxiang"
_NAME = "%Y%m%dt%H%M%S%fz"
_FILE = re.compile(r"\d{8}t\d{12}z\.parquet")


@dataclass(frozen=True, slots=True)
class LineTold:
    """A line of a rule as it was that night. `leaf`: a condition or another segment, not a group."""

    number: int
    leaf: bool
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Definition:
    """What a segment meant that night. `version` 0: ready-made."""

    version: int
    rule: Any
    lines: tuple[LineTold, ...]

    @classmethod
    def of(cls, version: int, rule: Rule, words: Mapping[str, Sequence[str]]) -> Definition:
        """The definition of a parsed rule; `words` tells each of its lines, by language."""
        lines = rule.lines()[:MOST_LINES]
        groups = {line.parent for line in rule.lines()}
        told = (
            LineTold(line.number, line.number not in groups, {lang: said[place] for lang, said in words.items()})
            for place, line in enumerate(lines)
        )
        return cls(version, rule.to_json(), tuple(told))


@dataclass(frozen=True, slots=True)
class Night:
    """One night: the moment it is true at, how many visitors had a portrait, members by segment, definitions."""

    path: Path
    as_of: datetime
    base: int
    members: Mapping[str, int]
    definitions: Mapping[str, Definition]

    def definition(self, name: str) -> Definition:
        """What the segment meant. Raises NothingThere."""
        if name not in self.definitions:
            raise NothingThere("segment", name, f"the night of {self.as_of.isoformat()} did not have it")
        return self.definitions[name]


def write_night(
    folder: Path, as_of: datetime, definitions: Mapping[str, Definition], batches: Iterable[pa.RecordBatch]
) -> Night:
    """Writes a night, replacing one of the same moment, and removes others beyond `KEEP_NIGHTS`.

    A night of a moment before all that are kept stays until the next one is written: it was asked for.

    `batches` come sorted by user_id: user_id, stage, and a whole number for each of `definitions`, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{as_of.astimezone(UTC).strftime(_NAME)}.parquet"
    _write(path, as_of, definitions, batches)
    for old in _files(folder)[:-KEEP_NIGHTS]:
        if old != path:
            old.unlink()
    return read_night(path)


def nights(folder: Path) -> list[Night]:
    """All nights, oldest first."""
    return [read_night(path) for path in _files(folder)]


def newest(app: Path) -> Night | None:
    """The last night of the app whose part of the lake is `app`; None before the first."""
    files = _files(app / FOLDER)
    return read_night(files[-1]) if files else None


def read_night(path: Path) -> Night:
    """What a night's file says of itself; its rows are not read."""
    told = json.loads(pq.read_metadata(path).metadata[_KEY])
    definitions = {
        name: Definition(one["version"], one["rule"], tuple(LineTold(**line) for line in one["lines"]))
        for name, one in told["definitions"].items()
    }
    members = told["members"]
    return Night(path, datetime.fromisoformat(told["as_of"]), told["base"], members, definitions)


def forget(folder: Path, user_ids: Collection[str]) -> int:
    """Takes visitors out of every night; how many nights held one. Files that a crash left are removed."""
    for unfinished in folder.glob(".*.tmp"):
        unfinished.unlink()
    gone = pa.array(sorted(user_ids), pa.string())
    rewritten = 0
    for path in _files(folder) if user_ids else ():
        file = pq.ParquetFile(path)
        held = any(pc.any(pc.is_in(batch[USER], value_set=gone)).as_py() for batch in file.iter_batches(columns=[USER]))
        if held:
            night = read_night(path)
            kept = (batch.filter(pc.invert(pc.is_in(batch[USER], value_set=gone))) for batch in file.iter_batches())
            _write(path, night.as_of, night.definitions, kept)
            rewritten += 1
    return rewritten


def schema(names: Iterable[str]) -> pa.Schema:
    """Columns of a night's file."""
    return pa.schema([(USER, pa.string()), (STAGE, pa.string()), *((column(name), pa.int64()) for name in names)])


def column(name: str) -> str:
    """The column of a segment."""
    return f"in {name}"


def _write(
    path: Path, as_of: datetime, definitions: Mapping[str, Definition], batches: Iterable[pa.RecordBatch]
) -> None:
    unfinished = path.with_name(f".{path.name}.tmp")
    base, members = 0, dict.fromkeys(definitions, 0)
    wanted = schema(definitions)
    with pq.ParquetWriter(unfinished, wanted, compression="zstd") as writer:
        for batch in batches:
            table = pa.Table.from_batches([batch]).select(wanted.names).cast(wanted)
            writer.write_table(table, row_group_size=ROW_GROUP)
            base += len(table)
            for name in definitions:
                members[name] += pc.sum(pc.bit_wise_and(table[column(name)], 1)).as_py() or 0
        told = {
            "as_of": as_of.isoformat(),
            "base": base,
            "members": members,
            "definitions": {name: asdict(one) for name, one in definitions.items()},
        }
        writer.add_key_value_metadata({_KEY: json.dumps(told, ensure_ascii=False).encode()})
    unfinished.replace(path)


def _files(folder: Path) -> list[Path]:
    """The nights' files, oldest first: their names sort by moment."""
    return sorted(path for path in folder.glob("*.parquet") if _FILE.fullmatch(path.name))
