"""The part of a catalogue row that seldom changes (what an item is), stored column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.columns import Column, Names, Ragged
from recommender.bundles.layout import LARGEST_DEPTH

Numbers = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Traits(NamedTuple):
    """One item as codes. `created_us` is UTC microseconds; -1 stands for none."""

    category: tuple[int, ...]
    brand: int
    tags: tuple[int, ...]
    stores: tuple[int, ...]
    title: str
    created_us: int


class CodeBook(NamedTuple):
    """The names that codes stand for."""

    categories: Names
    brands: Names
    tags: Names
    stores: Names

    def traits(self, row: Mapping[str, Any]) -> Traits:
        """A row of the `items` table as codes, learning new names. Of a deep path the first levels are kept."""
        brand = row.get("brand")
        return Traits(
            tuple(map(self.categories.add, (row.get("category") or ())[:LARGEST_DEPTH])),
            self.brands.add(brand) if brand else -1,
            tuple(sorted({self.tags.add(tag) for tag in row.get("tags") or ()})),
            tuple(sorted({self.stores.add(store) for store in row.get("store_ids") or ()})),
            row.get("title") or "",
            _microseconds(row.get("created_at")),
        )


class Rows:
    """Rows of traits. Questions take row numbers (int array) and answer one value a row."""

    __slots__ = ("_brand", "_category", "_created", "_late_titles", "_offsets", "_stores", "_tags", "_title_bytes")

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._category = Column(arrays["item_category"])
        self._brand = Column(arrays["item_brand"])
        self._created = Column(arrays["item_created"])
        self._tags = Ragged(arrays["item_tags_indptr"], arrays["item_tags"])
        self._stores = Ragged(arrays["item_stores_indptr"], arrays["item_stores"])
        self._offsets = arrays["titles_offsets"]
        self._title_bytes = arrays["titles_bytes"]
        self._late_titles: list[str] = []

    def __len__(self) -> int:
        return len(self._brand)

    def append(self, traits: Traits) -> None:
        """One more row. Only for rows made with `LARGEST_DEPTH` levels of category."""
        path = np.full((1, LARGEST_DEPTH), -1, np.int32)
        path[0, : len(traits.category)] = traits.category
        self._category.extend(path)
        self._brand.extend(np.array([traits.brand], np.int32))
        self._created.extend(np.array([traits.created_us], np.int64))
        self._tags.append(traits.tags)
        self._stores.append(traits.stores)
        self._late_titles.append(traits.title)

    def traits(self, row: int) -> Traits:
        """One row, as `CodeBook.traits` makes it."""
        return Traits(
            self.path(row),
            int(self._brand.values[row]),
            self._tags.row(row),
            self._stores.row(row),
            self.title(row),
            self.created_us(row),
        )

    def path(self, row: int) -> tuple[int, ...]:
        return tuple(code for code in self._category.values[row].tolist() if code >= 0)

    def title(self, row: int) -> str:
        late = row - (len(self._offsets) - 1)
        if late >= 0:
            return self._late_titles[late]
        text = self._title_bytes[self._offsets[row] : self._offsets[row + 1]]
        return text.tobytes().decode("utf-8", "replace")

    def created_us(self, row: int) -> int:
        return int(self._created.values[row])

    def in_category(self, rows: Numbers, codes: Sequence[int]) -> Mask:
        """Is one of `codes` anywhere in the path?"""
        found: Mask = np.any(_any_equal(self._category.values.take(rows, axis=0), codes), axis=1)
        return found

    def of_brand(self, rows: Numbers, codes: Sequence[int]) -> Mask:
        return _any_equal(self._brand.values.take(rows), codes)

    def tagged(self, rows: Numbers, codes: Sequence[int]) -> Mask:
        """Does it carry one of `codes`?"""
        return self._tags.any_of(rows, codes, empty=False)

    def sold_in(self, rows: Numbers, codes: Sequence[int]) -> Mask:
        """Is it sold in one of the stores `codes`? What names no store is sold in all."""
        return self._stores.any_of(rows, codes, empty=True)

    def paths(self, rows: Numbers, width: int) -> NDArray[np.int32]:
        """Category path of each row as codes, padded with -1 to at least `width`."""
        paths: NDArray[np.int32] = self._category.values.take(rows, axis=0)
        if paths.shape[1] >= width:
            return paths
        padded = np.full((len(rows), width), -1, np.int32)
        padded[:, : paths.shape[1]] = paths
        return padded


def no_rows() -> dict[str, NDArray[Any]]:
    """The item arrays of a bundle for no item at all, with room for the deepest category path."""
    return {
        "item_category": np.empty((0, LARGEST_DEPTH), np.int32),
        "item_brand": np.empty(0, np.int32),
        "item_created": np.empty(0, np.int64),
        "item_tags_indptr": np.zeros(1, np.int64),
        "item_tags": np.empty(0, np.int32),
        "item_stores_indptr": np.zeros(1, np.int64),
        "item_stores": np.empty(0, np.int32),
        "titles_offsets": np.zeros(1, np.int64),
        "titles_bytes": np.empty(0, np.uint8),
        "item_price": np.empty(0, np.int64),
        "item_stock": np.empty(0, np.int64),
        "item_hidden": np.empty(0, np.bool_),
    }


def _any_equal(values: NDArray[Any], codes: Sequence[int]) -> Mask:
    hit = np.zeros(values.shape, bool)
    for code in codes:
        hit |= values == code
    return hit


def _microseconds(moment: datetime | str | None) -> int:
    if not moment:
        return -1
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (when - _EPOCH) // timedelta(microseconds=1)
