"""Offers and what a visitor made of each."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir


def coupons(events: ir.Table, offers: ir.Table) -> ir.Table:
    """One row a visitor and offer: user_id, offer_id, chances (times it was shown until it was claimed, at least one
    if it was claimed), taken (1 if it was ever claimed), redeemed (times), kind (of the catalogue).

    A coupon that was claimed is not claimed again, though it may be shown: showings after the claim are no chances.
    """
    told = events.filter(
        events.type.isin(("offer_exposure", "offer_claim", "offer_redeem")) & events.offer_id.notnull()
    ).select("user_id", "offer_id", "type", "ts_us")
    by_offer = ibis.window(group_by=["user_id", "offer_id"])
    claimed = told.ts_us.min(where=told.type == "offer_claim").over(by_offer)
    told = told.mutate(claimed_us=claimed)
    open_still = told.claimed_us.isnull() | (told.ts_us <= told.claimed_us)
    found = told.group_by("user_id", "offer_id").aggregate(
        seen=told.count(where=(told.type == "offer_exposure") & open_still),
        taken=told.claimed_us.notnull().any().cast("int64"),
        redeemed=told.count(where=told.type == "offer_redeem"),
    )
    kinds = found.left_join(offers.select("offer_id", "kind"), "offer_id").drop("offer_id_right")
    return kinds.select(
        "user_id", "offer_id", "taken", "redeemed", "kind", chances=ibis.greatest(kinds.seen, kinds.taken)
    )
