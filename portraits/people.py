"""Who is the same person, for all ids of an app at once: `portraits.identity`'s rule in arrays, and its use at night.

`Persons` holds the links that are true at T and gives tables in which every id is that of its person. Nothing is
rewritten: the lake keeps the ids that were sent, so a late link merges what was long before it, and one that is taken
back is as if it had never been.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from ibis.backends.duckdb import Backend

from portraits.identity import COUNTED, KINDS, LEVELS, MOST_IDS, MOST_USERS, UNBOUNDED
from portraits.local import to_us
from portraits.snapshot import Snapshot

NEVER = 2**63 - 1
MAPPING = pa.schema([pa.field("id", pa.string()), pa.field("user_id", pa.string())])

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Ignored(NamedTuple):
    """An id that was left out of a group because it would link too many: with how many user_ids rows name it."""

    kind: str
    value: str
    users: int


@dataclass(frozen=True, slots=True)
class Links:
    """`people`: columns id, user_id (of the person), one row for each id of a person with several, the person's own
    too, in no particular order. `ignored`: by kind (strongest first) and value."""

    people: pa.Table
    ignored: tuple[Ignored, ...]

    @property
    def persons(self) -> int:
        """How many people have several ids."""
        return int(pc.count_distinct(self.people["user_id"]).as_py())


class Persons:
    """The people of one app as of T, to be read under one id each. `as_of` None: by the latest rows."""

    def __init__(self, history: Snapshot, con: Backend, as_of: datetime | None = None) -> None:
        rows = history.catalogue(con, "identities", as_of).to_pyarrow()
        self.links = links(rows, None if as_of is None else to_us(as_of))
        self._con = con

    def merged(self, rows: ir.Table, *columns: str) -> ir.Table:
        """`rows` with the ids in `columns` replaced by those of their people; the same columns in the same order."""
        if not len(self.links.people):
            return rows
        merged = rows
        for name in columns:
            joined = merged.left_join(self._moved, merged[name] == self._moved.linked_id)
            merged = joined.mutate({name: ibis.coalesce(joined.person_id, joined[name])})
            merged = merged.drop("linked_id", "person_id")
        return merged

    def users(self, rows: ir.Table) -> ir.Table:
        """Rows of the users catalogue, one a person: see `portraits.identity.merge_users`."""
        if not len(self.links.people):
            return rows
        people = self._people
        alone = rows.anti_join(people, rows.user_id == people.linked_id)
        linked = rows.inner_join(people, rows.user_id == people.linked_id)
        own = linked.user_id == linked.person_id
        linked = linked.mutate(place=ibis.ifelse(own, "0", "1") + linked.user_id).drop("user_id", "linked_id")
        values = {name: linked[name] for name in rows.columns if name != "user_id"}
        first = {name: value.argmin(linked.place, where=value.notnull()) for name, value in values.items()}
        refuses = (linked.consent == False).fill_null(False).any()  # noqa: E712
        first |= {"joined_at": linked.joined_at.min(), "consent": ibis.ifelse(refuses, False, first["consent"])}
        merged = linked.group_by(user_id=linked.person_id).aggregate(first)
        return alone.union(merged.select(*rows.columns))

    @cached_property
    def _people(self) -> ir.Table:
        named = self.links.people.rename_columns(["linked_id", "person_id"])
        return self._con.create_table(ibis.util.gen_name("people"), named, temp=True)

    @cached_property
    def _moved(self) -> ir.Table:
        """The ids that become another: what joins with events stays small."""
        return self._people.filter(lambda row: row.linked_id != row.person_id).cache()


def links(rows: pa.Table, before_us: int | None = None) -> Links:
    """The people of an app by rows of its identities catalogue, each `link_id` once, in any order.

    `before_us`: links learnt (`linked_at`) at that moment or later do not count; those without a moment do.
    """
    linked = rows["linked_at"].cast(pa.int64())
    if before_us is not None:
        kept = pc.fill_null(pc.less(linked, before_us), True)
        rows, linked = rows.filter(kept), linked.filter(kept)
    graph = _Graph.of(rows, linked)
    group, level = _settle(graph)
    return Links(_people(graph, group), _ignored(graph, group, level))


@dataclass(frozen=True, slots=True)
class _Graph:
    """Nodes are numbered by kind, strongest first. `codes` [rows, 4]: the node of each kind, -1 where there is none;
    `kind`, `spread`, `users` (user_ids it is named with), `linked_us` (first link) by node; `texts`: by node."""

    codes: Int64
    kind: Int64
    spread: Int64
    users: Int64
    linked_us: Int64
    texts: pa.Array
    pairs: tuple[tuple[Int64, Int64], ...]

    @classmethod
    def of(cls, rows: pa.Table, linked: pa.ChunkedArray) -> _Graph:
        codes, texts, kinds, total = [], [], [], 0
        for place, name in enumerate(KINDS):
            coded = rows[name].combine_chunks().dictionary_encode()
            codes.append(pc.fill_null(pc.add(coded.indices.cast(pa.int64()), total), -1).to_numpy())
            texts.append(coded.dictionary)
            kinds.append(np.full(len(coded.dictionary), place))
            total += len(coded.dictionary)
        table = np.stack(codes, axis=1) if len(rows) else np.empty((0, len(KINDS)), np.int64)
        moments = pc.fill_null(linked, NEVER).to_numpy()
        first = np.full(total, NEVER)
        named = table[:, 0] >= 0
        np.minimum.at(first, table[named, 0], moments[named])
        pairs, spread, users = _neighbours(table, total)
        return cls(table, np.concatenate(kinds), spread, users, first, pa.concat_arrays(texts), pairs)


def _neighbours(codes: Int64, total: int) -> tuple[tuple[tuple[Int64, Int64], ...], Int64, Int64]:
    """Every two nodes that some row names together, once; the spread of each node; its user_ids."""
    pairs = []
    counts = np.zeros((total, len(KINDS)), np.int64)
    for one, other in combinations(range(len(KINDS)), 2):
        both = codes[(codes[:, one] >= 0) & (codes[:, other] >= 0)]
        distinct = np.unique(both[:, one] * total + both[:, other])
        left, right = np.divmod(distinct, max(total, 1))
        pairs.append((left, right))
        counts[:, other] += np.bincount(left, minlength=total)
        counts[:, one] += np.bincount(right, minlength=total)
    spread = counts[:, : len(COUNTED)].max(axis=1, initial=0)
    spread[: int(codes[:, 0].max(initial=-1)) + 1] = 0  # users come first, and every one of them is in some row
    spread[counts.sum(axis=1) > MOST_IDS] = UNBOUNDED
    return tuple(pairs), spread, counts[:, 0]


def _settle(graph: _Graph) -> tuple[Int64, Int64]:
    """Group number by node, and the level at which the group was small enough (0: never, each node alone)."""
    total = len(graph.kind)
    group, level = np.arange(total), np.zeros(total, np.int64)
    is_open = np.ones(total, bool)
    for greatest in LEVELS:
        active = is_open & (graph.spread <= greatest)
        component = _components(graph, active)
        fits = _small(component, graph.kind)[component] & is_open
        group[fits], level[fits] = _first_of(component)[component][fits], greatest
        is_open &= ~fits
        if not is_open.any():
            break
    return group, level


def _components(graph: _Graph, active: Bools) -> Int64:
    kept = [(left, right, active[left] & active[right]) for left, right in graph.pairs]
    rows = np.concatenate([left[both] for left, _, both in kept])
    columns = np.concatenate([right[both] for _, right, both in kept])
    total = len(active)
    matrix = sp.coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(total, total))
    if not total:
        return np.empty(0, np.int64)
    return np.asarray(sp.csgraph.connected_components(matrix, directed=False)[1], np.int64)


def _small(component: Int64, kind: Int64) -> Bools:
    """Whether each component may be one person."""
    total = int(component.max(initial=-1)) + 1
    fits = np.bincount(component, minlength=total) <= MOST_IDS
    for counted in range(len(COUNTED)):
        fits &= np.bincount(component[kind == counted], minlength=total) <= MOST_USERS
    return fits


def _first_of(component: Int64) -> Int64:
    """The lowest node of each component: a number that no other group has, at any level."""
    return np.unique(component, return_index=True)[1]


def _people(graph: _Graph, group: Int64) -> pa.Table:
    """Texts and the text of their person, for groups of several texts."""
    coded = graph.texts.dictionary_encode()
    text_of = coded.indices.to_numpy()
    owner = np.unique(text_of, return_index=True)[1]  # the first node of a text is its strongest
    size = np.bincount(group[owner], minlength=len(group))
    owner = owner[size[group[owner]] > 1]
    if not len(owner):
        return MAPPING.empty_table()
    is_user = graph.kind[owner] == 0
    linked = np.where(is_user, graph.linked_us[owner], NEVER)
    texts = graph.texts.take(pa.array(owner))
    rank = np.empty(len(owner), np.int64)
    rank[pc.sort_indices(texts).to_numpy()] = np.arange(len(owner))
    order = np.lexsort((rank, linked, ~is_user, group[owner]))
    first = order[np.unique(group[owner][order], return_index=True)[1]]
    leader = np.empty(len(group), np.int64)
    leader[group[owner[first]]] = first
    return pa.table([texts, texts.take(pa.array(leader[group[owner]]))], schema=MAPPING)


def _ignored(graph: _Graph, group: Int64, level: Int64) -> tuple[Ignored, ...]:
    """Ids that are named with one of another group, whose group could not be held together with them."""
    left_out = np.zeros(len(group), bool)
    for left, right in graph.pairs:
        for one, other in ((left, right), (right, left)):
            cut = (group[one] != group[other]) & (graph.spread[one] > level[other])
            left_out[one[cut]] = True
    found = np.flatnonzero(left_out)
    values = graph.texts.take(pa.array(found)).to_pylist()
    told = (
        Ignored(KINDS[graph.kind[node]], value, int(graph.users[node]))
        for node, value in zip(found, values, strict=True)
    )
    return tuple(sorted(told, key=lambda one: (KINDS.index(one.kind), one.value)))
