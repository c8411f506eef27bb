"""What a night learns from: users, items and what passed between them, as plain arrays.

A `Dataset` is a frozen value. External ids (UTF-8 bytes, sorted) live in `users` and `items` and nowhere else;
everything below works on row numbers (int32). `before(moment)` gives the same dataset as it was known at a past moment:
it keeps the vocabularies, so that row numbers stay comparable, and drops every later interaction, so that nothing
fitted on it can have seen the future.

Matrices are users x items (`scipy.sparse.csr_matrix`, float32), as in implicit and LightFM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from portraits.errors import InvalidValue
from recommender.history.exposures import Exposures
from recommender.history.facts import Facts
from recommender.history.kinds import KINDS, STRENGTH, choose_target
from recommender.history.ordering import in_order, lies_together, seen_before, turns
from recommender.history.undone import NEVER, Undone

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.bytes_]

DAY_US = 86_400_000_000
TIME_KINDS = ("real", "order", "turns", "none")


class Beside(NamedTuple):
    """What is known at a moment beside the interactions; None = nothing.

    facts: of the catalogue. user_features: [U, F], shares or 0/1, from the portraits of that moment. friends: [U, U],
    how much (above 0) the row's user has to do with the column's, by shares and groups. worth: float64[I], what one
    success with an item is worth by the app's objective (margin, price), in any unit. exposures: what was shown, and
    what came of it.
    """

    facts: Facts | None = None
    user_features: sp.csr_matrix | None = None
    friends: sp.csr_matrix | None = None
    worth: npt.NDArray[np.float64] | None = None
    exposures: Exposures | None = None


NOTHING_BESIDE = Beside()


@dataclass(frozen=True)
class Dataset:
    """Interactions of one app before `until_us`.

    users, items: external ids as UTF-8 bytes, sorted, unique.
    user, item: int32[N] rows of those vocabularies; ts_us: int64[N] microseconds (or an order number, or all 0, by
    `time_kind`); kind: uint8[N] index into KINDS. Sorted by (ts, user, item, kind), without repeats: the same line
    twice in one order counts once.
    time_kind: "real"; "order" = numbers that order all events; "turns" = only the order within each user is known, and
    everybody's last moment is numbered `until_us` - 1, the one before it `until_us` - 2; "none": `ts_us` only tells
    apart the rows that say the same, so that what was taken again is counted, and says nothing of when.
    target: kinds that count as success. facts, user_features, friends, worth, exposures: see `Beside`. undone: what was
    taken back since, and is none of the interactions any more; None where that is nothing, or cannot be told.
    """

    users: Ids
    items: Ids
    user: Int32
    item: Int32
    ts_us: Int64
    kind: npt.NDArray[np.uint8]
    target: tuple[str, ...]
    until_us: int
    time_kind: str = "real"
    facts: Facts = field(default_factory=Facts.none)
    user_features: sp.csr_matrix | None = None
    friends: sp.csr_matrix | None = None
    worth: npt.NDArray[np.float64] | None = None
    exposures: Exposures | None = None
    undone: Undone | None = None

    def __post_init__(self) -> None:
        if self.time_kind not in TIME_KINDS:
            raise InvalidValue("time_kind", self.time_kind, f"one of {', '.join(TIME_KINDS)}")

    @classmethod
    def from_arrays(
        cls,
        users: Sequence[Any] | npt.NDArray[Any],
        items: Sequence[Any] | npt.NDArray[Any],
        ts_us: npt.ArrayLike | None = None,
        kinds: Sequence[str] | None = None,
        *,
        until_us: int | None = None,
        objective: str = "auto",
        time_kind: str | None = None,
        extra_users: Sequence[Any] = (),
        extra_items: Sequence[Any] = (),
    ) -> Dataset:
        """A dataset from parallel columns of external ids, e.g. a user,item[,ts] file.

        Without `ts_us` there is no time; without `kinds` every row is a purchase. `extra_users` and `extra_items`
        (ids of a test file, a catalogue) get a place in the vocabularies without an interaction.
        """
        user_ids, item_ids = as_ids(users), as_ids(items)
        if len(user_ids) != len(item_ids):
            raise InvalidValue("items", len(item_ids), f"as many as users ({len(user_ids)})")
        all_users = np.unique(np.concatenate([user_ids, as_ids(extra_users)]))
        all_items = np.unique(np.concatenate([item_ids, as_ids(extra_items)]))
        ts = np.zeros(len(user_ids), np.int64) if ts_us is None else np.asarray(ts_us, np.int64)
        names = ["purchase"] * len(user_ids) if kinds is None else list(kinds)
        lookup = {name: code for code, name in enumerate(KINDS)}
        code = np.array([lookup.get(name, 255) for name in names], np.uint8)
        known = code != 255
        return cls.from_codes(
            all_users,
            all_items,
            user=np.searchsorted(all_users, user_ids)[known].astype(np.int32),
            item=np.searchsorted(all_items, item_ids)[known].astype(np.int32),
            ts_us=ts[known],
            kind=code[known],
            until_us=until_us,
            objective=objective,
            time_kind=time_kind or ("none" if ts_us is None else "real"),
        )

    @classmethod
    def from_codes(
        cls,
        users: Ids,
        items: Ids,
        *,
        user: Int32,
        item: Int32,
        ts_us: Int64,
        kind: npt.NDArray[np.uint8],
        until_us: int | None = None,
        objective: str = "auto",
        back_us: Int64 | None = None,
        time_kind: str = "real",
        beside: Beside = NOTHING_BESIDE,
    ) -> Dataset:
        """A dataset from coded columns: sorts them, drops repeats, what is not before `until_us` and what was taken
        back (`back_us`: when; NEVER for what was not).

        An order whose rows lie together by user (a file sorted by user) says nothing across users: it becomes "turns".
        """
        end = int(ts_us.max()) + 1 if until_us is None and len(ts_us) else int(until_us or 0)
        stands = ts_us < end if back_us is None else (ts_us < end) & (back_us == NEVER)
        undone = None
        if back_us is not None and (back_us != NEVER).any():
            back = np.flatnonzero(back_us != NEVER)
            back = back[np.lexsort((back_us[back], kind[back], item[back], user[back], ts_us[back]))]
            undone = Undone(user, item, ts_us, kind, back_us).where(back)
        if time_kind == "none":
            ts_us = end - 1 - seen_before((user, item, kind), stands)
        keep = np.flatnonzero(stands)
        keep = keep[in_order(ts_us[keep], user[keep], item[keep], kind[keep])]
        kind = kind[keep]
        found = cls(
            users,
            items,
            user[keep],
            item[keep],
            ts_us[keep],
            kind,
            choose_target(user[keep], kind, objective),
            end,
            time_kind,
            beside.facts or Facts.none(len(items)),
            *beside[1:],
            undone,
        )
        sorted_by_user = time_kind == "order" and lies_together(found.user)
        return found.in_turns() if sorted_by_user or time_kind == "turns" else found

    def before(self, moment_us: int, beside: Beside = NOTHING_BESIDE) -> Dataset:
        """The dataset as known at `moment_us`.

        What stands beside the interactions is kept only when given as of that moment: today's would tell the future.
        Category and brand of the present facts are kept, as a product does not change what it is. What was taken back
        only later is there.
        """
        known, undone = self, self.undone
        if undone is not None:
            yet = undone.back_us >= moment_us
            known, undone = self._with(undone.where(yet & (undone.ts_us < moment_us))), undone.where(~yet)
        then = beside._replace(facts=beside.facts or self.facts.timeless())
        return replace(known.subset(known.ts_us < moment_us, moment_us, then), undone=undone)

    def _with(self, more: Undone) -> Dataset:
        """The dataset with these interactions among the others."""
        both: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(more, name)])
            for name in ("ts_us", "user", "item", "kind")
        }
        rows = in_order(**both)
        return replace(self, **{name: column[rows] for name, column in both.items()})

    def subset(self, keep: Mask, until_us: int, beside: Beside = NOTHING_BESIDE) -> Dataset:
        """The dataset with only the interactions where `keep`, known until `until_us`. Without `beside` only the facts
        of the catalogue stay: the rest was made from all interactions."""
        columns = {name: getattr(self, name)[keep] for name in ("user", "item", "ts_us", "kind")}
        known = beside._replace(facts=beside.facts or self.facts)
        return replace(self, until_us=until_us, undone=None, **known._asdict(), **columns)

    def in_turns(self) -> Dataset:
        """The same with only the order within each user left, everybody's last moment at the end: see `time_kind`."""
        turn = turns(self.user, self.ts_us, self.until_us)
        order = np.lexsort((self.kind, self.item, self.user, turn))
        columns = {name: getattr(self, name)[order] for name in ("user", "item", "kind")}
        return replace(self, ts_us=turn[order], time_kind="turns", undone=None, **columns)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.users), len(self.items)

    @property
    def span_us(self) -> int:
        """From the first interaction to `until_us`."""
        return self.until_us - int(self.ts_us[0]) if len(self.ts_us) else 0

    @cached_property
    def recent_us(self) -> int:
        """How far back "recently" reaches: 30 days, or a quarter of a shorter history; in turns, half of a user's usual
        number of moments; without time, over everything."""
        if self.time_kind == "turns":
            earliest = self.ts_us[np.unique(self.user, return_index=True)[1]]
            return max(round(float(np.mean(self.until_us - earliest)) / 2), 1) if len(earliest) else 1
        if self.time_kind == "none":
            return max(self.span_us, 1)
        quarter = max(self.span_us // 4, 1)
        return min(30 * DAY_US, quarter) if self.time_kind == "real" else quarter

    @cached_property
    def is_target(self) -> Mask:
        """Interactions that count as success."""
        return np.isin(self.kind, [KINDS.index(name) for name in self.target])

    @cached_property
    def orders(self) -> sp.csr_matrix:
        """How often each user took each item: distinct moments of target events."""
        chosen = self.is_target
        return _count_moments(self.user[chosen], self.item[chosen], self.ts_us[chosen], self.shape)

    @cached_property
    def bought(self) -> sp.csr_matrix:
        """1 where a user has a target event on an item: what "already bought" (or clicked) means."""
        matrix = self.orders.copy()
        matrix.data[:] = 1.0
        return matrix

    def age(self, half_life_us: float) -> npt.NDArray[np.float64]:
        """Weight of each interaction by its age: 1 now, 1/2 after a half-life. Order numbers count as time."""
        if self.time_kind == "none":
            return np.ones(len(self.ts_us))
        return np.exp2((self.ts_us - self.until_us) / half_life_us)

    def matrix(self, half_life_us: float | None = None, targets_only: bool = False) -> sp.csr_matrix:
        """Strongest tie of each user and item: the largest of strength x age weight over their interactions."""
        weight = self.strength[self.kind]
        if half_life_us is not None:
            weight = weight * self.age(half_life_us)
        chosen = self.is_target if targets_only else slice(None)
        return _pair_max(self.user[chosen], self.item[chosen], weight[chosen], self.shape)

    @cached_property
    def strength(self) -> npt.NDArray[np.float64]:
        """Strength by kind code; a target event is always worth a full 1."""
        return np.array([1.0 if name in self.target else STRENGTH[name] for name in KINDS])

    def buyers(self, since_us: int | None = None) -> npt.NDArray[np.float64]:
        """float64[I]: distinct users with a target event on each item since `since_us` (default: ever)."""
        chosen = self.is_target if since_us is None else self.is_target & (self.ts_us >= since_us)
        pairs = np.unique(self.user[chosen].astype(np.int64) * len(self.items) + self.item[chosen])
        return np.bincount(pairs % max(len(self.items), 1), minlength=len(self.items)).astype(np.float64)

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        """float64[I]: distinct buyers of each item."""
        return self.buyers()

    @cached_property
    def recent_popularity(self) -> npt.NDArray[np.float64]:
        """float64[I]: distinct buyers of each item in the last `recent_us`."""
        return self.buyers(self.until_us - self.recent_us)

    @cached_property
    def rankable(self) -> Mask:
        """bool[I]: items that may be recommended: seen in an interaction or in the catalogue, and not hidden."""
        known = self.facts.known.copy()
        known[self.item] = True
        return known & ~self.facts.hidden


def as_ids(values: Sequence[Any] | npt.NDArray[Any]) -> Ids:
    """External ids as UTF-8 bytes."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "S":
        return values
    if len(values) == 0:
        return np.empty(0, "S1")
    return np.char.encode(np.asarray(values).astype(str), "utf-8")


def _count_moments(user: Int32, item: Int32, ts_us: Int64, shape: tuple[int, int]) -> sp.csr_matrix:
    order = np.lexsort((ts_us, item, user))
    user, item, ts_us = user[order], item[order], ts_us[order]
    fresh = np.ones(len(user), bool)
    fresh[1:] = (np.diff(user) != 0) | (np.diff(item) != 0) | (np.diff(ts_us) != 0)
    matrix = sp.csr_matrix((np.ones(int(fresh.sum()), np.float32), (user[fresh], item[fresh])), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _pair_max(user: Int32, item: Int32, weight: npt.NDArray[np.float64], shape: tuple[int, int]) -> sp.csr_matrix:
    if len(user) == 0:
        return sp.csr_matrix(shape, dtype=np.float32)
    key = user.astype(np.int64) * shape[1] + item
    order = np.argsort(key, kind="stable")
    key, weight = key[order], weight[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(key) != 0]))
    data = np.maximum.reduceat(weight, starts).astype(np.float32)
    key = key[starts]
    return sp.csr_matrix((data, (key // shape[1], key % shape[1])), shape=shape)
