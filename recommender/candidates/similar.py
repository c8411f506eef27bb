"""Items like the ones the user took: item-item neighbours, plain and with time decay.

With w the ties of users and items after weighting and s_i the size of item i, the similarity of a taken item i to an
item j is

    sum over users of w_ui w_uj / ((s_i + shrinkage)^(1 - damping) (s_j + shrinkage)^damping)

and the score of j the sum, over the user's items i, of their tie times that. The weighting says how much a user's word
counts: `cosine` everybody's the same (Sarwar et al. 2001, "Item-based collaborative filtering recommendation
algorithms"; with a damping other than 1/2 the asymmetric cosine of Aiolli 2013), `tfidf` less where they take much,
`walk` in inverse proportion to it (a random walk of three steps: Paudel et al. 2017, "Updatable, accurate, diverse, and
scalable recommendations for interactive applications"; with damping 1/2 the linear filter of Shen et al. 2021), `bm25`
saturating in the size of the items (Robertson & Zaragoza 2009; implicit's parameters). A larger damping favours rare
items; shrinkage adds so many takers, all different, to every item, so that two takers prove little.

implicit's `all_pairs_knn` finds the neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from implicit.nearest_neighbours import all_pairs_knn
from threadpoolctl import threadpool_limits

from recommender.candidates.opinions import ABOVE_ZERO, DenseOpinions, Opinions, SparseOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Dataset, Float32, Int32

FULL_ABOVE = 0.1
FULL_ITEMS = 8_000
DENSE_ABOVE = 0.01
BM25_K1, BM25_B = 100.0, 0.8

Floats = npt.NDArray[np.float64]
Products = Callable[[sp.csr_matrix, int], sp.coo_matrix]
"""The so many largest products of each column of a users x items matrix with its columns: [I, I], row by row; zeros
pad."""


@dataclass
class Similar(Source):
    """Item-item similarity over the ties of users and items, whenever they were made.

    weighting: cosine, tfidf, walk or bm25. damping, shrinkage: see the module. targets_only: learn from target events
    alone. neighbours: the most an item keeps; entries: the most all items keep together, which bounds memory.
    """

    name: ClassVar[str] = "similar"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "weighting": ("cosine", "tfidf", "walk", "bm25"),
        "damping": (0.35, 0.5, 0.65),
        "shrinkage": (0.0, 5.0, 20.0, 100.0),
        "neighbours": (50, 200, 2_000),
    }
    weighting: str = "walk"
    damping: float = 0.65
    shrinkage: float = 20.0
    targets_only: bool = False
    neighbours: int = 2_000
    entries: int = 20_000_000

    def fit(self, dataset: Dataset, seed: int, products: Products | None = None) -> Self:  # noqa: ARG002
        return self.fit_matrix(self.matrix(dataset), products=products)

    def matrix(self, dataset: Dataset) -> sp.csr_matrix:
        """Users x items ties to learn from."""
        return dataset.matrix(targets_only=self.targets_only)

    def fit_matrix(
        self, matrix: sp.csr_matrix, fresh: sp.csr_matrix | None = None, products: Products | None = None
    ) -> Self:
        """Learn from the ties themselves: neighbours from their columns, users from their rows. fresh: the same ties
        as strong as when they were made, for the sizes (default: they have not aged). products: who multiplies
        (default: implicit)."""
        self.ties_: sp.csr_matrix = matrix
        weighted = weigh(matrix, self.weighting)
        size = self.shrinkage + (
            sizes(matrix, weighted, self.weighting)
            if fresh is None
            else sizes(fresh, weigh(fresh, self.weighting), self.weighting)
        )
        size[size == 0] = 1.0
        # The kernel multiplies a matrix by itself; what a row has beside its columns comes after the choice.
        weighted.data *= (size**-self.damping)[weighted.indices]
        pairs = (products or _products)(weighted, self.kept(matrix.shape[1]))
        self.similarity_: sp.csr_matrix = _without_self(pairs, size ** (2 * self.damping - 1))
        # A product with a well filled sparse matrix costs several times that with the same matrix in full.
        full = self.similarity_.nnz > FULL_ABOVE * matrix.shape[1] ** 2 and matrix.shape[1] <= FULL_ITEMS
        self.factor_: sp.csr_matrix | Float32 = self.similarity_.toarray() if full else self.similarity_
        return self

    def kept(self, items: int) -> int:
        """Neighbours each of so many items keeps."""
        return int(min(np.clip(self.entries // max(items, 1), 50, self.neighbours), max(items, 1)))

    def opinions(self, users: Int32) -> Opinions:
        return of_product(self.ties_[users] @ self.factor_)


@dataclass
class RecentSimilar(Similar):
    """Item-item similarity where an old tie counts less, in the item vectors and in the user's.

    Sizes are those of fresh ties, so that an item whose ties are old is like few others: what is of now is favoured
    among equals. half_life_share: half-life as a share of the recent window (`Dataset.recent_us`).
    """

    name: ClassVar[str] = "recent_similar"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "weighting": ("cosine", "tfidf", "walk", "bm25"),
        "damping": (0.35, 0.5, 0.65),
        "shrinkage": (0.0, 5.0, 20.0, 100.0),
        "half_life_share": (0.25, 0.5, 1.0, 2.0, 4.0),
    }
    half_life_share: float = 1.0

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:
        """Without time nothing is recent: `similar` says the same."""
        return dataset.time_kind != "none"

    def fit(self, dataset: Dataset, seed: int, products: Products | None = None) -> Self:  # noqa: ARG002
        return self.fit_matrix(self.matrix(dataset), super().matrix(dataset), products)

    def matrix(self, dataset: Dataset) -> sp.csr_matrix:
        return dataset.matrix(dataset.recent_us * self.half_life_share, self.targets_only)


def of_product(found: sp.csr_matrix | Float32) -> Opinions:
    """Opinions from a product of sparse factors: written down in full where it is well filled."""
    if isinstance(found, np.ndarray):
        return DenseOpinions(found, ABOVE_ZERO)
    if found.nnz > DENSE_ABOVE * np.prod(found.shape):
        return DenseOpinions(found.toarray(), ABOVE_ZERO)
    found.sort_indices()
    return SparseOpinions(found)


def weigh(matrix: sp.csr_matrix, weighting: str) -> sp.csr_matrix:
    """A float64 copy of users x items ties by a weighting of the module (float64 as the library wants it)."""
    weighted = matrix.astype(np.float64)
    count = np.diff(matrix.indptr)
    if weighting == "tfidf":
        weighted.data *= np.repeat(rarity(matrix), count)
    if weighting == "walk":
        total = np.bincount(np.repeat(np.arange(matrix.shape[0]), count), matrix.data, minlength=matrix.shape[0])
        weighted.data /= np.repeat(np.sqrt(total), count)
    if weighting == "bm25":
        total = np.bincount(matrix.indices, matrix.data, minlength=matrix.shape[1])
        length = 1.0 - BM25_B + BM25_B * total / max(total.mean(), np.finfo(np.float64).tiny)
        weighted.data *= (BM25_K1 + 1.0) / (BM25_K1 * length[matrix.indices] + weighted.data)
        weighted.data *= np.repeat(rarity(matrix), count)
    return weighted


def rarity(matrix: sp.csr_matrix) -> Floats:
    """float64[U]: log(1 + I / n) for a user with n of I items: how much is told by their taking one."""
    found: Floats = np.log1p(matrix.shape[1] / np.maximum(np.diff(matrix.indptr), 1))
    return found


def sizes(matrix: sp.csr_matrix, weighted: sp.csr_matrix, weighting: str) -> Floats:
    """float64[I]: what similarities are divided by: the square of an item's length, for `walk` its ties, for `bm25`
    (which has divided already) 1."""
    if weighting == "bm25":
        return np.ones(matrix.shape[1])
    of = matrix.data if weighting == "walk" else weighted.data**2
    return np.bincount(matrix.indices, of, minlength=matrix.shape[1]).astype(np.float64)


def _products(matrix: sp.csr_matrix, kept: int) -> sp.coo_matrix:
    with threadpool_limits(1, "blas"):
        return all_pairs_knn(matrix, kept, show_progress=False)


def _without_self(pairs: sp.coo_matrix, scale: Floats) -> sp.csr_matrix:
    """The library's pairs, whose rows come in order and are padded with zeros, as float32 rows times `scale`; an item
    is not its own neighbour."""
    kept = (pairs.data > 0) & (pairs.row != pairs.col)
    row = pairs.row[kept]
    data = (pairs.data[kept] * scale[row]).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=pairs.shape[0]))])
    return sp.csr_matrix((data, pairs.col[kept], indptr), shape=pairs.shape)
