"""What a night leaves to read, where little of it is known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from serving.console.views import night
from serving.stores.nights import RunRecord
from serving.summary import NightSummary, comparisons, in_words

NIGHT = datetime(2026, 3, 2, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
FOUND = {"recall": [0.5, 0.4, 0.6], "ndcg": [0.4, 0.3, 0.5], "hit": [0.9, 0.8, 1.0]}
NOBODY = dict.fromkeys(FOUND)


def summary(**told: Any) -> NightSummary:
    return NightSummary("shop", "r1", NIGHT, "published", "as planted", **told)


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        (
            {"part": "all", "metric": "ndcg", "difference": [0.02, -0.01, 0.03]},
            "NDCG {}: +0.020 (95% -0.010 to +0.030)",
        ),
        ({"part": "all", "difference": [0.02, -0.01, 0.03]}, "NDCG {}: +0.020 (95% -0.010 to +0.030)"),
        (
            {"part": "all", "metric": "value", "difference": [1235.6, -8, 2000]},
            "value a visitor (minor units) {}: +1,235.60 (95% -8.00 to +2,000.00)",
        ),
        ({"part": "new", "metric": "ndcg", "difference": None}, "NDCG {}: nobody could be judged"),
    ],
    ids=["ndcg", "of long ago", "value", "nobody"],
)
def test_a_comparison_says_what_was_compared(compared: dict[str, Any], said: str) -> None:
    parts = {"all": "all items", "new": "items new to the visitor"}
    expected = said.format(f"against recent popular, {parts[compared['part']]}")
    assert list(comparisons([{"rival": "recent_popular", "lost": False} | compared])) == [expected]


def test_a_part_in_which_nobody_could_be_judged_is_told_in_words_and_on_the_console() -> None:
    rows = [
        {"name": name, "part": part, "users": users} | figures
        for part, users, figures in (("all", 80, FOUND), ("new", 0, NOBODY))
        for name in ("recent_popular", "served")
    ]
    told = summary(backtest={"k": 10, "rows": rows})
    lines = list(in_words(told, ZONE))
    assert "  backtest, all items (80 visitors)" in lines
    assert lines[-1] == "  backtest, items new to the visitor: nobody could be judged"
    nobody = summary(backtest={"k": 10, "rows": [row | {"part": "all", "users": 0} | NOBODY for row in rows[2:]]})
    page = night(RunRecord("shop", "r1", NIGHT, NIGHT, NIGHT, "published", {}, nobody.to_dict()), ZONE)
    assert page.rows[0].cells == (("–", ""),) * 3
    assert page.line == ""


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ({"events": 0, "first": None, "last": None}, "no events"),
        ({"events": 1_500, "first": None, "last": None}, "1,500 events without real times"),
    ],
)
def test_a_history_without_times_is_not_dated(history: dict[str, Any], said: str) -> None:
    assert f"  history    {said}" in list(in_words(summary(history=history), ZONE))


@pytest.mark.parametrize(
    ("ctr", "said"),
    [
        ([0.05, 0.04, 0.06], "clicks (5.00% of 2,000 shown, 95% 4.00% to 6.00%), 7 purchases"),
        ([0.05, None, None], "clicks (5.00% of 2,000 shown), 7 purchases"),
        ([None, None, None], "clicks, 7 purchases"),
    ],
    ids=["many", "few", "none shown"],
)
def test_what_the_answers_of_a_day_led_to_is_one_line(ctr: list[float | None], said: str) -> None:
    led = {"answers": 400, "shown": 2_000, "clicks": 100, "purchases": 7, "revenue": 3_500, "ctr": ctr}
    line = f"  answers    400 in a day led to 100 {said}, 3,500 in minor units"
    assert line in in_words(summary(answers=led), ZONE)
    assert not any("answers" in one for one in in_words(summary(), ZONE))
