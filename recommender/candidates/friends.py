"""What friends take: whoever brought the visitor, was brought by them, or bought in a group with them.

Two steps over the graph of friends, as in social recommendation by neighbours (Ma et al. 2011, "Recommender systems
with social regularization", without the factors): most visitors have one or two friends, and friends of friends are
the many. Links are divided by the root of both ends' number of friends, so that somebody with a thousand friends does
not speak for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recommender.candidates.opinions import SparseOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Dataset, Float32, Int32

TRACE = 1e-5
"""Beside the largest of a row: what rounding may leave where a sum was taken back."""


@dataclass
class Friends(Source):
    """Ties of friends, and of their friends, by age; no opinion of a visitor's own ties.

    half_life_share: half-life of a tie as a share of the recent window. far: a friend's friend beside a friend.
    """

    name: ClassVar[str] = "friends"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "half_life_share": (0.25, 1.0, 4.0),
        "far": (0.0, 0.3, 1.0),
    }
    half_life_share: float = 1.0
    far: float = 0.3

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:
        """Where somebody has a friend."""
        return dataset.friends is not None and dataset.friends.nnz > 0

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        known = dataset.friends
        self.links_ = evened(sp.csr_matrix((dataset.shape[0],) * 2, dtype=np.float32) if known is None else known)
        self.ties_ = dataset.matrix(dataset.recent_us * self.half_life_share)
        self.theirs_: sp.csr_matrix = (self.links_ @ self.ties_).tocsr()
        self.back_: sp.csr_matrix = self.links_.T.tocsr()
        return self

    def opinions(self, users: Int32) -> SparseOpinions:
        found = self.links_[users] @ self.ties_
        if self.far:
            found = found + self.far * self._further(users)
        found = found.tocsr().astype(np.float32)
        found.sort_indices()
        return SparseOpinions(found)

    def _further(self, users: Int32) -> sp.csr_matrix:
        """[B, I] what friends' friends have, less what comes back: a visitor is a friend of every friend."""
        links = self.links_[users]
        whole = (links @ self.theirs_).tocsr()
        returned: Float32 = np.asarray(links.multiply(self.back_[users]).sum(axis=1)).ravel().astype(np.float32)
        left = (whole - sp.diags(returned) @ self.ties_[users]).tocsr()
        if left.nnz:
            most = whole.max(axis=1).toarray().ravel()
            left.data[left.data < TRACE * np.repeat(most, np.diff(left.indptr))] = 0.0
        left.eliminate_zeros()
        return left


def evened(friends: sp.csr_matrix) -> sp.csr_matrix:
    """Links divided by the root of the sums of both ends."""
    degree = np.asarray(friends.sum(axis=1)).ravel()
    root = np.divide(1.0, np.sqrt(degree), out=np.zeros(len(degree), np.float32), where=degree > 0)
    scale = sp.diags(root.astype(np.float32))
    return (scale @ friends @ scale).tocsr().astype(np.float32)
