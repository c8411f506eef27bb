"""Answers about offers and what followed them, as plain rows, and the trials that they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planted_answers import Row, answer, at, lake_of

from portraits.engine import connect
from portraits.settings import AppSettings
from recommender.offers.trials import Trials, trials

SETTINGS = AppSettings("shop", time_zone="UTC", objective="margin", offer_days=2.0, offer_control_share=0.2)
OFFERS = [
    {"offer_id": "cash", "kind": "cash", "value": 500},
    {"offer_id": "tenth", "kind": "discount", "value": 1_000, "max_cost": 300},
]
MONEY = ("propensity", "bought", "margin", "revenue", "cost", "own_cost", "redeemed", "unseen")


def entry(offer: str, propensity: float | None = 0.5, position: int | None = 1, **more: Any) -> Row:
    """An offer in an answer."""
    return {"offer_id": offer, "position": position, "source": "learned", "propensity": propensity} | more


def none(propensity: float | None = 0.5, **more: Any) -> Row:
    """How likely none was."""
    return {"source": "none", "propensity": propensity} | more


def offered(name: str, user: str, hours: float, *entries: Row, arm: str | None = "treated", **more: Any) -> Row:
    """An answer about offers."""
    told = {"policy": "offers", "placement": "offers", "candidates": json.dumps(list(entries))} | more
    return answer(name, user, hours, arm=arm, **told)


def tried(root: Path, events: list[Row], decisions: list[Row], days: float = 10, **catalogues: Any) -> Trials:
    """The trials of these rows as of so many days after the start; without what is known of the visitors, by
    default."""
    settings, known = catalogues.pop("settings", SETTINGS), catalogues.pop("known", False)
    snapshot = lake_of(root, events, decisions, **({"offers": OFFERS} | catalogues))
    return trials(snapshot, settings, at(24 * days), connect(), known=known)


def of(found: Trials, user: str) -> Row:
    """The one trial of a visitor, its offers by their ids."""
    (row,) = (n for n, name in enumerate(found.user_id) if name == user)
    names = [*found.offers, None]
    told: Row = {name: float(getattr(found, name)[row]) for name in MONEY}
    told |= {name: bool(getattr(found, name)[row]) for name in ("control", "exposed", "complete")}
    return told | {"action": names[found.action[row]], "intended": names[found.intended[row]]}
