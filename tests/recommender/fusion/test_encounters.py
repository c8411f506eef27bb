"""What follows a moment: who touched what beside others, what was shown and opened, what was taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted_shown
import pytest
import scipy.sparse as sp

from recommender.fusion.encounters import Cases, Encounters, Pairs, encounters_of, opened_above
from recommender.fusion.learn import fit_sources
from recommender.fusion.pool import Pool
from recommender.fusion.response import Response
from recommender.history.dataset import Float32, Int32
from recommender.history.exposures import Exposures, Looks
from recommender.history.kinds import TARGETS
from recommender.history.split import Split


@pytest.fixture(scope="module")
def split() -> Split:
    return planted_shown.split()


@pytest.fixture(scope="module")
def pairs(split: Split) -> Pairs:
    return Pairs(fit_sources(split.train, 0, ["popular", "similar"]), {})


def by_popularity(pool: Pool) -> Float32:
    return pool.scores[:, :, 0]


@pytest.fixture(scope="module")
def encounters(split: Split, pairs: Pairs) -> Encounters:
    found = encounters_of(pairs, split, planted_shown.looks, by_popularity, 0)
    assert found is not None
    return found


def keys(user: Int32, item: Int32) -> set[tuple[int, int]]:
    return set(zip(user.tolist(), item.tolist(), strict=True))


def test_only_what_is_new_to_visitors_who_are_known(encounters: Encounters, split: Split) -> None:
    train = split.train
    had = keys(*train.bought.nonzero())
    for cases in (encounters.met, encounters.shown, encounters.touched):
        assert not keys(cases.user, cases.item) & had
        assert set(cases.user.tolist()) <= set(train.user.tolist())


def test_touched_are_pairs_of_after_the_moment(encounters: Encounters, split: Split) -> None:
    assert split.after is not None
    after, met = split.after, encounters.met
    touched = keys(met.user[met.came], met.item[met.came])
    assert touched == keys(after.user, after.item) - keys(*split.train.bought.nonzero())
    assert not touched & keys(met.user[~met.came], met.item[~met.came])
    bought = keys(after.user[after.is_target], after.item[after.is_target])
    taken = encounters.touched
    assert keys(taken.user[taken.came], taken.item[taken.came]) == bought & touched


def test_contrast_has_the_same_items_in_other_hands(encounters: Encounters) -> None:
    """So popularity tells nothing: the share of strange pairs is about the same for the trap as for the rest."""
    met = encounters.met
    items = [np.bincount(met.item[met.came == came], minlength=planted_shown.ITEMS) for came in (True, False)]
    shares = [count[1:] / count[1:].sum() for count in items]
    assert np.corrcoef(*shares)[0, 1] > 0.8
    own = met.user % 2 == met.item % 2
    own_share = [own[(met.came == came) & (met.item != planted_shown.TRAP)].mean() for came in (True, False)]
    assert own_share[0] > 0.8
    assert own_share[1] < 0.6


def test_features_are_those_of_the_pairs(encounters: Encounters, pairs: Pairs) -> None:
    """Asked for in another order and with others they are the same."""
    shown = encounters.shown
    some = np.random.default_rng(0).permutation(len(shown.user))[:50]
    np.testing.assert_array_equal(pairs.at(shown.user[some], shown.item[some]), shown.features[some])
    popular = shown.features[:, pairs.names.index("score_popular")]
    np.testing.assert_allclose(encounters.order, popular, rtol=1e-6)
    assert not any(name.startswith("rank_") or name in ("looked_at", "passed_over") for name in pairs.names)


def test_a_place_counts_as_often_as_it_is_looked_at(split: Split, pairs: Pairs) -> None:
    nobody = sp.csr_matrix(split.train.shape)
    examined = Exposures(np.array([1.0, 0.5]), np.full(split.train.shape[1], np.nan), nobody, nobody)
    known = replace(split, train=replace(split.train, exposures=examined))
    found = encounters_of(pairs, known, planted_shown.looks, by_popularity, 0)
    assert found is not None
    assert set(found.looks.tolist()) == {1.0, 0.5}


def test_too_little_was_opened(split: Split, pairs: Pairs) -> None:
    assert encounters_of(pairs, split, lambda *_: Looks.none(), by_popularity, 0) is None
    assert encounters_of(pairs, replace(split, after=None), planted_shown.looks, by_popularity, 0) is None


def test_where_a_click_is_wanted_nothing_more_is_asked(split: Split, pairs: Pairs) -> None:
    clicks = replace(split, train=replace(split.train, target=TARGETS["clicks"]))
    found = encounters_of(pairs, clicks, planted_shown.looks, by_popularity, 0)
    assert found is not None
    assert not len(found.touched.came)
    response = Response(found.names, planted_shown.ITEMS, 0).fit([found])
    features, items = found.shown.features, found.shown.item
    nothing = np.zeros(len(items))
    np.testing.assert_array_equal(response.predict(features, items, nothing), response.opened(features, items))


def test_what_is_opened_above_what_is_not() -> None:
    """Ann opened one above two thirds of the looks she passed over; bob opened everything, and cid nothing."""
    user = np.array([0, 0, 0, 1, 2], np.int32)
    opened = np.array([True, False, False, True, False])
    shown = Cases(np.zeros((5, 0), np.float32), opened, user, np.zeros(5, np.int32))
    looks = np.array([1.0, 1.0, 0.5, 1.0, 1.0])
    encounters = Encounters((), shown, shown, shown, looks, looks)
    assert opened_above(encounters, np.array([2.0, 1.0, 3.0, 0.0, 9.0])) == pytest.approx([2 / 3])
    assert opened_above(encounters, np.array([2.0, 2.0, 1.0, 0.0, 9.0])) == pytest.approx([(1.0 / 2 + 0.5) / 1.5])
    one = encounters.of(np.array([True, False, False]))
    assert one.shown.user.tolist() == [0, 0, 0]
    assert one.looks.tolist() == [1.0, 1.0, 0.5]
