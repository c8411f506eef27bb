"""A night's result as files that every worker shares: one `.npy` an array, memory-mapped read-only, and a manifest.

A bundle is immutable, and says so when it is broken (see `recommender.bundles.files`).

`ARRAYS` is the contract between the night, which writes, and the day, which reads. Dimensions: U users, I items, K
candidates a user, M neighbours an item, T items bought together with it, D category levels, O lists of occasions,
E entries of all of them. -1 stands for "none" in every integer array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import BrokenBundle, InvalidValue, UnknownName
from recommender.bundles.derive import complete
from recommender.bundles.files import open_array, read_manifest, write_arrays
from recommender.bundles.layout import ARRAYS, SORTED, check_shapes
from recommender.bundles.today import Today
from recommender.bundles.vocabulary import Vocabulary

FORMAT = 2
NEEDED = ("sources", "target", "repeat")


def write_bundle(folder: Path, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> None:
    """Write a bundle to `folder`, whole or not at all; a folder of that name is replaced.

    `arrays`: names of `ARRAYS`; one that is left out is written as "nothing known" (needed: `items`). The derived
    arrays are made here. `manifest`: `sources` (names that `candidate_sources` points at), `target` (the event type,
    or types, that count as success), `repeat` (bool: an item bought before may be shown again), and whatever the
    night wants to keep with it: `app_id`, `version`, `as_of`, `metrics`, `config`, and what
    `recommender.bundles.today` names.

    Raises UnknownName for an array that is not in `ARRAYS`, InvalidValue for one of the wrong type or shape or that
    points outside its vocabulary.
    """
    write_arrays(folder, _checked(arrays, manifest), manifest, FORMAT)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle. Arrays are read-only views of the mapped files, described in `ARRAYS`. taken: how many of the
    first `shelf_items` somebody took; nobody took the others."""

    manifest: Mapping[str, Any]
    users: Vocabulary
    items: Vocabulary
    categories: Vocabulary
    brands: Vocabulary
    tags: Vocabulary
    stores: Vocabulary
    occasions: Vocabulary
    arrays: Mapping[str, NDArray[Any]]
    candidate_items: NDArray[np.int32]
    candidate_scores: NDArray[np.float32]
    candidate_sources: NDArray[np.uint8]
    candidate_evidence: NDArray[np.int32]
    bought_indptr: NDArray[np.int64]
    bought_items: NDArray[np.int32]
    popular_items: NDArray[np.int32]
    popular_scores: NDArray[np.float32]
    neighbour_items: NDArray[np.int32]
    neighbour_scores: NDArray[np.float32]
    session_items: NDArray[np.int32]
    session_scores: NDArray[np.float32]
    fold_items: NDArray[np.float32]
    fold_scale: NDArray[np.float32]
    item_gap_us: NDArray[np.int64]
    together_items: NDArray[np.int32]
    together_scores: NDArray[np.float32]
    together_lift: NDArray[np.float32]
    together_orders: NDArray[np.int32]
    occasion_weights: NDArray[np.float32]
    occasion_indptr: NDArray[np.int64]
    occasion_items: NDArray[np.int32]
    occasion_scores: NDArray[np.float32]
    occasion_support: NDArray[np.float32]
    new_items: NDArray[np.int32]
    shelf_items: NDArray[np.int32]
    shelf_rank: NDArray[np.int32]
    lists: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int32]]]
    sources: tuple[str, ...]
    repeat: bool
    targets: tuple[str, ...]
    taken: int
    today: Today

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> Bundle:
        """Map the bundle in `folder`. `verify=False` skips the checksums of the arrays (sizes are always compared).

        Raises BrokenBundle, naming the file, when one is missing, short, changed or of a newer format.
        """
        manifest = read_manifest(folder, FORMAT, NEEDED)
        arrays = {name: open_array(folder, name, manifest["files"], verify) for name in ARRAYS}
        try:
            check_shapes(arrays)
        except InvalidValue as wrong:
            raise BrokenBundle(str(folder / f"{wrong.field}.npy"), wrong.message) from None
        return cls._of(arrays, manifest)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> Bundle:
        """A bundle that is never written, e.g. to backtest; arguments and errors as for `write_bundle`."""
        return cls._of(_checked(arrays, manifest), manifest)

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> Bundle:
        fields: dict[str, Any] = {name: array for name, array in arrays.items() if name in cls.__dataclass_fields__}
        fields |= {name: Vocabulary(arrays[name]) for name in SORTED}
        if not arrays["session_items"].shape[1]:
            fields |= {f"session_{what}": arrays[f"neighbour_{what}"] for what in ("items", "scores")}
        target = manifest["target"]
        return cls(
            manifest=manifest,
            arrays=arrays,
            lists={name: (arrays[f"{name}_indptr"], arrays[f"{name}_items"]) for name in ("category", "brand", "tag")},
            sources=tuple(manifest["sources"]),
            repeat=bool(manifest["repeat"]),
            targets=(target,) if isinstance(target, str) else tuple(target),
            taken=int(np.count_nonzero(arrays["popular_scores"])),
            today=Today.of(manifest),
            **fields,
        )

    def carrying(self, kind: str, code: int) -> NDArray[np.int32]:
        """Items that carry a category, brand or tag (`kind`), most popular first; none for a code learnt by day."""
        starts, items = self.lists[kind]
        return items[starts[code] : starts[code + 1]] if code < len(starts) - 1 else items[:0]

    def popularity(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Each item's share of the most popular one's popularity; 0 for what nobody took or came by day."""
        if not len(self.popular_scores):
            return np.zeros(len(items), np.float32)
        rank = self.shelf_rank.take(items, mode="clip")
        listed = (items < len(self.items)) & (rank < len(self.popular_scores))
        shares: NDArray[np.float32] = self.popular_scores.take(rank, mode="clip") * listed
        return shares

    def bought(self, row: int) -> NDArray[np.int32]:
        """Items of a user's target events, ascending; empty for row -1 (unknown)."""
        if row < 0:
            return self.bought_items[:0]
        return self.bought_items[self.bought_indptr[row] : self.bought_indptr[row + 1]]


def _checked(arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    for name in arrays:
        if name not in ARRAYS:
            raise UnknownName("array", name, ARRAYS)
    for key in NEEDED:
        if key not in manifest:
            raise InvalidValue(f"manifest.{key}", None, "a value")
    return complete(arrays, len(manifest["sources"]))
