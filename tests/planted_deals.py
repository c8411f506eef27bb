"""What shopping leaves behind, planted as plain rows: coupons, cancellations, refunds, rhythms, messages, points, ads.

Events of one moment, coupons claimed unseen, offers and items of no catalogue, cancellations of orders and of single
lines with and without the refund that pays them back.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
SPAN_DAYS = 280


def offers() -> list[Row]:
    """Offers of every kind and payer; o4 has neither payer nor value, o5's payer is nobody the contract knows."""
    return [
        {"offer_id": "o0", "kind": "cash", "value": 100, "payer": "merchant"},
        {"offer_id": "o1", "kind": "discount", "value": 1_000, "payer": "platform"},
        {"offer_id": "o2", "kind": "member", "value": 500, "payer": "supplier"},
        {"offer_id": "o3", "kind": "member", "value": 900, "payer": "merchant"},
        {"offer_id": "o4", "kind": "exchange"},
        {"offer_id": "o5", "kind": "cash", "payer": "aunt"},
    ]


def deals(seed: int, start: datetime, as_of: datetime) -> list[Row]:
    """Events of some visitors of the planted history, and of a few of their own, before `as_of`."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for n in range(0, 40, 2):
        moment = start + timedelta(minutes=rng.randint(0, 1_440 * SPAN_DAYS))
        rows += [row for kind in (_coupons, _messages, _ads) for row in kind(rng, f"u{n:02d}", moment)]
    for n in range(12):
        rows += _regular(rng, f"r{n:02d}", start) + _payday(rng, f"p{n:02d}") + _shown(rng, f"w{n:02d}", start)
    for n in range(40):
        rows += _void(rng, f"v{n % 15:02d}", f"void-{n}", start + timedelta(days=n * 6, hours=n))
    return [row for row in rows if row["ts"] < as_of]


def _coupons(rng: random.Random, user: str, ts: datetime) -> list[Row]:
    rows: list[Row] = []
    for _ in range(rng.randint(1, 12)):
        ts += timedelta(seconds=rng.choice((0, 0, 3, 86_400)))
        kind = rng.choice(("offer_exposure", "offer_exposure", "offer_exposure", "offer_claim", "offer_redeem"))
        offer = rng.choice((None, "o0", "o1", "o2", "o2", "o3", "o4", "o9"))
        rows.append({"user_id": user, "ts": ts, "type": kind, "offer_id": offer})
    for _ in range(rng.randint(0, 3)):
        listed = rng.choice((None, 0, 800, 1_000))
        off = rng.choice((None, 0, 150, 5_000))
        row: Row = {"user_id": user, "ts": ts, "type": "purchase", "item_id": f"i{rng.randint(0, 22):02d}"}
        row |= {"amount": 700, "list_amount": listed, "discount": off, "points": rng.choice((None, 7))}
        rows.append(row | {"offer_id": rng.choice((None, *(f"o{n}" for n in range(7))))})
    return rows


def _messages(rng: random.Random, user: str, ts: datetime) -> list[Row]:
    rows: list[Row] = []
    for _ in range(rng.randint(0, 14)):
        ts += timedelta(hours=rng.choice((0, 0, 1, 20)))
        kind = rng.choice(("subscribe", "subscribe", "subscribe", "message_sent", "message_sent", "message_open"))
        rows.append({"user_id": user, "ts": ts, "type": "unsubscribe" if rng.random() < 0.1 else kind})
    return rows


def _ads(rng: random.Random, user: str, ts: datetime) -> list[Row]:
    """Advertisements and points, in a visit of their own or by the way; one revenue that just happens."""
    rows: list[Row] = []
    if rng.random() < 0.5:
        scene = rng.choice(("1047", "1053", "1089"))
        rows.append({"user_id": user, "ts": ts, "type": "launch", "platform": "wechat", "scene": scene})
    for _ in range(rng.randint(0, 3)):
        kind = rng.choice(("ad_impression", "ad_click", "game"))
        told = {"revenue": rng.choice((None, 0, 30, 400)), "points": rng.choice((None, 0, 5, -3))}
        rows.append({"user_id": user, "ts": ts + timedelta(minutes=rng.choice((0, 1, 45))), "type": kind} | told)
    rows.append({"user_id": user, "ts": ts, "type": "message_sent", "revenue": 9_000})
    return rows


def _regular(rng: random.Random, user: str, start: datetime) -> list[Row]:
    """One or two items bought again and again, some evenly, some not, some until long ago."""
    rows: list[Row] = []
    for item in rng.sample(("i00", "i01", "i05", "i08", "i22"), rng.randint(1, 2)):
        every, ts = rng.choice((1, 9, 20, 45)), start + timedelta(days=rng.randint(0, 200), hours=rng.randint(0, 23))
        for _ in range(rng.randint(1, 9)):
            rows.append({"user_id": user, "ts": ts, "type": "purchase", "item_id": item, "amount": 300})
            ts += timedelta(days=every + rng.choice((0, 0, 1, every)), hours=rng.choice((0, 0, 5)))
    return rows


def _payday(rng: random.Random, user: str) -> list[Row]:
    """Orders on the days after a payday, now and then on others; the first user's at the edges of the days."""
    rows: list[Row] = []
    day = rng.choice((5, 10, 15, 25))
    for month in range(2, 12):
        on = day + rng.randint(0, 2) if rng.random() < 0.8 else rng.randint(1, 28)
        ts = datetime.fromisoformat(f"2025-{month:02d}-{on:02d}T{rng.choice(('22:59', '23:01', '12:00'))}:00+00:00")
        amount = rng.choice((0, 400, 900)) if user > "p02" else 0
        rows.append({"user_id": user, "ts": ts, "type": "purchase", "item_id": "i11", "amount": amount})
    return rows


def _shown(rng: random.Random, user: str, start: datetime) -> list[Row]:
    """Items shown again and again, hardly opened, and some bought and sent back."""
    rows: list[Row] = []
    ts = start + timedelta(days=rng.randint(0, SPAN_DAYS))
    for item in rng.sample([f"i{n:02d}" for n in range(23)], 6):
        for _ in range(rng.randint(1, 7)):
            ts += timedelta(hours=1)
            rows.append({"user_id": user, "ts": ts, "type": "exposure", "item_id": item})
            if rng.random() < 0.1:
                rows.append({"user_id": user, "ts": ts, "type": "click", "item_id": item})
        for _ in range(rng.choice((0, 0, 1, 3))):
            rows.append({"user_id": user, "ts": ts, "type": "purchase", "item_id": item, "amount": 100})
            if rng.random() < 0.6:
                rows.append({"user_id": user, "ts": ts, "type": "refund", "item_id": item, "amount": 100})
    return rows


def _void(rng: random.Random, user: str, order: str, ts: datetime) -> list[Row]:
    """An order of one to three lines, cancelled whole, in part or not, and refunded whole, in part or not."""
    rows: list[Row] = []
    items = [rng.choice(("i02", "i04", "i09", None)) for _ in range(rng.randint(1, 3))]
    for item in items:
        row = {"user_id": user, "ts": ts, "type": "purchase", "order_id": order, "item_id": item}
        rows.append(row | {"amount": rng.choice((250, 800))})
    about = {"user_id": user, "ts": ts + timedelta(minutes=5), "order_id": order}
    if rng.random() < 0.7:
        rows.append(about | {"type": "order_cancel", "item_id": rng.choice((None, *items))})
    back = [item for item in (None, *items) if rng.random() < 0.3]
    return rows + [about | {"type": "refund", "item_id": item, "amount": rng.choice((100, 250, 800))} for item in back]
