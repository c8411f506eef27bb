"""Everything of a bundle that comes from counting: what is bought together, lists for occasions, what rises now."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from portraits.past import Past
from recommender.answers.occasions import Listed, pack
from recommender.counting import together
from recommender.counting.crowds import crowds
from recommender.counting.trending import trends
from recommender.history.dataset import Dataset, as_ids
from recommender.history.reading import History


def counted(history: History, dataset: Dataset) -> dict[str, npt.NDArray[Any]]:
    """The arrays, in the row numbers of `dataset`, which is the history's own."""
    past = history.past
    found = together.arrays(together.pairs(together.lines_of(past)), dataset.items)
    return found | pack([*crowds(past, dataset), *articles(past, dataset), trends(dataset)])


def articles(past: Past, dataset: Dataset) -> list[Listed]:
    """Each article's own items, in the order in which the catalogue names them."""
    rows = past.lake_contents.select("content_id", "item_ids").to_pyarrow().to_pylist()
    found = []
    for row in sorted(rows, key=lambda row: row["content_id"]):
        named = as_ids(list(dict.fromkeys(row["item_ids"] or ())))
        at = np.minimum(np.searchsorted(dataset.items, named), max(len(dataset.items) - 1, 0))
        items = at[dataset.items[at] == named] if len(dataset.items) else at[:0]
        items = items[dataset.rankable[items]]
        scores = np.linspace(1.0, 0.5, len(items), dtype=np.float32)
        found.append(Listed(f"article:{row['content_id']}", items.astype(np.int32), scores, np.ones_like(scores)))
    return found
