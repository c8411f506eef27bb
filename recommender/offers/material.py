"""The trials that tonight's estimates are learnt from, and by what each planned offer goes.

Complete trials (their window has ended) of planned offers, of those that others are like, of others that teach what is
common to offers, and of none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recommender.effects.propensities import with_propensities
from recommender.effects.rows import FEW, rows_of
from recommender.offers.likeness import likest
from recommender.offers.trials import Trials

MOST_OTHERS = 16
"""Offers that were tried and are not planned, of which is learnt, at most; the most tried ones."""

Source = Literal["learned", "alike", "rule"]
Offer = Mapping[str, Any]


@dataclass(frozen=True)
class Material:
    """columns: offer ids, the planned ones first, then those others are like; action: a place in columns, -1 for none;
    rules: by which each column goes (None: not known). chances: what was done about propensities, for JSON."""

    trials: Trials
    columns: tuple[str, ...]
    planned: int
    action: NDArray[np.int64]
    rules: tuple[Offer | None, ...]
    chances: dict[str, Any]

    @property
    def counts(self) -> NDArray[np.int64]:
        """[columns]: trials of each."""
        return np.bincount(self.action[self.action >= 0], minlength=len(self.columns))

    @property
    def unit(self) -> NDArray[np.int64]:
        """[N]: whose trial it is."""
        return _unit(self.trials)

    def sources(self) -> list[tuple[Source, int]]:
        """By what each planned offer goes, and the column that tells it."""
        counts = self.counts
        told: list[tuple[Source, int]] = []
        known = {name: row for row, name in enumerate(self.columns) if counts[row] >= FEW}
        for place in range(self.planned):
            rule = self.rules[place]
            like = None if rule is None else likest(rule, [one for one in self.rules if one is not None], known)
            if counts[place] >= FEW:
                told.append(("learned", place))
            elif like is not None:
                told.append(("alike", known[like]))
            else:
                told.append(("rule", place))
        return told


def material(trials: Trials, offers: Sequence[str], catalogue: Sequence[Offer], seed: int) -> Material:
    """The complete trials of planned offers, of those that they are like, of others that teach, and of no offer.

    offers: ids of the planned ones. catalogue: rules, also of offers that are not planned any more. Propensities stay
    those of the whole trial: leaving offers out multiplies all of one action alike, and only ratios within an action
    count. Those that no log tells are estimated once, for everything that learns from them.
    """
    rules = {str(one["offer_id"]): one for one in catalogue}
    done = trials.action[trials.complete]
    counts = np.bincount(done[done >= 0], minlength=len(trials.offers))
    tried = {name for name, count in zip(trials.offers, counts, strict=True) if count >= FEW}
    planned = [rules[name] for name in offers if name in rules and name not in tried]
    likes = {likest(one, catalogue, tried) for one in planned} - {None, *offers}
    most = sorted(tried - {*offers, *likes}, key=lambda name: (-counts[trials.offers.index(name)], name))[:MOST_OTHERS]
    columns = (*offers, *sorted({*most, *(name for name in likes if name is not None)}))
    place = {name: column for column, name in enumerate(columns)}
    of_offer = np.array([*(place.get(name, -2) for name in trials.offers), -1], np.int64)
    action = of_offer[trials.action]
    used = trials.complete & (action >= -1)
    told = tuple(rules.get(name) for name in columns)
    kept = trials.where(used)
    rows = rows_of(kept.X, action[used], kept.propensity, kept.bought, len(columns), _unit(kept))
    known, account = with_propensities(rows, seed)
    return Material(replace(kept, propensity=known.propensity), columns, len(offers), action[used], told, account)


def _unit(trials: Trials) -> NDArray[np.int64]:
    names = pa.array(trials.user_id, pa.string()).dictionary_encode()
    return np.asarray(names.indices, np.int64)
