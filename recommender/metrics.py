"""How good lists are: ranking metrics over the full catalogue, a value for each user, and intervals over users.

Definitions. hits = items of the first k that are in the user's truth. recall = hits / |truth|. ndcg = DCG with gain 1
and discount 1 / log2(place + 1), over the DCG of min(k, |truth|) hits at the top (Järvelin & Kekäläinen 2002). map =
mean of precision at each hit's place, over min(k, |truth|). mrr = 1 / place of the first hit. hit = any hit at all.
coverage = share of the rankable items that appear in anybody's list. Never sampled negatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from portraits.errors import InvalidValue
from recommender.dataset import Int32, Mask

Values = npt.NDArray[np.float64]
METRICS = ("recall", "ndcg", "hit", "map", "mrr")


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


def per_user(lists: Int32, truth: sp.csr_matrix, k: int) -> dict[str, Values]:
    """Each metric of METRICS at k for each row of `lists` whose truth is not empty (others are left out)."""
    judged = np.diff(truth.indptr) > 0
    size = np.diff(truth.indptr)[judged]
    hit = np.zeros((int(judged.sum()), k))
    width = min(k, lists.shape[1])
    hit[:, :width] = hits(lists[judged], truth[judged])[:, :width]
    places = np.arange(1, k + 1)
    discount = 1.0 / np.log2(places + 1)
    best = np.minimum(size, k)
    first = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, np.inf)
    return {
        "recall": hit.sum(axis=1) / size,
        "ndcg": hit @ discount / np.concatenate([[1.0], np.cumsum(discount)])[best],
        "hit": hit.any(axis=1).astype(np.float64),
        "map": (hit * hit.cumsum(axis=1) / places).sum(axis=1) / np.maximum(best, 1),
        "mrr": 1.0 / first,
    }


def coverage(lists: Int32, k: int, rankable: int) -> float:
    """Share of `rankable` items that appear in the first k of any list."""
    shown = np.unique(lists[:, :k])
    return float(np.sum(shown >= 0)) / rankable if rankable else 0.0


def bootstrap(values: Values, seed: int, draws: int = 1000) -> Estimate:
    """Mean of `values` (one a user) and its 95% percentile interval over users drawn with replacement."""
    if len(values) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    means = _resamples(len(values), seed, draws) @ values / len(values)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


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


def summary(values: Mapping[str, Values], seed: int) -> dict[str, Estimate]:
    """Each metric's mean with its interval."""
    return {name: bootstrap(of_users, seed) for name, of_users in values.items()}
