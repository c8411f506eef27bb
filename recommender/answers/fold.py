"""A visitor's vector from the items of today: the closed form of alternating least squares, solved for one user.

With item factors Y, regularisation r and confidences c of the items taken, ALS gives a user the vector

    x = (YtY + rI + Yt (C - I) Y)^-1 Yt c        (Hu, Koren, Volinsky 2008; implicit's `recalculate_user`)

The night turns the factors into the axes of YtY (a rotation: no score changes), where YtY + rI is diagonal. By the
Woodbury identity the day then solves a system as large as the items taken, at most ten, instead of one as large as
the factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_FACTORS = 64
Floats = NDArray[np.floating[Any]]


def fold_arrays(factors: NDArray[np.float32], regularization: float) -> dict[str, NDArray[np.float32]]:
    """`fold_items` and `fold_scale` of a bundle from item factors [I, d].

    Of more than `MOST_FACTORS` axes the longest are kept.
    """
    whole = factors.astype(np.float64)
    lengths, axes = np.linalg.eigh(whole.T @ whole)
    # An axis may point either way; which way is fixed, so that the same factors give the same arrays.
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    kept = slice(max(len(lengths) - MOST_FACTORS, 0), None)
    scale = np.maximum(lengths[kept], 0.0) + regularization
    return {"fold_items": (whole @ axes[:, kept]).astype(np.float32), "fold_scale": scale.astype(np.float32)}


def fold_in(taken: Floats, scale: Floats, confidence: Floats) -> Floats:
    """The vector [d] of who took items with factors `taken` [n, d], each with its confidence [n] (above 0).

    scale: the diagonal of YtY + rI, above 0.
    """
    scaled = taken / scale
    system = (confidence - 1)[:, None] * (scaled @ taken.T)
    system.flat[:: len(system) + 1] += 1
    vector: Floats = np.linalg.solve(system, confidence) @ scaled
    return vector
