"""From what the night gives to all arrays of a bundle: defaults for what it left out, and the lists of the ladder.

The lists are inverted files: for a category, a brand or a tag the items that carry it, in order of popularity. They
let the day fill a narrow shelf without looking through the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue
from recommender.bundles.layout import ARRAYS, Array, check_shapes, check_values

_DEFAULTS = {"item_created": -1, "item_price": -1, "item_stock": -1, "item_brand": -1, "item_gap_us": -1}


def complete(given: Mapping[str, NDArray[Any]], sources: int) -> dict[str, NDArray[Any]]:
    """All arrays of `ARRAYS` from the given ones, checked. `sources`: how many the manifest names.

    Raises InvalidValue without `items`, or for an array of the wrong type, shape or content.
    """
    if "items" not in given:
        raise InvalidValue("items", None, "an array of item ids")
    sizes = {"U": len(given.get("users", ())), "I": len(given["items"])}
    whole = {
        name: np.ascontiguousarray(given[name]) if name in given else _nothing_known(name, array, sizes)
        for name, array in ARRAYS.items()
        if not array.derived
    }
    check_shapes(whole)
    check_values(whole, sources)
    return whole | _derived(whole)


def _nothing_known(name: str, array: Array, sizes: Mapping[str, int]) -> NDArray[Any]:
    if array.dtype == "S":
        return np.empty(0, np.bytes_)
    lengths = {"U+1": sizes["U"] + 1, "I+1": sizes["I"] + 1, "O+1": 1, **sizes}
    shape = tuple(lengths.get(letter, 0) for letter in array.shape)
    return np.full(shape, _DEFAULTS.get(name, 0), array.dtype)


def _derived(whole: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    items = len(whole["items"])
    rest = np.ones(items, bool)
    rest[whole["popular_items"]] = False
    shelf = np.concatenate([whole["popular_items"], np.flatnonzero(rest).astype(np.int32)])
    rank = np.empty(items, np.int32)
    rank[shelf] = np.arange(items, dtype=np.int32)
    paths = whole["item_category"]
    tags_each = np.diff(whole["item_tags_indptr"])
    derived = {"shelf_items": shelf, "shelf_rank": rank}
    for name, codes, owners in (
        ("category", paths.reshape(-1), np.repeat(rank, paths.shape[1])),
        ("brand", whole["item_brand"], rank),
        ("tag", whole["item_tags"], np.repeat(rank, tags_each)),
    ):
        names = len(whole[str(ARRAYS[f"{name}_indptr"].points_at)])
        derived[f"{name}_indptr"], ranks = _inverted(codes, owners, names)
        derived[f"{name}_items"] = shelf[ranks]
    return derived


def _inverted(
    codes: NDArray[np.int32], owners: NDArray[np.int32], names: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each code its owners, ascending, each once: (starts, owners)."""
    by_code = np.lexsort((owners, codes))[int(np.count_nonzero(codes < 0)) :]
    codes, owners = codes[by_code], owners[by_code]
    first = np.ones(len(codes), bool)
    first[1:] = (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])
    starts = np.zeros(names + 1, np.int64)
    np.cumsum(np.bincount(codes[first], minlength=names), out=starts[1:])
    return starts, owners[first]
