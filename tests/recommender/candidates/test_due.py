"""Rhythms: what is bought every ten days is due on day ten, not on day two, and not after a year."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates.due import Due, Pairs
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts


def rhythmic(days_since: float, orders: int = 6) -> Dataset:
    """Thirty people who buy soap every 10 days, give or take, and rice every 40; both last `days_since` days ago."""
    rng = np.random.default_rng(0)
    user, item, ts = [], [], []
    for number in range(30):
        for name, gap in (("soap", 10), ("rice", 40)):
            for back in range(orders):
                user.append(f"u{number:02d}")
                item.append(name)
                ts.append(-back * gap * DAY_US + int(rng.normal(0, 0.5) * DAY_US) * (back > 0))
    return Dataset.from_arrays(user, item, np.array(ts), until_us=int(days_since * DAY_US) + 1)


def chances(days_since: float, **params: float) -> dict[str, float]:
    dataset = rhythmic(days_since)
    source = Due(**params).fit(dataset, seed=0)  # type: ignore[arg-type]
    scores = source.scores(np.arange(30, dtype=np.int32)).mean(axis=0)
    return {item.decode(): float(score) for item, score in zip(dataset.items, scores, strict=True)}


def test_it_is_due_when_its_gap_is_reached() -> None:
    soap = {day: chances(day, horizon_share=0.1)["soap"] for day in (2, 5, 10, 60, 365)}
    assert soap[10] > 5 * soap[2]
    assert soap[10] > soap[5]
    assert soap[10] > 5 * soap[60] > soap[365]


def test_each_item_has_its_own_rhythm() -> None:
    early, late = chances(10), chances(40)
    assert early["soap"] > early["rice"]
    assert late["rice"] > late["soap"]


def test_who_bought_once_is_due_by_the_rhythm_of_others() -> None:
    """A newcomer bought soap and rice ten days ago, for the first time: soap is due."""
    dataset = rhythmic(10)
    ids = [*dataset.users[dataset.user].tolist(), b"zoe", b"zoe"]
    items = [*dataset.items[dataset.item].tolist(), b"soap", b"rice"]
    wider = Dataset.from_arrays(
        np.array(ids), np.array(items), np.append(dataset.ts_us, [0, 0]), until_us=dataset.until_us
    )
    (found,) = Due().fit(wider, seed=0).recommend(np.array([30], np.int32), 2)[0]
    assert wider.items[found].tolist() == [b"soap", b"rice"]


def test_a_new_item_has_the_rhythm_of_its_category() -> None:
    """Zoe bought two things nobody else did, ten days ago: one stands among the soaps, the other among the rices."""
    dataset = rhythmic(10)
    ids = [*dataset.users[dataset.user].tolist(), b"zoe", b"zoe"]
    items = [*dataset.items[dataset.item].tolist(), b"foam", b"oats"]
    wider = Dataset.from_arrays(
        np.array(ids), np.array(items), np.append(dataset.ts_us, [0, 0]), until_us=dataset.until_us
    )
    facts = Facts.none(4)
    facts.category[:, 0] = [0, 1, 1, 0]  # foam, oats, rice, soap
    shelved = replace(wider, facts=replace(facts, categories=np.array([b"wash", b"food"])))
    scores = Due().fit(shelved, seed=0).scores(np.array([30], np.int32))[0]
    assert scores[0] > scores[1]
    alike = Due().fit(wider, seed=0).scores(np.array([30], np.int32))[0]
    assert alike[0] == pytest.approx(alike[1])


def test_gaps_are_counted_between_orders() -> None:
    dataset = Dataset.from_arrays(["ann"] * 4, ["tea", "tea", "pot", "tea"], np.array([0, 10, 11, 40]), until_us=50)
    pairs = Pairs.of(dataset)
    assert dataset.items[pairs.item].tolist() == [b"pot", b"tea"]
    assert pairs.gaps.tolist() == [0, 2]
    assert pairs.last_us.tolist() == [11, 40]
    logs = np.log(np.array([10, 30]) / dataset.recent_us)
    np.testing.assert_allclose(pairs.sum_log, [0, logs.sum()])
    np.testing.assert_allclose(pairs.sum_squares, [0, (logs**2).sum()])


def test_a_chance_is_between_0_and_1() -> None:
    scores = Due().fit(shop(), seed=0).scores_
    assert scores.nnz == shop().bought.nnz
    assert 0 < scores.data.min() <= scores.data.max() <= 1


def test_somebody_must_come_back() -> None:
    assert Due.suits(rhythmic(10))
    assert not Due.suits(Dataset.from_arrays(["ann", "bob"], ["tea", "tea"], np.array([1, 2])))
