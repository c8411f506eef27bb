"""What is known of visitors as numbers for a learner of effects: the same columns of tonight and of any past moment.

Columns are fields of the portrait that are one number, yes or no, a moment (days before T) or a word of a fixed list
(its place there), and what visitors declared (`recommender.offers.declared`). Predictions and personas are left out,
since no past moment has them; so are lists. Beside them: how well the rules of the offers fit the visitor
(`recommender.offers.match`). float32, nan for unknown: a visitor of whom nothing is known but a declaration has just
that. Nothing here reads a clock or draws: same history, same columns.

A past moment's portraits are a build of their own. So the span of the moments that are asked for is cut at `CUTS` of
them at most, and each takes the last cut before it: what was known a while earlier, and nothing later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.backends import BaseBackend

from portraits.build import fields, past_of
from portraits.engine import connect
from portraits.features import REGISTRY
from portraits.local import DAY_US, from_us, to_us
from portraits.past import Past
from portraits.portrait_set import TABLE_FILE, PortraitSet
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.offers.declared import NOBODY, Declared, Float32, declared
from recommender.offers.match import Matches, matches

Int64 = npt.NDArray[np.int64]

CUTS = 4
GRID = 201
"""Moments, spread evenly over those that are asked for, by which cuts are chosen."""
CHUNK = 100_000
"""Rows that become numbers at one time."""

_NUMBERS = ("int64", "float64", "boolean")
KNOWN = tuple(
    one
    for one in REGISTRY.values()
    if one.dtype in _NUMBERS or one.dtype == "date" or one.dtype.startswith("timestamp") or one.values
)
"""The fields of the portrait that become columns."""


def features_now(
    portraits: Path, snapshot: Snapshot | None = None, con: BaseBackend | None = None
) -> tuple[list[str], Float32, tuple[str, ...]]:
    """The visitors of tonight: ids (sorted), float32 [ids, columns], and the names of the columns.

    These are the visitors who have a portrait in the folder. With a `snapshot`, those who are only in the users
    catalogue come to them, and there are columns of what was declared as of the portraits' moment: then the columns are
    the same as those of `trials` as of that moment.
    """
    found, con = PortraitSet(portraits), con or connect()
    told = Declared.read(NOBODY) if snapshot is None else declared(snapshot, found.as_of, con)
    file = pq.ParquetFile(portraits / TABLE_FILE)
    known = pq.read_table(portraits / TABLE_FILE, columns=["user_id"])["user_id"].combine_chunks()
    others = told.users.filter(pc.invert(pc.is_in(told.users, known)))
    ids = pa.concat_arrays([known.cast(pa.string()), others.cast(pa.string())])
    order = pc.sort_indices(ids)
    ids = ids.take(order)
    X = np.full((len(ids), len(_names(told))), np.nan, np.float32)
    place = np.empty(len(ids), np.int64)
    place[order.to_numpy()] = np.arange(len(ids))
    start, us = 0, to_us(found.as_of)
    columns = [one.name for one in KNOWN if one.name in file.schema_arrow.names]
    for batch in file.iter_batches(CHUNK, columns=columns):
        X[place[start : start + len(batch)], : len(KNOWN)] = _numbers(pa.Table.from_batches([batch]), us)
        start += len(batch)
    X[:, len(KNOWN) :] = told.of(ids)
    if snapshot is None:
        return ids.to_pylist(), X, _names(told)
    fits = _matches(snapshot, found.as_of, con)
    past = past_of(snapshot, AppSettings(snapshot.app_id), found.as_of, con)
    return ids.to_pylist(), np.hstack([X, _fit(fits, past, ids)]), (*_names(told), *fits.names)


def features_at(  # noqa: PLR0917
    snapshot: Snapshot,
    settings: AppSettings,
    as_of: datetime,
    con: BaseBackend,
    user_ids: Sequence[str] | pa.Array,
    at_us: Int64,
    cuts: int = CUTS,
) -> tuple[Float32, tuple[str, ...]]:
    """What was known of N visitors, of each at a moment of its own: float32 [N, columns], and the names of the columns.

    user_ids: [N]. at_us: int64 [N], microseconds, before `as_of`; a row holds nothing that is later than its moment.
    Only what visitors declared is taken as of `as_of`: a catalogue's first row is its best guess of the past, and how
    words become numbers is learnt from all of them. cuts: past moments, at most, for which portraits are built; each
    costs a build (without lists).
    """
    told = declared(snapshot, as_of, con)
    user_ids = user_ids if isinstance(user_ids, pa.Array) else pa.array(user_ids, pa.string())
    fits = _matches(snapshot, as_of, con)
    names = (*_names(told), *fits.names)
    X = np.full((len(user_ids), len(names)), np.nan, np.float32)
    declared_until = len(_names(told))
    X[:, len(KNOWN) : declared_until] = told.of(user_ids)
    for cut_us, rows in cut_up(at_us, cuts):
        past = past_of(snapshot, settings, from_us(cut_us), con)
        whose = user_ids.take(pa.array(rows))
        X[rows, : len(KNOWN)] = _known(past, whose, cut_us)
        X[rows, declared_until:] = _fit(fits, past, whose)
    return X, names


def cut_up(at_us: Int64, cuts: int = CUTS) -> list[tuple[int, Int64]]:
    """At most `cuts` moments, each with the places of those `at_us` for which it is the latest that is not after them.

    The first cut is the earliest moment. Each further one is where it makes what is known of the others least stale,
    until that is less than a day old on average.
    """
    if not len(at_us):
        return []
    tried = np.sort(at_us)[np.linspace(0, len(at_us) - 1, min(len(at_us), GRID)).round().astype(np.int64)]
    chosen = tried[:1]
    while len(chosen) < cuts and _stale(tried, chosen) > DAY_US:
        more = [np.sort(np.append(chosen, one)) for one in np.unique(tried)]
        chosen = min(more, key=lambda some: _stale(tried, some))
    which = np.searchsorted(chosen, at_us, side="right") - 1
    return [(int(moment), np.flatnonzero(which == n)) for n, moment in enumerate(chosen)]


def _stale(moments: Int64, cuts: Int64) -> float:
    """How long ago the last cut was, on average."""
    return float(np.mean(moments - cuts[np.searchsorted(cuts, moments, side="right") - 1]))


def _names(told: Declared) -> tuple[str, ...]:
    """The columns but those of the rules."""
    return (*(one.name for one in KNOWN), *told.encoding.names)


def _known(past: Past, user_ids: pa.Array, us: int) -> Float32:
    """float32 [user_ids, KNOWN] from a past."""
    wanted = ibis.memtable(pa.table({"user_id": pc.unique(user_ids)}))
    told = fields(past, KNOWN).semi_join(wanted, "user_id").to_pyarrow()
    values = np.vstack([_numbers(told, us), np.full((1, len(KNOWN)), np.nan, np.float32)])
    at = pc.index_in(user_ids, told["user_id"].combine_chunks()).fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(values[at])


def _matches(snapshot: Snapshot, as_of: datetime, con: BaseBackend) -> Matches:
    return matches(snapshot.catalogue(con, "offers", as_of).to_pyarrow().to_pylist())


def _fit(fits: Matches, past: Past, user_ids: pa.Array) -> Float32:
    """float32 [user_ids, columns of `fits`] from a past."""
    X = np.full((len(user_ids), len(fits.names)), np.nan, np.float32)
    if not fits.names:
        return X
    told = fits.of(past).to_pyarrow()
    at = pc.fill_null(pc.index_in(user_ids, told["user_id"].combine_chunks()), -1).to_numpy(zero_copy_only=False)
    for place, name in enumerate(fits.names):
        values = pc.fill_null(told[name].cast(pa.float64()), np.nan).to_numpy()
        X[:, place] = np.append(values, np.nan)[at]
    return X


def _numbers(rows: pa.Table, us: int) -> Float32:
    """float32 [rows, KNOWN]; what the rows do not have is nan."""
    X = np.full((len(rows), len(KNOWN)), np.nan, np.float32)
    for n, one in enumerate(KNOWN):
        if one.name not in rows.column_names:
            continue
        column = rows[one.name]
        if one.values:
            column = pc.index_in(column, pa.array(one.values))
        elif one.dtype == "date":
            column = pc.divide(pc.subtract(us, _micros(column)), float(DAY_US))
        elif one.dtype.startswith("timestamp"):
            column = pc.divide(pc.subtract(us, column.cast(pa.int64())), float(DAY_US))
        X[:, n] = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
    return X


def _micros(days: pa.ChunkedArray) -> pa.ChunkedArray:
    return days.cast(pa.timestamp("us")).cast(pa.int64())
