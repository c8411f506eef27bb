"""The backtest: what is judged is what would have been served, on the split that the history allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_blocks import checkerboard, shop

from recommender.backtest import replay, splits
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.candidates import SOURCES
from recommender.fusion.assemble import manifest_of, popular_arrays
from recommender.fusion.recipe import Recipe
from recommender.history.dataset import DAY_US, NOTHING_BESIDE, Dataset
from recommender.judging import evaluate, gate
from recommender.plan import Plan


def test_served_is_what_the_day_would_answer(tmp_path: Path) -> None:
    """A bundle of popularity, served, is judged as the source "recent_popular" is."""
    found = splits(shop(), Plan())
    assert found is not None
    _, outer = found
    arrays = popular_arrays(outer.train, outer.users)
    write_bundle(tmp_path / "bundle", arrays, manifest_of(arrays, outer.train, Recipe((), keep_repeats=True), Plan()))
    served = evaluate.judge_served("served", outer, Bundle.open(tmp_path / "bundle"))
    (popular,) = evaluate.judge_sources(outer, [SOURCES["recent_popular"]().fit(outer.train, 0)])
    for part in evaluate.PARTS:
        np.testing.assert_array_equal(served.lists[part], popular.lists[part])
        np.testing.assert_allclose(served.values[part]["ndcg"], popular.values[part]["ndcg"])


@pytest.mark.law
def test_the_ranker_never_sees_the_future_it_is_judged_by() -> None:
    """Nothing that came after the outer split's moment changes what was learnt for it."""
    dataset = shop()
    found = splits(dataset, Plan())
    assert found is not None
    inner, outer = found
    assert inner.train.until_us < outer.train.until_us < dataset.until_us
    assert inner.train.ts_us.max() < inner.train.until_us
    assert outer.train.ts_us.max() < outer.train.until_us
    future = inner.truth.sum()
    within = (outer.train.ts_us >= inner.train.until_us) & outer.train.is_target
    assert future <= np.sum(within)


def test_a_replay_without_enough_to_learn_serves_single_sources() -> None:
    dataset = checkerboard(users_a_block=12)
    found = splits(dataset, Plan())
    assert found is not None
    result = replay(*found, Plan())
    if not len(result.examples.taken):
        assert not result.recipe.needs_ranker
    assert result.ours.ndcg("new") >= result.popular.ndcg("new")


def test_who_hardly_returns_is_judged_by_their_last_events() -> None:
    """Everybody came on a few days of their own year: no cut in time has people on both sides."""
    rows = [(f"u{number:02d}", f"i{step}", number * 365 + step) for number in range(40) for step in range(5)]
    users, items, days = zip(*rows, strict=True)
    found = splits(Dataset.from_arrays(users, items, np.array(days) * DAY_US), Plan())
    assert found is not None
    inner, outer = found
    assert outer.train.items[outer.truth.indices].tolist() == [b"i4"] * 40
    assert inner.train.items[inner.truth.indices].tolist() == [b"i3"] * 40


def test_an_order_within_users_is_judged_by_their_last_events() -> None:
    rows = [(f"u{number:02d}", f"i{step}") for number in range(40) for step in range(5)]
    users, items = zip(*rows, strict=True)
    dataset = Dataset.from_arrays(users, items, np.arange(len(rows)), time_kind="order")
    found = splits(dataset, Plan())
    assert found is not None
    inner, outer = found
    assert dataset.time_kind == outer.train.time_kind == "turns"
    assert outer.train.items[outer.truth.indices].tolist() == [b"i4"] * 40
    assert inner.train.items[inner.truth.indices].tolist() == [b"i3"] * 40


def test_without_time_a_draw_is_all_there_is() -> None:
    board = checkerboard()
    found = splits(Dataset.from_arrays(board.users[board.user], board.items[board.item]), Plan())
    assert found is not None
    assert all(len(split.users) > 30 for split in found)


def test_worth_does_not_cost_the_night() -> None:
    """Prices by chance: to weigh them loses hits and earns nothing, so the gate would hold back every night."""
    plain = shop(users=120)
    active = replay(*(splits(plain, Plan()) or pytest.fail("nothing to judge")), Plan()).recipe
    worth = np.exp(0.7 * np.random.default_rng(1).normal(size=plain.shape[1]))
    plan = Plan(
        moment=lambda _dataset, _us: NOTHING_BESIDE._replace(worth=worth),
        active={"recipe": active.as_json(), "sources": list(active.sources)},
    )
    found = replay(*(splits(replace(plain, worth=worth), plan) or pytest.fail("nothing to judge")), plan)
    assert found.recipe.worth == found.final.worth == 0.0
    assert found.active is not None
    assert not gate.loses(found.ours, [found.popular, found.active], 0)


def test_lists_of_several_lengths_are_judged() -> None:
    """What is right at place 7 counts at 10, not at 5."""
    (_, outer) = splits(shop(), Plan()) or pytest.fail("nothing to judge")
    lists = {part: np.full((len(outer.users), 20), -1, np.int32) for part in evaluate.PARTS}
    lists["all"][:, 6] = [row.indices[0] for row in outer.truth]
    table = evaluate.table(outer, [evaluate.judge("seventh", outer, lists)], seed=0, ks=(5, 10, 20))
    hits = {row.k: row.estimates["hit"].mean for row in table.rows if row.part == "all"}
    assert hits == {5: 0.0, 10: 1.0, 20: 1.0}
    assert "hit@20" in table.as_text()
    assert {row["k"] for row in table.as_json()["rows"]} == {5, 10, 20}
