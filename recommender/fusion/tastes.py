"""What each visitor turns to, whatever came of it: categories, brands, tags and prices of all that they touched.

Few have bought much, most have looked at something. A purchase counts as much as it does elsewhere beside a look
(`Dataset.strength`). Few touches say little: shares lean on none, and prices on what is usual, by FEW touches.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.fusion.signals import price_levels
from recommender.history.dataset import Dataset, Float32, Int32
from recommender.history.facts import leaf_codes

Floats = npt.NDArray[np.float64]
FEW = 2.0
"""Looks that what is usual counts for."""
LOOK = 0.3
"""Strength of a look: what touches are counted in."""
NAMES = (
    "category_interest",
    "brand_interest",
    "tag_interest",
    "price_level",
    "price_square",
    "price_taste",
    "price_product",
    "touches",
    "conversion",
)


class Tastes:
    """Tastes as of one dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def of(self, users: Int32, items: Int32) -> Float32:
        """float32[B, C, F] of the pairs (users[b], items[b, c]) in the order of NAMES; NaN = not known.

        price_level: logarithm beside the usual price of the category, and its square; price_taste: the mean of what the
        visitor touched; price_product: of both. So a rule that adds these up can tell how far a price is from the
        visitor's, whatever the unit. conversion: logarithm of targets for each touch of the item.
        """
        facts = self.dataset.facts
        touched = self._touched[users]
        level, taste = self._level[items], self._price_taste[users][:, None] + np.zeros(items.shape)
        columns = [
            _share(touched @ _one_hot(self._leaf, len(facts.categories)), self._leaf[items]),
            _share(touched @ _one_hot(facts.brand, len(facts.brands)), facts.brand[items]),
            self._tag_interest(touched, items),
            level,
            level**2,
            taste,
            level * taste,
            self._touches[users][:, None] + np.zeros(items.shape),
            self._conversion[items],
        ]
        return np.stack(columns, axis=2).astype(np.float32)

    def _tag_interest(self, touched: sp.csr_matrix, items: Int32) -> Floats:
        """How much of the visitor's attention an item's tags have: cosine of tags, mean over what was touched."""
        tags = self._tags
        if not tags.nnz:
            return np.full(items.shape, np.nan)
        profile = (touched @ tags).toarray() / (touched.sum(axis=1).A1 + FEW)[:, None]
        row = np.repeat(np.arange(len(items)), items.shape[1])
        told = tags[items.ravel()]
        owner = np.repeat(row, np.diff(told.indptr))
        pair = np.repeat(np.arange(items.size), np.diff(told.indptr))
        said = told.data * profile[owner, told.indices]
        whole: Floats = np.reshape(np.bincount(pair, said, minlength=items.size), items.shape)
        return whole

    @cached_property
    def _touched(self) -> sp.csr_matrix:
        """[U, I]: how many looks each visitor's events with an item are worth."""
        data = self.dataset
        strength = data.strength[data.kind] / LOOK
        touched = sp.csr_matrix((strength, (data.user, data.item)), shape=data.shape)
        touched.sum_duplicates()
        return touched

    @cached_property
    def _touches(self) -> Floats:
        counted: Floats = np.log1p(self._touched.sum(axis=1).A1)
        return counted

    @cached_property
    def _leaf(self) -> Int32:
        return leaf_codes(self.dataset.facts)

    @cached_property
    def _level(self) -> Floats:
        return price_levels(self.dataset.facts)

    @cached_property
    def _price_taste(self) -> Floats:
        """float64[U]: mean price level of what each visitor touched."""
        known = np.isfinite(self._level)
        level = np.where(known, self._level, 0.0)
        looks = self._touched @ known.astype(np.float64)
        total = self._touched @ level
        usual = total.sum() / max(looks.sum(), 1.0)
        taste: Floats = (total + FEW * usual) / (looks + FEW)
        return taste if known.any() else np.full(len(taste), np.nan)

    @cached_property
    def _tags(self) -> sp.csr_matrix:
        """[I, T]: each item's tags, of length 1."""
        tags = self.dataset.facts.tags.astype(np.float64)
        length = np.sqrt(tags.sum(axis=1).A1) if tags.shape[1] else np.ones(tags.shape[0])
        return (sp.diags(1.0 / np.maximum(length, 1.0)) @ tags).tocsr()

    @cached_property
    def _conversion(self) -> Floats:
        """float64[I]: log of targets for each touch, leaning on the shop's by 5 touches."""
        data = self.dataset
        all_, taken = (np.bincount(data.item[of], minlength=data.shape[1]) for of in (slice(None), data.is_target))
        usual = taken.sum() / max(all_.sum(), 1)
        rate: Floats = np.log((taken + 5 * usual + 1e-9) / (all_ + 5))
        return rate


def _one_hot(code: Int32, size: int) -> sp.csr_matrix:
    coded = np.flatnonzero(code >= 0)
    return sp.csr_matrix((np.ones(len(coded)), (coded, code[coded])), shape=(len(code), size))


def _share(taken: sp.csr_matrix, wanted: Int32) -> Floats:
    """float64[B, C]: what share of each row of `taken` [B, codes] the wanted code has; NaN without a code."""
    if not taken.shape[1]:
        return np.full(wanted.shape, np.nan)
    dense = taken.toarray()
    share = dense / (dense.sum(axis=1, keepdims=True) + FEW)
    found: Floats = np.take_along_axis(share, np.maximum(wanted, 0), axis=1)
    return np.where(wanted >= 0, found, np.nan)
