"""Tuning on planted shops whose best parameter is known, within its budget, the same every time, and with a memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blocks import checkerboard, shop

from recommender.candidates.opinions import DenseOpinions
from recommender.candidates.popular import RecentPopular
from recommender.candidates.protocol import Source
from recommender.candidates.similar import RecentSimilar
from recommender.history.dataset import DAY_US, Dataset, Int32
from recommender.history.split import Split, by_time, leave_out
from recommender.memory import Memory
from recommender.tuning import rungs
from recommender.tuning.tune import JUDGES_A_TRIAL, Budget, Tuned, tune

DAYS = 60
LONG, SHORT = 1_000.0, 0.25


@dataclass
class Near(RecentSimilar):
    """Neighbours that forget nothing unless they are told to."""

    name: ClassVar[str] = "near"
    half_life_share: float = LONG
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "half_life_share": (SHORT, 50.0, 100.0, 200.0, 400.0, LONG),
        "entries": (20_000_000, 30_000_000),
    }


@dataclass
class Level(Source):
    """Knows the future as well as its level says: the value of each point is known."""

    name: ClassVar[str] = "level"
    level: float = 0.5
    samples: int = 1_000
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"level": (0.5, 0.3, 0.1, 0.9, 0.7, 0.8)}
    fitted: ClassVar[list[tuple[float, int, int]]] = []

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        self.shape_ = dataset.shape
        self.fitted.append((self.level, self.samples, len(np.unique(dataset.user))))
        return self

    def opinions(self, users: Int32) -> DenseOpinions:
        scores = np.random.default_rng(1).random(self.shape_).astype(np.float32)[users]
        wanted = FUTURE[users]
        heard = np.random.default_rng(2).random(self.shape_)[users] < self.level
        return DenseOpinions(scores + np.where(wanted & heard, np.float32(1), np.float32(0)))


@dataclass
class Fading(Level):
    """Has a half-life beside its level."""

    name: ClassVar[str] = "fading"
    half_life_share: float = 1.0
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {**Level.space, "half_life_share": (0.5, 1.0, 2.0, 4.0)}


@dataclass
class Hopeless(Level):
    """Knows next to nothing, whatever its level."""

    name: ClassVar[str] = "hopeless"
    level: float = 0.0
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"level": (0.0, 0.001, 0.002, 0.003, 0.004, 0.005)}


@dataclass
class Broken(Level):
    """Cannot be fitted at one point of its space."""

    name: ClassVar[str] = "broken"

    def fit(self, dataset: Dataset, seed: int) -> Self:
        if self.level != 0.5:
            raise FloatingPointError("the library gave up")
        return super().fit(dataset, seed)


NEAR, LEVEL = {"near": Near}, {"level": Level}


def switched(users: int = 240, items: int = 40) -> Dataset:
    """Two tastes that are exchanged ten days before the end: what was liked before then says nothing any more."""
    rng = np.random.default_rng(0)
    rows = users * DAYS // 2
    user, day = rng.integers(0, users, rows), rng.integers(0, DAYS, rows)
    taste = (user + (day >= DAYS - 20)) % 2
    item = 2 * rng.integers(0, items // 2, rows) + taste
    names = [f"u{one:03}" for one in user], [f"i{one:02}" for one in item]
    return Dataset.from_arrays(*names, day * DAY_US, until_us=DAYS * DAY_US)


def split_of(dataset: Dataset, days: int = 5) -> Split:
    return by_time(dataset, dataset.until_us - days * DAY_US)


SHOP = split_of(shop(users=400), 12)
FUTURE = np.zeros(SHOP.train.shape, bool)
FUTURE[SHOP.users] = SHOP.truth.toarray() > 0
SWITCHED = split_of(switched())


def remember(*nights: Tuned) -> Memory:
    """What a night reads, through JSON, the latest first."""
    return Memory.of([{"tuning": json.loads(json.dumps(one.record))} for one in nights])


def test_the_half_life_is_found_when_tastes_switched() -> None:
    tuned = tune(SWITCHED, 0, Budget(11), sources=NEAR)
    assert tuned.params["near"]["half_life_share"] == SHORT
    (taken,) = (one for one in tuned.trials if one.chosen)
    assert taken.gain is not None
    assert taken.gain > 0.05
    assert tuned.stopped == ""


@pytest.mark.law
def test_the_same_history_seed_trials_and_memory_give_the_same_parameters() -> None:
    memory = remember(tune(SWITCHED, 3, Budget(4), sources=NEAR))
    first, second = (tune(SWITCHED, 3, Budget(4), memory, NEAR) for _ in range(2))
    assert first == second
    other = tune(SWITCHED, 4, Budget(4), memory, NEAR)
    assert [one.key for one in other.trials] != [one.key for one in first.trials]


def test_the_best_point_wins_and_the_record_says_by_how_much() -> None:
    tuned = tune(SHOP, 0, Budget(5), sources=LEVEL)
    assert tuned.params == {"level": {"level": 0.9}}
    values = {one.params.get("level", 0.5): one.value for one in tuned.trials}
    assert sorted(values, key=values.__getitem__) == [0.1, 0.3, 0.5, 0.7, 0.8, 0.9]
    assert json.loads(json.dumps(tuned.record))["params"] == {"level": {"level": 0.9}}


def test_the_second_night_begins_at_the_winner_and_tries_what_was_not_tried() -> None:
    first = tune(SHOP, 0, Budget(2), sources=LEVEL)
    second = tune(SHOP, 0, Budget(2), remember(first), LEVEL)
    tried, again = ({one.key for one in night.trials} for night in (first, second))
    (winner,) = (one.key for one in first.trials if one.chosen)
    usual = first.trials[0].key
    assert again & tried == {winner, usual}
    third = tune(SHOP, 0, Budget(2), remember(second, first), LEVEL)
    assert third.params == {"level": {"level": 0.9}}
    assert len(tried | again | {one.key for one in third.trials}) == 6


def test_a_winner_that_is_no_longer_in_the_space_is_forgotten() -> None:
    first = tune(SHOP, 0, Budget(5), sources=LEVEL)
    kept = json.loads(json.dumps(first.record).replace("0.9", "0.95"))
    memory = Memory.of([{"tuning": kept}])
    assert memory.winner("level") == {"level": 0.95}
    assert tune(SHOP, 0, Budget(1, minutes=0), memory, LEVEL).params == {}


def test_without_time_no_trial_is_spent_on_how_ties_fade() -> None:
    timeless = replace(SHOP, train=replace(SHOP.train, time_kind="none"))
    tuned = tune(timeless, 0, Budget(5), sources={"fading": Fading})
    assert tuned.params == {"fading": {"level": 0.9}}
    assert {name for one in tuned.trials for name in one.params} == {"level"}
    assert any("half_life_share" in one.params for one in tune(SHOP, 0, Budget(5), sources={"fading": Fading}).trials)


def test_where_nothing_is_taken_again_what_visitors_have_is_left_out() -> None:
    """Most of what is popular they have already: lists of all items would be judged by what cannot be right."""
    never = leave_out(checkerboard(), seed=0)
    assert never.new_truth.nnz == never.truth.nnz
    popular = RecentPopular().fit(never.train, 0)
    parts = rungs.ndcg(popular, never)
    assert parts["all"].tolist() == parts["new"].tolist()
    often = replace(never, new_truth=sp.csr_matrix(never.truth.shape))
    assert rungs.mean(rungs.ndcg(popular, often)["all"]) < rungs.mean(parts["all"])


@pytest.mark.parametrize("budget", [Budget(0), Budget(0, 0)])
def test_no_trials_are_the_defaults_whatever_was_remembered(budget: Budget) -> None:
    memory = remember(tune(SHOP, 0, Budget(5), sources=LEVEL))
    assert tune(SHOP, 0, budget, memory, LEVEL) == Tuned()


def test_when_time_is_over_the_last_winner_stays_and_the_record_says_so() -> None:
    memory = remember(tune(SHOP, 0, Budget(5), sources=LEVEL))
    stopped = tune(SHOP, 0, Budget(5, minutes=0), memory, LEVEL)
    assert stopped.params == {"level": {"level": 0.9}}
    assert stopped.record["stopped"] == "the 0 minutes were over after 0 trials"
    assert remember(stopped).trials == ()


def test_a_source_that_stays_far_behind_gets_few_trials() -> None:
    """One of the first two trials; a poor default alone is no reason: `Late` is good at every other point."""
    tuned = tune(SHOP, 0, Budget(6), sources={"hopeless": Hopeless, **LEVEL})
    assert Counter(one.source for one in tuned.trials if one.params) == {"hopeless": 1, "level": 5}

    @dataclass
    class Late(Level):
        name: ClassVar[str] = "late"
        level: float = 0.0
        space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"level": (0.0, 0.9, 0.91, 0.92, 0.93, 0.94)}

    tuned = tune(SHOP, 0, Budget(8), sources={"late": Late, **LEVEL})
    assert Counter(one.source for one in tuned.trials if one.params) == {"late": 4, "level": 4}


def test_trials_are_dealt_to_sources_in_turn() -> None:
    tuned = tune(SWITCHED, 0, Budget(5), sources={"near": Near, "recent": type("Recent", (Near,), {"name": "recent"})})
    assert [sum(one.source == name and bool(one.params) for one in tuned.trials) for name in ("near", "recent")] == [
        3,
        2,
    ]


def test_few_visitors_bring_few_trials() -> None:
    few = SHOP.sample(60, 0)
    assert len(tune(few, 0, Budget(5), sources=LEVEL).trials) == 1 + 60 // JUDGES_A_TRIAL
    assert tune(SHOP.sample(10, 0), 0, Budget(5), sources=LEVEL).params == {}


def test_luck_alone_changes_little() -> None:
    """Every point knows the same: on few visitors one looks better than the defaults, and seldom is taken."""

    @dataclass
    class Lucky(Level):
        """A level of noise for each point."""

        name: ClassVar[str] = "lucky"
        draw: int = 0
        space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"draw": tuple(range(9))}

        def opinions(self, users: Int32) -> DenseOpinions:
            noise = np.random.default_rng(self.draw).random(self.shape_).astype(np.float32)
            return DenseOpinions(noise[users])

    taken = [tune(SHOP.sample(100, seed), seed, Budget(4), sources={"lucky": Lucky}).params for seed in range(10)]
    assert sum(bool(one) for one in taken) <= 6


def test_a_source_that_fails_is_not_silenced() -> None:
    with pytest.raises(FloatingPointError, match="gave up"):
        tune(SHOP, 0, Budget(2), sources={"broken": Broken})


def test_a_long_history_is_cut_and_gradient_steps_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the visitors, then all that count: whoever is dropped cost a third."""
    rows = len(SHOP.train.user)
    monkeypatch.setattr(rungs, "MOST_INTERACTIONS", rows // 2)
    monkeypatch.setattr(rungs, "FEWEST_INTERACTIONS", rows // 7)
    monkeypatch.setattr(rungs, "FEWEST_JUDGED", 50)
    monkeypatch.setattr(rungs, "MOST_JUDGED", 150)
    Level.fitted.clear()
    tuned = tune(SHOP, 0, Budget(5), sources=LEVEL)
    assert tuned.rungs == pytest.approx((1 / 6, 1 / 2), rel=0.01)
    assert tuned.params == {"level": {"level": 0.9}}
    assert [samples for _, samples, _ in Level.fitted] == [500, *[167] * 5, 500, 500]
    everybody = len(np.unique(SHOP.train.user))
    assert max(users for _, samples, users in Level.fitted if samples == 500) < 0.8 * everybody
    assert sum(one.gain is None for one in tuned.trials) == 3


@pytest.mark.parametrize("dataset", [checkerboard(), Dataset.from_arrays([], [], np.empty(0, np.int64))])
def test_little_or_no_history_is_no_error(dataset: Dataset) -> None:
    assert isinstance(tune(split_of(dataset), 0, Budget(5), sources=NEAR | {"popular": RecentPopular}), Tuned)
