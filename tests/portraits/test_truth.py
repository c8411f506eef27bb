"""The planted truth of a small sample shop is recovered, and better where there is more history.

`tests/benchmarks/bench_truth.py` prints the same checks for larger shops.
"""

from __future__ import annotations

from typing import Any

import pytest
import truth_recovery as truth


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    shop = truth.live(0, 50_000, tmp_path_factory.mktemp("shop"))
    return {row["check"].strip(): row for row in truth.table(shop)}


@pytest.mark.parametrize(
    ("check", "least"),
    [
        ("top leaf category", 0.4),
        ("top leaf liked or needed", 0.75),
        ("three leaf categories", 0.5),
        ("top leaf by contents", 0.3),
        ("top brand is liked", 0.6),
        ("budget", 0.25),
        ("discount sensitivity", 0.25),
        ("usual hour", 0.7),
        ("weekend habit", 0.25),
        ("of those with a gap", 0.5),
        ("home store", 0.75),
        ("usual entrance", 0.65),
        ("sharers", 0.6),
        ("sharers by habit", 0.6),
        ("key sharers", 0.6),
        ("friends reached", 0.9),
        ("paying friends", 0.9),
        ("reading habit", 0.4),
    ],
)
def test_what_was_planted_is_found(recovered: dict[str, dict[str, Any]], check: str, least: float) -> None:
    assert recovered[check]["all"] >= least, recovered[check]


def test_far_better_than_guessing(recovered: dict[str, dict[str, Any]]) -> None:
    assert recovered["top leaf category"]["all"] > 3 * recovered["guessing the most liked"]["all"]


@pytest.mark.parametrize(
    "check", ["top leaf liked or needed", "usual hour", "rhythm of needs", "usual entrance", "sharers", "reading habit"]
)
def test_more_history_says_more(recovered: dict[str, dict[str, Any]], check: str) -> None:
    assert recovered[check]["11+"] > recovered[check]["1-2"], recovered[check]
