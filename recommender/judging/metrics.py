"""How good lists are: ranking metrics over the full catalogue, a value for each user, and intervals over users.

Definitions. hits = items of the first k that are in the user's truth. recall = hits / |truth|. ndcg = DCG with gain 1
and discount 1 / log2(place + 1), over the DCG of min(k, |truth|) hits at the top (Järvelin & Kekäläinen 2002). map =
mean of precision at each hit's place, over min(k, |truth|). mrr = 1 / place of the first hit. hit = any hit at all.
value = what the hits are worth together. coverage = share of the rankable items that appear in anybody's list. Never
sampled negatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from portraits.errors import InvalidValue
from recommender.history.dataset import Int32, Mask

Values = npt.NDArray[np.float64]
METRICS = ("recall", "ndcg", "hit", "map", "mrr")
VALUE = "value"


@dataclass(frozen=True)
class Estimate:
    """A mean over users with its bootstrap interval (95%); NaN where there is nobody."""

    mean: float
    low: float
    high: float

    def as_json(self) -> list[float] | None:
        """[mean, low, high], or None where there is nobody."""
        if np.isnan(self.mean):
            return None
        return [round(value, 5) for value in (self.mean, self.low, self.high)]


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def hits(lists: Int32, truth: sp.csr_matrix) -> Mask:
    """bool[E, n]: where `lists` (int32[E, n], -1 pads) hold an item of the same row of `truth` ([E, I])."""
    rows, width = lists.shape
    if rows != truth.shape[0]:
        raise InvalidValue("lists", rows, f"as many rows as truth ({truth.shape[0]})")
    columns = max(truth.shape[1], 1)
    keys = np.repeat(np.arange(rows, dtype=np.int64), np.diff(truth.indptr)) * columns + truth.indices
    wanted = np.arange(rows, dtype=np.int64)[:, None] * columns + lists
    found: Mask = np.isin(wanted, keys) & (lists >= 0)
    return found.reshape(rows, width)


def per_user(lists: Int32, truth: sp.csr_matrix, k: int, worth: Values | None = None) -> dict[str, Values]:
    """Each metric of METRICS at k for each row of `lists` whose truth is not empty (others are left out); and VALUE
    where the worth of a success with each item is known."""
    judged = np.diff(truth.indptr) > 0
    size = np.diff(truth.indptr)[judged]
    hit = np.zeros((int(judged.sum()), k))
    width = min(k, lists.shape[1])
    hit[:, :width] = hits(lists[judged], truth[judged])[:, :width]
    places = np.arange(1, k + 1)
    discount = 1.0 / np.log2(places + 1)
    best = np.minimum(size, k)
    first = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, np.inf)
    found = {
        "recall": hit.sum(axis=1) / size,
        "ndcg": hit @ discount / np.concatenate([[1.0], np.cumsum(discount)])[best],
        "hit": hit.any(axis=1).astype(np.float64),
        "map": (hit * hit.cumsum(axis=1) / places).sum(axis=1) / np.maximum(best, 1),
        "mrr": 1.0 / first,
    }
    if worth is not None:
        earned = np.where(lists[judged][:, :width] >= 0, np.nan_to_num(worth)[lists[judged][:, :width]], 0.0)
        found[VALUE] = (hit[:, :width] * earned).sum(axis=1)
    return found


def coverage(lists: Int32, k: int, rankable: int) -> float:
    """Share of `rankable` items that appear in the first k of any list."""
    shown = np.unique(lists[:, :k])
    return float(np.sum(shown >= 0)) / rankable if rankable else 0.0


def bootstrap(values: Values, seed: int, draws: int = 1000) -> Estimate:
    """Mean of `values` (one a user) and its 95% percentile interval over users drawn with replacement."""
    return summary({"": values}, seed, draws)[""]


@lru_cache(maxsize=2)
def _resamples(users: int, seed: int, draws: int) -> Values:
    """float64[draws, users]: how often each user was drawn. Kept, as all metrics and contestants share the draws."""
    drawn = np.random.default_rng(seed).integers(0, users, (draws, users))
    drawn += np.arange(draws)[:, None] * users
    counts = np.bincount(drawn.ravel(), minlength=draws * users)
    return counts.reshape(draws, users).astype(np.float64)


def paired_bootstrap(ours: Values, theirs: Values, seed: int, draws: int = 1000) -> Estimate:
    """Mean of `ours - theirs`, user by user, with its 95% interval: above 0 = better beyond noise."""
    if len(ours) != len(theirs):
        raise InvalidValue("theirs", len(theirs), f"the same users as ours ({len(ours)})")
    return bootstrap(ours - theirs, seed, draws)


def summary(
    values: Mapping[str, Values], seed: int, draws: int = 1000, among: Mask | None = None
) -> dict[str, Estimate]:
    """Each metric's mean with its interval, over users `among` whom it is known (not nan); all from the same draws of
    all users."""
    table = np.array(list(values.values())).T  # [users, metrics]
    known = ~np.isnan(table) if among is None else ~np.isnan(table) & among[:, None]
    some = known.any(axis=0) if len(table) else np.zeros(len(values), bool)
    found = dict.fromkeys(values, UNKNOWN)
    if not some.any():
        return found
    counts = _resamples(len(table), seed, draws)
    sums, sizes = counts @ np.where(known, table, 0.0)[:, some], counts @ known[:, some].astype(np.float64)
    means = np.divide(sums, sizes, out=np.full(sums.shape, np.nan), where=sizes > 0)
    lows, highs = np.nanquantile(means, [0.025, 0.975], axis=0)
    names = [name for name, is_known in zip(values, some, strict=True) if is_known]
    for name, column, low, high in zip(names, np.flatnonzero(some), lows, highs, strict=True):
        found[name] = Estimate(float(table[known[:, column], column].mean()), float(low), float(high))
    return found
