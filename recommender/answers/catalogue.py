"""What may be shown now: the night's catalogue and the day's changes over it, as one worker sees it.

Items are numbered: the bundle's first, then those that came since, in order of arrival. Price, stock and the hidden
switch change often, so each has a column of the worker's own from the first change on. The rest (category path,
brand, tags, stores, title) seldom changes: a changed item gets a fresh row behind the night's rows, and `_row` says
which row is an item's. So a million items cost a worker a few megabytes, and a condition is one vectorised look at the
items asked about, never at the whole catalogue.

Not for a thread that asks while another applies: apply between requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.columns import Column, Names
from recommender.answers.rows import CodeBook, Mask, Numbers, Rows, no_rows
from recommender.bundles.bundle import Bundle
from recommender.bundles.layout import LARGEST_DEPTH
from recommender.bundles.vocabulary import Vocabulary
from recommender.types import ANYTHING, Filters

Removed = dict[str, int]
"""Rule -> how many items it took away."""


class Conditions(NamedTuple):
    """The filters of one request in codes of one catalogue. A field that is empty or None asks for nothing."""

    category: tuple[int, ...] = ()
    brand: tuple[int, ...] = ()
    tags: tuple[int, ...] = ()
    stores: tuple[int, ...] = ()
    price_min: int | None = None
    price_max: int | None = None
    unknown: str | None = None
    """The first of category, brand, tags whose every wanted name is in no item: nothing can fit."""


_CARRY = {"category": Rows.in_category, "brand": Rows.of_brand, "tag": Rows.tagged}
NO_CONDITIONS = Conditions()


class Catalogue:
    """Items by number, and which of them a request may see. Make one with `from_bundle` or `empty`."""

    def __init__(self, bundle: Bundle | None) -> None:
        self.bundle = bundle
        self.base = len(bundle.items) if bundle else 0
        """How many items the bundle knows; greater numbers came by day."""
        arrays = bundle.arrays if bundle else no_rows()
        self._items = Names(bundle.items if bundle else Vocabulary.build(()))
        self._book = _code_book(bundle)
        self._night = Rows(arrays)
        self._day = Rows(no_rows())
        self._row: Column | None = None
        self._changed: set[int] = set()
        self._later: NDArray[np.int32] | None = None
        self._newcomers: NDArray[np.int32] | None = None
        self._names = {"category": self._book.categories, "brand": self._book.brands, "tag": self._book.tags}
        self._price = Column(arrays["item_price"])
        self._stock = Column(arrays["item_stock"])
        self._hidden = Column(arrays["item_hidden"])
        self._sellable = Column(~arrays["item_hidden"] & (arrays["item_stock"] != 0))

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Catalogue:
        """The catalogue as the night wrote it."""
        return cls(bundle)

    @classmethod
    def empty(cls) -> Catalogue:
        """A catalogue without a night behind it: before the first one, or when the model is missing."""
        return cls(None)

    def __len__(self) -> int:
        return len(self._price)

    def apply(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Upsert rows of the `items` table (as `checking.check` gives them) in order; a missing column means "none".

        A row with a true `deleted` hides its item. `created_at` is an aware datetime, its RFC 3339 text or None.
        """
        for row in rows:
            self._upsert(row)

    def __contains__(self, item_id: str) -> bool:
        return self.index(item_id) >= 0

    def index(self, item_id: str) -> int:
        """Number of an item, -1 when it is unknown."""
        return self._items.code(item_id)

    def indices(self, item_ids: Sequence[str]) -> list[int]:
        """Numbers of many items, -1 where unknown."""
        return self._items.codes(item_ids)

    def item_id(self, item: int) -> str:
        return self._items.name(item)

    def item_ids(self, items: Numbers) -> list[str]:
        return self._items.names(items)

    def title(self, item: int) -> str:
        """Title of an item, '' when it has none."""
        rows, row = self._place(item)
        return rows.title(row)

    def path(self, item: int) -> tuple[int, ...]:
        """Category path of an item as codes, from the root."""
        rows, row = self._place(item)
        return rows.path(row)

    def categories(self, item_id: str) -> list[str]:
        """Category path of an item by name, from the root; empty for an unknown one."""
        item = self.index(item_id)
        return [self.category_name(code) for code in self.path(item)] if item >= 0 else []

    def named_traits(self, item_id: str) -> tuple[list[str], str | None, list[str]] | None:
        """Category path from the root, brand and tags of an item by name; None for an unknown one."""
        item = self.index(item_id)
        if item < 0:
            return None
        rows, row = self._place(item)
        traits = rows.traits(row)
        brand = self._book.brands.name(traits.brand) if traits.brand >= 0 else None
        return self.categories(item_id), brand, [self._book.tags.name(code) for code in traits.tags]

    def category_name(self, code: int) -> str:
        return self._book.categories.name(code)

    def created_us(self, item: int) -> int:
        """created_at of an item, UTC microseconds; -1 when unknown."""
        rows, row = self._place(item)
        return rows.created_us(row)

    def price(self, item: int) -> int | None:
        """Price of one in minor units, None when it has none. The same for every visitor."""
        price = int(self._price.values[item])
        return price if price >= 0 else None

    def paths(self, items: Numbers) -> NDArray[np.int32]:
        """Category path of each item from the root: codes, padded with -1, one row an item."""
        width = LARGEST_DEPTH if len(self._day) else 0
        paths: NDArray[np.int32] = self._ask(lambda rows, at: rows.paths(at, width), items)
        return paths

    def code(self, kind: str, name: str) -> int:
        """Code of a category, brand or tag, or (kind `item`) the number of an item; -1 when it is unknown."""
        return (self._items if kind == "item" else self._names[kind]).code(name)

    def carrying(self, kind: str, name: str, items: Numbers) -> Mask:
        """Which of `items` carry a category (anywhere in the path), brand or tag (`kind`), or (kind `item`) are it."""
        code = self.code(kind, name)
        if code < 0:
            return np.zeros(len(items), bool)
        if kind == "item":
            same: Mask = items == code
            return same
        fits: Mask = self._ask(lambda rows, at: _CARRY[kind](rows, at, (code,)), items)
        return fits

    def newcomers(self) -> NDArray[np.int32]:
        """Items that came since the night, newest first, then those that were new at night."""
        if self._newcomers is None:
            came = np.arange(len(self) - 1, self.base - 1, -1, dtype=np.int32)
            known = self.bundle.new_items if self.bundle is not None else came[:0]
            self._newcomers = np.concatenate([came, known])
        return self._newcomers

    def later_items(self) -> NDArray[np.int32]:
        """Items that came since the night, newest first, then those that changed: the night's lists miss them."""
        if self._later is None:
            came = np.arange(len(self) - 1, self.base - 1, -1, dtype=np.int32)
            self._later = np.concatenate([came, np.array(sorted(self._changed), np.int32)])
        return self._later

    def conditions(self, filters: Filters, store_id: str | None = None) -> Conditions:
        """`filters` in codes of this catalogue. `store_id`: a further store that must sell the item."""
        if store_id is None and (filters is ANYTHING or filters == ANYTHING):
            return NO_CONDITIONS
        known = {
            "category": _known(self._book.categories, filters.category),
            "brand": _known(self._book.brands, filters.brand),
            "tags": _known(self._book.tags, filters.tags),
        }
        stores = tuple(self._book.stores.code(one) for one in (filters.store_id, store_id) if one is not None)
        unknown = next((field for field, codes in known.items() if getattr(filters, field) and not codes), None)
        return Conditions(
            **known, stores=stores, price_min=filters.price_min, price_max=filters.price_max, unknown=unknown
        )

    def allowed(
        self, items: Numbers, asked: Filters | Conditions = NO_CONDITIONS, removed: Removed | None = None
    ) -> Mask:
        """Which of `items` (numbers) may be shown: bool, same length.

        `removed` is added to; an item counts once, under the first rule that it broke.
        """
        conditions = self.conditions(asked) if isinstance(asked, Filters) else asked
        allowed: Mask = self._sellable.values.take(items)
        if removed is not None and np.count_nonzero(allowed) < len(items):
            hidden = int(np.count_nonzero(self._hidden.values.take(items)))
            _count(removed, "hidden", hidden)
            _count(removed, "stock", len(items) - int(np.count_nonzero(allowed)) - hidden)
        if conditions is NO_CONDITIONS:
            return allowed
        for rule, fits in self._tests(conditions, items):
            if removed is not None:
                _count(removed, rule, int(np.count_nonzero(allowed & ~fits)))
            allowed &= fits
        return allowed

    def _tests(self, asked: Conditions, items: Numbers) -> Iterator[tuple[str, Mask]]:
        if asked.unknown:
            yield asked.unknown, np.zeros(len(items), bool)
        if asked.category:
            yield "category", self._ask(lambda rows, at: rows.in_category(at, asked.category), items)
        if asked.brand:
            yield "brand", self._ask(lambda rows, at: rows.of_brand(at, asked.brand), items)
        if asked.tags:
            yield "tags", self._ask(lambda rows, at: rows.tagged(at, asked.tags), items)
        for store in asked.stores:
            yield "store", self._ask(partial(_sold_in, store), items)
        if asked.price_min is not None or asked.price_max is not None:
            yield "price", self._in_price(items, asked.price_min, asked.price_max)

    def _in_price(self, items: Numbers, least: int | None, most: int | None) -> Mask:
        price = self._price.values.take(items)
        fits: Mask = price >= max(least or 0, 0)
        return fits if most is None else fits & (price <= most)

    def _ask(self, question: Callable[[Rows, Numbers], NDArray[Any]], items: Numbers) -> NDArray[Any]:
        """One answer an item, from the night's rows and, for items that came or changed since, the day's."""
        if self._row is None:
            return question(self._night, items)
        rows = self._row.values.take(items)
        late = rows >= self.base
        if not late.any():
            return question(self._night, rows)
        from_day = question(self._day, rows[late] - self.base)
        answer = np.empty((len(items), *from_day.shape[1:]), from_day.dtype)
        answer[late] = from_day
        if len(from_day) < len(items):
            answer[~late] = question(self._night, rows[~late])
        return answer

    def _place(self, item: int) -> tuple[Rows, int]:
        row = item if self._row is None else int(self._row.values[item])
        return (self._night, row) if row < self.base else (self._day, row - self.base)

    def _upsert(self, row: Mapping[str, Any]) -> None:
        item = self.index(row["item_id"])
        traits = self._book.traits(row)
        price = -1 if row.get("price") is None else row["price"]
        stock = -1 if row.get("stock") is None else row["stock"]
        hidden = bool(row.get("hidden") or row.get("deleted"))
        sellable = stock != 0 and not hidden
        mutable = ((self._price, price), (self._stock, stock), (self._hidden, hidden), (self._sellable, sellable))
        if item < 0:
            item = self._items.add(row["item_id"])
            for column, value in mutable:
                column.extend(np.array([value], column.values.dtype))
            self._rows_of_items().extend(np.array([self.base + len(self._day)], np.int32))
            self._day.append(traits)
            return
        for column, value in mutable:
            if column.values[item] != value:
                column.set(item, value)
        rows, at = self._place(item)
        if rows.traits(at) != traits:
            self._rows_of_items().set(item, self.base + len(self._day))
            self._day.append(traits)
            if item < self.base:
                self._changed.add(item)

    def _rows_of_items(self) -> Column:
        if self._row is None:
            self._row = Column(np.arange(self.base, dtype=np.int32))
        self._later = self._newcomers = None
        return self._row


def _code_book(bundle: Bundle | None) -> CodeBook:
    if bundle is None:
        return CodeBook(*(Names(Vocabulary.build(())) for _ in CodeBook._fields))
    return CodeBook(Names(bundle.categories), Names(bundle.brands), Names(bundle.tags), Names(bundle.stores))


def _sold_in(store: int, rows: Rows, at: Numbers) -> Mask:
    return rows.sold_in(at, (store,))


def _known(names: Names, wanted: Sequence[str]) -> tuple[int, ...]:
    return tuple(code for code in names.codes(wanted) if code >= 0)


def _count(removed: Removed, rule: str, items: int) -> None:
    if items:
        removed[rule] = removed.get(rule, 0) + items
