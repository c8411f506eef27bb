"""Catalogue facts of items as arrays: what an item is, what it costs, whether it may be shown.

Names and types are those of the bundle, so that what the night read is what the day serves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

CATEGORY_DEPTH = 4


@dataclass(frozen=True)
class Facts:
    """One row an item, in vocabulary order; -1 stands for "not given".

    known: the item has a catalogue row. category: int32[I, 4] the path from the root, codes of its elements into
    `categories`; brand: code into `brands`; tags and stores: 0/1 matrices with a column for each of `tag_names` and
    `store_ids`, no store = all stores. created: UTC microseconds.
    """

    known: npt.NDArray[np.bool_]
    hidden: npt.NDArray[np.bool_]
    price: npt.NDArray[np.int64]
    cost: npt.NDArray[np.int64]
    stock: npt.NDArray[np.int64]
    created: npt.NDArray[np.int64]
    category: npt.NDArray[np.int32]
    brand: npt.NDArray[np.int32]
    titles: tuple[str, ...]
    tags: sp.csr_matrix
    stores: sp.csr_matrix
    categories: npt.NDArray[np.bytes_]
    brands: npt.NDArray[np.bytes_]
    tag_names: npt.NDArray[np.bytes_]
    store_ids: npt.NDArray[np.bytes_]

    @classmethod
    def none(cls, items: int = 0) -> Facts:
        """Facts of an app without a catalogue."""
        empty = np.empty(0, "S1")
        return cls(
            known=np.zeros(items, bool),
            hidden=np.zeros(items, bool),
            price=np.full(items, -1, np.int64),
            cost=np.full(items, -1, np.int64),
            stock=np.full(items, -1, np.int64),
            created=np.full(items, -1, np.int64),
            category=np.full((items, CATEGORY_DEPTH), -1, np.int32),
            brand=np.full(items, -1, np.int32),
            titles=("",) * items,
            tags=sp.csr_matrix((items, 0), dtype=np.float32),
            stores=sp.csr_matrix((items, 0), dtype=np.float32),
            categories=empty,
            brands=empty,
            tag_names=empty,
            store_ids=empty,
        )

    def timeless(self) -> Facts:
        """What was true of the items at any time: category, brand, tags; not price, cost, stock, hidden or presence."""
        blank = Facts.none(len(self.known))
        passing = {name: getattr(blank, name) for name in ("known", "hidden", "price", "cost", "stock")}
        return replace(self, **passing)

    def item_features(self) -> sp.csr_matrix | None:
        """[I, F] one column for each category element, brand and tag; None when nothing is known."""
        parts = [_one_hot(level, len(self.categories)) for level in self.category.T]
        category = sum(parts[1:], parts[0])
        features = sp.hstack([category, _one_hot(self.brand, len(self.brands)), self.tags], format="csr")
        return features.astype(np.float32) if features.nnz else None


def leaf_codes(facts: Facts) -> npt.NDArray[np.int32]:
    """int32[I]: the deepest category of each item, -1 = none."""
    depth = np.sum(facts.category >= 0, axis=1)
    leaf: npt.NDArray[np.int32] = facts.category[np.arange(len(facts.category)), np.maximum(depth - 1, 0)]
    return leaf


def _one_hot(codes: npt.NDArray[np.int32], size: int) -> sp.csr_matrix:
    rows = np.flatnonzero(codes >= 0)
    shape = (len(codes), size)
    return sp.csr_matrix((np.ones(len(rows), np.float32), (rows, codes[rows])), shape=shape)
