"""Arrays of a bundle from planted models and facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blocks import shop

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.bundles.bundle import Bundle
from recommender.candidates import make
from recommender.fusion.assemble import (
    NEIGHBOURS,
    Fitted,
    bundle_arrays,
    candidate_table,
    fact_arrays,
    manifest_of,
    neighbour_table,
    popular_arrays,
    popular_shelf,
    session_weight,
)
from recommender.fusion.pool import Pooler
from recommender.fusion.recipe import Recipe
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts
from recommender.plan import Plan
from recommender.types import Query


def test_neighbours_are_the_most_similar_first() -> None:
    similarity = sp.csr_matrix(np.array([[0, 0.2, 0.9], [0.2, 0, 0], [1.0000001, 0, 0]], np.float32))
    items, scores = neighbour_table(similarity)
    assert items.shape == (3, NEIGHBOURS)
    assert items[:, :3].tolist() == [[2, 1, -1], [0, -1, -1], [0, -1, -1]]
    assert scores[0, :3].tolist() == pytest.approx([0.9, 0.2, 0.0])
    assert scores.max() <= 1


def test_the_shelf_is_what_was_bought_of_late() -> None:
    """b has three buyers yesterday, a four long ago, c none, d is hidden."""
    people = ["ann", "bob", "cat", "dan"]
    dataset = Dataset.from_arrays(
        [*people, *people[:3], "bob"], list("aaaabbbd"), np.array([1] * 4 + [99] * 4) * DAY_US, extra_items=["c"]
    )
    dataset.facts.hidden[:] = dataset.items == b"d"
    shelf = popular_shelf(dataset)
    assert [dataset.items[item] for item in shelf["popular_items"]] == [b"b", b"a"]
    assert shelf["popular_scores"][0] == 1
    assert 0 < shelf["popular_scores"][1] < 1


def test_what_few_took_is_on_the_shelf_and_popular_with_nobody() -> None:
    """a was looked at once, e three times, c has one buyer, b three."""
    lines = [("x", "c", "purchase"), *((user, "b", "purchase") for user in "xyz"), ("x", "a", "item_view")]
    lines += [(user, "e", "item_view") for user in "xyz"]
    users, items, kinds = zip(*lines, strict=True)
    shelf = popular_shelf(Dataset.from_arrays(users, items, kinds=kinds, extra_items=["d"]))
    assert [list("abcde")[item] for item in shelf["popular_items"]] == ["b", "c", "e", "a"]
    assert shelf["popular_scores"].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_what_nobody_has_met_is_hidden_until_the_day_tells_of_it() -> None:
    """c is known by its id alone; d stands in the catalogue, e there as hidden."""
    dataset = Dataset.from_arrays(["ann", "bob"], ["a", "b"], np.array([1, 2]) * DAY_US, extra_items=["c", "d", "e"])
    dataset.facts.known[3:] = True
    dataset.facts.hidden[4] = True
    arrays = popular_arrays(dataset, np.arange(2, dtype=np.int32))
    assert arrays["item_hidden"].tolist() == [False, False, True, False, True]
    bundle = Bundle.of(arrays, {"sources": [], "target": ["purchase"], "repeat": True})
    catalogue, asked = Catalogue.from_bundle(bundle), Query("ann", 9, datetime(1970, 1, 4, tzinfo=UTC))
    shown = {ranked.item_id for ranked in recommend(bundle, catalogue, asked).items}
    assert shown == {"a", "b", "d"}
    catalogue.apply([{"item_id": "c", "title": "C"}])
    assert {ranked.item_id for ranked in recommend(bundle, catalogue, asked).items} == {*shown, "c"}


def test_the_page_has_a_rate_of_its_own() -> None:
    """The day's items speak through another table than the page."""
    candidates = np.array([[0.3, 0.1]], np.float32)
    arrays = {
        "candidate_scores": candidates,
        "neighbour_scores": np.array([[0.02, 0.01]], np.float32),
        "session_scores": np.array([[1.0, 0.5]], np.float32),
    }
    made = manifest_of(arrays, Dataset.from_arrays(["ann"], ["a"]), Recipe(("similar",), "similar", "similar"), Plan())
    assert (made["page_weight"], made["session_weight"]) == pytest.approx((15.0, 0.3))


def test_the_table_names_only_sources_that_ordered_it() -> None:
    """ "popular" proposes and ranks as well, and orders nothing."""
    dataset = shop()
    sources = [source.fit(dataset, 0) for source in make(("popular", "similar", "again"))]
    pooler = Pooler(dataset, sources, depth=20, repeats=5)
    recipe = Recipe(pooler.names, "similar", "again", "repeats_first")
    users = np.arange(50, dtype=np.int32)
    table = candidate_table(Fitted(pooler, recipe, None), users)
    items, named = table["candidate_items"], table["candidate_sources"]
    row, column = np.nonzero(items >= 0)
    had = dataset.bought[users].toarray()[row, items[row, column]] > 0
    assert had.any()
    assert {pooler.names[one] for one in named[row, column][had]} == {"again"}
    pool = pooler.draw(users)
    known = np.zeros(had.shape, bool)
    for at, (one, item) in enumerate(zip(row, items[row, column], strict=True)):
        place = int(np.flatnonzero(pool.items[one] == item)[0])
        known[at] = np.isfinite(pool.scores[one, place, pooler.names.index("similar")])
    new = ~had & known
    assert new.any()
    assert {pooler.names[one] for one in named[row, column][new]} == {"similar"}
    caused = table["candidate_evidence"][row, column] >= 0
    assert {pooler.names[one] for one in named[row, column][caused]} == {"similar"}


def test_a_similarity_is_worth_what_the_best_neighbour_is_beside_the_best_candidate() -> None:
    arrays = {
        "candidate_scores": np.array([[0.3, 0.1], [0.1, 0.0], [0.0, 0.0]], np.float32),
        "neighbour_scores": np.array([[0.5, 0.4], [0.3, 0.0]], np.float32),
    }
    assert session_weight(arrays) == pytest.approx(((0.3 + 0.1) / 2) / ((0.5 + 0.3) / 2))
    assert session_weight({name: array[:0] for name, array in arrays.items()}) == 0.5


def test_what_few_have_met_is_near_what_is_described_alike() -> None:
    """Everybody who took a tea took a cup too; the new tea, which nobody took, is called as the teas are."""
    users = [f"u{number:03}" for number in range(600)]
    kind = [number % 3 for number in range(600)]
    teas, cups = (f"tea{one}" for one in kind), (f"cup{one}" for one in kind)
    dataset = Dataset.from_arrays(
        users * 2, [*teas, *cups], np.arange(1200) * DAY_US // 40, extra_items=["tea9"], until_us=40 * DAY_US
    )
    titles = [f"{'green tea' if item.startswith(b'tea') else 'white cup'} {item.decode()}" for item in dataset.items]
    facts = replace(dataset.facts, titles=tuple(titles), known=np.ones(7, bool))
    dataset = replace(dataset, facts=facts)
    pooler = Pooler(dataset, [make(["similar"])[0].fit(dataset, 0)], depth=20, repeats=5)
    arrays = bundle_arrays(
        Fitted(pooler, Recipe(pooler.names, "similar", "similar"), None), np.arange(600, dtype=np.int32)
    )

    def near(item: bytes) -> list[str]:
        found = arrays["neighbour_items"][np.searchsorted(dataset.items, item)]
        return [dataset.items[one].decode() for one in found if one >= 0]

    assert set(near(b"tea1")[:2]) == {"cup1", "tea9"}
    assert set(near(b"tea9")[:3]) == {"tea0", "tea1", "tea2"}
    assert near(b"cup1")[0] == "tea1"
    assert arrays["neighbour_scores"].max() <= 1


def test_titles_and_lists_are_packed() -> None:
    facts = Facts.none(3)
    packed = fact_arrays(
        Facts(
            **{
                **vars(facts),
                "titles": ("绿茶", "", "cup 🍵"),
                "tags": sp.csr_matrix(np.array([[1, 1], [0, 0], [0, 1]], np.float32)),
                "tag_names": np.array([b"green", b"hot"]),
            }
        )
    )
    offsets, text = packed["titles_offsets"], packed["titles_bytes"].tobytes()
    assert [text[first:last].decode() for first, last in pairwise(offsets)] == [
        "绿茶",
        "",
        "cup 🍵",
    ]
    assert packed["item_tags_indptr"].tolist() == [0, 2, 2, 3]
    assert packed["item_tags"].tolist() == [0, 1, 1]
    assert packed["item_price"].tolist() == [-1, -1, -1]
