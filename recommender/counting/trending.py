"""What rises now: visitors of the last days against what an item's own past and the shop's traffic would bring.

Each visitor counts once an item and window, by the strongest thing done with it. An item that had the share s of all
such counts in the weeks before is expected to have s of the count of the last days; one that is new is expected to do
as the average item. How far above it is, is measured by the signed root of the Poisson deviance, which is about normal
where nothing happens:

    z = sqrt(2 * (seen * ln(seen / expected) - (seen - expected)))

`expected` is never below one count, so that a single sale of a rare item, or two, is no trend.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.answers.occasions import NOW, Listed
from recommender.history.dataset import Dataset

FEWEST_VISITORS = 3
SURE = 3.0
"""z from which a rise is said: luck alone brings it to one item in 700."""
MOST = 5_000
WINDOWS = 4
"""The weeks before are as many windows of the last days."""

Float64 = npt.NDArray[np.float64]


def trends(dataset: Dataset) -> Listed:
    """The items that rise, most first; support: how many times as much as usual. Empty without real time."""
    if dataset.time_kind != "real" or not len(dataset.user):
        return Listed(NOW, np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.float32))
    window = dataset.recent_us // WINDOWS
    recent = _counts(dataset, dataset.until_us - window, dataset.until_us)
    before = np.zeros(len(dataset.items))
    for back in range(1, WINDOWS + 1):
        before += _counts(dataset, dataset.until_us - (back + 1) * window, dataset.until_us - back * window)[0]
    z, times = rise(*recent, before)
    rising = np.flatnonzero((z >= SURE) & (recent[1] >= FEWEST_VISITORS) & dataset.rankable)
    order = rising[np.argsort(-z[rising], kind="stable")][:MOST]
    best = z[order[0]] if len(order) else 1.0
    return Listed(NOW, order.astype(np.int32), (z[order] / best).astype(np.float32), times[order].astype(np.float32))


def rise(seen: Float64, visitors: Float64, before: Float64) -> tuple[Float64, Float64]:
    """z of each item (0 where it does not rise), and how many times its expected count it has.

    seen: weighted count of the last days. visitors: how many people that were. before: weighted count of the time
    before; all float64[I].
    """
    worth = seen.sum() / max(visitors.sum(), 1.0)  # of one visitor: counts are brought to the scale of people
    seen, before = seen / max(worth, 1e-12), before / max(worth, 1e-12)
    active = max(np.count_nonzero(seen + before), 1)
    average = before.sum() / active
    # As if the average item had been watched for one count more: a new item is held against it.
    share = (before + average / (average + 1)) / (before.sum() + active * average / (average + 1) + 1e-12)
    expected = np.maximum(share * seen.sum(), 1.0)
    up = seen > expected
    ratio = np.where(up, seen / expected, 1.0)
    deviance = np.where(up, seen * np.log(ratio) - (seen - expected), 0.0)
    return np.sqrt(2 * np.maximum(deviance, 0.0)), ratio


def _counts(dataset: Dataset, since_us: int, until_us: int) -> tuple[Float64, Float64]:
    """Of each item: the strengths of what its visitors did from `since_us` to `until_us`, each visitor's strongest
    once, and how many they were."""
    first, last = np.searchsorted(dataset.ts_us, [since_us, until_us])
    items = len(dataset.items)
    key = dataset.user[first:last].astype(np.int64) * items + dataset.item[first:last]
    weight = dataset.strength[dataset.kind[first:last]]
    order = np.lexsort((-weight, key))
    firsts = order[np.flatnonzero(np.diff(key[order], prepend=-1))]
    item = key[firsts] % max(items, 1)
    visitors = np.bincount(item, minlength=items).astype(np.float64)
    return np.bincount(item, weight[firsts], items).astype(np.float64), visitors
