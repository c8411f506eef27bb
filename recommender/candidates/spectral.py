"""Low-pass filter of the users' ties: what the main directions of taste say, beside the nearest neighbours.

With R = D_u^-1/2 X D_i^-1/2 of the ties X (D = sums of rows and columns, an item's plus SHRINKAGE) and V its leading
right singular vectors, the smooth part of a user's ties x is x D_i^-1/2 V V' D_i^lift (Shen et al. 2021, "How powerful
is graph convolution for recommendation?", GF-CF: lift 1/2). Its linear part, one step to the neighbours and back, is
what `similar` computes with the weighting `walk`. Both are divided by their standard deviation over the catalogue, so
that `share` means the same for all users and shops, and added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recommender.candidates.factors import in_company, item_directions
from recommender.candidates.opinions import DenseOpinions
from recommender.candidates.protocol import Source
from recommender.candidates.similar import Similar
from recommender.history.dataset import Dataset, Float32, Int32

SHRINKAGE = 10.0


@dataclass
class Spectral(Source):
    """An ideal low-pass filter plus `share` of the smooth part in units of the linear one.

    rank: singular vectors, at most a quarter of the items or users. lift: how far popular items are lifted in the
    smooth part. damping: how far they are held back in the linear part. half_life_share: half-life of ties as a share
    of the recent window (`Dataset.recent_us`). neighbours: the most an item keeps in the linear part.
    """

    name: ClassVar[str] = "spectral"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "rank": (32, 64, 128, 256, 512),
        "share": (0.1, 0.3, 1.0, 3.0),
        "lift": (0.25, 0.5),
        "half_life_share": (0.5, 1.0, 2.0, 8.0),
    }
    rank: int = 128
    share: float = 0.3
    lift: float = 0.5
    damping: float = 0.65
    half_life_share: float = 1.0
    neighbours: int = 500

    def fit(self, dataset: Dataset, seed: int) -> Self:
        matrix = dataset.matrix(dataset.recent_us * self.half_life_share)
        self.known_users_ = in_company(matrix)
        self.known_items_ = matrix.getnnz(axis=0) > 0
        linear = Similar("walk", self.damping, SHRINKAGE, neighbours=self.neighbours)
        self.linear_ = linear.fit_matrix(matrix, dataset.matrix())
        self.left_, self.right_ = smooth(matrix, self.rank, self.lift, seed)
        items = max(len(self.right_), 1)
        centred = self.right_ - self.right_.sum(axis=0) / items
        self.spread_: Float32 = centred.T @ centred / np.float32(items)
        return self

    def opinions(self, users: Int32) -> DenseOpinions:
        ties = self.linear_.ties_[users]
        short, near = ties @ self.left_, ties @ self.linear_.factor_
        # Divided while it is short: its variance over the items is a form in the spread of the directions.
        short *= self.share / _root(np.einsum("ij,ij->i", short @ self.spread_, short))
        scores: Float32 = short.astype(np.float32) @ self.right_.T
        _add_over_deviation(scores, near)
        scores[~self.known_users_[users]] = -np.inf
        return DenseOpinions(scores, known=self.known_items_)


def smooth(matrix: sp.csr_matrix, rank: int, lift: float, seed: int) -> tuple[Float32, Float32]:
    """float32[I, rank] twice: ties times the first times the second transposed is their smooth part."""
    size = np.bincount(matrix.indices, matrix.data, minlength=matrix.shape[1]) + SHRINKAGE
    total = np.asarray(matrix.sum(axis=1)).ravel()
    total[total == 0] = 1.0
    rank = min(rank, *(side // 4 for side in matrix.shape))
    if rank < 1 or matrix.nnz == 0:
        nothing = np.zeros((matrix.shape[1], 1), np.float32)
        return nothing, nothing
    even = sp.diags_array(total**-0.5) @ matrix @ sp.diags_array(size**-0.5)
    with threadpool_limits(1, "blas"):
        _, vectors = item_directions(even.tocsr(), rank, seed)
    left, right = ((vectors * size**power).T.astype(np.float32) for power in (-0.5, lift))
    return left, right


def _add_over_deviation(scores: Float32, part: sp.csr_matrix | Float32) -> None:
    """Add `part` to `scores` (both [B, I]), each row divided by its standard deviation."""
    if isinstance(part, np.ndarray):
        scores += part / _root(part.var(axis=1))
        return
    items = part.shape[1]
    row = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    mean, square = (np.bincount(row, part.data.astype(np.float64) ** power, len(scores)) / items for power in (1, 2))
    scores[row, part.indices] += part.data / _root(square - mean**2)[row, 0]


def _root(variance: npt.NDArray[np.floating]) -> Float32:
    """float32[B, 1]: the root of each variance; 1 where there is none."""
    return np.sqrt(np.where(variance > 0, variance, 1.0)).astype(np.float32)[:, None]
