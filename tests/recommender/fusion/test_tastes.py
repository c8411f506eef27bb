"""Tastes of planted visitors, as arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.fusion.tastes import FEW, LOOK, NAMES, Tastes
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts
from recommender.history.kinds import STRENGTH

ITEMS = ("cup", "pot", "tea")
CUP, POT, TEA = range(3)
LOOKED = STRENGTH["item_view"] / LOOK
BOUGHT = STRENGTH["purchase"] / LOOK


def shop() -> Dataset:
    """ann looked at cup and pot and bought tea; bob looked at pot. Cup (100) and pot (400) are of one category and
    brand."""
    history = Dataset.from_arrays(
        ["ann", "ann", "ann", "bob"],
        ["cup", "pot", "tea", "pot"],
        np.arange(4) * DAY_US,
        ["item_view", "item_view", "purchase", "item_view"],
    )
    blank = Facts.none(3)
    category = blank.category.copy()
    category[:, 0] = [0, 0, 1]
    tags = sp.csr_matrix(np.array([[1, 1], [1, 0], [0, 0]], np.float32))
    facts = replace(
        blank,
        category=category,
        categories=np.array([b"drink", b"ware"]),
        brand=np.array([0, 0, -1], np.int32),
        brands=np.array([b"acme"]),
        price=np.array([100, 400, 100]),
        tags=tags,
        tag_names=np.array([b"blue", b"thin"]),
    )
    return replace(history, facts=facts)


def told(dataset: Dataset) -> dict[str, np.ndarray]:
    """[2, 3] of ann and bob by the items."""
    items = np.tile(np.arange(3, dtype=np.int32), (2, 1))
    values = Tastes(dataset).of(np.arange(2, dtype=np.int32), items)
    return {name: values[:, :, place] for place, name in enumerate(NAMES)}


def test_looks_count_for_categories_and_brands() -> None:
    found = told(shop())
    whole = 2 * LOOKED + BOUGHT + FEW
    np.testing.assert_allclose(found["category_interest"][0], np.array([2 * LOOKED, 2 * LOOKED, BOUGHT]) / whole, 1e-6)
    assert found["brand_interest"][1, CUP] == pytest.approx(LOOKED / (LOOKED + FEW))
    assert np.isnan(found["brand_interest"][:, TEA]).all()


def test_tags_of_what_was_touched() -> None:
    """Bob saw pot alone, whose only tag is one of cup's two: a cosine of 1 to pot, of the square root of 1/2 to cup."""
    bob = told(shop())["tag_interest"][1] * (LOOKED + FEW) / LOOKED
    np.testing.assert_allclose(bob, [np.sqrt(0.5), 1.0, 0.0], rtol=1e-6)


def test_prices_beside_those_of_the_category() -> None:
    """Cup lies by log 2 below the usual price of its category, pot above; ann saw both, bob the dear one."""
    found, level = told(shop()), np.log(2)
    np.testing.assert_allclose(found["price_level"][0], [-level, level, 0.0], rtol=1e-6)
    np.testing.assert_allclose(found["price_square"], found["price_level"] ** 2, rtol=1e-6)
    usual = LOOKED * level / (3 * LOOKED + BOUGHT)
    assert found["price_taste"][0, 0] == pytest.approx(FEW * usual / (2 * LOOKED + BOUGHT + FEW))
    assert found["price_taste"][1, 0] == pytest.approx((LOOKED * level + FEW * usual) / (LOOKED + FEW))
    np.testing.assert_allclose(found["price_product"], found["price_taste"] * found["price_level"], rtol=1e-6)


def test_what_is_taken_of_what_is_touched() -> None:
    conversion = told(shop())["conversion"][0]
    assert conversion[TEA] > conversion[CUP] > conversion[POT]
    assert conversion[POT] == pytest.approx(np.log((5 * 1 / 4) / (2 + 5)))


def test_without_a_catalogue_nothing_is_known_of_it() -> None:
    bare = told(replace(shop(), facts=Facts.none(3)))
    for name in ("category_interest", "brand_interest", "tag_interest", "price_level", "price_taste"):
        assert np.isnan(bare[name]).all()
    np.testing.assert_allclose(bare["touches"][0], np.log1p(2 * LOOKED + BOUGHT), rtol=1e-6)
