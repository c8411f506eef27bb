"""Next after this: the order of what people take is what it learns."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates.follows import Follows
from recommender.history.dataset import Dataset


def chains(users: int = 60, length: int = 12) -> Dataset:
    """Everybody walks along the ring i00 -> i01 -> ... -> i11 -> i00, from a place of their own, five steps."""
    user, item, ts = [], [], []
    for number in range(users):
        for step in range(5):
            user.append(f"u{number:02d}")
            item.append(f"i{(number + step) % length:02d}")
            ts.append(1_000 * step + number)
    return Dataset.from_arrays(user, item, np.array(ts))


def plain(dataset: Dataset, source: Follows) -> np.ndarray:
    """What follows what, said again in loops."""
    total = np.zeros((dataset.shape[1], dataset.shape[1]))
    for user in range(dataset.shape[0]):
        own = dataset.user == user
        times = sorted(set(dataset.ts_us[own].tolist()))
        baskets = [
            {
                item: max(dataset.strength[dataset.kind[own & (dataset.ts_us == ts) & (dataset.item == item)]])
                for item in dataset.item[own & (dataset.ts_us == ts)].tolist()
            }
            for ts in times
        ]
        for at, basket in enumerate(baskets):
            for other in range(max(at - source.window, 0), min(at + source.window + 1, len(baskets))):
                share = 1.0 if other >= at else source.backward
                nearness = share / max(abs(other - at), 1) / np.sqrt(len(baskets[other]))
                for a, first in basket.items():
                    for b, second in baskets[other].items():
                        total[a, b] += first * second * nearness
    takers = np.zeros((dataset.shape[1], 1))
    for user in range(dataset.shape[0]):
        for ts in set(dataset.ts_us[dataset.user == user].tolist()):
            takers[list(set(dataset.item[(dataset.user == user) & (dataset.ts_us == ts)].tolist())), 0] += 1
    takers = np.maximum(takers, 1)
    total /= np.sqrt(takers) * takers.T**source.damping
    np.fill_diagonal(total, 0)
    return total


@pytest.mark.parametrize("backward", [0.0, 0.5, 1.0])
def test_the_next_of_a_chain_comes_first(backward: float) -> None:
    """Whoever stands at item n wants n + 1: it is the nearest that the user does not have yet, and ahead."""
    ring = chains()
    users = np.arange(60, dtype=np.int32)
    source = Follows(backward=backward).fit(ring, seed=0)
    items, _ = source.recommend(users, 1, ring.bought.toarray() == 0)
    right = [(number + 5) % 12 for number in range(60)]
    share = np.mean(items[:, 0] == right)
    assert share == 1.0 if backward < 1 else share > 0.5


def test_only_the_order_tells_before_from_after() -> None:
    """Taken alone, item 3 speaks for 4; without a direction as much for 2."""
    ring = chains()
    ahead = Follows(backward=0.0).fit(ring, seed=0).similarity_.toarray()
    assert ahead[3, 4] > 0
    assert ahead[3, 2] == 0
    both = Follows(backward=1.0).fit(ring, seed=0).similarity_.toarray()
    np.testing.assert_allclose(both[3, 4], both[3, 2])


@pytest.mark.parametrize("params", [{}, {"window": 1, "backward": 0.0}, {"window": 10, "damping": 0.75}])
def test_it_is_what_the_loops_say(params: dict[str, float]) -> None:
    dataset = shop(users=12, items=10, days=20)
    source = Follows(**params)  # type: ignore[arg-type]
    found = source.fit(dataset, seed=0).similarity_.toarray()
    np.testing.assert_allclose(found, plain(dataset, source), rtol=1e-4, atol=1e-6)


def test_blocks_of_items_are_all_items_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = shop()
    whole = Follows().fit(dataset, seed=0).similarity_.toarray()
    monkeypatch.setattr("recommender.candidates.follows.PAIRS_AT_ONCE", 500)
    np.testing.assert_allclose(Follows().fit(dataset, seed=0).similarity_.toarray(), whole, rtol=1e-5)


def test_a_basket_has_no_order() -> None:
    """Tea and pot were taken at once: each speaks for the other alike, whatever their numbers."""
    dataset = Dataset.from_arrays(["ann", "ann", "bob"], ["tea", "pot", "cup"], np.array([5, 5, 5]))
    found = Follows().fit(dataset, seed=0).similarity_.toarray()
    assert found[1, 2] == found[2, 1] > 0


def test_the_latest_item_speaks_loudest() -> None:
    """Ann took a, then c. b follows a and d follows c as often: d comes first."""
    rows = [("u1", "a", 1), ("u1", "b", 2), ("u2", "c", 1), ("u2", "d", 2), ("ann", "a", 1), ("ann", "c", 2)]
    users, items, ts = zip(*rows, strict=True)
    dataset = Dataset.from_arrays(users, items, np.array(ts))
    ann = np.array([0], np.int32)
    found, _ = Follows().fit(dataset, seed=0).recommend(ann, 1, dataset.bought[ann].toarray() == 0)
    assert dataset.items[found[0, 0]] == b"d"


def test_only_the_nearest_are_kept() -> None:
    source = Follows(neighbours=50, entries=0).fit(shop(items=120), seed=0)
    assert np.diff(source.similarity_.indptr).max() <= 50


def test_there_must_be_an_order() -> None:
    assert Follows.suits(chains())
    assert not Follows.suits(Dataset.from_arrays(["ann"], ["tea"]))
