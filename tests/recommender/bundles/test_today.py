"""What was learnt is read, what was not keeps its default."""

from __future__ import annotations

from recommender.bundles.today import EXCHANGE, POPULAR, SIGNALS, WEIGHT, Today


def test_a_manifest_that_says_nothing_keeps_the_defaults() -> None:
    assert Today.of({}) == Today() == Today.of({"session": {}}) == Today.of({"session": None})
    assert Today().signals == {kind: weight for kind, (weight, _) in SIGNALS.items()}


def test_learnt_weights_are_multiples_of_what_was_measured() -> None:
    """The day's of the rate of exchange, the popular items' of a visitor's best candidate."""
    learnt = {"weight": 3.0, "popular": 0.5, "fade": 0.7, "fold": 2.0}
    today = Today.of({"session_weight": 0.2, "popular_weight": 0.6, "session": learnt})
    assert (today.weight, today.alone, today.popular) == (0.2 * 3.0, 0.2, 0.6 * 0.5)
    assert (today.fade, today.fold) == (0.7, 2.0)


def test_where_nothing_was_learnt_the_night_leads_for_whom_it_knows_and_the_day_for_a_stranger() -> None:
    today = Today.of({"session_weight": 0.2, "popular_weight": 0.6})
    assert today.weight == 0.2 * WEIGHT < today.alone == 0.2
    assert today.popular == 0.6 * POPULAR < 0.6
    assert Today.of({}).alone == EXCHANGE


def test_a_learnt_signal_stands_for_its_own_type_only() -> None:
    signals = Today.of({"session": {"signals": {"cart": 1.6}, "tables": ["similar"], "judged": {}}}).signals
    assert signals["cart"] == 1.6
    assert signals["item_view"] == SIGNALS["item_view"][0]
