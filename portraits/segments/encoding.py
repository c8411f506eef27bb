"""Portraits as rows of numbers by which two visitors can be compared: traits, tastes, and how and when they come.

Traits are scaled as for personas. A taste is the square root of its share of attention: the difference between none
and some counts for more than that between much and more. What is unknown is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.personas import traits
from portraits.personas.traits import Space

Array = npt.NDArray[Any]

MOST_TAGS = 100
"""Tags of one field that are compared: those of most visitors."""
CHANNEL, HOUR = "usual_channel", "favourite_hour"
TASTE_SCALE = 2.0
"""Puts a taste with half of the attention about as far from nothing as a clear trait is from the mean."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """How the visitors of one app become numbers. tags: by field, those compared, in the order of their columns."""

    space: Space
    tags: dict[str, pa.Array]
    channels: pa.Array

    @classmethod
    def of(cls, rows: pa.Table) -> Encoder:
        """From some thousands of visitors that stand for all."""
        tags = {field: _commonest(_flat(rows, field)[1]) for field in _taste_fields(rows.schema)}
        return cls(Space.of(rows), tags, _commonest(rows[CHANNEL].combine_chunks()))

    def numbers(self, rows: pa.Table) -> Array:
        """Visitors x numbers, float32."""
        parts = [self.space.place(rows), *(self._tastes(rows, field) for field in self.tags)]
        parts += [_one_hot(rows[CHANNEL].combine_chunks(), self.channels), _clock(rows)]
        return np.column_stack(parts).astype(np.float32)

    def _tastes(self, rows: pa.Table, field: str) -> Array:
        visitors, tags, weights = _flat(rows, field)
        places = pc.index_in(tags, self.tags[field])
        known = places.is_valid().to_numpy(zero_copy_only=False)
        drawn = np.zeros((len(rows), len(self.tags[field])))
        share = np.nan_to_num(weights.to_numpy(zero_copy_only=False)[known])
        drawn[visitors[known], places.drop_null().to_numpy()] = TASTE_SCALE * np.sqrt(np.maximum(share, 0))
        return drawn


def columns(schema: pa.Schema) -> list[str]:
    """The columns of the portraits that an encoder reads."""
    return ["user_id", *traits.FIELDS, *_taste_fields(schema), CHANNEL, HOUR]


def row_groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """The portraits a row group at a time, with the columns that an encoder reads."""
    wanted = columns(file.schema_arrow)
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, wanted)


def _taste_fields(schema: pa.Schema) -> Iterable[str]:
    """Lists of evidence with a tag and a weight."""
    for field in schema:
        if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            inside = {entry.name for entry in field.type.value_type}
            if {"tag", "weight"} <= inside:
                yield field.name


def _flat(rows: pa.Table, field: str) -> tuple[Array, pa.Array, pa.Array]:
    """(row, tag, weight) of every entry of a list of evidence."""
    lists = rows[field].combine_chunks()
    entries = pc.list_flatten(lists)
    visitors: Array = pc.list_parent_indices(lists).to_numpy()
    return visitors, entries.field("tag"), entries.field("weight")


def _commonest(words: pa.Array) -> pa.Array:
    """The most frequent words, the first by name among equals."""
    counted = words.drop_null().value_counts().to_pylist()
    ordered = sorted(counted, key=lambda one: (-one["counts"], one["values"]))
    return pa.array([one["values"] for one in ordered[:MOST_TAGS]], pa.string())


def _one_hot(words: pa.Array, known: pa.Array) -> Array:
    places = pc.index_in(words, known)
    found = places.is_valid().to_numpy(zero_copy_only=False)
    hot = np.zeros((len(words), len(known)))
    hot[np.flatnonzero(found), places.drop_null().to_numpy()] = 1
    return hot


def _clock(rows: pa.Table) -> Array:
    """The usual hour as a point of the clock's face, so that 23 lies beside 0."""
    hour = traits.column(rows, HOUR) * 2 * np.pi / 24
    face: Array = np.nan_to_num(np.column_stack([np.cos(hour), np.sin(hour)]))
    return face
