"""Factors of items that few have met, borrowed from what is like them.

A factor model places an item by who took it: one that nobody took stands at the origin, one that few took close to it,
and the events of a day lead to neither. What is near such an item (the bundle's neighbours, near by words where
visitors have done little) tells where it belongs. With n visitors who took it,

    y = n / (n + k) * own + k / (n + k) * lent

where lent points where the neighbours do on average, each as far as it is near and well known itself, and is as long as
they are on average: the mean alone would be shorter, the more the neighbours differ.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recommender.fusion.assemble import WELL_KNOWN
from recommender.history.dataset import Float32, Int32, Int64


def borrowed(factors: Float32, takers: Int64, near: Int32, nearness: Float32) -> Float32:
    """`factors` [I, d] with those of items that few took moved to their neighbours'; an item without any keeps its own.

    takers: int[I], who had to do with each item. near, nearness: [I, M] as in a bundle, -1 pads.
    """
    known = takers / (takers + WELL_KNOWN)
    row, place = np.nonzero(near >= 0)
    other = near[row, place]
    lenders = sp.csr_matrix((nearness[row, place] * known[other], (row, other)), shape=(len(factors),) * 2)
    total, lent = lenders.sum(axis=1).A1, lenders @ factors
    size = np.linalg.norm(lent, axis=1)
    able = (total > 0) & (size > 0)
    length = lenders @ np.linalg.norm(factors, axis=1)
    lent[able] *= (length[able] / total[able] / size[able])[:, None]
    share = np.where(able, known, 1.0)[:, None]
    moved: Float32 = (share * factors + (1.0 - share) * lent).astype(np.float32)
    return moved
