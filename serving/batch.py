"""Batch answers: for each visitor of a file the shelf of now, for no occasion.

The same answers as by day, pins and boosts included, with two differences. When and where they will be read is not
known, so that no list of an hour, a store, an entrance or an article speaks; a request's hour is that of its moment.
And control group, exploration and decisions are for answers that are shown, so a batch knows none of them.

A million visitors are answered in three ways, each only where it gives what the next one would:

1. of whom nothing is new, off the night's table, all at once (`recommender.answers.batch`); strangers share one answer
2. where that is not enough (a table too short, pins, boosts, the dial of diversity): `recommend`, without the store
3. whoever did something since the night, refuses or was forgotten: the store's state and `recommend`, as by day
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AnySet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from portraits.forgotten import Forgotten
from recommender.answers.batch import Lines, TableShelves
from recommender.answers.pipeline import recommend
from recommender.history.pair_files import read_users
from recommender.types import Query, State
from serving.models import Model, Models
from serving.reads import Reads
from serving.segments.files import WRITERS, check_ending
from serving.settings import ProcessSettings
from serving.stores import Store

ANSWERS = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""One row an item; `rank` from 1, `reason` in words."""

ROWS_AT_ONCE = 200_000
MOST_AT_ONCE = 10_000
"""Visitors at once, however short their shelves: what is known of them is looked up together."""
Row = tuple[str, int, str, float, str, str]


class Known(NamedTuple):
    """What the store knows of the whole app as a batch begins: ids with something new, ids that refuse, and whose id
    was forgotten."""

    news: AnySet[str]
    refusing: AnySet[str]
    forgotten: Forgotten

    def of(self, user_id: str, ids: Iterable[str]) -> bool:
        """Whether a visitor with these ids is one of those."""
        new = any(one in self.news or one in self.refusing for one in ids)
        return new or bool(self.forgotten and self.forgotten.among([user_id]))


@dataclass
class Batch:
    """What is asked for every visitor, as of one moment. `allow_seen`, `diversity`: see `Query`."""

    store: Store
    model: Model
    app_id: str
    n: int
    allow_seen: bool | None
    diversity: float
    known: Known
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def answers(self, users: Sequence[str]) -> pa.Table:
        """Rows of `ANSWERS`, visitors in the order given."""
        rows, anew = self._places(users)
        at_once = np.flatnonzero(~anew & (rows >= 0)) if self._tables is not None else np.empty(0, np.intp)
        parts: list[tuple[pa.Table, np.ndarray]] = []
        answered = np.zeros(len(users), bool)
        if self._tables is not None and len(at_once):
            whole, lines = self._tables.of(rows[at_once])
            parts.append(self._told(users, at_once[whole], lines))
            answered[at_once[whole]] = True
        others = np.flatnonzero(~answered).tolist()
        listed = [(row, user) for user in others for row in self._rows(users[user], rows[user], anew=bool(anew[user]))]
        parts.append((_table(row for row, _ in listed), np.array([user for _, user in listed], np.int64)))
        together = pa.concat_tables([part for part, _ in parts])
        order = np.argsort(np.concatenate([owner for _, owner in parts]), kind="stable")
        return together if len(parts) == 1 or not listed else together.take(pa.array(order))

    def _places(self, users: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """int32[V] the visitors' rows in the bundle (-1: unknown), and bool[V] who must be asked for in the store."""
        linked = self.store.linked(self.app_id, users)
        everyone = [linked.get(user) or (user,) for user in users]
        anew = [self.known.of(user, ids) for user, ids in zip(users, everyone, strict=True)]
        bundle = self.model.bundle
        if bundle is None:
            return np.full(len(users), -1, np.int32), np.array(anew, bool)
        names = [ids[0] if len(ids) == 1 else self.model.known_among(ids) for ids in everyone]
        return bundle.users.indices(names), np.array(anew, bool)

    def _rows(self, user_id: str, row: int, *, anew: bool) -> Iterator[Row]:
        """The visitor's answer as rows of `ANSWERS`. row: in the bundle; of one who is asked for in the store: any."""
        if anew:
            state = self.store.state(self.app_id, user_id)
            return self._asked(user_id, self.model.known_as(state), State(state.recent), consents=state.consent)
        if row < 0 or self.model.bundle is None:
            return ((user_id, *rest) for _, *rest in self._of_a_stranger)  # type: ignore[misc]
        return self._asked(user_id, self.model.bundle.users.id(row), State(), consents=True)

    def _asked(self, user_id: str, known_as: str, state: State, *, consents: bool) -> Iterator[Row]:
        query, model = self._query(known_as, personalized=consents), self.model
        answer = recommend(model.bundle, model.catalogue, query, state, model.promotions)
        for rank, item in enumerate(answer.items, 1):
            yield user_id, rank, item.item_id, float(item.score), item.source, item.reason.text

    def _query(self, user_id: str, *, personalized: bool) -> Query:
        return Query(
            user_id,
            self.n,
            self.now,
            personalized=personalized,
            allow_seen=self.allow_seen,
            diversity=self.diversity,
        )

    @cached_property
    def _of_a_stranger(self) -> list[Row]:
        return list(self._asked("", "", State(), consents=True))

    @cached_property
    def _tables(self) -> TableShelves | None:
        """None where the table alone does not make an answer."""
        bundle, query = self.model.bundle, self._query("", personalized=True)
        promoted = self.model.promotions.pins(query) or self.model.promotions.boosts(query)
        if bundle is None or promoted or self.diversity:
            return None
        return TableShelves(bundle, self.model.catalogue, query)

    @cached_property
    def _item_ids(self) -> pa.Array:
        bundle = self.model.bundle
        return _words(bundle.items.ids(np.arange(len(bundle.items)))) if bundle is not None else _words([])

    def _told(self, users: Sequence[str], who: np.ndarray, lines: Lines) -> tuple[pa.Table, np.ndarray]:
        """Rows of `ANSWERS` of the visitors at `who`, and where each row's visitor is."""
        if self._tables is None or self.model.bundle is None:
            return _table([]), np.empty(0, np.int64)
        owner = np.repeat(who, self.n)
        columns = [
            _words(users).take(pa.array(owner)),
            pa.array(np.tile(np.arange(1, self.n + 1, dtype=np.int32), len(who))),
            self._item_ids.take(pa.array(lines.items.ravel())),
            pa.array(lines.scores.ravel().astype(np.float64)),
            _words(self.model.bundle.sources).take(pa.array(lines.sources.ravel())),
            _words(self._tables.texts).take(pa.array(lines.reasons.ravel())),
        ]
        return pa.table(columns, schema=ANSWERS), owner


def open_batch(process: ProcessSettings, store: Store, app_id: str, n: int, allow_seen: bool | None) -> Batch:
    """A batch on the model that is served now. Raises UnknownApp, StoreUnavailable."""
    state = store.state(app_id)
    known = Known(store.with_news(app_id, state.active), store.refusing(app_id), store.forgotten(app_id))
    model = asyncio.run(Models(process, store, Reads(store)).model(app_id, state))
    return Batch(store, model, app_id, n, allow_seen, store.app(app_id).diversity, known)


def answer_file(batch: Batch, users: Path, out: Path, on_progress: Callable[[float], None]) -> tuple[int, int]:
    """Writes `out` (Parquet or CSV, columns: `ANSWERS`) whole or not at all; (visitors, rows).

    Raises UnreadableFile (no column user_id), InvalidValue (n, the end of `out`), StoreUnavailable.
    """
    ending, wanted = check_ending(out), read_users(users)
    rows, at_once = 0, min(max(ROWS_AT_ONCE // batch.n, 1), MOST_AT_ONCE)
    unfinished = out.with_name(f".{out.name}.tmp")
    with WRITERS[ending](str(unfinished), ANSWERS) as file:
        for start in range(0, len(wanted), at_once):
            some = wanted[start : start + at_once].to_pylist()
            answers = batch.answers(some)
            rows += len(answers)
            file.write_table(answers)
            on_progress((start + len(some)) / len(wanted))
    unfinished.replace(out)
    return len(wanted), rows


def _words(words: Sequence[str]) -> pa.Array:
    return pa.array(words, pa.string())


def _table(rows: Iterable[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [() for _ in ANSWERS]
    return pa.table([list(column) for column in columns], schema=ANSWERS)
