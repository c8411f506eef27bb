"""The arrays of a bundle: names, types, shapes, meaning, and what is checked when one is written.

Checks of values run once, at night; opening by day compares types and shapes only (the checksums cover the rest).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue

LARGEST_DEPTH = 8
CHUNK = 65_536
NOTHING_OWN = -2
"""In `candidate_evidence`: the visitor has done nothing with any item."""


@dataclass(frozen=True, slots=True)
class Array:
    """One array. `dtype` 'S' stands for any width. `shape`: letters of the module `bundle`, '*' = any length.

    `points_at`: the vocabulary that its values (for the starts of a list: its positions) stand for. `derived`: made by
    `recommender.bundles.derive`, never given.
    """

    dtype: str
    shape: tuple[str, ...]
    meaning: str
    points_at: str | None = None
    derived: bool = False


ARRAYS: Mapping[str, Array] = {
    "users": Array("S", ("U",), "ids of known visitors, sorted"),
    "items": Array("S", ("I",), "ids of items, sorted"),
    "categories": Array("S", ("*",), "names of category path elements, sorted"),
    "brands": Array("S", ("*",), "names of brands, sorted"),
    "tags": Array("S", ("*",), "names of tags, sorted"),
    "stores": Array("S", ("*",), "ids of stores, sorted"),
    "candidate_items": Array("int32", ("U", "K"), "a user's candidates, best first, padded with -1", "items"),
    "candidate_scores": Array("float32", ("U", "K"), "their final scores, 0 to 1, descending"),
    "candidate_sources": Array("uint8", ("U", "K"), "which of manifest['sources'] proposed them"),
    "candidate_evidence": Array(
        "int32", ("U", "K"), "the item of the user's history that explains them; -2 = no history at all", "items"
    ),
    "bought_indptr": Array("int64", ("U+1",), "where a user's part of bought_items begins"),
    "bought_items": Array("int32", ("*",), "distinct items of a user's target events, ascending", "items"),
    "popular_items": Array("int32", ("P",), "items worth a shelf, most popular first", "items"),
    "popular_scores": Array("float32", ("P",), "their scores, 0 to 1, descending"),
    "neighbour_items": Array("int32", ("I", "M"), "similar items, most similar first, padded with -1", "items"),
    "neighbour_scores": Array("float32", ("I", "M"), "their similarity, 0 to 1, descending"),
    "session_items": Array("int32", ("I", "S"), "what an item of today speaks for, as above; S = 0: the same", "items"),
    "session_scores": Array("float32", ("I", "S"), "how much, 0 to 1, descending"),
    "fold_items": Array("float32", ("I", "F"), "factors to fold a visitor of today in by; F = 0: not used"),
    "fold_scale": Array("float32", ("F",), "the diagonal of their Gram matrix with the regularisation"),
    "item_gap_us": Array("int64", ("I",), "how soon it is taken again, microseconds"),
    "together_items": Array("int32", ("I", "T"), "items in one order with it, best first, padded with -1", "items"),
    "together_scores": Array("float32", ("I", "T"), "how much it speaks for them, 0 to 1, descending"),
    "together_lift": Array("float32", ("I", "T"), "how many times as often as by chance they are in one order"),
    "together_orders": Array("int32", ("I", "T"), "how many orders hold both"),
    "occasions": Array("S", ("O",), "keys of the lists of stores, entrances, hours, articles (see there), sorted"),
    "occasion_weights": Array("float32", ("O",), "how much a list says beside lists of other kinds"),
    "occasion_indptr": Array("int64", ("O+1",), "where a list's part of the next three begins"),
    "occasion_items": Array("int32", ("E",), "items of the list, best first", "items"),
    "occasion_scores": Array("float32", ("E",), "their scores, 0 to 1, descending within a list"),
    "occasion_support": Array("float32", ("E",), "what a reason rests on: visitors, or times its usual rate; 0 = none"),
    "new_items": Array("int32", ("*",), "items that few have seen yet, in the order they are worth a look", "items"),
    "item_price": Array("int64", ("I",), "price of one, minor units"),
    "item_stock": Array("int64", ("I",), "how many are left; -1 = unlimited"),
    "item_hidden": Array("bool", ("I",), "never shown"),
    "item_category": Array("int32", ("I", "D"), "category path from the root, padded with -1", "categories"),
    "item_brand": Array("int32", ("I",), "brand", "brands"),
    "item_created": Array("int64", ("I",), "created_at, UTC microseconds"),
    "item_tags_indptr": Array("int64", ("I+1",), "where an item's part of item_tags begins"),
    "item_tags": Array("int32", ("*",), "tags, ascending within an item", "tags"),
    "item_stores_indptr": Array("int64", ("I+1",), "where an item's part of item_stores begins"),
    "item_stores": Array("int32", ("*",), "stores that sell it, ascending within an item; none = all", "stores"),
    "titles_offsets": Array("int64", ("I+1",), "where an item's part of titles_bytes begins"),
    "titles_bytes": Array("uint8", ("*",), "titles, UTF-8, one after the other"),
    "shelf_items": Array("int32", ("I",), "every item: popular_items, then the rest", "items", derived=True),
    "shelf_rank": Array("int32", ("I",), "place of an item in shelf_items", derived=True),
    "category_indptr": Array("int64", ("*",), "where a category's part begins", "categories", derived=True),
    "category_items": Array("int32", ("*",), "items with that path element, in shelf order", "items", derived=True),
    "brand_indptr": Array("int64", ("*",), "where a brand's part begins", "brands", derived=True),
    "brand_items": Array("int32", ("*",), "items of that brand, in shelf order", "items", derived=True),
    "tag_indptr": Array("int64", ("*",), "where a tag's part begins", "tags", derived=True),
    "tag_items": Array("int32", ("*",), "items with that tag, in shelf order", "items", derived=True),
}
SORTED = ("users", "items", "categories", "brands", "tags", "stores", "occasions")
RAGGED = {
    "bought_indptr": "bought_items",
    "occasion_indptr": "occasion_items",
    "item_tags_indptr": "item_tags",
    "item_stores_indptr": "item_stores",
    "titles_offsets": "titles_bytes",
}


def check_shapes(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Types and shapes of `arrays` (some or all of `ARRAYS`) are right and agree. Raises InvalidValue naming one."""
    sizes: dict[str, int] = {}
    for name, array in ARRAYS.items():
        if name in arrays:
            _check_shape(name, array, arrays[name], sizes)
    if arrays["item_category"].shape[1] > LARGEST_DEPTH:
        raise InvalidValue("item_category", arrays["item_category"].shape, f"at most {LARGEST_DEPTH} levels")


def check_values(arrays: Mapping[str, NDArray[Any]], sources: int) -> None:
    """What the night gives can be used by day; shapes are checked already. Raises InvalidValue naming the array.

    `sources`: how many names `candidate_sources` may point at.
    """
    for name, array in ARRAYS.items():
        if array.points_at and not array.derived:
            _check_pointers(name, arrays[name], len(arrays[array.points_at]))
    for name in SORTED:
        if np.any(arrays[name][1:] <= arrays[name][:-1]):
            raise InvalidValue(name, "not ascending", "sorted ids, each once")
    for starts, values in RAGGED.items():
        _check_ragged(starts, arrays[starts], len(arrays[values]))
    _check_ascending_rows("bought_items", arrays["bought_indptr"], arrays["bought_items"])
    _check_sources(arrays, sources)
    for name in ("candidate", "neighbour", "session", "together"):
        for first in range(0, len(arrays[f"{name}_items"]), CHUNK):
            rows = slice(first, first + CHUNK)
            _check_ranking(name, arrays[f"{name}_items"][rows], arrays[f"{name}_scores"][rows])
    _check_ranking("popular", arrays["popular_items"][None], arrays["popular_scores"][None])
    _check_lists(arrays)
    width = arrays["neighbour_items"].shape[1]
    if arrays["session_items"].shape[1] not in (0, width):
        raise InvalidValue("session_items", arrays["session_items"].shape[1], f"0 or {width} wide, as neighbour_items")
    for name in ("neighbour_items", "session_items", "together_items"):
        if np.any(arrays[name] == np.arange(len(arrays["items"]))[:, None]):
            raise InvalidValue(name, "an item beside itself", "other items")


def _check_shape(name: str, array: Array, given: NDArray[Any], sizes: dict[str, int]) -> None:
    right = given.dtype.kind == "S" if array.dtype == "S" else given.dtype == np.dtype(array.dtype)
    if not right:
        raise InvalidValue(name, str(given.dtype), f"type {array.dtype}")
    if given.ndim != len(array.shape):
        raise InvalidValue(name, given.shape, f"shape ({', '.join(array.shape)})")
    for letter, length in zip(array.shape, given.shape, strict=True):
        if letter == "*":
            continue
        known, size = (letter[0], length - 1) if letter.endswith("+1") else (letter, length)
        if sizes.setdefault(known, size) != size:
            raise InvalidValue(name, given.shape, f"shape ({', '.join(array.shape)}) with {known} = {sizes[known]}")


def _check_pointers(name: str, given: NDArray[Any], size: int) -> None:
    padded = (
        "candidate_items",
        "neighbour_items",
        "session_items",
        "together_items",
        "item_category",
        "item_brand",
    )
    lowest = NOTHING_OWN if name == "candidate_evidence" else -1 if name in padded else 0
    if given.size and (int(given.min()) < lowest or int(given.max()) >= size):
        raise InvalidValue(name, [int(given.min()), int(given.max())], f"row numbers from {lowest} to {size - 1}")


def _check_ragged(name: str, starts: NDArray[np.int64], total: int) -> None:
    if not len(starts) or starts[0] != 0 or starts[-1] != total or np.any(np.diff(starts) < 0):
        raise InvalidValue(name, "starts", f"ascending positions from 0 to {total}")


def _check_ascending_rows(name: str, starts: NDArray[np.int64], values: NDArray[np.int32]) -> None:
    """Values rise within each row: membership is then a binary search by day."""
    rising = np.diff(values) > 0
    inner = starts[1:-1]
    row_ends = inner[(inner > 0) & (inner < len(values))] - 1
    rising[row_ends] = True
    if not rising.all():
        raise InvalidValue(name, "not ascending", "distinct items in ascending order for each user")


def _check_ranking(name: str, items: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
    """Each row holds an item at most once, pads only at its end, and scores from 1 down to 0."""
    used = items >= 0
    ordered = np.sort(items, axis=1)
    if np.any((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)):
        raise InvalidValue(f"{name}_items", "an item twice in a row", "each item at most once")
    if np.any(used[:, 1:] & ~used[:, :-1]):
        raise InvalidValue(f"{name}_items", "an item after -1", "pads at the end of the row")
    if not np.all(((scores >= 0) & (scores <= 1)) | ~used):
        raise InvalidValue(f"{name}_scores", "outside 0 to 1", "scores from 0 to 1")
    if np.any((scores[:, 1:] > scores[:, :-1]) & used[:, 1:]):
        raise InvalidValue(f"{name}_scores", "rising", "scores in descending order")


def _check_lists(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Each list of an occasion is a ranking."""
    starts = arrays["occasion_indptr"].tolist()
    for start, end in itertools.pairwise(starts):
        _check_ranking("occasion", *(arrays[f"occasion_{part}"][None, start:end] for part in ("items", "scores")))


def _check_sources(arrays: Mapping[str, NDArray[Any]], sources: int) -> None:
    used = arrays["candidate_sources"][arrays["candidate_items"] >= 0]
    if used.size and int(used.max()) >= sources:
        raise InvalidValue("candidate_sources", int(used.max()), f"a place in manifest['sources'], below {sources}")
