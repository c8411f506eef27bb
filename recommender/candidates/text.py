"""Items that are described alike: TF-IDF of titles and catalogue words (scikit-learn), cosine between items.

It needs no buyer, so it speaks for an item from the day it is in the catalogue. Chinese, Japanese and Thai are written
without spaces: their runs count as single characters and pairs of neighbours, which finds words without a dictionary
(Nie et al. 2000, "On the use of words and n-grams for Chinese information retrieval"); other scripts count by word.
Category, brand and tags are words of their own, each with where it stands, so that a brand is no word of a title.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from implicit.nearest_neighbours import all_pairs_knn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from recommender.candidates.opinions import SparseOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Dataset, Int32
from recommender.history.facts import Facts

UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Kana and Han: written without spaces between words."""
RUNS = re.compile(rf"([{UNSPACED}]+)|([^\W_{UNSPACED}]+)")
MOST_WORDS = 200_000
COMMON = 0.5
"""A word of more than this share of the items tells none of them apart."""
MOST_PRODUCTS = 3e9
"""Pairs of items that share a word, word by word: about half a minute. A long catalogue goes without its commonest."""


@dataclass
class Text(Source):
    """Item-item cosine of what the catalogue says about the items; a visitor likes what is like their recent items.

    half_life_share: half-life of a tie as a share of the recent window. facts_weight: category, brand and tags beside
    the 1 of the title. neighbours: the most an item keeps.
    """

    name: ClassVar[str] = "text"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "half_life_share": (0.25, 1.0, 4.0),
        "facts_weight": (0.0, 1.0, 2.0),
        "neighbours": (50, 200),
    }
    half_life_share: float = 1.0
    facts_weight: float = 1.0
    neighbours: int = 200

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:
        """Where items have a title, a category, a brand or a tag."""
        return any(dataset.facts.titles) or dataset.facts.item_features() is not None

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        self.similarity_ = alike(describe(dataset.facts, self.facts_weight), self.neighbours)
        self.ties_ = dataset.matrix(dataset.recent_us * self.half_life_share)
        return self

    def opinions(self, users: Int32) -> SparseOpinions:
        found = self.ties_[users] @ self.similarity_
        found.sort_indices()
        return SparseOpinions(found)


def describe(facts: Facts, facts_weight: float = 1.0) -> sp.csr_matrix:
    """[I, W] TF-IDF of each item, rows of length 1 (0 where nothing is told)."""
    titles = weighed(words(title) for title in facts.titles)
    told = weighed(_catalogue_words(facts))
    both = sp.hstack([titles, told * facts_weight], format="csr", dtype=np.float32)
    return normalize(both) if both.nnz else both


def alike(described: sp.csr_matrix, neighbours: int) -> sp.csr_matrix:
    """[I, I] cosine of each item's `neighbours` nearest others, float32."""
    described = affordable(described, MOST_PRODUCTS)
    if not described.nnz:
        return sp.csr_matrix((described.shape[0],) * 2, dtype=np.float32)
    with threadpool_limits(1, "blas"):
        # Words stand where the library has users: they are what two items share. One more, for the item itself.
        found = all_pairs_knn(described.T.tocsr().astype(np.float64), neighbours + 1, show_progress=False).tocoo()
    others = (found.row != found.col) & (found.data > 0)
    kept = (found.row[others], found.col[others])
    return sp.csr_matrix((found.data[others].astype(np.float32), kept), shape=found.shape)


def affordable(described: sp.csr_matrix, most: float) -> sp.csr_matrix:
    """`described` without the commonest words, so that no more than `most` pairs of items share one."""
    pairs = described.getnnz(axis=0).astype(np.float64) ** 2
    order = np.argsort(pairs, kind="stable")
    return described[:, np.sort(order[np.cumsum(pairs[order]) <= most])]


def weighed(texts: Iterator[list[str]]) -> sp.csr_matrix:
    """[texts, W] TF-IDF with 1 + log(count), rows of length 1; no columns where there is no word."""
    listed = list(texts)
    # Of a handful of items every word is in half of them.
    common = COMMON if len(listed) > 10 else 1.0
    model = TfidfVectorizer(
        analyzer=_itself, sublinear_tf=True, max_df=common, max_features=MOST_WORDS, dtype=np.float32
    )
    try:
        return model.fit_transform(listed).tocsr()
    except ValueError:  # no word at all, or none that tells items apart
        return sp.csr_matrix((len(listed), 0), dtype=np.float32)


def words(text: str) -> list[str]:
    """What counts of a text: words in small letters; of unspaced scripts each character and each pair of neighbours."""
    found: list[str] = []
    for match in RUNS.finditer(text.lower()):
        unspaced, word = match.groups()
        if word:
            found.append(word)
        else:
            found.extend(unspaced)
            found.extend(unspaced[at : at + 2] for at in range(len(unspaced) - 1))
    return found


def _itself(listed: list[str]) -> list[str]:
    return listed


def _catalogue_words(facts: Facts) -> Iterator[list[str]]:
    """Of each item: its path down to every level, its brand, its tags, as words that cannot meet each other."""
    for row, path in enumerate(facts.category):
        codes = [int(code) for code in path if code >= 0]
        told = [f"c{codes[: depth + 1]}" for depth in range(len(codes))]
        if facts.brand[row] >= 0:
            told.append(f"b{facts.brand[row]}")
        told.extend(f"t{tag}" for tag in facts.tags.indices[facts.tags.indptr[row] : facts.tags.indptr[row + 1]])
        yield told
