"""Logged actions and what came of them, as arrays that were looked over once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
NONE = -1
"""The action of doing nothing."""
ARRAYS = ("X", "action", "propensity", "outcome", "unit", "group", "weight", "season", "could")
FEW = 30
"""Rows of an action below which nothing but its average is learnt of it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n logged rows of F features and O offers.

    X: float32 [n, F], nan for unknown. action: -1 for none, else 0..O-1. propensity: probability of the action taken,
    nan where it is not known. outcome: 0 and 1, or money. unit: whose row it is; rows of one unit are never on both
    sides of a fold. group: of visitors, for which effects are summed up. weight: how many rows this one stands for.
    season: what adds to a row's outcome whatever the action, e.g. its time. could: [n, O], the offers that could have
    been given there: no other is compared with none by this row (positivity: Crump, Hotz, Imbens & Mitnik 2009,
    "Dealing with limited overlap in estimation of average treatment effects").
    """

    X: NDArray[np.float32]
    action: Ints
    propensity: Floats
    outcome: Floats
    unit: Ints
    group: Ints
    weight: Floats
    offers: int
    season: Floats
    could: Bools

    def __len__(self) -> int:
        return len(self.action)

    @property
    def settled(self) -> Floats:
        """Outcomes without their season."""
        return np.asarray(self.outcome - self.season)

    def take(self, which: NDArray[Any]) -> Rows:
        """Those rows (a mask or indices)."""
        if which.dtype == bool and which.all():
            return self
        return replace(self, **{name: getattr(self, name)[which] for name in ARRAYS})

    def of(self, action: int) -> Rows:
        """Rows with this action."""
        return self.take(self.action == action)

    def counts(self) -> Ints:
        """[O + 1]: rows of each offer, then of none."""
        return np.bincount(np.where(self.action < 0, self.offers, self.action), minlength=self.offers + 1)

    @property
    def beside(self) -> Ints:
        """[O]: rows of none in which each offer could have been given."""
        return np.asarray(self.could[self.action == NONE].sum(axis=0), np.int64)

    def compared(self, least: int) -> Bools:
        """[O]: offers of so many rows with it and beside it."""
        return np.asarray((self.counts()[:-1] >= least) & (self.beside >= least))

    @property
    def pairs(self) -> Floats:
        """[n, O]: what a row counts for where an offer is compared with none: its weight, or 0."""
        return self.weight[:, None] * self.could


def rows_of(  # noqa: PLR0917
    X: NDArray[Any],
    action: NDArray[Any],
    propensity: NDArray[Any],
    outcome: NDArray[Any],
    offers: int | None = None,
    unit: NDArray[Any] | None = None,
    group: NDArray[Any] | None = None,
    season: NDArray[Any] | None = None,
    could: NDArray[Any] | None = None,
) -> Rows:
    """The arrays as `Rows`. offers: O, by default the highest action plus 1; unit: each row its own by default; group:
    one by default; season: none by default; could: [n, O], all by default, and always what was given. Raises
    InvalidValue naming what is of another length, not finite or out of its range."""
    n = len(action)
    taken = np.asarray(action, np.int64)
    many = int(taken.max(initial=-1)) + 1 if offers is None else offers
    table = np.ascontiguousarray(X, np.float32).reshape(n, -1) if n else np.zeros((0, np.shape(X)[-1]), np.float32)
    given = {"propensity": propensity, "outcome": outcome, "unit": np.arange(n) if unit is None else unit}
    given["group"] = np.zeros(n, np.int64) if group is None else group
    given["season"] = np.zeros(n) if season is None else season
    for name, array in given.items():
        if len(array) != n:
            raise InvalidValue(name, len(array), f"as many rows as action ({n})")
    if n and (taken.min() < NONE or taken.max() >= many):
        raise InvalidValue("action", [int(taken.min()), int(taken.max())], f"-1 for none, or 0 to {many - 1}")
    chance, came = np.asarray(propensity, np.float64), np.asarray(outcome, np.float64)
    if not np.isfinite(came).all():
        raise InvalidValue("outcome", float(came[~np.isfinite(came)][0]), "finite numbers")
    known = chance[~np.isnan(chance)]
    if len(known) and not (known.min() > 0 and known.max() <= 1):
        raise InvalidValue("propensity", [float(known.min()), float(known.max())], "above 0 and at most 1, or nan")
    whose = np.unique(np.asarray(given["unit"]), return_inverse=True)[1].astype(np.int64)
    group, season = np.asarray(given["group"], np.int64), np.asarray(given["season"], np.float64)
    open_to = np.ones((n, many), bool) if could is None else np.array(could, bool)
    if open_to.shape != (n, many):
        raise InvalidValue("could", list(open_to.shape), f"[{n}, {many}]: rows, offers")
    something = np.flatnonzero(taken >= 0)
    open_to[something, taken[something]] = True
    return Rows(table, taken, chance, came, whose, group, np.ones(n), many, season, open_to)


def folds(unit: Ints, many: int, seed: int) -> Ints:
    """The fold, 0 to many - 1, of each row: units whole, each fold as many units. Where units are fewer than twice the
    folds, rows are split as if each were a unit of its own."""
    whose, place = np.unique(unit, return_inverse=True)
    if len(whose) < 2 * many:
        whose, place = np.arange(len(unit)), np.arange(len(unit))
    dealt = np.random.default_rng([seed, many]).permutation(len(whose)) % many
    return dealt[place].astype(np.int64)


def capped(rows: Rows, most: int, seed: int) -> Rows:
    """At most about `most` rows: each action keeps an equal share of the places, or all it has where that is less; what
    is kept stands for what is left out (`weight`). In the order they came."""
    if len(rows) <= most:
        return rows
    sizes = rows.counts()
    level = _level(sizes, most)
    rng = np.random.default_rng([seed, most])
    kept: list[Ints] = []
    weight = rows.weight.copy()
    for action, size in enumerate(sizes):
        if not size:
            continue
        which = np.flatnonzero(rows.action == (NONE if action == rows.offers else action))
        keep = min(int(size), level)
        kept.append(np.sort(rng.choice(which, keep, replace=False)))
        weight[which] *= size / keep
    return replace(rows, weight=weight).take(np.sort(np.concatenate(kept)))


def _level(sizes: Ints, most: int) -> int:
    """How many places each action has at most so that they are `most` in all."""
    left, actions = most, len(sizes)
    for size in np.sort(sizes):
        if size * actions > left:
            break
        left, actions = left - int(size), actions - 1
    return max(left // max(actions, 1), 1)
