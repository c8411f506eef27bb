"""What was learnt is read, what was not keeps its default."""

from __future__ import annotations

from recommender.bundles.today import EXCHANGE, SIGNALS, Today


def test_a_manifest_that_says_nothing_keeps_the_defaults() -> None:
    assert Today.of({}) == Today() == Today.of({"session": {}}) == Today.of({"session": None})
    assert Today().signals == {kind: weight for kind, (weight, _) in SIGNALS.items()}


def test_weights_are_multiples_of_the_rate_of_exchange() -> None:
    today = Today.of({"session_weight": 0.2, "session": {"weight": 3.0, "popular": 0.5, "fade": 0.7, "fold": 2.0}})
    assert (today.weight, today.alone, today.popular) == (0.2 * 3.0, 0.2, 0.2 * 0.5)
    assert (today.fade, today.fold) == (0.7, 2.0)


def test_without_a_learnt_weight_the_rate_itself_weighs() -> None:
    assert Today.of({"session_weight": 0.2}).weight == 0.2
    assert Today.of({}).weight == EXCHANGE


def test_a_learnt_signal_stands_for_its_own_type_only() -> None:
    signals = Today.of({"session": {"signals": {"cart": 1.6}, "tables": ["similar"], "judged": {}}}).signals
    assert signals["cart"] == 1.6
    assert signals["item_view"] == SIGNALS["item_view"][0]
