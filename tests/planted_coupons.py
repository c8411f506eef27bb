"""A shop whose offers are good, worthless or hunted, as plain rows: answers with a holdout, and what followed them."""

from __future__ import annotations

import json
import random
from typing import Any

from planted_answers import Row, answer, event

from portraits.settings import AppSettings

OFFERS = ("good", "worthless", "hunted")
SETTINGS = AppSettings("shop", time_zone="UTC", objective="margin", offer_days=2.0, offer_control_share=0.25)
VISITORS, DAYS = 1_600, 20
COUPON = {"good": 100, "worthless": 100, "hunted": 400}
BASE, LIFT, MARGIN = 0.35, 0.4, 600
"""Chance to buy a tea, what the good offer adds to it, and the tea's margin."""
PROFIT = {"good": LIFT * MARGIN - (BASE + LIFT) * 100, "worthless": 0.0, "hunted": -BASE * 400}
"""What giving each offer adds, an answer."""
CATALOGUE = {
    "items": [{"item_id": "tea", "price": 1_000, "cost": 400}],
    "offers": [{"offer_id": one, "kind": "cash", "value": COUPON[one]} for one in OFFERS],
    "users": [{"user_id": "no", "consent": False}],
}


def entry(offer: str, propensity: float | None = 0.5) -> Row:
    """An offer in an answer."""
    return {"offer_id": offer, "position": 1, "source": "learned", "propensity": propensity}


def none(propensity: float | None = 0.5) -> Row:
    """How likely none was."""
    return {"source": "none", "propensity": propensity}


def offered(name: str, user: str, hours: float, *entries: Row, **more: Any) -> Row:
    """An answer about offers."""
    told = {"policy": "offers", "placement": "offers", "candidates": json.dumps(list(entries))}
    return answer(name, user, hours, **told | more)


def bought(user: str, hour: float, order: str, coupon: str | None) -> list[Row]:
    """A tea for 1,000, or less with a coupon, which is claimed before."""
    off = 0 if coupon is None else COUPON[coupon]
    paid = event(user, "purchase", "tea", hour, order_id=order, amount=1_000 - off)
    if coupon is None:
        return [paid]
    redeemed = event(user, "offer_redeem", None, hour, offer_id=coupon, order_id=order, amount=off)
    return [paid, event(user, "offer_claim", None, hour - 0.5, offer_id=coupon), redeemed]


def shop(seed: int = 0, held: float = 0.25) -> tuple[list[Row], list[Row]]:
    """Each visitor comes twice, far apart, and an offer is drawn. Whoever buys with the good or the hunted one uses it;
    nobody uses the worthless one."""
    rng = random.Random(seed)
    events, decisions = [], []
    for n in range(VISITORS):
        user, control = f"u{n:04}", rng.random() < held
        for turn in range(2):
            hour, offer, name = rng.uniform(0, 90) + 150 * turn, rng.choice(OFFERS), f"d{n}-{turn}"
            arm = "control" if control else "treated"
            decisions.append(offered(name, user, hour, entry(offer, 1 / 3), none(0.0), arm=arm, version=f"v{turn}"))
            if not control:
                events.append(event(user, "offer_exposure", None, hour, offer_id=offer, decision_id=name))
            if rng.random() < BASE + LIFT * (offer == "good" and not control):
                uses = not control and offer != "worthless"
                events += bought(user, hour + 2, f"o{n}-{turn}", offer if uses else None)
    events += bought("no", 3, "refused", "good")
    return events, [*decisions, offered("dno", "no", 1, entry("good"), none())]
