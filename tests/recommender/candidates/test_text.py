"""Items by what is written about them: words of both scripts, cosines by hand, and items that nobody bought."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recommender.candidates.text import Text, affordable, describe, weighed, words
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts

TITLES = {
    "green": "明前绿茶 礼盒装",
    "jasmine": "茉莉绿茶 家庭装",
    "kettle": "Cast iron kettle, 1.2 L",
    "mug": "Enamel mug",
    "new kettle": "Glass kettle",
    "new tea": "高山绿茶",
}


def shop() -> Dataset:
    """ann looked at a green tea, bob bought a kettle; the new ones were met by nobody."""
    dataset = Dataset.from_arrays(["ann", "bob"], ["green", "kettle"], [DAY_US, 2 * DAY_US], extra_items=list(TITLES))
    titles = tuple(TITLES[item.decode()] for item in dataset.items)
    return replace(dataset, facts=replace(Facts.none(len(titles)), titles=titles))


def best(source: Text, dataset: Dataset, user: bytes) -> list[str]:
    row = np.array([np.searchsorted(dataset.users, user)], np.int32)
    items, _ = source.recommend(row, 6)
    return [dataset.items[item].decode() for item in items[0] if item >= 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cast-iron KETTLE, 1.2 L", ["cast", "iron", "kettle", "1", "2", "l"]),
        ("绿茶", ["绿", "茶", "绿茶"]),
        ("iPhone手机壳", ["iphone", "手", "机", "壳", "手机", "机壳"]),
        ("Été à 5€", ["été", "à", "5"]),
        ("___ 🍵!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_items_that_nobody_bought_are_found_in_both_scripts() -> None:
    dataset = shop()
    source = Text().fit(dataset, seed=0)
    assert set(best(source, dataset, b"ann")) == {"new tea", "jasmine"}
    assert best(source, dataset, b"bob") == ["new kettle"]


def test_cosine_by_hand() -> None:
    """Of "a b" and "a c" idf(a) = ln(3/3) + 1, idf(b) = idf(c) = ln(3/2) + 1; cosine = 1 / (1 + idf(b)^2)."""
    facts = replace(Facts.none(2), titles=("a b", "a c"))
    rare = np.log(3 / 2) + 1
    cosine = describe(facts) @ describe(facts).T
    np.testing.assert_allclose(cosine.toarray(), [[1, 1 / (1 + rare**2)], [1 / (1 + rare**2), 1]], rtol=1e-6)


def test_a_category_is_no_word_of_a_title_and_weighs_as_told() -> None:
    facts = replace(
        Facts.none(3),
        titles=("red tea", "blue mug", "green pot"),
        category=np.array([[0, 1, -1, -1], [0, 1, -1, -1], [0, 2, -1, -1]], np.int32),
        categories=np.array([b"tea", b"cup", b"pan"]),
    )
    without, with_facts = (describe(facts, weight) for weight in (0.0, 1.0))
    assert (without @ without.T).toarray()[0, 1] == 0
    told = (with_facts @ with_facts.T).toarray()
    assert told[0, 1] > told[0, 2] > 0


def test_brand_and_tags_tie_items_together() -> None:
    facts = replace(
        Facts.none(3),
        brand=np.array([0, -1, 0], np.int32),
        tags=sp.csr_matrix(np.array([[1], [1], [0]], np.float32)),
    )
    cosine = (describe(facts) @ describe(facts).T).toarray()
    assert cosine[0, 1] > 0
    assert cosine[0, 2] > 0
    assert cosine[1, 2] == 0


def test_what_was_looked_at_last_counts_more() -> None:
    dataset = shop()
    more = Dataset.from_arrays(
        ["ann", "ann"], ["green", "kettle"], [DAY_US, 90 * DAY_US], extra_items=list(TITLES), until_us=91 * DAY_US
    )
    source = Text(half_life_share=0.5).fit(replace(more, facts=dataset.facts), seed=0)
    assert best(source, dataset, b"ann")[0] == "new kettle"


def test_a_few_neighbours_are_the_nearest() -> None:
    dataset = shop()
    whole, few = (Text(neighbours=count).fit(dataset, seed=0).similarity_ for count in (5, 1))
    np.testing.assert_allclose(few.max(axis=1).toarray(), whole.max(axis=1).toarray())
    assert np.diff(few.indptr).max() <= 2
    assert whole.diagonal().sum() == 0


def test_a_long_catalogue_goes_without_its_commonest_words() -> None:
    """a in 3 items, b in 2, c in 1: pairs 9, 4 and 1."""
    described = sp.csr_matrix(np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32))
    assert affordable(described, 14).shape[1] == 3
    assert affordable(described, 13).toarray().tolist() == [[1, 1], [1, 0], [0, 0]]


def test_it_suits_a_catalogue_only() -> None:
    assert Text.suits(shop())
    bare = replace(shop(), facts=Facts.none(len(TITLES)))
    assert not Text.suits(bare)
    assert not Text().fit(bare, seed=0).similarity_.nnz


@given(st.lists(st.text(max_size=20), max_size=8))
def test_any_titles_have_lengths_of_one_or_nothing(titles: list[str]) -> None:
    found = weighed(words(title) for title in titles)
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    assert found.shape[0] == len(titles)
    assert ((length < 1e-6) | (np.abs(length - 1) < 1e-5)).all()
