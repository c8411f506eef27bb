"""What a score of 1 at the first position of a shelf brings, from answers whose purchases are known."""

from __future__ import annotations

import json
from math import log2
from pathlib import Path

import pytest
from planted_answers import Row, answer, at, event, lake_of

from portraits.build import past_of
from portraits.engine import connect
from portraits.settings import AppSettings
from recommender.offers.shelf import DAYS, FEWEST, money_per_score

CUP = {"item_id": "cup", "title": "cup", "price": 1_000, "cost": 400}


def shown(name: str, user: str, hours: float) -> Row:
    """An answer with a score of .8 at the first place and .5 at the second."""
    entries = [{"item_id": "cup", "position": 1, "score": 0.8}, {"item_id": "pot", "position": 2, "score": 0.5}]
    return answer(name, user, hours) | {"candidates": json.dumps(entries)}


def found(root: Path, buyers: int, objective: str = "auto", hours: float = 1.0) -> float | None:
    """Of 100 answers after which so many buy the cup by name of the answer; everybody buys a pot by no answer."""
    users = [f"u{n:03}" for n in range(100)]
    decisions = [shown(f"d-{user}", user, hours) for user in users]
    events = [
        event(user, "purchase", "cup", hours + 1, amount=1_000, decision_id=f"d-{user}") for user in users[:buyers]
    ]
    events += [event(user, "purchase", "pot", hours + 2, amount=700) for user in users]
    snapshot, con = lake_of(root, events, decisions, items=[CUP]), connect(threads=1)
    as_of = at(DAYS * 24)
    return money_per_score(snapshot, past_of(snapshot, AppSettings("shop", objective=objective), as_of, con), con)


def test_it_is_what_items_led_to_by_what_was_looked_at(tmp_path: Path) -> None:
    stood = 100 * (0.8 + 0.5 / log2(3))
    assert found(tmp_path / "margin", 60) == pytest.approx(60 * 600 / stood)
    assert found(tmp_path / "revenue", 60, "revenue") == pytest.approx(60 * 1_000 / stood)


def test_of_too_little_nothing_is_said(tmp_path: Path) -> None:
    assert found(tmp_path / "few", FEWEST - 1) is None
    assert found(tmp_path / "old", 60, hours=-5) is None
