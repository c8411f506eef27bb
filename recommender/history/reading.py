"""From the history lake to a `Dataset`: the one place where the night's arrays meet Ibis and Arrow.

What may be learnt from is what portraits may be built from (`portraits.past.Past`): events before T, no test traffic,
nobody who refused. Ids become row numbers inside the engine, so that only numbers cross over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp
from ibis.backends import BaseBackend

from portraits.build import fields, past_of
from portraits.features import REGISTRY
from portraits.past import Past
from portraits.portrait_set import TABLE_FILE
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.history.beside import read_earned, read_exposures, read_friends, read_looks
from recommender.history.dataset import NOTHING_BESIDE, Beside, Dataset, Ids
from recommender.history.exposures import Looks
from recommender.history.facts import CATEGORY_DEPTH, Facts
from recommender.history.kinds import KINDS
from recommender.history.taken_back import with_backs
from recommender.history.undone import NEVER
from recommender.history.worth import worth_of

FEWEST_SHARING = 10
"""Visitors that must share a portrait value before it becomes a feature."""
MOST_VALUES = 500
"""Values of one field that become features: the most common."""
TASTES = ("categories", "brands", "styles", "price_tastes")
WORDS = tuple(name for name, field in REGISTRY.items() if field.dtype == "string" and field.family != "taste")
"""Words of portraits that are made of events. Those of `taste` say what its lists say, which are read themselves."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class History:
    """One app's history before `until`, read once, asked for facts of several moments."""

    def __init__(self, snapshot: Snapshot, settings: AppSettings, until: datetime, con: BaseBackend) -> None:
        self.snapshot = snapshot
        self.settings = settings
        self.until = until
        self.con = con
        self._visitors = 0

    @cached_property
    def past(self) -> Past:
        """What may be learnt from: everything before `until`."""
        return past_of(self.snapshot, self.settings, self.until, self.con)

    def release(self) -> None:
        """Lets go of what the engine keeps of the past: it is read anew where it is asked for again."""
        self.__dict__.pop("past", None)

    def dataset(self, portraits: Path | None = None) -> Dataset:
        """The dataset of everything before `until`; user features from the portraits folder, where given.

        Its `until_us` is the moment after the last event when that is earlier: a shop whose history ended long ago is
        judged, and its "recently" measured, by its own last days. For a history without real time it always is.
        """
        past = self.past
        events = past.events
        users = _numbered(events.select(id=events.user_id).distinct()).cache()
        chosen = events.filter(events.type.isin(KINDS) & events.item_id.notnull())
        in_catalogue = past.lake_items.select(id=past.lake_items.item_id)
        items = _numbered(chosen.select(id=chosen.item_id).union(in_catalogue).distinct()).cache()
        rows = _coded(with_backs(events, KINDS), users, items).to_pyarrow()
        user_ids = _ids(users)
        self._visitors = len(user_ids)
        ts = rows["ts_us"].to_numpy()
        end = min(_microseconds(self.until), int(ts.max()) + 1 if len(ts) else 0)
        dataset = Dataset.from_codes(
            user_ids,
            _ids(items),
            user=rows["user"].to_numpy(),
            item=rows["item"].to_numpy(),
            ts_us=ts,
            kind=rows["kind"].to_numpy().view(np.uint8),
            back_us=pc.fill_null(rows["back_us"], NEVER).to_numpy(),
            until_us=end,
            objective=self.settings.objective,
            time_kind=self.snapshot.time_kind(),
        )
        features = portrait_features(_told(portraits / TABLE_FILE), user_ids) if portraits else None
        return replace(dataset, **self._beside(past, dataset, users, items, features)._asdict())

    def at(self, dataset: Dataset, moment_us: int) -> Beside:
        """What was known beside the interactions as it was at a past moment, in the row numbers of `dataset`.

        What portraits of that moment tell is made for it: today's would tell the ranker what people did afterwards.
        Without real time nothing is known of the past but the order of events. Of a dataset of some visitors only their
        own events are looked at.
        """
        if dataset.time_kind != "real":
            return NOTHING_BESIDE
        users, items = (self._table(ids) for ids in (dataset.users, dataset.items))
        past = self._before(moment_us, users, len(dataset.users))
        features = None
        if dataset.user_features is not None:
            told = fields(past, [REGISTRY[name] for name in (*WORDS, *TASTES)])
            features = portrait_features(told.to_pyarrow(), dataset.users)
        return self._beside(past, dataset.before(moment_us), users, items, features)

    def looks(self, dataset: Dataset, since_us: int, until_us: int) -> Looks:
        """What was shown from one moment to another, in the row numbers of `dataset`."""
        if dataset.time_kind != "real":
            return Looks.none()
        users, items = (self._table(ids) for ids in (dataset.users, dataset.items))
        return read_looks(self._before(until_us, users, len(dataset.users)), users, items, since_us)

    def _before(self, moment_us: int, users: ir.Table, count: int) -> Past:
        """The past as of a moment, of so many `users` alone (id) where these are not all."""
        past = past_of(self.snapshot, self.settings, EPOCH + timedelta(microseconds=moment_us), self.con)
        if count >= self._visitors:
            return past
        return past.among(users.select(user_id=users.id), count / self._visitors)

    def _beside(
        self, past: Past, dataset: Dataset, users: ir.Table, items: ir.Table, features: sp.csr_matrix | None
    ) -> Beside:
        """What `past` tells beside the interactions of the same moment, `dataset`. users, items: id and row."""
        facts = read_facts(past.lake_items.to_pyarrow(), dataset.items)
        late_us = dataset.until_us - dataset.recent_us
        return Beside(
            facts,
            features,
            read_friends(past, users, dataset.shape[0]),
            worth_of(self.settings.objective, facts, read_earned(past, items, dataset.shape[1])),
            read_exposures(past, users, items, late_us, dataset.shape),
        )

    def _table(self, ids: Ids) -> ir.Table:
        """id and row, as the engine's table."""
        rows = pa.table({"id": pa.array(ids.tolist(), pa.binary()).cast(pa.string()), "row": np.arange(len(ids))})
        return self.con.create_table(ibis.util.gen_name("ids"), rows, temp=True)


def read_facts(rows: pa.Table, items: Ids) -> Facts:
    """Facts of `items` from rows of the items catalogue; rows of unknown items are left out."""
    rows, at = _placed(rows, "item_id", items)
    total = len(items)
    categories, category_codes, category_rows = _exploded(rows["category"], at)
    brands, brand_codes, brand_rows = _coded_words(rows["brand"], at)
    titles = np.full(total, "", object)
    titles[at] = pc.fill_null(rows["title"], "").to_numpy(zero_copy_only=False)
    tag_names, tag_codes, tag_rows = _exploded(rows["tags"], at)
    store_ids, store_codes, store_rows = _exploded(rows["store_ids"], at)
    known = np.zeros(total, bool)
    known[at] = True
    brand = np.full(total, -1, np.int32)
    brand[brand_rows] = brand_codes
    return Facts(
        known=known,
        hidden=_spread(rows["hidden"].cast(pa.int64()), at, total, 0) > 0,
        price=_spread(rows["price"], at, total, -1),
        cost=_spread(rows["cost"], at, total, -1),
        stock=_spread(rows["stock"], at, total, -1),
        created=_spread(rows["created_at"].cast(pa.int64()), at, total, -1),
        category=_levels(category_codes, category_rows, total),
        brand=brand,
        titles=tuple(titles.tolist()),
        tags=_flags(tag_rows, tag_codes, (total, len(tag_names))),
        stores=_flags(store_rows, store_codes, (total, len(store_ids))),
        categories=categories,
        brands=brands,
        tag_names=tag_names,
        store_ids=store_ids,
    )


def portrait_features(portraits: pa.Table, users: Ids) -> sp.csr_matrix | None:
    """[U, F] one column for each value, shared by enough visitors, of the portraits' words and tastes: 1 for a word,
    the share of attention for a taste (categories, brands, styles, price bands).

    None when there is no such field. Users without a portrait have an empty row. What is made of other fields
    (personas, predictions, the strongest taste as a word) would say the same twice and is left out; so are numbers:
    cut into bins they foretold nothing beside the tastes.
    """
    rows, at = _placed(portraits, "user_id", users)
    parts = []
    for name in (name for name in WORDS if name in rows.column_names):
        values, codes, where = _coded_words(rows[name], at)
        parts.append(_shared(_flags(where, codes, (len(users), len(values)))))
    for name in (name for name in TASTES if name in rows.column_names):
        lists = rows[name].combine_chunks()
        entries, where = pc.list_flatten(lists), at[pc.list_parent_indices(lists).to_numpy()]
        tags, columns = np.unique(_bytes(pc.struct_field(entries, "tag")), return_inverse=True)
        weights = pc.fill_null(pc.struct_field(entries, "weight"), 0).to_numpy()
        shares = sp.csr_matrix((weights, (where, columns)), shape=(len(users), len(tags)))
        shares.eliminate_zeros()  # a tag that has no share: the one above it was turned down
        parts.append(_shared(shares))
    if not any(part.shape[1] for part in parts):
        return None
    return sp.hstack(parts, format="csr", dtype=np.float32)


def _told(table: Path) -> pa.Table:
    """What the portraits of a file tell that becomes features."""
    known = set(pq.read_schema(table).names)
    return pq.read_table(table, columns=["user_id", *(name for name in (*WORDS, *TASTES) if name in known)])


def _shared(values: sp.csr_matrix) -> sp.csr_matrix:
    """The columns with FEWEST_SHARING visitors or more; of many the MOST_VALUES with the most."""
    visitors = np.bincount(values.indices, minlength=values.shape[1])
    most = np.sort(np.argsort(-visitors, kind="stable")[:MOST_VALUES])
    return values[:, most[visitors[most] >= FEWEST_SHARING]]


def _numbered(ids: ir.Table) -> ir.Table:
    """id and its row number in byte order, which is the order of NumPy's bytes."""
    return ids.mutate(row=ibis.row_number().over(order_by=ids.id))


def _coded(events: ir.Table, users: ir.Table, items: ir.Table) -> ir.Table:
    """Distinct user, item (int32), kind (int8), ts_us and back_us."""
    kind = events.type.cases(*((name, code) for code, name in enumerate(KINDS)), else_=len(KINDS))
    rows = events.select("user_id", "item_id", "ts_us", "back_us", kind=kind).distinct()
    rows = rows.join(users.select(user_id="id", user="row"), "user_id")
    rows = rows.join(items.select(item_id="id", item="row"), "item_id")
    codes = {"user": rows.user.cast("int32"), "item": rows.item.cast("int32"), "kind": rows.kind.cast("int8")}
    return rows.select("ts_us", "back_us", **codes)


def _ids(numbered: ir.Table) -> Ids:
    return _bytes(numbered.order_by("row").id.to_pyarrow())


def _bytes(words: pa.Array | pa.ChunkedArray) -> Ids:
    values = words.cast(pa.binary()).to_pylist()
    return np.array(values, np.bytes_) if values else np.empty(0, "S1")


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _placed(rows: pa.Table, key: str, ids: Ids) -> tuple[pa.Table, npt.NDArray[np.intp]]:
    """Rows whose key is in `ids`, and their row numbers there."""
    keys = _bytes(rows[key])
    if not len(ids) or not len(keys):
        return rows.slice(0, 0), np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(ids, keys), len(ids) - 1)
    found = ids[at] == keys
    return rows.filter(pa.array(found)).combine_chunks(), at[found]


def _spread(column: pa.ChunkedArray, at: npt.NDArray[np.intp], total: int, missing: int) -> npt.NDArray[np.int64]:
    values = np.full(total, missing, np.int64)
    values[at] = pc.fill_null(column.cast(pa.int64()), missing).to_numpy()
    return values


def _coded_words(
    column: pa.ChunkedArray, at: npt.NDArray[np.intp]
) -> tuple[Ids, npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Sorted distinct words, the code of each word given, and the row it belongs to; nulls are left out."""
    given = pc.is_valid(column).to_numpy(zero_copy_only=False) if len(column) else np.empty(0, bool)
    words, codes = np.unique(_bytes(pc.drop_null(column)), return_inverse=True)
    return words, codes.astype(np.int32), at[given]


def _exploded(
    column: pa.ChunkedArray, at: npt.NDArray[np.intp]
) -> tuple[Ids, npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """The same for a column of lists: one code and row for each entry, in order."""
    lists = column.combine_chunks()
    words, codes = np.unique(_bytes(pc.list_flatten(lists)), return_inverse=True)
    return words, codes.astype(np.int32), at[pc.list_parent_indices(lists).to_numpy()]


def _levels(codes: npt.NDArray[np.int32], rows: npt.NDArray[np.intp], total: int) -> npt.NDArray[np.int32]:
    """int32[total, CATEGORY_DEPTH]: the first entries of each row's list, -1 pads."""
    levels = np.full((total, CATEGORY_DEPTH), -1, np.int32)
    if len(rows):
        starts = np.flatnonzero(np.concatenate([[True], np.diff(rows) != 0]))
        level = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
        kept = level < CATEGORY_DEPTH
        levels[rows[kept], level[kept]] = codes[kept]
    return levels


def _flags(rows: npt.NDArray[np.intp], codes: npt.NDArray[np.int32], shape: tuple[int, int]) -> sp.csr_matrix:
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, codes)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix
