"""Groups of points that hold: k-means, with a number of groups that comes out again when the visitors are drawn anew.

A number of groups is as stable as its weakest group: the mean Jaccard similarity of that group with its closest
counterpart in groupings of bootstrap samples (Hennig 2007, "Cluster-wise assessment of cluster stability", where 0.75
is called stable and below 0.6 not to be trusted). Of the stable numbers the one wins whose groups are most apart, by
the simplified silhouette (mean of 1 - distance to the own centre / distance to the next one); if none is stable, the
most stable. Last night's number stays unless another is clearly better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

Array = npt.NDArray[Any]

FEWEST, MOST = 3, 8
STABLE = 0.75
MARGIN = 0.1
"""Last night's number of groups stays while its weakest group is above STABLE - MARGIN, unless another number is above
STABLE + MARGIN and its groups are further apart by CLEARLY."""
CLEARLY = 0.03
JUDGED = 4_000
"""Points of which the number of groups is judged."""
DRAWS = 8
STARTS = 5


@dataclass(frozen=True, slots=True)
class Grouping:
    """Centres (groups x traits), how well the weakest group holds and how far the groups are apart (both 0 to 1)."""

    centres: Array
    stability: float
    apart: float

    @property
    def k(self) -> int:
        return len(self.centres)


def group(points: Array, floor: float, seed: int, last: Array | None = None) -> Grouping | None:
    """The groups of `points`; None where no number of groups has each of at least `floor` (a share) of the points.

    last: the centres of last night in the same space, from which the search starts.
    """
    rng = np.random.default_rng(seed)
    judged = points if len(points) <= JUDGED else points[np.sort(rng.choice(len(points), JUDGED, replace=False))]
    with threadpool_limits(limits=1):  # sums of several threads differ in their last digits from run to run
        kept = len(last) if last is not None else None
        numbers: Iterable[int] = range(FEWEST, MOST + 1)
        if kept is not None:
            numbers = [k for k in numbers if abs(k - kept) <= 1]
        distinct = len(np.unique(judged, axis=0))
        found = []
        for k in numbers:
            if k > distinct:
                continue
            start = last if last is not None and k == kept else fit(judged, k, seed)
            centres = fit(points, k, seed, start)
            # a group that is already there may shrink to half the size that a new one must have
            smallest = np.bincount(assign(points, centres), minlength=k).min() / len(points)
            if smallest >= (floor / 2 if k == kept else floor):
                found.append(Grouping(centres, weakest(judged, centres, rng, seed), silhouette(judged, centres).mean()))
    return choose(found, kept)


def choose(found: list[Grouping], kept: int | None) -> Grouping | None:
    """One of the groupings by the rule above; `kept` is last night's number."""
    own = next((one for one in found if one.k == kept), None)
    stable = [one for one in found if one.stability >= STABLE]
    if own is not None:
        clearly = [one for one in stable if one.stability >= STABLE + MARGIN and one.apart >= own.apart + CLEARLY]
        if not clearly and (own.stability >= STABLE - MARGIN or not stable):
            return own
        stable = clearly or stable
    if stable:
        return max(stable, key=lambda one: one.apart)
    return max(found, key=lambda one: one.stability, default=None)


def fit(points: Array, k: int, seed: int, start: Array | None = None) -> Array:
    """Centres of k groups, from `start` where given."""
    if start is not None:
        model = KMeans(k, init=start, n_init=1, random_state=seed)
    else:
        model = KMeans(k, n_init=STARTS, random_state=seed)
    centres: Array = model.fit(points).cluster_centers_
    return centres


def assign(points: Array, centres: Array) -> Array:
    """The nearest centre of each point, the first among equals."""
    nearest: Array = distances(points, centres).argmin(axis=1)
    return nearest


def distances(points: Array, centres: Array) -> Array:
    """Euclidean, points x centres."""
    return np.stack([np.sqrt(((points - centre) ** 2).sum(axis=1)) for centre in centres], axis=1)


def silhouette(points: Array, centres: Array) -> Array:
    """How typical each point is of its group: 1 at the centre, 0 halfway to the next."""
    near = np.sort(distances(points, centres), axis=1)
    typical: Array = 1 - np.divide(near[:, 0], near[:, 1], out=np.ones(len(near)), where=near[:, 1] > 0)
    return typical


def weakest(points: Array, centres: Array, rng: np.random.Generator, seed: int) -> float:
    """Mean Jaccard similarity, over bootstrap samples, of the group that comes out again worst."""
    k = len(centres)
    own = assign(points, centres)
    similar = np.zeros(k)
    for _ in range(DRAWS):
        drawn = points[rng.integers(len(points), size=len(points))]
        if len(np.unique(drawn, axis=0)) < k:
            return 0.0
        again = assign(points, fit(drawn, k, seed))
        similar += overlap(own, again, k, k).max(axis=1)
    return float((similar / DRAWS).min())


def overlap(a: Array, b: Array, of_a: int, of_b: int) -> Array:
    """Jaccard similarity of each group of `a` with each of `b`, two labellings of the same points."""
    both = np.bincount(a * of_b + b, minlength=of_a * of_b).reshape(of_a, of_b).astype(np.float64)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    shared: Array = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shared


def match(a: Array, b: Array, of_a: int, of_b: int, least: float) -> dict[int, int]:
    """Groups of `b` to groups of `a`: the pairing with most overlap, pairs below `least` left out."""
    shared = overlap(a, b, of_a, of_b)
    rows, columns = linear_sum_assignment(-shared)
    return {int(j): int(i) for i, j in zip(rows, columns, strict=True) if shared[i, j] >= least}
