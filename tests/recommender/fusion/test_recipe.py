"""From candidates to one list: orders and mixes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.fusion import ranker
from recommender.fusion.blend import Blend
from recommender.fusion.pool import Pool
from recommender.fusion.ranker import Examples, Ranker, examples_of, rises
from recommender.fusion.recipe import LEAST_WORTH, Recipe, likelihood, lists, relative, scores

SOURCES = ("left", "right")
NAMES = ("score_left", "score_right", "noise")


def pool(items: list[int], repeat: list[bool], left: list[float], right: list[float], users: int = 1) -> Pool:
    """The same candidates for each of `users`; two sources with planted scores, which are their z as well."""
    of_sources = np.array([left, right], np.float32).T
    shape = (users, 1)
    scores = np.tile(of_sources, (users, 1, 1))
    return Pool(
        np.arange(users, dtype=np.int32),
        np.tile(np.array(items, np.int32), shape),
        np.tile(np.array(repeat), shape),
        scores,
        np.where(np.isfinite(scores), scores, np.float32(0)),
        np.ones_like(scores),
        np.zeros((users, len(items)), np.uint8),
    )


POOL = pool([5, 6, 7, 8, -1], [True, True, False, False, False], [1, 2, 3, 4, -np.inf], [2, 1, -np.inf, 9, -np.inf])
LIKELY = np.array([[0.1, 0.3, 0.2, 0.25, -np.inf]])


def test_fused_is_the_order_of_the_likelihoods() -> None:
    final = scores(POOL, Recipe(SOURCES), LIKELY)
    assert lists(POOL, final, 5).tolist() == [[6, 8, 7, 5, -1]]


def test_a_source_hands_out_the_likelihoods_in_its_own_order() -> None:
    """Repeats by "right": 5 before 6, with the same two likelihoods; new items keep theirs."""
    final = scores(POOL, Recipe(SOURCES, repeat="right"), LIKELY)
    assert final[0, :4].tolist() == pytest.approx([0.3, 0.1, 0.2, 0.25])


def test_what_a_source_does_not_know_follows() -> None:
    likely = np.array([[0.1, 0.3, 0.9, 0.25, -np.inf]])
    final = scores(POOL, Recipe(SOURCES, new="right"), likely)
    assert final[0, 2:4].tolist() == pytest.approx([0.25, 0.9])


def test_repeats_first_does_not_compare() -> None:
    final = scores(POOL, Recipe(SOURCES, mix="repeats_first"), LIKELY)
    assert lists(POOL, final, 4).tolist() == [[6, 5, 8, 7]]
    assert ((final[POOL.real] >= 0) & (final[POOL.real] <= 1)).all()


def test_without_a_ranker_places_are_all_there_is() -> None:
    final = scores(POOL, Recipe(SOURCES, new="left", repeat="left", mix="repeats_first"), None)
    assert lists(POOL, final, 5).tolist() == [[6, 5, 8, 7, -1]]
    assert lists(POOL, final, 2, ~POOL.repeat).tolist() == [[8, 7]]


def test_a_blend_orders_its_part() -> None:
    """Left + right: 8 (13) before 7 (3) among the new, 5 and 6 equal among the repeats."""
    blends = {"new": Blend({"left": (0.5, 0.0), "right": (0.5, 0.0)}), "repeat": Blend({"right": (1.0, 0.0)})}
    recipe = Recipe(SOURCES, "blended", "blended", "repeats_first", blends=blends)
    assert lists(POOL, scores(POOL, recipe, None), 5).tolist() == [[5, 6, 8, 7, -1]]
    assert scores(POOL, recipe, LIKELY)[0, 2:4].tolist() == pytest.approx([0.2 / 2, 0.25 / 2])


def test_jointly_the_blend_for_all_gives_the_places_and_the_parts_fill_them() -> None:
    """By "left" the places go to new, new, repeat, repeat; by "right" 8 comes before 7 and 5 before 6."""
    recipe = Recipe(SOURCES, "right", "right", "jointly", blends={"all": Blend({"left": (1.0, 0.0)})})
    assert lists(POOL, scores(POOL, recipe, None), 4).tolist() == [[8, 7, 5, 6]]
    likely = scores(POOL, recipe, LIKELY)
    assert lists(POOL, likely, 4).tolist() == [[8, 7, 5, 6]]
    assert sorted(likely[POOL.real].tolist()) == pytest.approx([0.1, 0.2, 0.25, 0.3])


def test_jointly_the_ranker_may_still_order_a_part() -> None:
    recipe = Recipe(SOURCES, "fused", "fused", "jointly", blends={"all": Blend({"left": (1.0, 0.0)})})
    assert lists(POOL, scores(POOL, recipe, LIKELY), 4).tolist() == [[8, 7, 6, 5]]


def test_worth_weighs_beside_the_probability() -> None:
    """7 is worth 4, the rest 1: 0.2 x 1 beats 0.3 x 1/4; at half the exponent 0.2 x 1 beats 0.3 x 1/2."""
    worth = np.ones(10)
    worth[7] = 4.0
    final = scores(POOL, Recipe(SOURCES, worth=1.0), LIKELY, worth)
    assert final[0, :4].tolist() == pytest.approx([0.1 / 4, 0.3 / 4, 0.2, 0.25 / 4])
    assert scores(POOL, Recipe(SOURCES, worth=0.5), LIKELY, worth)[0, 1] == pytest.approx(0.3 / 2)
    np.testing.assert_array_equal(scores(POOL, Recipe(SOURCES), LIKELY, worth), scores(POOL, Recipe(SOURCES), LIKELY))


def test_unknown_worth_is_usual_and_none_is_almost_nothing() -> None:
    assert relative(np.array([np.nan, 1.0, 2.0, 4.0, -1.0])).tolist() == [1.5 / 4, 0.25, 0.5, 1.0, LEAST_WORTH]
    assert relative(np.array([0.0, np.nan])).tolist() == [1.0, 1.0]


def test_fused_credits_the_source_that_ranks_highest() -> None:
    ranked = replace(POOL, source=np.array([[1, 0, 1, 0, 0]], np.uint8))
    assert Recipe(SOURCES).credited(ranked).tolist() == ranked.source.tolist()


def test_a_part_in_the_order_of_one_source_is_its_doing() -> None:
    """Whoever else ranks 5, 6 and 8 higher; on 7 "right" has no opinion, so it is for who ranks it highest."""
    recipe = Recipe(SOURCES, new="right", repeat="left", mix="repeats_first")
    ranked = replace(POOL, source=np.array([[1, 1, 0, 0, 0]], np.uint8))
    assert recipe.credited(ranked)[0, :4].tolist() == [0, 0, 0, 1]
    assert recipe.ordered("repeat", "fused").credited(ranked)[0, :4].tolist() == [1, 1, 0, 1]


def test_of_a_blend_the_largest_part_is_credited() -> None:
    """0.4 x left against 0.6 x asinh(right): 0.4 < 0.87, 0.8 > 0.53, 1.2 alone, 1.6 < 1.74. A third source outranks
    both and is not in the sum."""
    blend = Blend({"left": (0.4, 0.0), "right": (0.0, 0.6)})
    recipe = Recipe((*SOURCES, "third"), "blended", "blended", "repeats_first", blends={"new": blend, "repeat": blend})
    third = np.where(POOL.items >= 0, np.float32(99), -np.inf)[:, :, None]
    three = {name: np.concatenate([getattr(POOL, name), third], axis=2) for name in ("scores", "z", "ranks")}
    ranked = replace(POOL, **three, source=np.full(POOL.items.shape, 2, np.uint8))
    assert recipe.credited(ranked)[0, :4].tolist() == [1, 0, 0, 1]


def test_a_recipe_survives_a_manifest() -> None:
    recipe = Recipe(
        SOURCES,
        new="left",
        mix="repeats_first",
        keep_repeats=False,
        params={"left": {"factors": 3}},
        blends={"all": Blend({"left": (0.25, 0.75)})},
        worth=0.5,
    )
    assert Recipe.from_json(json.loads(json.dumps(recipe.as_json()))) == recipe
    assert recipe.needs_ranker
    assert not Recipe(SOURCES, "left", "left", "repeats_first").needs_ranker


def test_a_recipe_without_a_ranker_needs_only_what_it_uses() -> None:
    blends = {"new": Blend({"left": (1.0, 0.0)}), "all": Blend({"middle": (1.0, 0.0)})}
    recipe = Recipe(("left", "middle", "right"), "blended", "right", "repeats_first", blends=blends)
    assert recipe.lean().sources == ("left", "right")
    assert set(recipe.lean().blends) == {"new"}


def planted(rows: int = 4000, seed: int = 0) -> Examples:
    """What "left" scores above 0.8 is taken, among repeats and new items alike."""
    rng = np.random.default_rng(seed)
    features = rng.random((rows, 3)).astype(np.float32)
    return Examples(features, features[:, 0] > 0.8, rng.random(rows) < 0.5)


def test_the_ranker_learns_what_was_planted() -> None:
    ranker = Ranker(NAMES).fit(planted())
    fresh = planted(seed=1)
    likely = ranker.predict(fresh.features, fresh.repeat)
    assert likely[fresh.taken].min() > likely[~fresh.taken].mean()
    assert 0 <= likely.min() <= likely.max() <= 1


def test_evidence_may_only_raise_the_likelihood() -> None:
    """Planted the wrong way round: what a source likes more is taken less. The ranker may not say so."""
    examples = planted()
    turned = Examples(1 - examples.features, examples.taken, examples.repeat)
    ladder = np.column_stack([np.linspace(0, 1, 50), np.full((50, 2), 0.5)]).astype(np.float32)
    likely = Ranker(NAMES).fit(turned).predict(ladder, np.zeros(50, bool))
    assert (np.diff(likely) >= 0).all()
    assert rises("score_als")
    assert not rises("last_taken")


@pytest.mark.law
def test_the_same_examples_give_the_same_ranker() -> None:
    fresh = planted(seed=1)
    first, second = (Ranker(NAMES, seed=5).fit(planted()).predict(fresh.features, fresh.repeat) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_too_little_to_learn_from_is_the_base_rate() -> None:
    few = Examples(np.zeros((100, 3), np.float32), np.arange(100) < 9, np.zeros(100, bool))
    assert not few.enough
    assert Ranker(NAMES).fit(few).predict(few.features, few.repeat) == pytest.approx(
        np.full(100, (9 + 1) / (100 + 100))
    )


def test_examples_are_the_real_candidates() -> None:
    truth = sp.csr_matrix(np.eye(10, dtype=np.float32)[[6]])
    examples = examples_of(POOL, np.zeros((4, 3), np.float32), truth)
    assert examples.taken.tolist() == [False, True, False, False]
    assert examples.repeat.tolist() == [True, True, False, False]
    assert Examples.together([examples, examples], 3).features.shape == (8, 3)
    assert Examples.together([], 3).features.shape == (0, 3)


def test_padding_is_never_likely() -> None:
    likely = likelihood(POOL, np.zeros((4, 3), np.float32), Ranker(NAMES).fit(planted()))
    assert likely[0, 4] == -np.inf


def test_a_draw_of_what_was_not_taken_keeps_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in five is taken of 4,000; a ranker that may learn from 1,000 rows still says one in five on average."""
    monkeypatch.setattr(ranker, "MOST_EXAMPLES", 1_000)
    fresh = planted(seed=1)
    likely = Ranker(NAMES).fit(planted()).predict(fresh.features, fresh.repeat)
    assert likely.mean() == pytest.approx(fresh.taken.mean(), rel=0.1)
