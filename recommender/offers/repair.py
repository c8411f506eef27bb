"""From prices to a plan that keeps every limit: visitors at the margin change their offer, where that loses least.

At the best prices, giving everyone their best offer nearly keeps the limits. Where visitors are alike it does not: all
of them want the same offer, and only some can have it. So visitors are first moved away from whatever is over its
limit, to their next best offer or to none, beginning with those who lose least for each unit saved. What is then left
of the limits goes to the visitors with whom it earns most. If too much is still unearned, the same is done once more
from another start: a mixture of choices that together keep the limits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.offers.prices import Priced
from recommender.offers.problem import Floats, Problem, Rows

ROUNDS = 12
FITTINGS = 50
SMALL = 1e-9
ENOUGH = 1e-5
"""Of the bound: what a further round must earn at least."""
NEAR = 2e-3
"""Of the bound: with so little unearned no other start is tried."""

Ints = NDArray[np.int64]


class _Moves(NamedTuple):
    """Visitors that could change to `column` (-1: none), and in which order they should: lowest `key` first."""

    rows: Ints
    column: Ints
    key: Floats

    def take(self, which: Ints | NDArray[np.bool_]) -> _Moves:
        return _Moves(self.rows[which], self.column[which], self.key[which])


def repaired(problem: Problem, priced: Priced, seed: int) -> Ints:
    """The offer of each visitor, [U], -1 for none: within every limit."""
    chosen = _kept(problem, priced, _wishes(problem, priced.prices))
    value = profit(problem, chosen)
    if priced.bound - value <= NEAR * priced.bound or len(priced.shares) == 1:
        return chosen
    other = _kept(problem, priced, _mixture(problem, priced, seed))
    return other if profit(problem, other) > value else chosen


def _kept(problem: Problem, priced: Priced, chosen: Ints) -> Ints:
    for offer in range(problem.offers):
        _relieve(problem, priced.prices, chosen, offer)
        _relieve(problem, priced.prices, chosen, problem.offers + 1 + offer)
    _relieve(problem, priced.prices, chosen, problem.offers)
    _fill(problem, priced.prices, chosen, priced.bound)
    return chosen


def profits(problem: Problem, chosen: Ints) -> Floats:
    """Expected profit of an allocation by offer, [O]: sums of weight x (gain - cost)."""
    rows = np.flatnonzero(chosen >= 0)
    column = chosen[rows]
    earned = problem.gain[rows, column].astype(np.float64) - problem.cost[rows, column]
    return np.bincount(column, problem.weight[rows] * earned, problem.offers).astype(np.float64)


def profit(problem: Problem, chosen: Ints) -> float:
    """Expected profit of an allocation."""
    return float(profits(problem, chosen).sum())


def room(problem: Problem, chosen: Ints) -> Floats:
    """What an allocation leaves of every limit, [2 O + 1]; below 0 where it is over."""
    rows = np.flatnonzero(chosen >= 0)
    left: Floats = problem.limits - problem.use(rows, chosen[rows])
    return left


def _wishes(problem: Problem, prices: Floats, rows: Ints | None = None) -> Ints:
    found = []
    for part in problem.blocks(rows):
        scores = problem.scores(part, prices)
        best = scores.argmax(axis=1)
        found.append(np.where(scores[np.arange(len(best)), best] > 0, best, -1))
    return np.concatenate(found)


def _mixture(problem: Problem, priced: Priced, seed: int) -> Ints:
    """Each visitor's choice at prices drawn by their shares, evenly over the visitors."""
    drawn = np.random.default_rng(seed).permutation(problem.visitors) / problem.visitors
    at = np.minimum(np.searchsorted(np.cumsum(priced.shares), drawn, side="right"), len(priced.shares) - 1)
    chosen = np.empty(problem.visitors, np.int64)
    for k, prices in enumerate(priced.mixed):
        rows = np.flatnonzero(at == k)
        if len(rows):
            chosen[rows] = _wishes(problem, prices, rows)
    return chosen


def _relieve(problem: Problem, prices: Floats, chosen: Ints, limit: int) -> None:
    """Moves visitors away until `limit` is kept. Who cannot go elsewhere gets none, so that it ends."""
    width = problem.offers
    shut = np.zeros(width, bool)
    if limit != width:
        shut[limit % (width + 1)] = True
    while (left := room(problem, chosen))[limit] < 0:
        inside = chosen >= 0 if limit == width else chosen == limit % (width + 1)
        full = shut | (left[:width] <= 0) | (left[width + 1 :] <= 0)
        moves = _ways_out(problem, prices, chosen, rows=np.flatnonzero(inside), full=full, limit=limit)
        order = np.argsort(moves.key, kind="stable")
        saved = np.cumsum(_saved(problem, chosen, moves, limit)[order])
        order = order[: int(np.searchsorted(saved, -left[limit])) + 1]
        moving = moves.take(order)
        left[width] = np.inf  # a way out of an offer may cost more in all: that limit is kept last
        fits = _fitting(problem, chosen, moving, left)
        shut[moving.column[~fits]] = True
        chosen[moving.rows[fits]] = moving.column[fits]


def _saved(problem: Problem, chosen: Ints, moves: _Moves, limit: int) -> Floats:
    rows, weight = moves.rows, problem.weight[moves.rows]
    if limit > problem.offers:
        return weight
    cost = problem.cost[rows, chosen[rows]].astype(np.float64)
    if limit == problem.offers:
        cost -= np.where(moves.column >= 0, problem.cost[rows, moves.column], 0.0)
    saved: Floats = weight * cost
    return saved


def _ways_out(
    problem: Problem, prices: Floats, chosen: Ints, *, rows: Ints, full: NDArray[np.bool_], limit: int
) -> _Moves:
    """For each of `rows` the change that loses least for what it saves of `limit`."""
    columns, keys = np.empty(len(rows), np.int64), np.empty(len(rows))
    done = 0
    for part in problem.blocks(rows):
        scores, now = problem.scores(part, prices), chosen[part]
        at = np.arange(len(now))
        mine, cost = scores[at, now].copy(), problem.cost[part, now]
        scores[:, full] = -np.inf
        scores[at, now] = -np.inf
        loss = np.hstack([mine[:, None] - scores, mine[:, None]])
        if limit == problem.offers:
            saved = np.hstack([cost[:, None] - problem.cost[part], cost[:, None]])
            with np.errstate(invalid="ignore"):
                loss = np.where(saved > 0, loss / np.maximum(saved, SMALL), np.inf)
        best = loss.argmin(axis=1)
        key = loss[at, best]
        if limit < problem.offers:
            key = key / np.maximum(cost, SMALL)
        here = slice(done, done + len(now))
        columns[here], keys[here] = np.where((best == problem.offers) | np.isinf(key), -1, best), key
        done += len(now)
    return _Moves(rows, columns, keys)


def _fill(problem: Problem, prices: Floats, chosen: Ints, bound: float) -> None:
    """Gives what is left to whom it earns most for, while that is worth a round."""
    value = profit(problem, chosen)
    for _ in range(ROUNDS):
        if bound - value <= ENOUGH * bound:
            return
        _improve(problem, chosen, _better(problem, prices, chosen))
        before, value = value, profit(problem, chosen)
        if value - before <= ENOUGH * bound:
            return


def _better(problem: Problem, prices: Floats, chosen: Ints) -> _Moves:
    """For each visitor the change that earns more, fits alone, and is best at these prices."""
    left = room(problem, chosen)
    found: list[_Moves] = []
    for rows in problem.blocks():
        now = chosen[rows]
        at = np.arange(len(now))
        scores = problem.scores(rows, prices)
        cost = problem.cost[rows]
        earns = problem.gain[rows] - cost
        has = now >= 0
        mine, spent, earned = (np.where(has, part[at, now], 0.0) for part in (scores, cost, earns))
        possible = (earns > earned[:, None]) & _fits_alone(problem, rows, cost, spent, left)
        possible[at[has], now[has]] = False
        scores[~possible] = -np.inf
        best = scores.argmax(axis=1)
        able = np.flatnonzero(np.isfinite(scores[at, best]))
        best = best[able]
        key = (mine[able] - scores[able, best]) / np.maximum(cost[able, best], SMALL)
        offset = rows.start if isinstance(rows, slice) else 0
        found.append(_Moves(able + offset, best, key))
    changed, columns, keys = zip(*found, strict=True)
    return _Moves(np.concatenate(changed), np.concatenate(columns), np.concatenate(keys))


def _fits_alone(problem: Problem, rows: Rows, cost: Floats, spent: Floats, left: Floats) -> NDArray[np.bool_]:
    width, weight = problem.offers, problem.weight[rows][:, None]
    fits = (weight * cost <= left[:width]) & (weight <= left[width + 1 :])
    fits &= weight * (cost - spent[:, None]) <= np.maximum(left[width], 0.0)
    return np.asarray(fits, bool)


def _improve(problem: Problem, chosen: Ints, moves: _Moves) -> None:
    """Makes the moves in their order, passing over what no longer fits."""
    order = np.argsort(moves.key, kind="stable")
    moves = moves.take(order)
    for _ in range(FITTINGS):
        if not len(moves.rows):
            return
        left = room(problem, chosen)
        fits = _fitting(problem, chosen, moves, left)
        chosen[moves.rows[fits]] = moves.column[fits]
        moves = moves.take(~fits)
        left = room(problem, chosen)
        cost = problem.cost[moves.rows, moves.column].astype(np.float64)
        weight, width = problem.weight[moves.rows], problem.offers
        extra = weight * (cost - _cost_now(problem, chosen, moves.rows))
        alone = (weight * cost <= left[moves.column]) & (weight <= left[width + 1 + moves.column])
        alone &= extra <= max(left[width], 0.0)
        moves = moves.take(alone)


def _fitting(problem: Problem, chosen: Ints, moves: _Moves, left: Floats) -> NDArray[np.bool_]:
    """Which of the moves, made in their order, keep every limit; what they set free is not counted."""
    width = problem.offers
    to = moves.column
    goes = to >= 0
    weight = np.where(goes, problem.weight[moves.rows], 0.0)
    spent = weight * np.where(goes, problem.cost[moves.rows, to], 0.0)
    group = np.argsort(to, kind="stable")
    fits = np.ones(len(to), bool)
    fits[group] = _running(spent[group], to[group]) <= np.where(goes, left[to], np.inf)[group]
    fits[group] &= _running(weight[group], to[group]) <= np.where(goes, left[width + 1 + to], np.inf)[group]
    fits |= ~goes
    extra = spent - problem.weight[moves.rows] * _cost_now(problem, chosen, moves.rows)
    total = np.cumsum(np.where(fits, np.maximum(extra, 0.0), 0.0))
    kept: NDArray[np.bool_] = fits & ((total <= left[width]) | (extra <= 0))
    return kept


def _cost_now(problem: Problem, chosen: Ints, rows: Ints) -> Floats:
    now = chosen[rows]
    return np.where(now >= 0, problem.cost[rows, now], 0.0)


def _running(amounts: Floats, group: Ints) -> Floats:
    """Sums so far within each group; groups lie together."""
    if not len(amounts):
        return amounts
    sums = np.cumsum(amounts)
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    before = np.r_[0.0, sums[first[1:] - 1]]
    running: Floats = sums - np.repeat(before, np.diff(np.r_[first, len(group)]))
    return running
