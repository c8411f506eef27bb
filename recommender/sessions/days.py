"""Days that went by, replayed: what the day knew of a visitor at a moment, and what they took next.

A case is a moment after the cut of a split. What the visitor had done since the cut, shortly before, is what the day
would have known (`State.recent`); what they took shortly after, and had not touched yet, is the truth: an item that
lies in the cart is bought without being shown again. A night comes every day, so "shortly" is a day; a shop whose
visitors come back too seldom for that is replayed by the week, then over everything since the cut.

Strangers are visitors without a past at the cut. Where there are few, known visitors play them: asked for without a
name, judged by what is new to them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import scipy.sparse as sp

from recommender.bundles.today import SIGNALS
from recommender.history.dataset import DAY_US, Dataset, Int32, Mask
from recommender.history.kinds import KINDS
from recommender.history.split import Split
from recommender.types import Query, Recent, State

K = 10
FEWEST_CASES = 100
ENOUGH_CASES = 400
MOST_KNOWN = 400
MOST_STRANGERS = 300
MOST_EVENTS = 50
WINDOWS_US = (DAY_US, 7 * DAY_US)
FOREVER_US = 1 << 60


@dataclass(frozen=True)
class Case:
    """A request, and the items (row numbers) that were taken next. known: the night had a table for the visitor."""

    query: Query
    state: State
    taken: Int32
    known: bool


class Cases:
    """Cases as one: asked, truth ([C, I], 1 for what was taken), known (bool[C]), the ids of those (known_ids), and
    the event types that are recent in at least `FEWEST_CASES` of them (kinds)."""

    def __init__(self, cases: Sequence[Case], items: int) -> None:
        self.asked = [(case.query, case.state) for case in cases]
        self.known = np.array([case.known for case in cases], bool)
        sizes = [len(case.taken) for case in cases]
        columns = np.concatenate([case.taken for case in cases]) if cases else np.empty(0, np.int32)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.truth = sp.csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=(len(cases), items))
        self.known_ids = np.array([case.query.user_id.encode() for case in cases if case.known], "S")
        seen = Counter(kind for case in cases for kind in {event.type for event in case.state.recent})
        self.kinds = tuple(kind for kind in KINDS if kind in SIGNALS and seen[kind] >= FEWEST_CASES)


def cases_of(split: Split, seed: int) -> Cases:
    """The cases of a split, drawn by `seed`; none where it does not say what happened afterwards in which order."""
    after, items = split.after, split.train.shape[1]
    if after is None or not len(after.user):
        return Cases((), items)
    met, judged = np.zeros(len(after.users), bool), np.zeros(len(after.users), bool)
    met[split.train.user] = True
    judged[split.users] = True
    past = _Days(after)
    for window in (*WINDOWS_US, FOREVER_US) if after.time_kind == "real" else (FOREVER_US,):
        rng = np.random.default_rng(seed)
        known = list(past.cases(judged, window, MOST_KNOWN, rng))
        strangers = [replace(case, known=False) for case in past.cases(~met, window, MOST_STRANGERS, rng)]
        if len(known) + len(strangers) >= ENOUGH_CASES:
            break
    rest = (_as_stranger(case, split.train) for case in known)
    strangers += itertools.islice((case for case in rest if len(case.taken)), MOST_STRANGERS - len(strangers))
    return Cases([*known, *strangers], items)


def _as_stranger(case: Case, train: Dataset) -> Case:
    """The case of somebody who did the same and of whom nothing else is known; what they take again is left out."""
    row = int(np.searchsorted(train.users, case.query.user_id.encode()))
    new = np.setdiff1d(case.taken, train.bought[row].indices)
    return Case(replace(case.query, user_id=""), case.state, new, known=False)


class _Days:
    """Interactions by user, then by time, as days that can be replayed."""

    def __init__(self, data: Dataset) -> None:
        order = np.lexsort((data.kind, data.item, data.ts_us, data.user))
        self.data = data
        self.user, self.item, self.ts, self.kind = (
            column[order] for column in (data.user, data.item, data.ts_us, data.kind)
        )
        self.target = data.is_target[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (self.user[1:] != self.user[:-1]) | (self.ts[1:] != self.ts[:-1])
        self.moments = np.flatnonzero(fresh)
        """The first row of each moment, which is a visitor and a time."""

    def cases(self, allowed: Mask, window: int, most: int, rng: np.random.Generator) -> Iterator[Case]:
        """At most so many cases of the visitors `allowed`, in an order that is drawn."""
        starts = self.moments[allowed[self.user[self.moments]]]
        before = np.maximum(starts - 1, 0)
        starts = starts[
            (starts > 0) & (self.user[before] == self.user[starts]) & (self.ts[starts] - self.ts[before] <= window)
        ]
        drawn = (case for start in rng.permutation(starts).tolist() if (case := self._case(start, window)))
        return itertools.islice(drawn, most)

    def _case(self, start: int, window: int) -> Case | None:
        """The moment at row `start`; None where nothing was taken next."""
        user, now = int(self.user[start]), int(self.ts[start])
        first, end = np.searchsorted(self.user, [user, user + 1])
        first += np.searchsorted(self.ts[first:start], now - window)
        end = start + np.searchsorted(self.ts[start:end], now + window)
        taken = np.setdiff1d(self.item[start:end][self.target[start:end]], self.item[first:start])
        if not len(taken):
            return None
        latest = slice(max(int(first), start - MOST_EVENTS), start)
        events = zip(self.kind[latest].tolist(), self.item[latest].tolist(), self.ts[latest].tolist(), strict=True)
        recent = [Recent(KINDS[kind], self.data.items[item].decode(), ts) for kind, item, ts in events]
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=now)
        return Case(Query(self.data.users[user].decode(), K, moment), State(recent), taken, known=True)
