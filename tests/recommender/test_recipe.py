"""From candidates to one list: orders, mixes, and which of them the data choose."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.choose import choose
from recommender.dataset import Dataset
from recommender.pool import Pool
from recommender.ranker import Examples, Ranker, examples_of, rises
from recommender.recipe import FUSED, Recipe, likelihood, lists, scores
from recommender.split import Split, without

SOURCES = ("left", "right")
NAMES = ("score_left", "score_right", "noise")


def pool(items: list[int], repeat: list[bool], left: list[float], right: list[float], users: int = 1) -> Pool:
    """The same candidates for each of `users`; two sources with planted scores."""
    of_sources = np.array([left, right], np.float32).T
    features = np.column_stack([np.where(np.isfinite(of_sources), of_sources, np.nan), np.zeros(len(items))])
    shape = (users, 1)
    return Pool(
        np.arange(users, dtype=np.int32),
        np.tile(np.array(items, np.int32), shape),
        np.tile(np.array(repeat), shape),
        np.tile(features.astype(np.float32), (users, 1, 1)),
        np.tile(of_sources, (users, 1, 1)),
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


def test_a_recipe_survives_a_manifest() -> None:
    recipe = Recipe(SOURCES, new="left", mix="repeats_first", keep_repeats=False)
    assert Recipe.from_json(recipe.as_json()) == recipe
    assert recipe.needs_ranker
    assert not Recipe(SOURCES, "left", "left", "repeats_first").needs_ranker


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
    examples = examples_of([POOL], truth, features=3)
    assert examples.taken.tolist() == [False, True, False, False]
    assert examples.repeat.tolist() == [True, True, False, False]
    assert examples_of([], truth, features=3).features.shape == (0, 3)


def judged_by(truth: list[int], seen: list[int], users: int = 30) -> Split:
    """Everybody took the items of `seen` before and those of `truth` afterwards."""
    names = [f"u{number:02d}" for number in range(users)]
    train = Dataset.from_arrays(
        names * len(seen), [str(item) for item in seen for _ in names], extra_items=list("0123456789")
    )
    dense = np.zeros((users, 10), np.float32)
    dense[:, truth] = 1
    rows = np.arange(users, dtype=np.int32)
    whole = sp.csr_matrix(dense)
    return Split(train, rows, whole, without(whole, train.bought[rows]))


MANY = pool([5, 6, 7, 8], [True, True, False, False], [1, 2, 4, 3], [2, 1, 3, 4], users=30)


def test_the_best_single_source_is_served_where_there_is_no_ranker() -> None:
    recipe = choose(judged_by(truth=[6, 8], seen=[5, 6]), [MANY], SOURCES, None, "auto")
    assert (recipe.repeat, recipe.new, recipe.mix) == ("left", "right", "repeats_first")


def test_the_fusion_is_served_where_it_wins() -> None:
    """Sources put 8 first or 7 first; only what the ranker learnt from the third feature is right about both users."""
    examples = planted()
    ranker = Ranker(NAMES).fit(examples)
    tied = pool([7, 8], [False, False], [0.9, 0.1], [0.1, 0.9], users=30)
    recipe = choose(judged_by(truth=[7], seen=[5]), [tied], SOURCES, ranker, "auto")
    assert recipe.new == FUSED


@pytest.mark.parametrize(("truth", "keeps"), [([5, 6], True), ([7, 8], False)])
def test_whether_repeats_belong_follows_from_the_data(truth: list[int], keeps: bool) -> None:
    split = judged_by(truth, seen=[5, 6])
    assert choose(split, [MANY], SOURCES, None, "auto").keep_repeats is keeps
    assert choose(split, [MANY], SOURCES, None, "yes").keep_repeats is True
    assert choose(split, [MANY], SOURCES, None, "no").keep_repeats is False


def test_padding_is_never_likely() -> None:
    assert likelihood(POOL, Ranker(NAMES).fit(planted()))[0, 4] == -np.inf  # type: ignore[index]
