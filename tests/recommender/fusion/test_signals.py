"""Signals of one planted user, as arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blocks import TINY, tiny

from recommender.fusion.signals import Signals
from recommender.history.dataset import DAY_US, Beside, Dataset
from recommender.history.exposures import Exposures
from recommender.history.facts import Facts
from recommender.history.kinds import STRENGTH

NOW = 100 * DAY_US
ITEMS = ("cup", "pot", "tea")
UNIT = 25
"""Days in the recent window of a history of 100 days: min(30, 100 / 4)."""


@pytest.fixture(scope="module")
def signals() -> dict[str, dict[str, float]]:
    """ann: tea on days 0, 40 and 80 (each with pot on day 80), a look at cup on day 75. bob: tea on day 90."""
    history = Dataset.from_arrays(
        ["ann"] * 5 + ["bob"],
        ["tea", "tea", "tea", "pot", "cup", "tea"],
        np.array([0, 40, 80, 80, 75, 90]) * DAY_US,
        ["purchase"] * 4 + ["item_view", "purchase"],
        until_us=NOW,
    )
    facts = Facts.none(3)
    facts.brand[:] = [-1, 0, 0]
    branded = Facts(**{**vars(facts), "brands": np.array([b"acme"])})
    maker = Signals(history.subset(np.ones(len(history.user), bool), NOW, Beside(branded)))
    values = maker.of(np.array([0], np.int32), np.array([[0, 1, 2]], np.int32))[0]
    return {item: dict(zip(maker.names, row.tolist(), strict=True)) for item, row in zip(ITEMS, values, strict=True)}


def test_own_history_of_the_item(signals: dict[str, dict[str, float]]) -> None:
    tea = signals["tea"]
    assert tea["times_taken"] == 3
    assert tea["share_of_orders"] == 3 / 3
    assert tea["last_taken"] == pytest.approx((100 - 80) / UNIT)
    assert tea["first_taken"] == pytest.approx((100 - 0) / UNIT)
    assert tea["waiting_share"] == pytest.approx((100 - 80) / ((80 - 0) / 2))


def test_what_was_taken_once_has_no_rhythm(signals: dict[str, dict[str, float]]) -> None:
    assert np.isnan(signals["pot"]["waiting_share"])
    assert np.isnan(signals["cup"]["times_taken"])


def test_interest_fades_by_the_recent_window(signals: dict[str, dict[str, float]]) -> None:
    assert signals["cup"]["interest"] == pytest.approx(STRENGTH["item_view"] * 0.5 ** (25 / UNIT))
    assert signals["cup"]["last_touched"] == pytest.approx(25 / UNIT)


def test_affinity_is_the_share_of_taken_items(signals: dict[str, dict[str, float]]) -> None:
    assert signals["tea"]["brand_share"] == 2 / 2
    assert np.isnan(signals["cup"]["brand_share"])


def test_what_was_shown_and_not_opened() -> None:
    """ann will have looked at tea 1.5 times and opened it once; nothing else was shown to her, and pot to nobody."""
    history = Dataset.from_arrays(["ann", "bob"], ["tea", "cup"], [1, 2], extra_items=["pot"])
    looked, passed = (sp.csr_matrix(np.array(rows)) for rows in ([[0, 0, 1.5], [2, 0, 0]], [[0, 0, 0.5], [2, 0, 0]]))
    shown = Exposures(np.ones(1), np.array([0.1, np.nan, 0.3]), looked, passed)
    maker = Signals(replace(history, exposures=shown))
    values = maker.of(np.array([0, 1], np.int32), np.array([[2, 0], [0, 1]], np.int32))
    told = {name: values[:, :, place] for place, name in enumerate(maker.names)}
    np.testing.assert_allclose(told["looked_at"], [[1.5, np.nan], [2, np.nan]])
    np.testing.assert_allclose(told["passed_over"], [[0.5, np.nan], [2, np.nan]])
    np.testing.assert_allclose(told["appeal"], [[0.3, 0.1], [0.1, np.nan]], rtol=1e-6)


def test_how_far_the_price_lies_from_what_the_user_pays() -> None:
    """Ann takes things at the mean of the known prices, 200; the dearest costs twice as much, the cheapest half."""
    dataset = Dataset.from_arrays(["ann", "bob", "bob", "bob"], list("bacd"), np.arange(4) * DAY_US)
    prices = np.array([100, 200, 400, -1])
    facts = replace(Facts.none(4), price=prices)
    known = replace(dataset, facts=facts)
    found = Signals(known).of(np.array([0], np.int32), np.array([[0, 1, 2, 3]], np.int32))[0]
    distance = found[:, Signals(known).names.index("price_distance")]
    np.testing.assert_allclose(distance[:3], [np.log(2), 0, np.log(2)], rtol=1e-6)
    assert np.isnan(distance[3])


def test_popularity_of_the_item(signals: dict[str, dict[str, float]]) -> None:
    assert signals["tea"]["log_buyers"] == pytest.approx(np.log(1 + 2))
    assert signals["tea"]["taken_again"] == pytest.approx((1 + 1) / (2 + 10))


def test_the_user(signals: dict[str, dict[str, float]]) -> None:
    assert signals["cup"]["orders"] == 3
    assert signals["cup"]["items"] == 2
    assert signals["cup"]["repeat_share"] == 1 / 2
    assert signals["cup"]["items_an_order"] == pytest.approx(4 / 3)


@pytest.mark.fault
@pytest.mark.parametrize("edge", TINY)
def test_histories_at_the_edge(edge: str) -> None:
    dataset = tiny(edge)
    users = np.arange(min(len(dataset.users), 3), dtype=np.int32)
    items = np.zeros((len(users), min(1, len(dataset.items))), np.int32)
    values = Signals(dataset).of(users, items)
    assert not np.isinf(values).any()
