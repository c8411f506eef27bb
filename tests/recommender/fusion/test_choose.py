"""Which recipe is served: planted pools whose best order is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.fusion.blend import Blend
from recommender.fusion.choose import alone, choose
from recommender.fusion.pool import Pool
from recommender.fusion.recipe import BLENDED, FUSED, Recipe
from recommender.history.dataset import Dataset
from recommender.history.split import Split, without
from recommender.plan import Plan

SOURCES = ("left", "right")
USERS, ITEMS = 40, 12


def pool(items: list[int], repeat: list[bool], left: list[float], right: list[float]) -> Pool:
    """The same candidates for everybody; two sources with planted scores."""
    scores = np.tile(np.array([left, right], np.float32).T, (USERS, 1, 1))
    shape = (USERS, 1)
    return Pool(
        np.arange(USERS, dtype=np.int32),
        np.tile(np.array(items, np.int32), shape),
        np.tile(np.array(repeat), shape),
        scores,
        scores,
        np.ones_like(scores),
        np.zeros((USERS, len(items)), np.uint8),
    )


def future(truth: list[int], seen: list[int], worth: list[float] | None = None) -> Split:
    """Everybody took the items of `seen` before and those of `truth` afterwards."""
    names = [f"u{number:02d}" for number in range(USERS)]
    train = Dataset.from_arrays(
        names * len(seen),
        [f"{item:02d}" for item in seen for _ in names],
        extra_items=[f"{item:02d}" for item in range(ITEMS)],
    )
    train = replace(train, worth=None if worth is None else np.array(worth))
    dense = np.zeros((USERS, ITEMS), np.float32)
    dense[:, truth] = 1
    rows, whole = np.arange(USERS, dtype=np.int32), sp.csr_matrix(dense)
    return Split(train, rows, whole, without(whole, train.bought[rows]))


def chosen(
    split: Split,
    candidates: Pool,
    likely: list[float] | None = None,
    blends: dict[str, Blend] | None = None,
    repeat: str = "auto",
) -> Recipe:
    told = None if likely is None else np.tile(likely, (USERS, 1))
    learnt = Recipe(SOURCES, blends=blends or {})
    earlier = alone([candidates], SOURCES, split)
    return choose(split, [(candidates, told)], learnt, earlier, Plan(repeat=repeat))


def test_own_comes_first_where_what_follows_is_not_like_what_taught() -> None:
    """Ranker and another source have better orders, and the new item would better stand before the repeats."""
    split, names = future([5, 8], [5, 6]), ("again", "right")
    told = np.tile([0.1, 0.2, 0.3, 0.4], (USERS, 1))
    earlier = alone([TWO_AND_TWO], names, split)
    plan = Plan(again=0.5)
    recipe = choose(split, [(TWO_AND_TWO, told)], Recipe(names), earlier, plan)
    assert (recipe.new, recipe.repeat, recipe.mix) == ("right", "again", "repeats_first")
    assert recipe.keep_repeats
    never = choose(split, [(TWO_AND_TWO, told)], Recipe(names), earlier, replace(plan, repeat="no"))
    assert not never.keep_repeats


TWO_AND_TWO = pool([5, 6, 7, 8], [True, True, False, False], [1, 2, 4, 3], [2, 1, 3, 4])
NEW = pool([7, 8, 9], [False] * 3, [0.9, 0.5, 0.1], [0.1, 0.5, 0.9])


def test_the_best_single_source_is_served_where_nothing_was_learnt() -> None:
    recipe = chosen(future(truth=[6, 8], seen=[5, 6]), TWO_AND_TWO)
    assert (recipe.repeat, recipe.new, recipe.mix) == ("left", "right", "repeats_first")


def test_the_ranker_is_served_where_it_alone_is_right() -> None:
    assert chosen(future([8], [5]), NEW, [0.1, 0.3, 0.2]).new == FUSED


def test_what_was_learnt_is_not_served_where_a_single_source_is_better() -> None:
    wrong = {"new": Blend({"right": (1.0, 0.0)})}
    assert chosen(future([7], [5]), NEW, [0.1, 0.2, 0.3], wrong).new == "left"


def test_of_equals_the_simplest_is_served() -> None:
    same = {"new": Blend({"left": (1.0, 0.0)})}
    assert chosen(future([7], [5]), NEW, [0.3, 0.2, 0.1], same).new == "left"
    better = {"new": Blend({"left": (0.5, 0.0), "right": (0.5, 0.0)})}
    tied = pool([7, 8, 9], [False] * 3, [0.9, 0.8, 0.0], [0.0, 0.8, 0.9])
    assert chosen(future([8], [5]), tied, [0.1, 0.3, 0.2], better).new == BLENDED


def test_the_blend_for_all_mixes_where_repeats_first_is_wrong() -> None:
    blends = {"all": Blend({"left": (1.0, 0.0)})}
    assert chosen(future([7, 8, 6], [5, 6]), TWO_AND_TWO, blends=blends).mix == "jointly"


@pytest.mark.parametrize(("truth", "keeps"), [([5, 6], True), ([7, 8], False)])
def test_whether_repeats_belong_follows_from_the_data(truth: list[int], keeps: bool) -> None:
    split = future(truth, seen=[5, 6])
    assert chosen(split, TWO_AND_TWO).keep_repeats is keeps
    assert chosen(split, TWO_AND_TWO, repeat="yes").keep_repeats is True
    assert chosen(split, TWO_AND_TWO, repeat="no").keep_repeats is False


def test_a_repeat_now_and_then_is_chance() -> None:
    """One visitor of forty took again what they had; the others took what is new."""
    split = future([7, 8], [5, 6])
    once = split.truth.tolil()
    once[0] = np.eye(ITEMS)[6]
    truth = sp.csr_matrix(once)
    split = replace(split, truth=truth, new_truth=without(truth, split.train.bought))
    assert chosen(split, TWO_AND_TWO).keep_repeats is False


def test_worth_is_heeded_unless_it_costs() -> None:
    """Eleven candidates for ten places. The dear one is the least likely; everybody took it, or what it pushes out."""
    order = [float(place) for place in range(11, 0, -1)]
    wide = pool(list(range(11)), [False] * 11, order, order)
    likely = (np.array(order) / 20).tolist()
    dear = [1.0] * 10 + [5.0, 1.0]
    assert chosen(future([0, 10], [11]), wide, likely).worth == 0
    assert chosen(future([0, 10], [11], dear), wide, likely).worth > 0
    assert chosen(future([0, 1], [11], dear), wide, likely).worth == 1
    assert chosen(future([0, 9], [11], dear), wide, likely).worth < 1
