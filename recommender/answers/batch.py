"""Many visitors' shelves at once, read off the night's table: what `recommend` says where nothing is new of a visitor.

Where nothing happened since the night, nothing is on the page and the shop promotes nothing, a shelf is the first n
rows of the visitor's table that the hard rules let through. That is arithmetic on arrays. What a row means is not said
again here: rules and reasons are asked of the functions that answer by day (`pipeline.rules_of`, `shelf.night_codes`,
`reasons.reason`), once for every item and every kind of row. Whose table is too short is left to `recommend` and its
ladder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.catalogue import Catalogue
from recommender.answers.columns import members
from recommender.answers.pipeline import keeps_seen, rules_of
from recommender.answers.proposals import STRANGER
from recommender.answers.reasons import reason
from recommender.answers.shelf import night_codes
from recommender.bundles.bundle import Bundle
from recommender.bundles.layout import NOTHING_OWN
from recommender.types import Query

Int32 = NDArray[np.int32]
Mask = NDArray[np.bool_]

NOT_TOLD = -1


class Lines(NamedTuple):
    """Shelves of n items, best first, all [V, n]: items (numbers of the catalogue), scores, sources (places in
    `bundle.sources`), and reasons (places in `TableShelves.texts`)."""

    items: Int32
    scores: NDArray[np.float32]
    sources: NDArray[np.uint8]
    reasons: Int32


class TableShelves:
    """Answers to one query for any visitors of the bundle. query: whose `user_id` does not matter; it may ask neither
    for an item, a store, a scene, an hour, a cart, exclusions, filters nor diversity."""

    def __init__(self, bundle: Bundle, catalogue: Catalogue, query: Query) -> None:
        self.texts: list[str] = []
        """Reasons in words, as far as they were needed."""
        self._bundle = bundle
        self._catalogue = catalogue
        self._query = query
        self._keeps = keeps_seen(bundle, query)
        everything = np.arange(catalogue.base, dtype=np.int32)
        fits = rules_of(bundle, catalogue, query, -1, STRANGER).fit(everything)
        self._fits = np.append(fits, False)  # the last is that of -1, no item
        self._popular = bundle.popularity(everything) > 0
        kinds = list(night_codes(bundle.sources, bundle.targets).values())
        self._codes = list(dict.fromkeys(code for code, _ in kinds))
        self._code = np.array([self._codes.index(code) for code, _ in kinds], np.int64)
        self._named = np.array([named for _, named in kinds], bool)
        self._numbers = np.full(len(self._codes) * (catalogue.base + 1), NOT_TOLD, np.int32)

    def of(self, rows: Int32) -> tuple[Mask, Lines]:
        """For visitors by their rows in the bundle (0 or more): whose table gives n items (bool[rows]), and the shelves
        of these, in order."""
        n, width = self._query.n, self._bundle.candidate_items.shape[1]
        whole, places = self._places(rows, min(2 * n, width))
        short = np.flatnonzero(~whole)
        if len(short) and 2 * n < width:
            found, more = self._places(rows[short], width)
            merged = np.empty((len(rows), n), np.intp)
            merged[whole] = places
            merged[short[found]] = more
            whole[short[found]] = True
            places = merged[whole]
        return whole, self._lines(rows[whole], places)

    def _places(self, rows: Int32, width: int) -> tuple[Mask, NDArray[np.intp]]:
        """Whose first `width` places of the table hold n items that fit, and where: [V, n]."""
        n = self._query.n
        items = self._bundle.candidate_items[rows, :width]
        fits = self._fits[items]
        if not self._keeps:
            fits &= ~_Had(self._bundle, rows).any_of(items)
        count = np.cumsum(fits, axis=1, dtype=np.int32)
        whole = count[:, -1] >= n if width else np.zeros(len(rows), bool)
        chosen = (fits & (count <= n))[whole]
        return whole, np.nonzero(chosen)[1].reshape(-1, n)

    def _lines(self, rows: Int32, places: NDArray[np.intp]) -> Lines:
        bundle, at = self._bundle, (rows[:, None], places)
        items, sources, causes = (getattr(bundle, f"candidate_{name}")[at] for name in ("items", "sources", "evidence"))
        had = _Had(bundle, rows)
        had_item, had_cause = had.any_of(items), had.any_of(causes)
        kind = sources.astype(np.int64)
        for flag in (causes >= 0, had_item, had_cause, causes != NOTHING_OWN, self._popular[items]):  # as in `Line`
            kind = kind * 2 + flag
        return Lines(items, bundle.candidate_scores[at], sources, self._told(kind, causes))

    def _told(self, kind: NDArray[np.int64], causes: Int32) -> Int32:
        """Places in `texts` of rows of these kinds."""
        per_code = self._catalogue.base + 1  # the last stands for no cause that is named
        cause = np.where(self._named[kind], causes, self._catalogue.base)
        keys = self._code[kind] * per_code + cause
        numbers: Int32 = self._numbers[keys]
        if (numbers == NOT_TOLD).any():
            for key in np.unique(keys[numbers == NOT_TOLD]).tolist():
                self._numbers[key] = len(self.texts)
                self.texts.append(self._text(self._codes[key // per_code], key % per_code))
            numbers = self._numbers[keys]
        return numbers

    def _text(self, code: str, cause: int) -> str:
        if cause == self._catalogue.base:
            return reason(code, self._query.lang).text
        return reason(code, self._query.lang, self._catalogue.item_id(cause), self._catalogue.title(cause)).text


class _Had:
    """What each visitor of some rows had at night."""

    def __init__(self, bundle: Bundle, rows: Int32) -> None:
        first, end = bundle.bought_indptr[rows], bundle.bought_indptr[rows + 1]
        lengths = end - first
        owner = np.repeat(np.arange(len(rows), dtype=np.int64), lengths)
        before = np.cumsum(lengths) - lengths
        taken = bundle.bought_items[np.arange(len(owner)) + (first - before)[owner]]
        self._size = max(len(bundle.items), 1)
        self._keys = owner * self._size + taken

    def any_of(self, items: NDArray[np.integer[Any]]) -> Mask:
        """Which of `items` ([rows, N], -1 for none) the visitor of the row had."""
        if not len(self._keys):
            return np.zeros(items.shape, bool)
        keys = np.arange(len(items), dtype=np.int64)[:, None] * self._size + items
        return members(keys.ravel(), self._keys).reshape(items.shape) & (items >= 0)
