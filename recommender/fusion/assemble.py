"""From fitted models to the arrays of a bundle (`recommender.bundles.layout`): its last word on every user and item."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recommender.bundles.layout import NOTHING_OWN
from recommender.candidates.largest import listed
from recommender.candidates.popular import tie_break
from recommender.candidates.similar import Similar
from recommender.candidates.text import Text
from recommender.counting.gaps import item_gap_us
from recommender.counting.newcomers import newcomers
from recommender.fusion.evidence import Evidence
from recommender.fusion.pool import Pool, Pooler
from recommender.fusion.ranker import Ranker, features_of
from recommender.fusion.recipe import Recipe, likelihood, scores, weighed
from recommender.fusion.response import Responding
from recommender.history.dataset import Dataset, Float32, Int32
from recommender.history.facts import Facts
from recommender.plan import Plan

Arrays = dict[str, npt.NDArray[Any]]

TABLE_ENTRIES = 100_000_000
MOST_CANDIDATES = 200
FEWEST_CANDIDATES = 50
NEIGHBOURS = 50
NOBODY = np.uint8(255)
"""In place of a source: no cause is asked for."""
WORKERS = 2
"""Blocks of users that are ranked at the same time, each with its memory. What takes long leaves the interpreter."""
FEWEST_TAKERS = 3
"""Visitors who took an item before it is said to be popular."""
WELL_KNOWN = 20
"""Events of an item at which what visitors did with it says as much as its words."""


@dataclass(frozen=True)
class Fitted:
    """Sources fitted on one dataset (inside the pooler), and how their candidates become a list. responding: what
    showing them leads to; None where that is not known, and the recipe orders them."""

    pooler: Pooler
    recipe: Recipe
    ranker: Ranker | None
    responding: Responding | None = None

    def scores(self, pool: Pool) -> Float32:
        """float32[B, C]: the final score of each candidate, -inf for padding."""
        worth = self.pooler.dataset.worth
        if self.responding is not None:
            return weighed(pool, self.responding.likely(pool), self.recipe, worth).astype(np.float32)
        likely = None
        if self.ranker is not None:
            likely = likelihood(pool, features_of(self.pooler, pool, self.recipe.blends), self.ranker)
        return scores(pool, self.recipe, likely, worth)

    def credited(self, pool: Pool) -> npt.NDArray[np.uint8]:
        """uint8[B, C]: the source that put each candidate where it is, see `Recipe.credited`."""
        return self.recipe.credited(pool) if self.responding is None else pool.source

    @cached_property
    def evidence(self) -> Evidence:
        """Which of a visitor's own items may be named as a cause."""
        return Evidence(self.pooler.sources)

    @cached_property
    def strangers(self) -> npt.NDArray[np.bool_]:
        """bool[U]: users who did nothing with any item; what they are shown cannot come from what they like."""
        idle = np.ones(self.pooler.dataset.shape[0], bool)
        idle[self.pooler.dataset.user] = False
        return idle

    @cached_property
    def neighbours(self) -> tuple[Int32, Float32]:
        """What is near each item, see `neighbour_table`."""
        return neighbour_table(_similarity(self))


def bundle_arrays(fitted: Fitted, users: Int32) -> Arrays:
    """All arrays of a bundle that knows `users` (ascending rows of the dataset) and every item."""
    dataset = fitted.pooler.dataset
    neighbours, similarity = fitted.neighbours
    return {
        "users": dataset.users[users],
        **candidate_table(fitted, users),
        "neighbour_items": neighbours,
        "neighbour_scores": similarity,
        **common_arrays(dataset, users),
    }


def popular_arrays(dataset: Dataset, users: Int32) -> Arrays:
    """The arrays of a bundle without a model: what is popular, and what each user took."""
    return {"users": dataset.users[users], **common_arrays(dataset, users)}


def common_arrays(dataset: Dataset, users: Int32) -> Arrays:
    """Items, popularity, the users' own items and the catalogue: what every bundle has."""
    bought = dataset.bought[users].sorted_indices()
    return {
        "items": dataset.items,
        "bought_indptr": bought.indptr.astype(np.int64),
        "bought_items": bought.indices.astype(np.int32),
        **popular_shelf(dataset),
        "new_items": newcomers(dataset),
        "item_gap_us": item_gap_us(dataset),
        **fact_arrays(dataset.facts),
        # An id that nobody has met and no catalogue row describes may come from the future that is judged by.
        "item_hidden": ~dataset.rankable,
    }


def popular_shelf(dataset: Dataset) -> Arrays:
    """Rankable items by recent popularity, then by popularity ever, then by interest of any kind. Scores are shares of
    the first one's; those that fewer than FEWEST_TAKERS ever took come last and have none: they are not popular."""
    taken = dataset.popularity >= FEWEST_TAKERS
    strength = dataset.recent_popularity + tie_break(dataset.popularity)
    interest = np.asarray(dataset.matrix().sum(axis=0), np.float64).ravel()
    items = np.flatnonzero(dataset.rankable & (interest > 0))
    order = items[np.lexsort((-interest[items], -strength[items], ~taken[items]))]
    scores = np.where(taken, strength, 0.0)[order]
    return {
        "popular_items": order.astype(np.int32),
        "popular_scores": (scores / max(scores.max(initial=0.0), 1e-9)).astype(np.float32),
    }


def candidate_table(fitted: Fitted, users: Int32) -> Arrays:
    """Each user's candidates, best first. Repeats fill at most half of a row, so that a list without them is long."""
    width = int(np.clip(TABLE_ENTRIES // max(len(users), 1), FEWEST_CANDIDATES, MOST_CANDIDATES))
    table: Arrays = {
        "candidate_items": np.full((len(users), width), -1, np.int32),
        "candidate_scores": np.zeros((len(users), width), np.float32),
        "candidate_sources": np.zeros((len(users), width), np.uint8),
        "candidate_evidence": np.full((len(users), width), -1, np.int32),
    }

    def fill(start: int) -> None:
        rows = slice(start, start + fitted.pooler.rows)
        for name, values in _best_of(fitted, fitted.pooler.draw(users[rows]), width).items():
            table[name][rows, : values.shape[1]] = values

    # Blocks fill rows of their own, and each is computed by one thread: whoever comes first, the table is the same.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(WORKERS) as workers:
        deque(workers.map(fill, range(0, len(users), fitted.pooler.rows)), maxlen=0)
    return table


def _best_of(fitted: Fitted, pool: Pool, width: int) -> Arrays:
    """The rows of the candidate table of the users of a pool."""
    final, credited = fitted.scores(pool), fitted.credited(pool)
    order = _best(pool, final, width)
    shown = np.zeros(pool.items.shape, bool)
    np.put_along_axis(shown, order, True, axis=1)
    causes = fitted.evidence.of(pool, np.where(shown, credited, NOBODY))
    causes[fitted.strangers[pool.users]] = NOTHING_OWN
    items = np.take_along_axis(np.where(np.isfinite(final), pool.items, -1), order, axis=1)
    found: Arrays = {"candidate_items": items}
    for name, values, none in (("scores", final, 0.0), ("sources", credited, 0), ("evidence", causes, -1)):
        found[f"candidate_{name}"] = np.where(items >= 0, np.take_along_axis(values, order, axis=1), none)
    return found


def _best(pool: Pool, final: Float32, width: int) -> npt.NDArray[np.intp]:
    """Columns of the pool in the order of the table's row; repeats that are left out lose their score in `final`."""
    many = np.flatnonzero(pool.repeat.sum(axis=1) > width // 2)
    repeats = np.where(pool.repeat[many], final[many], -np.inf)
    place = np.argsort(np.argsort(-repeats, axis=1, kind="stable"), axis=1)
    final[many] = np.where(pool.repeat[many] & (place >= width // 2), -np.inf, final[many])
    return np.argsort(-final, axis=1, kind="stable")[:, :width]


def neighbour_table(similarity: sp.csr_matrix) -> tuple[Int32, Float32]:
    """The most similar items of each item, best first: int32[I, M] padded with -1, float32[I, M] in [0, 1]."""
    near, values = listed(similarity, NEIGHBOURS)
    return near, np.minimum(values, 1.0)


def session_weight(arrays: Mapping[str, npt.NDArray[Any]]) -> float:
    """What a similarity of 1 is worth beside the table's scores: a unit of exchange, measured.

    The best neighbour of an item weighs as much as the best candidate of a user, on average.
    """
    return exchange(arrays["candidate_scores"], arrays.get("session_scores", arrays["neighbour_scores"]))


def exchange(candidates: Float32, near: Float32) -> float:
    """The mean best score of a table of candidates beside that of a table of neighbours ([.., ..], best first)."""
    best, nearest = mean_best(candidates), mean_best(near)
    return best / nearest if best and nearest else 0.5


def mean_best(table: Float32) -> float:
    """The mean best score of the rows ([.., ..], best first) that have any; 0 where none has."""
    best = table[:, :1]
    best = best[best > 0]
    return float(best.mean()) if len(best) else 0.0


def manifest_of(arrays: Arrays, dataset: Dataset, recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """The manifest of a bundle with these arrays; a recipe without sources stands for popularity."""
    model = bool(recipe.sources)
    return {
        **plan.manifest,
        "sources": list(recipe.sources),
        "target": list(dataset.target),
        "repeat": recipe.keep_repeats,
        "session_weight": session_weight(arrays) if model else 0.5,
        "page_weight": exchange(arrays["candidate_scores"], arrays["neighbour_scores"]) if model else 0.5,
        "popular_weight": mean_best(arrays["candidate_scores"]) if model else 0.5,
        "recipe": recipe.as_json() if model else None,
        "seed": plan.seed,
    }


def fact_arrays(facts: Facts) -> Arrays:
    """The catalogue as the bundle keeps it."""
    titles = [title.encode() for title in facts.titles]
    lengths = np.array([len(title) for title in titles], np.int64)
    arrays: Arrays = {
        "categories": facts.categories,
        "brands": facts.brands,
        "tags": facts.tag_names,
        "stores": facts.store_ids,
        "item_price": facts.price,
        "item_stock": facts.stock,
        "item_hidden": facts.hidden,
        "item_created": facts.created,
        "item_category": facts.category,
        "item_brand": facts.brand,
        "titles_offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "titles_bytes": np.frombuffer(b"".join(titles), np.uint8),
    }
    for name, matrix in (("item_tags", facts.tags), ("item_stores", facts.stores)):
        ordered = matrix.sorted_indices()
        arrays[f"{name}_indptr"] = ordered.indptr.astype(np.int64)
        arrays[name] = ordered.indices.astype(np.int32)
    return arrays


def _similarity(fitted: Fitted) -> sp.csr_matrix:
    """[I, I] in [0, 1]: what is near each item: by what visitors did where both items are well known, by their words
    where one is not. Else an item that few have met would be nobody's neighbour, and never be met."""
    dataset = fitted.pooler.dataset
    met: sp.csr_matrix = _source(fitted, Similar).similarity_
    if not Text.suits(dataset):
        return met
    told: sp.csr_matrix = _source(fitted, Text).similarity_
    events = np.bincount(dataset.item, minlength=dataset.shape[1])
    both = (_weighed(met, events, known=True) + _weighed(told, events, known=False)).tocsr()
    return both / max(float(both.data.max(initial=0.0)), 1.0)


def _source(fitted: Fitted, kind: type[Any]) -> Any:
    """The source of a kind, from the pooler where it is one of it."""
    found = next((source for source in fitted.pooler.sources if type(source) is kind), None)
    return kind().fit(fitted.pooler.dataset, 0) if found is None else found


def _weighed(similarity: sp.csr_matrix, events: npt.NDArray[np.intp], known: bool) -> sp.csr_matrix:
    """The similarities in units of the mean best one, each times how well its less known item is `known` (or not): n
    events count as n / (n + WELL_KNOWN)."""
    best = similarity.max(axis=1).toarray().ravel()
    entries = similarity.tocoo()
    fewer = np.minimum(events[entries.row], events[entries.col])
    share = (fewer if known else WELL_KNOWN) / (fewer + WELL_KNOWN)
    unit = best[best > 0].mean() if (best > 0).any() else 1.0
    data = (entries.data * share / unit).astype(np.float32)
    return sp.csr_matrix((data, (entries.row, entries.col)), shape=similarity.shape)
