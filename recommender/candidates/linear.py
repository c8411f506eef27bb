"""Closed-form linear autoencoder: which items, taken together, predict an item best.

Steck 2019, "Embarrassingly shallow autoencoders for sparse data": B minimises |X - XB|^2 + L |B|^2 with
diag(B) = 0, over the ties X (users x items). With P = (X'X + L)^-1 it is B_ij = -P_ij / P_jj off the diagonal; the
score of j is the sum of B_ij over the user's ties. L is the same for all items: penalty x the mean of diag(X'X).

Where a full inverse would be too large, the items share `rank` directions: X'X is taken as V S^2 V' of its leading
singular vectors plus the diagonal that they leave, so that P follows from an inverse of rank x rank (Woodbury), with
P_jj exact for that approximation; a score is a product of thin matrices less the item's part in itself.

One thread: the libraries' threads would wait for each other on a busy machine, and change the last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import lapack, solve_triangular
from threadpoolctl import threadpool_limits

from recommender.candidates.factors import in_company, item_directions
from recommender.candidates.opinions import DenseOpinions, top
from recommender.candidates.protocol import Source, blocks
from recommender.history.dataset import Dataset, Float32, Int32

NEIGHBOURS = 200
"""Of each item, in `similarity_`."""

Floats = npt.NDArray[np.float64]


@dataclass
class Linear(Source):
    """Item weights by ridge regression with a zero diagonal, on ties that fade.

    penalty: in units of the mean size of an item, so that one value means the same in every shop. walk: the power of a
    user's total by which their ties are divided. half_life_share: half-life of ties as a share of the recent window
    (`Dataset.recent_us`). full_items: with more items than that, `rank` directions stand for them.
    """

    name: ClassVar[str] = "linear"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "penalty": (0.3, 1.0, 3.0, 10.0, 30.0),
        "walk": (0.0, 0.25, 0.5),
        "half_life_share": (0.5, 1.0, 2.0, 8.0),
    }
    penalty: float = 3.0
    walk: float = 0.25
    half_life_share: float = 1.0
    rank: int = 512
    full_items: int = 7_000

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(dataset.recent_us * self.half_life_share), seed)

    def fit_matrix(self, matrix: sp.csr_matrix, seed: int) -> Self:
        """Learn from users x items ties."""
        self.known_users_ = in_company(matrix)
        self.known_items_ = matrix.getnnz(axis=0) > 0
        self.kept_: Int32 = np.flatnonzero(self.known_items_).astype(np.int32)
        self.ties_: sp.csr_matrix = matrix
        self.kept_ties_: sp.csr_matrix = matrix[:, self.kept_]
        total = np.asarray(matrix.sum(axis=1), np.float64).ravel()
        lighter = sp.diags_array(np.where(total > 0, total, 1.0) ** -self.walk).tocsr()
        shares = lighter @ self.kept_ties_.astype(np.float64)
        size = np.bincount(shares.indices, shares.data**2, minlength=len(self.kept_))
        ridge = self.penalty * float(size.mean()) if len(size) else 0.0
        self.left_: Float32 | None = None
        with threadpool_limits(1, "blas"):
            if len(self.kept_) <= self.full_items:
                self.right_: Float32 = full_weights(shares, ridge)
            else:
                self.left_, self.right_ = thin_weights(shares, ridge, self.rank, seed)
        return self

    def opinions(self, users: Int32) -> DenseOpinions:
        scores = np.full((len(users), len(self.known_items_)), -np.inf, np.float32)
        scores[:, self.kept_] = self._products(self.kept_ties_[users])
        scores[~self.known_users_[users]] = -np.inf
        return DenseOpinions(scores)

    @cached_property
    def similarity_(self) -> sp.csr_matrix | None:
        """[I, I]: the largest positive weights of each item (row) on others (columns); None where directions stand for
        the items: to write down their products would cost more than the fit."""
        if self.left_ is not None:
            return None
        items = len(self.known_items_)
        one_each = sp.identity(len(self.kept_), np.float32, format="csr")
        rows, columns, values = [], [], []
        for block in blocks(np.arange(len(self.kept_), dtype=np.int32), 1_024):
            best, weight = top(self._products(one_each[block]), NEIGHBOURS)
            row, place = np.nonzero(weight > 0)
            rows.append(self.kept_[block[row]])
            columns.append(self.kept_[best[row, place]])
            values.append(weight[row, place])
        if not rows:
            return sp.csr_matrix((items, items), dtype=np.float32)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sp.csr_matrix(entries, shape=(items, items))

    def _products(self, ties: sp.csr_matrix) -> Float32:
        """float32[B, kept items]: rows of ties times the weights."""
        if self.left_ is None:
            full: Float32 = ties @ self.right_
            return full
        scores: Float32 = (ties @ self.left_) @ self.right_.T
        row = np.repeat(np.arange(ties.shape[0]), np.diff(ties.indptr))
        own = np.einsum("ij,ij->i", self.left_, self.right_)
        scores[row, ties.indices] -= ties.data * own[ties.indices]
        return scores


def full_weights(shares: sp.csr_matrix, ridge: float) -> Float32:
    """float32[I, I]: the weights B. ridge: each entry of L."""
    if not shares.shape[1]:
        return np.zeros((0, 0), np.float32)
    gram = (shares.T @ shares).toarray(order="F")
    gram[np.diag_indices_from(gram)] += ridge
    factor, _ = lapack.dpotrf(gram, lower=True, overwrite_a=True, clean=False)
    inverse, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
    # Only the lower triangle was made; columns are divided by the diagonal.
    lower = np.tril(inverse.astype(np.float32), -1)
    weights: Float32 = lower + lower.T
    weights /= -np.diag(inverse).astype(np.float32)
    return weights


def thin_weights(shares: sp.csr_matrix, ridge: float, rank: int, seed: int) -> tuple[Float32, Float32]:
    """float32[I, rank] twice: B = left right' off the diagonal. ridge: each entry of L."""
    singular, vectors = item_directions(shares, rank, seed)
    sound = singular > singular[0] * 1e-4
    energy, basis = singular[sound].astype(np.float64) ** 2, vectors[sound].astype(np.float64)
    size = np.bincount(shares.indices, shares.data**2, minlength=shares.shape[1])
    rest = ridge + np.maximum(size - energy @ basis**2, 0.0)
    inner = np.diag(1.0 / energy) + (basis / rest) @ basis.T
    factor = np.linalg.cholesky(inner)
    thin = solve_triangular(factor, basis / rest, lower=True)
    of_itself = 1.0 / rest - np.einsum("ij,ij->j", thin, thin)
    return thin.T.astype(np.float32), (thin / of_itself).T.astype(np.float32)
