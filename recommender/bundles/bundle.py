"""A night's result as files that every worker shares: one `.npy` an array, memory-mapped read-only, and a manifest.

No pickle anywhere: `.npy` with numeric and bytes types only, JSON for the rest. The manifest holds the size and
SHA-256 of every file and of itself, so a bundle that lost a file, a tail or a bit says so when it is opened instead of
answering nonsense. A bundle is immutable: it appears under its name complete (written beside it, synced, renamed).

`ARRAYS` is the contract between the night, which writes, and the day, which reads. Dimensions: U users, I items, K
candidates a user, M neighbours an item, T items bought together with it, D category levels, O lists of occasions,
E entries of all of them. -1 stands for "none" in every integer array.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import BrokenBundle, InvalidValue, UnknownName
from recommender.bundles.derive import complete
from recommender.bundles.layout import ARRAYS, SORTED, check_shapes
from recommender.bundles.today import Today
from recommender.bundles.vocabulary import Vocabulary

FORMAT = 2
MANIFEST = "manifest.json"
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
    whole = _checked(arrays, manifest)
    fresh = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    files = {f"{name}.npy": _write_array(fresh / f"{name}.npy", array) for name, array in whole.items()}
    body = {**manifest, "format": FORMAT, "files": files}
    text = json.dumps({**body, "sha256": _digest_of(body)}, ensure_ascii=False, sort_keys=True, indent=1)
    with (fresh / MANIFEST).open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    _replace(fresh, folder)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle. Arrays are read-only views of the mapped files, described in `ARRAYS`."""

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
    today: Today

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> Bundle:
        """Map the bundle in `folder`. `verify=False` skips the checksums of the arrays (sizes are always compared).

        Raises BrokenBundle, naming the file, when one is missing, short, changed or of a newer format.
        """
        manifest = _read_manifest(folder)
        arrays = {name: _open_array(folder, name, manifest["files"], verify) for name in ARRAYS}
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


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as out:
        np.lib.format.write_array(out, array, allow_pickle=False)
        out.flush()
        os.fsync(out.fileno())
    with path.open("rb") as written:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(written, "sha256").hexdigest()}


def _replace(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder` and make the renames durable."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old)
    else:
        fresh.rename(folder)
    for place in (folder, folder.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _digest_of(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BrokenBundle(str(path), problem.strerror or "cannot be read") from None
    except ValueError:
        raise BrokenBundle(str(path), "not JSON") from None
    if not isinstance(manifest, dict):
        raise BrokenBundle(str(path), "not a JSON object")
    if manifest.get("format") != FORMAT:
        raise BrokenBundle(str(path), f"format {manifest.get('format')!r}; this version reads format {FORMAT}")
    claimed = manifest.pop("sha256", None)
    if claimed != _digest_of(manifest):
        raise BrokenBundle(str(path), "changed since it was written (SHA-256 differs)")
    for key in ("files", *NEEDED):
        if key not in manifest:
            raise BrokenBundle(str(path), f"lacks {key!r}")
    return manifest


def _open_array(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]], verify: bool) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    if path.name not in files:
        raise BrokenBundle(str(path), "not in the manifest")
    stated = files[path.name]
    try:
        size = path.stat().st_size
        if size != stated["bytes"]:
            raise BrokenBundle(str(path), f"{size} bytes instead of {stated['bytes']}")
        if verify:
            with path.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            if digest != stated["sha256"]:
                raise BrokenBundle(str(path), "changed since it was written (SHA-256 differs)")
        # A plain view: indexing a np.memmap object costs several times as much and keeps the mapping just as well.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as problem:
        raise BrokenBundle(str(path), problem.strerror or "cannot be read") from None
    except ValueError as problem:
        raise BrokenBundle(str(path), str(problem)) from None
