"""What is learnt at the inner split: sources that help nobody are dropped, and the rest is remembered in the recipe."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import checkerboard, shop

from recommender.backtest import replay, splits
from recommender.candidates import SOURCES
from recommender.fusion.learn import Learnt, fit_sources, learn, only
from recommender.fusion.ranker import feature_names
from recommender.history.dataset import DAY_US, Dataset
from recommender.plan import Plan

SHOP = shop(users=80)


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    found = splits(SHOP, Plan())
    assert found is not None
    return learn(found[0], Plan())


def test_dropped_sources_have_no_weight_and_kept_ones_a_column(learnt: Learnt) -> None:
    weighted = {name for blend in learnt.recipe.blends.values() for name in blend.weights}
    assert weighted <= set(learnt.recipe.sources) < set(SOURCES)
    pooler = fit_sources(SHOP, 0, learnt.recipe.sources)
    assert pooler.names == learnt.recipe.sources
    assert learnt.examples.features.shape[1] == len(feature_names(pooler))


def test_sources_are_fitted_with_their_parameters_and_not_twice() -> None:
    board = checkerboard()
    first = fit_sources(board, 0, ["similar", "als"], {"als": {"factors": 8}})
    again = fit_sources(board, 0, ["similar", "als"], {"als": {"factors": 16}}, known=first.sources)
    assert first.sources[1].factors == 8  # type: ignore[attr-defined]
    assert again.sources[0] is first.sources[0]
    assert again.sources[1].factors == 16  # type: ignore[attr-defined]


def test_sources_that_do_not_suit_are_not_fitted() -> None:
    board = checkerboard()
    assert set(fit_sources(board, 0).names) == {name for name, source in SOURCES.items() if source.suits(board)}


def test_a_pooler_of_all_sources_is_itself() -> None:
    pooler = fit_sources(checkerboard(), 0, ["popular", "again"])
    assert only(pooler, pooler.names) is pooler
    assert only(pooler, ["again"]).names == ("again",)


def visits(again: float, users: int = 60, items: int = 40, seed: int = 0) -> Dataset:
    """A shop of weekly visitors who with this probability take what they took before, else something else."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        own: list[int] = []
        for week in range(12):
            old = [item for item in own if rng.random() < again][:4]
            fresh = rng.permutation([item for item in range(items) if item not in own])[: max(4 - len(old), 0)]
            rows += [(user, int(item), week * 7 + int(rng.integers(7))) for item in (*old, *fresh)]
            own += [int(item) for item in fresh if len(own) < 8]
    whom, what, day = (np.array(column) for column in zip(*rows, strict=True))
    return Dataset.from_arrays(
        [f"u{one:03d}" for one in whom], [f"i{one:02d}" for one in what], day * DAY_US, until_us=84 * DAY_US
    )


@pytest.mark.parametrize(("again", "keeps"), [(0.6, True), (0.25, True), (0.0, False)])
def test_whether_repeats_are_shown_follows_from_the_shop(again: float, keeps: bool) -> None:
    """A grocery repeats, a gift shop partly, a one-off store never."""
    found = splits(visits(again), Plan())
    assert found is not None
    assert replay(*found, Plan()).recipe.keep_repeats is keeps
