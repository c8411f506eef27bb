from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import planted_history as planted
import pytest

from portraits.build import fields
from portraits.features import REGISTRY

Row = dict[str, Any]
WORDS = {"s": "subscribe", "m": "message_sent", "u": "unsubscribe", "o": "message_open"}
LEFT = {"o": 0, "s": 1, "sss": 3, "ssm": 1, "sm": 0, "mms": 1, "smmmss": 2, "ssu": 0, "ssus": 1, "susm": 0, "ssmums": 1}
AT_ONCE = {"m=s": 0, "s=u": 0, "u=s": 0}
OPENED = {"mmmo": 1 / 3, "moo": 1, "so": None}
JOINED = planted.AS_OF - timedelta(days=9, hours=23)
USERS: list[Row] = [
    {"user_id": "s", "member_tier": "gold", "points": 40, "joined_at": JOINED},
    {"user_id": "o", "joined_at": planted.AS_OF},
]
POINTS = (5, -3, None, 7)


@cache
def portraits() -> dict[str, Row]:
    """A visitor for each text, named after it, and one with points."""
    rows = [row for text in (*LEFT, *AT_ONCE, *OPENED) for row in told(text)]
    rows += [{"user_id": "p", "ts": planted.START, "type": "purchase", "points": points} for points in POINTS]
    past = planted.past(planted.numbered(rows, "e"), user_rows=USERS)
    membership = [field for field in REGISTRY.values() if field.family == "membership"]
    return {row["user_id"]: row for row in fields(past, membership).to_pyarrow().to_pylist()}


def told(text: str) -> list[Row]:
    """One event a letter, a minute apart; a letter after a '=' shares the moment of the one before."""
    rows: list[Row] = []
    minute = 0
    for n, letter in enumerate(text):
        minute += letter != "=" and (n == 0 or text[n - 1] != "=")
        if letter != "=":
            rows.append({"user_id": text, "ts": planted.START + timedelta(minutes=minute), "type": WORDS[letter]})
    return rows


@pytest.mark.parametrize(("text", "left"), [*LEFT.items(), *AT_ONCE.items()])
def test_permissions_are_counted(text: str, left: int) -> None:
    assert portraits()[text]["permissions_left"] == left


@pytest.mark.parametrize(("text", "share"), OPENED.items())
def test_messages_opened(text: str, share: float | None) -> None:
    assert portraits()[text]["message_open_share"] == (None if share is None else pytest.approx(share))


def test_what_the_catalogue_says() -> None:
    found = portraits()["s"]
    assert (found["member_tier"], found["points_held"], found["member_days"]) == ("gold", 40, 9)
    assert portraits()["o"]["member_days"] is None
    assert portraits()["p"]["member_tier"] is None


def test_points() -> None:
    found = portraits()["p"]
    assert (found["points_earned"], found["points_spent"]) == (5 + 7, 3)
