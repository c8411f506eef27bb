"""What is learnt from replayed days, where what follows from what is planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.bundles.bundle import Bundle
from recommender.bundles.today import Today
from recommender.candidates import make
from recommender.candidates.als import Als
from recommender.candidates.similar import Similar
from recommender.fusion.assemble import NEIGHBOURS, Fitted, bundle_arrays, manifest_of
from recommender.fusion.learn import fit_sources
from recommender.fusion.recipe import Recipe
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.split import Split, by_time
from recommender.plan import Plan
from recommender.sessions.days import cases_of
from recommender.sessions.session import Replay, learn, mixed, search, session_arrays, table_of
from recommender.train import train_dataset

MINUTE_US = 60_000_000
USERS, DAYS, PAIRS = 400, 40, 30
LAST = (DAYS - 7) * DAY_US
NAMES = ("recent_popular", "again", "similar", "als")


def visits(rng: np.random.Generator, users: int) -> list[tuple[int, int]]:
    """Who comes when: three times in the past (every fourth visitor never) and once in the last week."""
    return [
        (user, int(at))
        for user in range(users)
        for at in (*rng.integers(0, LAST, 3 if user % 4 else 0), rng.integers(LAST, DAYS * DAY_US - DAY_US))
    ]


def shop(users: int = USERS) -> Dataset:
    """Whoever looks at an even item buys the odd one after it; which one they look at is of no taste."""
    rng = np.random.default_rng(0)
    rows = []
    for user, at in visits(rng, users):
        pair = int(rng.integers(PAIRS))
        rows.append((f"u{user:03}", f"i{2 * pair:02}", "item_view", at))
        rows.append((f"u{user:03}", f"i{2 * pair + 1:02}", "purchase", at + MINUTE_US))
    return dataset(rows)


def habits() -> Dataset:
    """Everybody buys the same thing every time, whatever they look at."""
    rng = np.random.default_rng(0)
    rows = []
    for user, at in visits(rng, USERS):
        rows.append((f"u{user:03}", f"i{2 * int(rng.integers(PAIRS)):02}", "item_view", at))
        rows.append((f"u{user:03}", f"i{2 * (user % PAIRS) + 1:02}", "purchase", at + MINUTE_US))
    return dataset(rows)


def dataset(rows: list[tuple[str, str, str, int]]) -> Dataset:
    users, items, kinds, ts = zip(*rows, strict=True)
    return Dataset.from_arrays(users, items, np.array(ts), kinds, until_us=DAYS * DAY_US)


def fit(split: Split) -> Fitted:
    pooler = fit_sources(split.train, 0, NAMES)
    recipe = Recipe(
        tuple(one.name for one in pooler.sources), new="recent_popular", repeat="again", mix="repeats_first"
    )
    return Fitted(pooler, recipe, None)


@pytest.fixture(scope="module")
def split() -> Split:
    return by_time(shop(), LAST)


@pytest.fixture(scope="module")
def fitted(split: Split) -> Fitted:
    return fit(split)


def test_what_looking_says_is_learnt(split: Split, fitted: Fitted) -> None:
    """With the defaults the habits of the past, which mean nothing here, stand above what follows."""
    learnt = learn(split, fitted, Plan())
    known, strangers = learnt["judged"]["known"], learnt["judged"]["strangers"]
    assert known["learnt"] > known["default"] > known["night"]
    assert strangers["learnt"] >= strangers["default"] > strangers["night"]
    assert known["learnt"] > 0.8
    assert learnt["weight"] > 1
    assert learn(split, fitted, Plan()) == learnt
    assert json.loads(json.dumps(learnt)) == learnt


def test_where_looking_says_nothing_habits_stay_above_it() -> None:
    split = by_time(habits(), LAST)
    known = learn(split, fit(split), Plan())["judged"]["known"]
    assert known["learnt"] >= known["default"]
    assert known["learnt"] > 0.95


def test_with_too_few_cases_the_day_keeps_its_defaults(fitted: Fitted) -> None:
    few = by_time(shop(users=40), LAST)
    assert learn(few, fitted, Plan()) == {}
    assert session_arrays({}, fitted.pooler.sources, {}) == {}


def test_the_table_that_knows_what_follows_is_chosen(split: Split, fitted: Fitted) -> None:
    """Beside the neighbours stands a table of what really follows."""
    items = split.train.shape[1]
    even = np.arange(0, items, 2)
    oracle, wrong = Similar(), Similar()
    oracle.name, wrong.name = "oracle", "wrong"  # type: ignore[misc]
    oracle.similarity_ = sp.csr_matrix(
        (np.full(len(even), 0.5), (even, even + 1)), shape=(items, items), dtype=np.float32
    )
    wrong.similarity_ = sp.csr_matrix(
        (np.full(len(even), 0.5), (even, even[::-1])), shape=(items, items), dtype=np.float32
    )
    arrays = bundle_arrays(fitted, split.users)
    arrays["neighbour_scores"] = np.zeros_like(arrays["neighbour_scores"])
    replay = Replay(
        cases_of(split, 0), [wrong, oracle], arrays, manifest_of(arrays, split.train, fitted.recipe, Plan())
    )
    found = search(replay)
    assert found["tables"][0] == "oracle"
    made = session_arrays(found, [wrong, oracle], arrays)
    assert made["session_items"].shape == (items, NEIGHBOURS)


def test_factors_are_written_only_where_they_are_used(split: Split, fitted: Fitted) -> None:
    arrays = bundle_arrays(fitted, split.users)
    assert set(session_arrays({"fold": 2.0}, fitted.pooler.sources, arrays)) == {"fold_items", "fold_scale"}
    assert session_arrays({"fold": 2.0}, [], arrays) == {}
    assert session_arrays({"tables": ["crystal"]}, fitted.pooler.sources, arrays) == {}


def test_the_events_of_a_day_lead_to_an_item_that_nobody_took_yet(split: Split, fitted: Fitted) -> None:
    """Item 0 is made one that nobody took, near item 1: it points where that one does, and is as long."""
    als = next(source for source in fitted.pooler.sources if isinstance(source, Als))
    factors, takers = als.item_factors_.copy(), als.takers_.copy()
    factors[0], takers[0] = 0.0, 0
    new = Als().keep(split.train.matrix(), als.user_factors_, factors)
    new.takers_, new.regularization_ = takers, als.regularization_
    arrays = bundle_arrays(fitted, split.users)
    arrays["neighbour_items"][0], arrays["neighbour_scores"][0] = -1, 0.0
    alone = session_arrays({"fold": 2.0}, [new], arrays)["fold_items"]
    assert not alone[0].any()
    arrays["neighbour_items"][0, 0], arrays["neighbour_scores"][0, 0] = 1, 0.5
    lent = session_arrays({"fold": 2.0}, [new], arrays)["fold_items"]
    assert lent[0] @ lent[1] == pytest.approx(np.linalg.norm(lent[0]) * np.linalg.norm(lent[1]), rel=0.1)
    assert np.linalg.norm(lent[0]) == pytest.approx(np.linalg.norm(factors[1]), rel=0.01)


def test_the_mean_of_tables_holds_what_either_says() -> None:
    """The second speaks in numbers ten times as large, and is heard no louder."""
    first = (np.array([[1, -1], [0, 2], [-1, -1]], np.int32), np.array([[0.1, 0], [0.1, 0.05], [0, 0]], np.float32))
    second = (np.array([[2, -1], [2, -1], [-1, -1]], np.int32), np.array([[1.0, 0], [1.0, 0], [0, 0]], np.float32))
    items, scores = mixed([first, second])
    assert items[0, :2].tolist() == [1, 2]
    assert items[1, :2].tolist() == [2, 0]
    assert scores[1, :2].tolist() == pytest.approx([1.0, 1 / 1.5])
    assert mixed([first]) == first


def test_similarities_above_one_become_scores() -> None:
    source = Similar()
    source.similarity_ = sp.csr_matrix(np.array([[0, 4.0], [-1.0, 0]], np.float32))
    items, scores = table_of(source)
    assert (items[0, 0], scores[0, 0], items[1, 0]) == (1, 1.0, -1)


def test_what_a_night_learns_stands_in_its_bundle(tmp_path: Path) -> None:
    night = train_dataset(shop(), tmp_path, Plan())
    assert night.verdict == "publish"
    bundle = Bundle.open(night.folder)
    assert bundle.manifest["session"] == night.report["session"]
    assert bundle.manifest["session"]["judged"]["strangers"]["cases"] > 0
    assert bundle.today == Today.of(bundle.manifest) != Today()
    assert bool(bundle.fold_items.shape[1]) == (bundle.today.fold > 0 and Als.name in bundle.sources)
    assert {source.name for source in make(bundle.manifest["session"].get("tables", ()))} <= set(bundle.sources)
