"""A night's plan of the offers as files that every worker shares (`recommender.bundles.files`).

`ARRAYS` is the contract between the night, which writes, and the day, which reads. Dimensions: U visitors, O offers, G
groups of visitors that are alike to an offer, R draws of what may be true. Money is in minor units. The last row of
what is by visitor is a stranger's: anybody the night did not know.

The plan lies in the folder of the portraits that it was made from (`FOLDER`), is published with them and leaves with
them: whatever the gate says of the model, tonight's portraits and tonight's plan go together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import BrokenBundle, InvalidValue
from recommender.bundles.files import open_array, read_manifest, write_arrays
from recommender.bundles.vocabulary import Vocabulary

FORMAT = 1
FOLDER = "offers"
SEEN_DAYS = 7
ARRAYS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "users": ("S", ("U",)),
    "gain": ("float32", ("U+1", "O")),
    "cost": ("float32", ("U+1", "O")),
    "lift": ("float32", ("U+1", "O")),
    "eligible": ("bool", ("U+1", "O")),
    "chosen": ("int16", ("U+1",)),
    "weight": ("float32", ("U+1",)),
    "group": ("uint8", ("U+1",)),
    "shift": ("float32", ("R", "G", "O")),
    "seen": ("uint8", ("U+1", "seen")),
}
"""name -> type, shape. See `OfferPlan`."""
NEEDED = ("offers", "prices", "pace")
EXPOSURES_TOLD = "exposures_told"
"""Key of the manifest: whether the app tells which offers are seen. Where it is missing, it does."""


@dataclass(frozen=True, slots=True)
class OfferPlan:
    """What the night found out about the offers.

    offers: their ids, the columns. gain: expected margin of the extra purchases when the offer is shown to the visitor
    once, before its cost; it may be negative. cost: what the offer is then expected to cost, redeemed by who would have
    bought anyway too. lift: change of the chance to buy. eligible: whether the rule of the offer (tiers, limits, dates)
    lets the visitor have it. chosen: the column that the night's plan gives the visitor, -1 for none. weight: answers
    expected of the visitor while the plan looks ahead (the stranger: of all that come new); 1 where not told. group and
    shift: draw r of the gain is gain[u, o] + shift[r, group[u], o] (Thompson sampling). seen: offers shown on each of
    the `SEEN_DAYS` local days before the plan's moment, the last first.

    prices: offer_id -> what a minor unit of its budget is worth beyond itself (0: the budget does not bind), and "" ->
    the same for the budget over all offers. An offer is worth gain - (1 + prices[offer] + prices[""]) x cost.
    pace: 168 shares, of a week's spending by local hour from Monday's first on; they sum to 1.
    """

    manifest: Mapping[str, Any]
    users: Vocabulary
    offers: tuple[str, ...]
    prices: Mapping[str, float]
    pace: tuple[float, ...]
    gain: NDArray[np.float32]
    cost: NDArray[np.float32]
    lift: NDArray[np.float32]
    eligible: NDArray[np.bool_]
    chosen: NDArray[np.int16]
    weight: NDArray[np.float32]
    group: NDArray[np.uint8]
    shift: NDArray[np.float32]
    seen: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> OfferPlan:
        """Maps the plan in `folder`. Raises BrokenBundle, naming the file, when it is not whole."""
        manifest = read_manifest(folder, FORMAT, NEEDED)
        arrays = {name: open_array(folder, name, manifest["files"], verify) for name in ARRAYS}
        try:
            _check(arrays, len(manifest["offers"]))
        except InvalidValue as wrong:
            raise BrokenBundle(str(folder / f"{wrong.field}.npy"), wrong.message) from None
        return cls.of(arrays, manifest)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> OfferPlan:
        """A plan in memory, from what `write_plan` takes."""
        arrays = _weighted(arrays)
        return cls(
            manifest=manifest,
            users=Vocabulary(arrays["users"]),
            offers=tuple(manifest["offers"]),
            prices=manifest["prices"],
            pace=tuple(manifest["pace"]),
            **{name: array for name, array in arrays.items() if name != "users"},
        )

    def row(self, user_id: str) -> int:
        """The visitor's row; the last one, a stranger's, for who is not known."""
        at = self.users.index(user_id)
        return at if at >= 0 else len(self.users)


def write_plan(folder: Path, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> None:
    """Writes a plan, whole or not at all. `arrays`: all of `ARRAYS`; manifest: `NEEDED` (see `OfferPlan`) and whatever
    the night wants to keep. Raises InvalidValue naming what is of a wrong type or shape."""
    arrays = _weighted(arrays)
    _check(arrays, len(manifest["offers"]))
    write_arrays(folder, {name: arrays[name] for name in ARRAYS}, manifest, FORMAT)


def without_users(plan: OfferPlan, user_ids: Collection[str], folder: Path) -> int:
    """Writes the plan to `folder` without the rows of these visitors; how many it knew."""
    rows = plan.users.indices(sorted(user_ids))
    kept = np.ones(len(plan.users) + 1, bool)
    kept[rows[rows >= 0]] = False
    arrays = {name: getattr(plan, name) for name in ARRAYS if name != "users"}
    arrays = {name: a[kept] if ARRAYS[name][1][0] == "U+1" else a for name, a in arrays.items()}
    manifest = {name: told for name, told in plan.manifest.items() if name not in ("format", "files")}
    write_plan(folder, arrays | {"users": plan.users.array[kept[:-1]]}, manifest)
    return int(np.count_nonzero(~kept))


def _weighted(arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    return {"weight": np.ones(len(arrays["users"]) + 1, np.float32)} | dict(arrays)


def _check(arrays: Mapping[str, NDArray[Any]], offers: int) -> None:
    sizes = {"O": offers, "seen": SEEN_DAYS, "U": len(arrays["users"]), "U+1": len(arrays["users"]) + 1}
    for name, (dtype, shape) in ARRAYS.items():
        given = arrays[name]
        right = given.dtype.kind == "S" if dtype == "S" else given.dtype == np.dtype(dtype)
        if not right:
            raise InvalidValue(name, str(given.dtype), f"type {dtype}")
        if given.ndim != len(shape) or any(
            sizes.setdefault(letter, size) != size for letter, size in zip(shape, given.shape, strict=True)
        ):
            raise InvalidValue(name, given.shape, f"shape ({', '.join(shape)}) with {sizes}")
