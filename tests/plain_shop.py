"""What is known of a shop, read by plain loops: for the plain readings of the portrait's families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


class Shop:
    """What is known of offers and of items: root category, cost and place by price, from catalogues and purchases."""

    def __init__(self, items: list[Row], purchases: list[Row], offers: Sequence[Row] = ()) -> None:
        self.offers = {offer["offer_id"]: offer for offer in offers}
        self.items = {item["item_id"]: item for item in items}
        paid: dict[str, list[Row]] = defaultdict(list)
        for row in purchases:
            if row.get("item_id") and quantity(row) > 0:
                paid[row["item_id"]].append(row)
        prices: dict[str, float | None] = {}
        for item_id in {*self.items, *paid}:
            price = self.items.get(item_id, {}).get("price")
            if price is None and item_id in paid:
                price = sum(r["amount"] for r in paid[item_id]) / sum(quantity(r) for r in paid[item_id])
            prices[item_id] = price
        self.level = {}
        for item_id, price in prices.items():
            peers = [p for i, p in prices.items() if p is not None and self.root(i) == self.root(item_id)]
            if price is not None:
                below, equal = sum(p < price for p in peers), sum(p == price for p in peers)
                self.level[item_id] = (below + equal / 2) / len(peers)

    def path(self, item_id: str | None) -> list[str]:
        return self.items.get(item_id or "", {}).get("category") or []

    def root(self, item_id: str | None) -> str | None:
        return next(iter(self.path(item_id)), None)

    def band(self, item_id: str) -> str | None:
        level = self.level.get(item_id)
        return None if level is None else "low" if level < 1 / 3 else "high" if level > 2 / 3 else "middle"


def quantity(row: Row) -> float:
    return 1.0 if row.get("quantity") is None else float(row["quantity"])


def discount(row: Row) -> tuple[int, int] | None:
    """List price of a purchase and what was saved of it, None where the line does not tell."""
    if row.get("list_amount") is None and row.get("discount") is None:
        return None
    full = row["list_amount"] if row.get("list_amount") is not None else row["amount"] + row["discount"]
    off = row["discount"] if row.get("discount") is not None else full - row["amount"]
    return full, min(max(off, 0), full)


def is_void(line: Row, rows: list[Row]) -> bool:
    """Whether any cancellation among `rows`, of the whole order or of the line's item, makes the line void."""
    return any(
        row["type"] == "order_cancel"
        and order_of(row) == order_of(line)
        and (row.get("item_id") is None or row["item_id"] == line.get("item_id"))
        for row in rows
    )


def order_of(row: Row) -> Any:
    return row.get("order_id") or row["ts"]
