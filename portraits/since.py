"""Deleted tags at night: what is said of a visitor under a tag rests on nothing from before its deletion.

A visitor has one cut: the moment of the last deletion. Every field is made a second time of the few who deleted
something, from their events since the cut alone (`build.fields_since`), and of their deleted tags these are the values
that are kept; null where the visitor did nothing since. What a tag says that was deleted earlier thus loses a little
more than it must, and nobody's tags need more than one further look at the lake. Fields that place one among all place
the visitor as cut among all others as they are. What the users catalogue says of membership is nothing the visitor did:
deleted, it does not come back.

Models (predictions, personas) rest on many fields. A visitor who deleted a tag that they rest on is shown to them as
cut, wholly. Deletions are of a person: those of all linked ids are united. Where nobody deleted anything, nothing of
this runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.deleted import Moments, united
from portraits.dictionary import FIELDS
from portraits.features import REGISTRY
from portraits.portrait_set import DELETED_FILE
from portraits.tags import MODELS, hidden

Change = Callable[[pa.Table], pa.Table]
CUTS = pa.schema([pa.field("user_id", pa.string()), pa.field("us", pa.int64())])


@dataclass(frozen=True)
class Deletions:
    """Tags that were deleted, by person: user_id -> tag -> microseconds."""

    of: Mapping[str, Moments]

    @classmethod
    def united(cls, deletions: Mapping[str, Moments], people: pa.Table) -> Deletions:
        """`deletions` by any id as those of people. people: id, user_id (see `portraits.people.Links`)."""
        person = dict(zip(people["id"].to_pylist(), people["user_id"].to_pylist(), strict=True))
        together: dict[str, list[Moments]] = {}
        for one, moments in sorted(deletions.items()):
            if moments:
                together.setdefault(person.get(one, one), []).append(moments)
        return cls({user_id: united(moments) for user_id, moments in together.items()})

    def __bool__(self) -> bool:
        return bool(self.of)

    @cached_property
    def cuts(self) -> pa.Table:
        """CUTS of everyone."""
        return _cuts(self.of)

    @cached_property
    def cuts_of_models(self) -> pa.Table:
        """CUTS of those whom models must see as cut."""
        return _cuts({user_id: moments for user_id, moments in self.of.items() if _of_models(hidden(FIELDS, moments))})

    @cached_property
    def by_field(self) -> dict[str, pa.Array]:
        """field -> who deleted it."""
        found: dict[str, list[str]] = {}
        for user_id, moments in self.of.items():
            for name in hidden(FIELDS, moments):
                found.setdefault(name, []).append(user_id)
        return {name: pa.array(users, pa.string()) for name, users in found.items()}

    def save(self, folder: Path) -> None:
        """Leaves in a set which deletions it was built with."""
        if self.of:
            text = json.dumps({user_id: dict(moments) for user_id, moments in self.of.items()}, ensure_ascii=False)
            (folder / DELETED_FILE).write_text(text, "utf-8")

    def replaced(self, features: Path, since: pa.Table, out: Path) -> None:
        """Writes `out`: the features with every deleted field as in `since`, null for who is not there."""
        _rewrite(features, out, lambda rows: self._told(rows, since))

    def shown_to_models(self, features: Path, since: pa.Table, out: Path) -> None:
        """Writes `out`: the features as models see them, those of `cuts_of_models` wholly as in `since`; what nobody
        knows of who is not there."""
        _rewrite(features, out, lambda rows: self._shown(rows, since))

    def without(self, rows: pa.Table, since: pa.Table) -> pa.Table:
        """What models say (user_id and their columns): nothing of those of whom they saw nothing."""
        nothing = self.cuts_of_models["user_id"].filter(
            pc.invert(pc.is_in(self.cuts_of_models["user_id"], value_set=since["user_id"]))
        )
        return self._told(rows, since.slice(0, 0), {name: nothing for name in rows.column_names if name != "user_id"})

    def _told(
        self, rows: pa.Table, since: pa.Table, by_field: Mapping[str, pa.Array | pa.ChunkedArray] | None = None
    ) -> pa.Table:
        place = pc.index_in(rows["user_id"], value_set=since["user_id"].combine_chunks())
        for name, users in (self.by_field if by_field is None else by_field).items():
            if name in rows.column_names:
                gone = pc.is_in(rows["user_id"], value_set=users)
                if pc.any(gone).as_py():
                    rows = _put(rows, name, gone, since[name] if name in since.column_names else None, place)
        return rows

    def _shown(self, rows: pa.Table, since: pa.Table) -> pa.Table:
        gone = pc.is_in(rows["user_id"], value_set=self.cuts_of_models["user_id"])
        if not pc.any(gone).as_py():
            return rows
        place = pc.index_in(rows["user_id"], value_set=since["user_id"].combine_chunks())
        for name in rows.column_names:
            if name in REGISTRY:
                rows = _put(rows, name, gone, since[name], place)
                empty = REGISTRY[name].empty
                if empty is not None:
                    column = pc.fill_null(rows[name], pa.scalar(empty, rows[name].type))
                    rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
        return rows


def _put(
    rows: pa.Table, name: str, gone: pa.ChunkedArray, since: pa.ChunkedArray | None, place: pa.ChunkedArray
) -> pa.Table:
    """`rows` with another value of a column where `gone`: that of `since` at `place`, null without one."""
    own = rows[name]
    others = pa.chunked_array([], own.type) if since is None else since.cast(own.type)
    at = np.arange(len(own))
    chosen = gone.to_numpy()
    found = pc.fill_null(place, -1).to_numpy()
    missing = chosen & ((found < 0) | (since is None))
    taken = pa.array(np.where(chosen, len(own) + np.maximum(found, 0), at), mask=missing)
    both = pa.chunked_array([*own.chunks, *others.chunks], own.type)
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), both.take(taken))


def _rewrite(source: Path, out: Path, change: Change) -> None:
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            writer.write_table(change(file.read_row_group(group)).cast(file.schema_arrow))


def _cuts(deletions: Mapping[str, Moments]) -> pa.Table:
    users = sorted(deletions)
    return pa.table([users, [max(deletions[user_id].values()) for user_id in users]], schema=CUTS)


def _of_models(names: frozenset[str]) -> bool:
    return any(FIELDS[name].family in MODELS for name in names)
