"""Which rows of a file tell again what the store's claims say already, so that the lake has each step once.

A claim, its redemption, its return and its expiry are events of ours as soon as they are made (`stores.claims`), or
were told by a platform (`stores.claim_facts`). A file of the same shop's coupons tells of them again, under ids of its
own. A row is known by the claim that it names (`claim_id` among its properties; the same person's, of this offer); a
redemption or a return that names none by order, offer and person: as many rows of the file as there are such claims,
those that rows of it name (before it, or in the same batch) among them.
What names neither (a claim that a platform recorded, a redemption without an order) cannot be told from another one,
and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serving.stores import Store
from serving.stores.books import CLAIMED, EXPIRED, REDEEMED, RETURNED
from serving.stores.claims import Claim, claim_named

STEPS = {
    "offer_claim": (CLAIMED, REDEEMED, RETURNED, EXPIRED),
    "offer_redeem": (REDEEMED, RETURNED),
    "offer_return": (RETURNED,),
    "offer_expire": (EXPIRED,),
}
"""In which states of a claim its step is known."""
BY_ORDER = ("offer_redeem", "offer_return")
AT_ONCE = 500
_COLUMNS = ("type", "user_id", "offer_id", "order_id", "properties")


class Told:
    """What the claims of an app tell already. Asked batch by batch, in the order of one file."""

    def __init__(self, store: Store, app_id: str) -> None:
        self._store, self._app_id = store, app_id
        self._people: dict[str, str] | None = None
        self._seen: Counter[tuple[str | None, ...]] = Counter()

    def __call__(self, rows: pa.Table) -> NDArray[np.bool_]:
        """[rows]: whether each tells nothing new. rows: events with columns of the contract, those that hold something.
        Raises StoreUnavailable."""
        found = np.zeros(len(rows), bool)
        if not {"type", "user_id", "offer_id"} <= set(rows.column_names):
            return found
        asked = rows.select([name for name in _COLUMNS if name in rows.column_names])
        steps = np.flatnonzero(pc.is_in(rows["type"], pa.array(STEPS)).to_numpy())
        ours = np.zeros(len(rows), bool)
        for some, told in _parts(asked, steps):  # first what names its claim: the rest of its order is other coupons
            for place, row, one in zip(some, told, self._named(told), strict=True):
                if one is not None:
                    ours[place], found[place] = True, self._is_of(row, one)
                    self._seen[self._key(row, one.order_id)] += int(found[place])
        for some, told in _parts(asked, steps[~ours[steps]]):
            orders = {row["order_id"] for row in told if row["order_id"] is not None and row["type"] in BY_ORDER}
            claims = self._store.claims_by(self._app_id, [], [*orders]) if orders else []
            for place, row in zip(some, told, strict=True):
                found[place] = self._by_order(row, claims)
                self._seen[self._key(row, row["order_id"])] += int(found[place])
        return found

    def _named(self, told: Sequence[dict[str, Any]]) -> list[Claim | None]:
        """The claim of ours that each row names."""
        claim_ids = [claim_named(row["properties"]) for row in told]
        asked = {one for one in claim_ids if one is not None}
        by_id = {one.claim_id: one for one in self._store.claims_by(self._app_id, [*asked], [])} if asked else {}
        return [by_id.get(claim_id or "") for claim_id in claim_ids]

    def _is_of(self, row: dict[str, Any], one: Claim) -> bool:
        if row["order_id"] is not None and one.order_id not in (None, row["order_id"]):
            return False
        return one.state in STEPS[row["type"]] and self._whose(row) == self._whose(one._asdict())

    def _by_order(self, row: dict[str, Any], claims: Sequence[Claim]) -> bool:
        if row["order_id"] is None or row["type"] not in BY_ORDER:
            return False
        states, whose = STEPS[row["type"]], self._whose(row)
        alike = sum(
            one.order_id == row["order_id"] and one.state in states and self._whose(one._asdict()) == whose
            for one in claims
        )
        return bool(self._seen[self._key(row, row["order_id"])] < alike)

    def _key(self, row: dict[str, Any], order_id: str | None) -> tuple[str | None, ...]:
        return (row["type"], order_id, *self._whose(row))

    def _whose(self, row: dict[str, Any]) -> tuple[str, str | None]:
        """Person and offer."""
        if self._people is None:
            self._people = self._store.people(self._app_id)
        return self._people.get(row["user_id"], row["user_id"]), row["offer_id"]


def _parts(rows: pa.Table, places: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], list[dict[str, Any]]]]:
    """The rows at these places, some at a time, with the columns that are asked for."""
    for first in range(0, len(places), AT_ONCE):
        some = places[first : first + AT_ONCE]
        yield some, [dict.fromkeys(_COLUMNS) | row for row in rows.take(pa.array(some)).to_pylist()]
