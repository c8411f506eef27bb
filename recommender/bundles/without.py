"""A bundle without some of its visitors, everything else byte for byte as it was."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from recommender.bundles.bundle import Bundle, write_bundle
from recommender.bundles.layout import ARRAYS

WRITTEN = ("format", "files")
"""What `write_bundle` adds to a manifest."""


def without_users(bundle: Bundle, user_ids: Collection[str], folder: Path, version: str) -> int:
    """Writes the bundle to `folder` as `version`, without the rows of these visitors; how many it knew.

    Their ids, candidates and what they bought go. What many visitors' history made together (neighbours, factors of
    items, popularity) holds no visitor and stays.
    """
    rows = bundle.users.indices(sorted(user_ids))
    kept = np.ones(len(bundle.users), bool)
    kept[rows[rows >= 0]] = False
    arrays = {name: bundle.arrays[name] for name, array in ARRAYS.items() if not array.derived}
    arrays |= {name: arrays[name][kept] for name, array in ARRAYS.items() if array.shape[0] == "U"}
    counts = np.diff(bundle.bought_indptr)
    arrays["bought_items"] = bundle.bought_items[np.repeat(kept, counts)]
    arrays["bought_indptr"] = np.concatenate([[0], np.cumsum(counts[kept])]).astype(np.int64)
    manifest = {name: told for name, told in bundle.manifest.items() if name not in WRITTEN}
    write_bundle(folder, arrays, manifest | {"version": version})
    return int(np.count_nonzero(~kept))
