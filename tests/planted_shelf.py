"""A small shop written down by hand as the bundle that a night would have made of it; used by the day side's tests.

Items are rows of the contract's `items` table. Everything is named by id; numbers are looked up here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from recommender.answers.occasions import Listed, pack
from recommender.bundles.bundle import Bundle
from recommender.bundles.layout import NOTHING_OWN
from recommender.bundles.vocabulary import Vocabulary

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
Row = dict[str, Any]


def item(item_id: str, **columns: Any) -> Row:
    """A row of the items table; columns that are not given are None, as `checking.check` leaves them."""
    names = ("title", "category", "brand", "price", "cost", "stock", "hidden", "tags", "store_ids", "created_at")
    return {"item_id": item_id, **dict.fromkeys(names), **columns}


@dataclass(frozen=True)
class Candidate:
    """One line of the table that the night made for a visitor."""

    item_id: str
    score: float
    source: str = "als"
    evidence: str | None = None


@dataclass(frozen=True)
class Night:
    """What the night knew. `popular` and the lists in `near` and `together` are best first with their scores (a pair
    is in 10 orders for each 1.0, with a lift of 2), those of `occasions` with visitors (or times the usual rate)."""

    items: Sequence[Row]
    table: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    bought: Mapping[str, Sequence[str]] = field(default_factory=dict)
    popular: Sequence[tuple[str, float]] = ()
    near: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    new: Sequence[str] = ()
    together: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    occasions: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    idle: Sequence[str] = ()
    """Visitors who did nothing with any item."""
    repeat: bool = False
    target: str | list[str] = "purchase"
    session_weight: float = 0.5
    weight: float = 1.0
    """Of events since the night, for visitors with a table, in `session_weight`."""

    SOURCES = ("again", "als", "popular", "similar")

    @property
    def manifest(self) -> dict[str, Any]:
        return {
            "sources": list(self.SOURCES),
            "repeat": self.repeat,
            "target": self.target,
            "session_weight": self.session_weight,
            "session": {"weight": self.weight},
        }

    def bundle(self) -> Bundle:
        return Bundle.of(self.arrays(), self.manifest)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays of `recommender.bundles.layout.ARRAYS`."""
        rows = sorted(self.items, key=lambda row: row["item_id"].encode())
        items = Vocabulary.build(row["item_id"] for row in rows)
        users = Vocabulary.build([*self.table, *self.bought])
        return (
            {"users": users.array, "items": items.array}
            | self._people(users, items)
            | self._lists(items)
            | _catalogue(rows)
        )

    def _people(self, users: Vocabulary, items: Vocabulary) -> dict[str, Any]:
        width = max(map(len, self.table.values()), default=0)
        shape = (len(users), width)
        table: dict[str, Any] = {
            "candidate_items": np.full(shape, -1, np.int32),
            "candidate_scores": np.zeros(shape, np.float32),
            "candidate_sources": np.zeros(shape, np.uint8),
            "candidate_evidence": np.full(shape, -1, np.int32),
        }
        for user, lines in self.table.items():
            for place, line in enumerate(lines):
                at = (users.index(user), place)
                table["candidate_items"][at] = items.index(line.item_id)
                table["candidate_scores"][at] = line.score
                table["candidate_sources"][at] = self.SOURCES.index(line.source)
                table["candidate_evidence"][at] = items.index(line.evidence) if line.evidence else -1
            if user in self.idle:
                table["candidate_evidence"][users.index(user)] = NOTHING_OWN
        bought = [sorted({items.index(one) for one in self.bought.get(users.id(row), ())}) for row in range(len(users))]
        table["bought_indptr"], table["bought_items"] = _ragged(bought)
        return table

    def _lists(self, items: Vocabulary) -> dict[str, Any]:
        near, scores = _beside(self.near, items)
        bought, strength = _beside(self.together, items)
        lists = [
            Listed(
                key,
                np.array([items.index(one) for one, _ in lines], np.int32),
                np.linspace(1.0, 0.1, len(lines), dtype=np.float32),
                np.array([support for _, support in lines], np.float32),
            )
            for key, lines in self.occasions.items()
        ]
        return pack(lists) | {
            "together_items": bought,
            "together_scores": strength,
            "together_lift": np.where(bought >= 0, np.float32(2), np.float32(0)),
            "together_orders": np.ceil(10 * strength).astype(np.int32),
            "popular_items": np.array([items.index(one) for one, _ in self.popular], np.int32),
            "popular_scores": np.array([score for _, score in self.popular], np.float32),
            "new_items": np.array([items.index(one) for one in self.new], np.int32),
            "neighbour_items": near,
            "neighbour_scores": scores,
        }


def _beside(lists: Mapping[str, Sequence[tuple[str, float]]], items: Vocabulary) -> tuple[Any, Any]:
    """Other items and their scores by item: [I, longest list]."""
    width = max(map(len, lists.values()), default=0)
    near = np.full((len(items), width), -1, np.int32)
    scores = np.zeros((len(items), width), np.float32)
    for one, others in lists.items():
        near[items.index(one), : len(others)] = [items.index(other) for other, _ in others]
        scores[items.index(one), : len(others)] = [score for _, score in others]
    return near, scores


def _catalogue(rows: Sequence[Row]) -> dict[str, Any]:
    categories = Vocabulary.build(name for row in rows for name in row["category"] or ())
    brands = Vocabulary.build(row["brand"] for row in rows if row["brand"])
    tags = Vocabulary.build(tag for row in rows for tag in row["tags"] or ())
    stores = Vocabulary.build(store for row in rows for store in row["store_ids"] or ())
    depth = max((len(row["category"] or ()) for row in rows), default=0)
    paths = np.full((len(rows), depth), -1, np.int32)
    for at, row in enumerate(rows):
        paths[at, : len(row["category"] or ())] = [categories.index(name) for name in row["category"] or ()]
    tag_starts, tag_codes = _ragged([sorted({tags.index(tag) for tag in row["tags"] or ()}) for row in rows])
    store_starts, store_codes = _ragged([sorted({stores.index(one) for one in row["store_ids"] or ()}) for row in rows])
    title_starts, titles = _ragged([list((row["title"] or "").encode()) for row in rows])
    return {
        "categories": categories.array,
        "brands": brands.array,
        "tags": tags.array,
        "stores": stores.array,
        "item_price": np.array([-1 if row["price"] is None else row["price"] for row in rows], np.int64),
        "item_stock": np.array([-1 if row["stock"] is None else row["stock"] for row in rows], np.int64),
        "item_hidden": np.array([bool(row["hidden"]) for row in rows], np.bool_),
        "item_category": paths,
        "item_brand": np.array([brands.index(row["brand"]) if row["brand"] else -1 for row in rows], np.int32),
        "item_created": np.array([_microseconds(row["created_at"]) for row in rows], np.int64),
        "item_tags_indptr": tag_starts,
        "item_tags": tag_codes,
        "item_stores_indptr": store_starts,
        "item_stores": store_codes,
        "titles_offsets": title_starts,
        "titles_bytes": titles.astype(np.uint8),
    }


def _ragged(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    starts = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return starts, np.array([one for ones in lists for one in ones], np.int32)


def _microseconds(moment: datetime | None) -> int:
    return -1 if moment is None else int(moment.timestamp()) * 1_000_000
