"""The weighted sum: planted sources of which some help, and what the weights say about them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.fusion.blend import FEWEST_USERS, Blend, K, Lessons, learn_blend
from recommender.fusion.pool import Pool
from recommender.fusion.recipe import lists
from recommender.history.dataset import Float32
from recommender.judging.metrics import per_user

NAMES = ("half", "other", "noise", "silent")
USERS, ITEMS, BLOCK = 120, 60, 50


def planted(seed: int = 0, users: int = USERS) -> tuple[list[Pool], sp.csr_matrix]:
    """Everybody takes the five items with the largest sum of two hidden halves; each of two sources sees one of them,
    the third sees nothing, the fourth says nothing. In blocks of users, as pools come."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(users, ITEMS, len(NAMES))).astype(np.float32)
    z[:, :, 3] = 0.0
    best = np.argsort(-z[:, :, :2].sum(axis=2), axis=1)[:, :5]
    truth = np.zeros((users, ITEMS), np.float32)
    np.put_along_axis(truth, best, 1.0, axis=1)
    return [pool_of(z[start : start + BLOCK]) for start in range(0, users, BLOCK)], sp.csr_matrix(truth)


def pool_of(z: Float32) -> Pool:
    """All items for each user, every third of them a repeat."""
    shape = z.shape[:2]
    items = np.tile(np.arange(z.shape[1], dtype=np.int32), (len(z), 1))
    return Pool(
        np.arange(len(z), dtype=np.int32), items, items % 3 == 0, z, z, np.ones_like(z), np.zeros(shape, np.uint8)
    )


def value(blend: Blend, pools: list[Pool], truth: sp.csr_matrix) -> float:
    listed = np.concatenate([lists(pool, blend.score(pool, NAMES), K) for pool in pools])
    return float(per_user(listed, truth, K)["ndcg"].mean())


def test_sources_that_help_are_weighed_and_others_are_not() -> None:
    pools, truth = planted()
    blend = learn_blend(pools, truth, NAMES, None, seed=0)
    assert sum(blend.weights["half"]) == pytest.approx(0.5, abs=0.15)
    assert sum(blend.weights["other"]) == pytest.approx(0.5, abs=0.15)
    assert "silent" not in blend.weights
    assert sum(blend.weights.get("noise", (0, 0))) < 0.1
    assert sum(sum(pair) for pair in blend.weights.values()) == pytest.approx(1.0, abs=1e-3)


def test_together_they_are_better_on_what_was_not_seen() -> None:
    blend = learn_blend(*planted(), NAMES, None, seed=0)
    pools, truth = planted(seed=1)
    alone = [value(Blend({name: (1.0, 0.0)}), pools, truth) for name in NAMES]
    assert value(blend, pools, truth) > max(alone) + 0.2


@pytest.mark.parametrize("repeats", [True, False])
def test_only_candidates_of_the_part_count(repeats: bool) -> None:
    """Where the part holds nothing that was taken, nothing is learnt."""
    pools, truth = planted()
    part = (np.arange(ITEMS) % 3 == 0) == repeats
    other = sp.csr_matrix(truth.multiply(~part))
    assert learn_blend(pools, truth, NAMES, repeats, seed=0)
    assert not learn_blend(pools, other, NAMES, repeats, seed=0)


@pytest.mark.fault
def test_too_few_users_teach_nothing() -> None:
    assert not learn_blend(*planted(users=FEWEST_USERS - 1), NAMES, None, seed=0)
    assert not learn_blend([], sp.csr_matrix((0, ITEMS)), NAMES, None, seed=0)
    pools, truth = planted()
    deaf = [pool_of(np.zeros_like(pool.z)) for pool in pools]
    assert not learn_blend(deaf, truth, NAMES, None, seed=0)


def test_the_lessons_metric_is_the_tables() -> None:
    """NDCG of the scores over the candidates as `metrics.per_user` gives it, for users with a hit in the pool."""
    pools, truth = planted()
    lessons = Lessons.of(pools, truth, None, seed=0)
    for column, name in enumerate(NAMES[:3]):
        wanted = value(Blend({name: (1.0, 0.0)}), pools, truth)
        assert lessons.ndcg(lessons.columns[column]) == pytest.approx(wanted)


def test_of_equals_what_was_taken_comes_last() -> None:
    """A source that says the same of everything is worth nothing, not everything."""
    pools, truth = planted()
    lessons = Lessons.of(pools, truth, None, seed=0)
    assert lessons.ndcg(np.zeros_like(lessons.columns[0])) == 0
    assert lessons.tells_apart.tolist() == [True, True, True, False] * 2


@pytest.mark.law
def test_the_same_pools_and_seed_give_the_same_weights() -> None:
    first, second = (learn_blend(*planted(), NAMES, None, seed=3) for _ in range(2))
    assert first == second


def test_a_blend_survives_json_and_scores_as_written() -> None:
    blend = Blend({"half": (0.25, 0.5), "gone": (0.25, 0.0)})
    assert Blend.from_json(json.loads(json.dumps(blend.as_json()))) == blend
    (pool, *_), _ = planted()
    wanted = 0.25 * pool.z[:, :, 0] + 0.5 * np.arcsinh(pool.z[:, :, 0])
    np.testing.assert_allclose(blend.score(pool, NAMES), wanted, rtol=1e-5)
