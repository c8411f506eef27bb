"""Arrays as files that every worker shares: one `.npy` an array, memory-mapped read-only, and a manifest.

No pickle anywhere: `.npy` with numeric and bytes types only, JSON for the rest. The manifest holds the size and
SHA-256 of every file and of itself, so a folder that lost a file, a tail or a bit says so when it is opened instead of
answering nonsense. A folder is immutable: it appears under its name complete (written beside it, synced, renamed).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import BrokenBundle

MANIFEST = "manifest.json"


def write_arrays(
    folder: Path, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any], file_format: int
) -> None:
    """Writes `folder`, whole or not at all; one of that name is replaced."""
    fresh = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    files = {f"{name}.npy": _write_array(fresh / f"{name}.npy", array) for name, array in arrays.items()}
    body = {**manifest, "format": file_format, "files": files}
    text = json.dumps({**body, "sha256": _digest_of(body)}, ensure_ascii=False, sort_keys=True, indent=1)
    with (fresh / MANIFEST).open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    _replace(fresh, folder)


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


def read_manifest(folder: Path, file_format: int, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The manifest of a folder, without its own digest. Raises BrokenBundle, also for another format or without one of
    the `needed` keys."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BrokenBundle(str(path), problem.strerror or "cannot be read") from None
    except ValueError:
        raise BrokenBundle(str(path), "not JSON") from None
    if not isinstance(manifest, dict):
        raise BrokenBundle(str(path), "not a JSON object")
    if manifest.get("format") != file_format:
        raise BrokenBundle(str(path), f"format {manifest.get('format')!r}; this version reads format {file_format}")
    claimed = manifest.pop("sha256", None)
    if claimed != _digest_of(manifest):
        raise BrokenBundle(str(path), "changed since it was written (SHA-256 differs)")
    for key in ("files", *needed):
        if key not in manifest:
            raise BrokenBundle(str(path), f"lacks {key!r}")
    return manifest


def open_array(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]], verify: bool = True) -> NDArray[Any]:
    """One array, mapped. `files`: of the manifest. `verify=False` compares sizes only. Raises BrokenBundle."""
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
