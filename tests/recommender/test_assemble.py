"""Arrays of a bundle from planted models and facts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.assemble import NEIGHBOURS, fact_arrays, neighbour_table, popular_shelf, session_weight
from recommender.dataset import DAY_US, Dataset
from recommender.facts import Facts


def test_neighbours_are_the_most_similar_first() -> None:
    similarity = sp.csr_matrix(np.array([[0, 0.2, 0.9], [0.2, 0, 0], [1.0000001, 0, 0]], np.float32))
    items, scores = neighbour_table(similarity)
    assert items.shape == (3, NEIGHBOURS)
    assert items[:, :3].tolist() == [[2, 1, -1], [0, -1, -1], [0, -1, -1]]
    assert scores[0, :3].tolist() == pytest.approx([0.9, 0.2, 0.0])
    assert scores.max() <= 1


def test_the_shelf_is_what_was_bought_of_late() -> None:
    """b has one buyer yesterday, a two long ago, c none, d is hidden."""
    dataset = Dataset.from_arrays(
        ["ann", "bob", "ann", "bob"], list("aabd"), np.array([1, 2, 99, 99]) * DAY_US, extra_items=["c"]
    )
    dataset.facts.hidden[:] = dataset.items == b"d"
    shelf = popular_shelf(dataset)
    assert [dataset.items[item] for item in shelf["popular_items"]] == [b"b", b"a"]
    assert shelf["popular_scores"][0] == 1
    assert 0 < shelf["popular_scores"][1] < 1


def test_a_similarity_is_worth_what_the_best_neighbour_is_beside_the_best_candidate() -> None:
    arrays = {
        "candidate_scores": np.array([[0.3, 0.1], [0.1, 0.0], [0.0, 0.0]], np.float32),
        "neighbour_scores": np.array([[0.5, 0.4], [0.3, 0.0]], np.float32),
    }
    assert session_weight(arrays) == pytest.approx(((0.3 + 0.1) / 2) / ((0.5 + 0.3) / 2))
    assert session_weight({name: array[:0] for name, array in arrays.items()}) == 0.5


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
