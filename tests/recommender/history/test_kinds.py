"""Kinds of interactions: what counts as success, by the objective and by what there is enough of."""

from __future__ import annotations

import pytest

from recommender.history.dataset import Dataset
from recommender.history.kinds import FEWEST_LEARNERS


def test_what_sells_has_purchases_for_a_target() -> None:
    assert Dataset.from_arrays(["ann", "bob"], ["tea"] * 2, [1, 2], ["purchase", "item_view"]).target == ("purchase",)
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["item_view"]).target == ("click", "item_view", "content_view")
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["purchase"], objective="clicks").target[0] == "click"
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["purchase"], objective="margin").target == ("purchase",)
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["item_view"], objective="revenue").target[0] == "click"


@pytest.mark.parametrize("buyers", [0, 1, FEWEST_LEARNERS - 1, FEWEST_LEARNERS])
def test_a_few_test_orders_do_not_make_a_shop(buyers: int) -> None:
    """Everybody looks at two things, so that their orders can be foretold; some buy. A target takes enough of them."""
    people = [f"u{number:02}" for number in range(FEWEST_LEARNERS + 5)]
    lines = [(user, item, "item_view") for user in people for item in "ab"]
    lines += [(user, "c", "purchase") for user in people[:buyers]]
    users, items, kinds = zip(*lines, strict=True)
    found = Dataset.from_arrays(users, items, kinds=kinds)
    assert ("purchase" in found.target) is (buyers >= FEWEST_LEARNERS)


def test_a_single_order_teaches_nothing() -> None:
    """Many who bought one thing and are not known by anything else, beside many who look around."""
    once = [(f"once{number}", "c", "purchase") for number in range(99)]
    browsing = [(f"u{number}", item, "item_view") for number in range(FEWEST_LEARNERS) for item in "ab"]
    users, items, kinds = zip(*once, *browsing, strict=True)
    assert "item_view" in Dataset.from_arrays(users, items, kinds=kinds).target
    assert Dataset.from_arrays(users[:99], items[:99], kinds=kinds[:99]).target == ("purchase",)
