"""An independent reading of the price family."""

from __future__ import annotations

from collections import Counter

import numpy as np
from plain_shop import Row, Shop, discount, quantity


def price(rows: list[Row], shop: Shop) -> Row:
    lines = [row for row in rows if row["type"] == "purchase"]
    units = [row["amount"] / quantity(row) for row in lines if quantity(row) > 0]
    levels = [shop.level[row["item_id"]] for row in lines if row.get("item_id") in shop.level]
    level = sum(levels) / len(levels) if levels else None
    told = [found for row in lines if (found := discount(row)) is not None]
    listed, saved = [full for full, _ in told], [off for _, off in told]
    shares = [off / full for full, off in told if full]
    count = Counter(row["type"] for row in rows)
    claimed, redeemed = count["offer_claim"], count["offer_redeem"]
    return {
        "unit_price_p25": float(np.quantile(units, 0.25)) if units else None,
        "unit_price_median": float(np.quantile(units, 0.5)) if units else None,
        "unit_price_p75": float(np.quantile(units, 0.75)) if units else None,
        "price_level": level,
        "discount_share": sum(saved) / sum(listed) if sum(listed) else None,
        "full_price_share": saved.count(0) / len(saved) if saved else None,
        "deepest_discount": max(shares, default=None),
        "priced_lines": len(shares),
        "usual_discount": float(np.mean(shares)) if shares else None,
        "saved": sum(saved),
        "coupon_share": sum(bool(row.get("offer_id")) for row in lines) / len(lines) if lines else None,
        **_payers(lines, shop.offers),
        "offers_shown": count["offer_exposure"],
        "offers_claimed": claimed,
        "offers_redeemed": redeemed,
        **_chances(rows),
        "redemption_share": min(redeemed / claimed, 1.0) if claimed else None,
        "price_band": None if level is None else "low" if level < 1 / 3 else "high" if level > 2 / 3 else "middle",
    }


def _payers(lines: list[Row], offers: dict[str, Row]) -> Row:
    paid: Counter[str] = Counter()
    for row in lines:
        payer, told = offers.get(row.get("offer_id") or "", {}).get("payer"), discount(row)
        if payer in ("merchant", "platform", "supplier") and told is not None:
            paid[payer] += told[1]
    whole = sum(paid.values())
    return {
        f"{name}_paid_share": paid[name] / whole if whole else None for name in ("merchant", "platform", "supplier")
    }


def _chances(rows: list[Row]) -> Row:
    chances = taken = 0
    for offer in {row.get("offer_id") for row in rows} - {None}:
        claims = [r["ts"] for r in rows if r["type"] == "offer_claim" and r.get("offer_id") == offer]
        shown = [r["ts"] for r in rows if r["type"] == "offer_exposure" and r.get("offer_id") == offer]
        open_still = sum(not claims or ts <= min(claims) for ts in shown)
        taken += bool(claims)
        chances += max(open_still, 1) if claims else open_still
    return {"offer_chances": chances, "offers_taken": taken}


def compare(people: dict[str, Row]) -> None:
    """Adds what compares a visitor with the shop: how far discounts move them."""

    def depth(person: Row) -> float:
        return (person["usual_discount"] or 0.0) * person["priced_lines"]

    chances, lines = (sum(person[name] for person in people.values()) for name in ("offer_chances", "priced_lines"))
    claims = sum(person["offers_taken"] for person in people.values()) / chances if chances else 0.0
    saves = sum(map(depth, people.values())) / lines if lines else 0.0
    for person in people.values():
        expected = person["offer_chances"] * claims + person["priced_lines"] * saves
        ratio = (person["offers_taken"] + depth(person) + 2) / (expected + 2)
        person["discount_sensitivity"] = ratio if person["offer_chances"] + person["priced_lines"] else None
