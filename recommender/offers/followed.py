"""What visitors bought, saw and redeemed within a window after a moment: the engine's tables behind `trials`.

Money is what orders that stand brought, less what came back, whenever it did. `margin` is *before* the cost of coupons:
what a coupon took off an order is added to what was paid for it, so that margin less cost is the profit and nothing is
counted twice. A purchase says what was paid after it (`amount`), so what is added is the cost of the redemption that
names the same order (spread over the lines that name the offer, else over all); a redemption of no order is a cost
alone, e.g. a reward that is paid elsewhere.

What a redemption costs is the first of these that can be told (who pays for it is not asked):

1. its own `discount`
2. what the rule of the offer makes of the order's `amount` (of the redemption, as in `recommender.offers.terms`), at
   most max_cost. Cash: its value, and no more than the amount. Discount and member: their share of the amount, or of
   what the lines would have cost. Exchange: what the amount is above the value, or what the lines say was taken off
3. max_cost; an amount alone is no cost

Of an order that came back in part it costs as much less as the lines that came back (those that name the offer, or
all): a coupon on them was not used. A purchase that names an offer counts as a redemption where no redemption of its
order tells of that offer. A redemption of a void order, or one that was given back, cost nothing: an `offer_return` is
of the redemption that names the same claim, where one does, else of one of the same offer and order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import ibis
import ibis.expr.types as ir
import numpy as np

from portraits.attribution import BEHIND_US, Attribution
from portraits.history import BASIS_POINTS
from portraits.past import Past

SUMS = ("lines", "margin", "revenue", "cost", "own_cost", "redeemed", "unseen")
"""What is summed over a window: order lines; money; of redemptions the cost, the cost of the intended offer's, how
many, and how many by visitors who had not been shown the offer."""


@dataclass(frozen=True)
class Followed:
    """Of a past. found: its attribution, for what stands of orders. objective: see `AppSettings`; "revenue" takes what
    was paid for margin."""

    past: Past
    found: Attribution
    objective: str

    def sums(self, units: ir.Table, days_us: int) -> ir.Table:
        """n, `SUMS` and `exposed` (0 or 1) for each of the units (n, user_id, at_us, decision_id, intended) of whom
        there is anything, within `days_us` from at_us on."""
        units = units.select("n", "user_id", "at_us", "decision_id", "intended")
        bought = _within(units, self.lines, days_us)
        bought = bought.select("n", lines=ibis.literal(1.0), margin="margin", revenue="kept_paid")
        brought = _within(units, self._brought, days_us)
        brought = brought.select("n", margin="revenue", revenue="revenue")
        used = _within(units, self.redemptions, days_us)
        own = (used.offer_id == used.intended).fill_null(False)
        used = used.select(
            "n",
            cost="cost",
            own_cost=ibis.ifelse(own, used.cost, 0.0),
            redeemed=ibis.literal(1.0),
            unseen=used.unseen,
        )
        parts = [bought, brought, used, self._exposed(units, days_us)]
        names = (*SUMS, "exposed")
        full = ibis.union(
            *(
                part.select(
                    "n",
                    **{
                        name: part[name].cast("float64") if name in part.columns else ibis.literal(0.0)
                        for name in names
                    },
                )
                for part in parts
            )
        )
        totals = {name: full[name].sum() for name in SUMS}
        return full.group_by("n").aggregate(**totals, exposed=full.exposed.max())

    @cached_property
    def lines(self) -> ir.Table:
        """user_id, ts_us, kept_paid (paid, less what came back), margin (before coupons)."""
        lines = self._priced
        paid, units = lines.paid, lines.quantity.fill_null(1).cast("float64")
        kept = _kept_share(lines)
        before = paid + lines.coupon
        if self.objective == "revenue":
            margin = before
        else:
            margin = ibis.ifelse(lines.cost.notnull(), before - lines.cost * units, before * self._usual_share)
        return lines.select("user_id", "ts_us", kept_paid=paid - lines.refunded, margin=margin * kept).cache()

    @cached_property
    def redemptions(self) -> ir.Table:
        """user_id, ts_us, order_id, offer_id, cost, and unseen: 1 where the offer is shown to people but had not been
        to this one."""
        rows = self._used
        shown = self._shown
        first = shown.group_by("user_id", "offer_id").aggregate(shown_us=shown.ts_us.min())
        rows = rows.left_join(first, ["user_id", "offer_id"]).drop("user_id_right", "offer_id_right")
        told = rows.offer_id.isin(shown.select("offer_id").distinct().offer_id)
        unseen = told & (rows.shown_us.isnull() | (rows.shown_us > rows.ts_us + BEHIND_US))
        return rows.select("user_id", "ts_us", "order_id", "offer_id", "cost", unseen=unseen.cast("float64")).cache()

    @cached_property
    def _usual_share(self) -> float:
        """Median share of the margin in the price, of the items whose cost is known; 1 where none is."""
        items = self.past.lake_items
        told = items.filter(items.cost.notnull() & (items.price > 0))
        share = told.select(share=1 - told.cost / told.price).share.median().execute()
        return 1.0 if share is None or np.isnan(share) else max(float(share), 0.0)

    @cached_property
    def _bought(self) -> ir.Table:
        """Standing purchases, numbered, with what came back."""
        events = self.found.standing(self.past.events.filter(self.past.events.type == "purchase"))
        columns = ("user_id", "ts_us", "order_id", "item_id", "offer_id", "quantity", "amount", "discount")
        order = [events.ts_us, events.user_id, events.order_id, events.item_id]
        lines = events.select(*columns, line=ibis.row_number().over(order_by=order)).cache()
        return self.found.refunded(lines).mutate(paid=lines.amount.fill_null(0).cast("float64")).cache()

    @cached_property
    def _priced(self) -> ir.Table:
        """`_bought` with the item's cost and `coupon`, the line's part of what redemptions of its order cost."""
        lines = self._bought
        used = self._used.filter(self._used.order_id.notnull())
        used = used.group_by("user_id", "order_id").aggregate(off=used.full.sum())
        alike = self._parts.inner_join(used, ["user_id", "order_id"])
        alike = alike.mutate(coupon=alike.off * alike.part).select("line", "coupon")
        lines = lines.left_join(alike, "line").drop("line_right").fill_null({"coupon": 0.0})
        costs = self.past.lake_items.select("item_id", "cost")
        return lines.left_join(costs, "item_id").drop("item_id_right")

    @cached_property
    def _parts(self) -> ir.Table:
        """user_id, order_id, line, kept (of 1), and the part of 1 that the line has in the coupons of its order."""
        lines = self._bought.filter(self._bought.order_id.notnull())
        of_order = ibis.window(group_by=["user_id", "order_id"])
        lines = lines.mutate(names=lines.offer_id.notnull().cast("int64"), kept=_kept_share(lines))
        lines = lines.mutate(any_names=lines.names.max().over(of_order))
        lines = lines.mutate(part=ibis.ifelse(lines.names == lines.any_names, lines.paid + 1e-9, 0.0))
        part = lines.part / lines.part.sum().over(of_order)
        return lines.select("user_id", "order_id", "line", "kept", part=part).cache()

    @cached_property
    def _used(self) -> ir.Table:
        """Redemptions that hold: user_id, ts_us, order_id, offer_id, full (what each cost) and cost (of what was
        kept)."""
        events = self.past.events
        named = events.offer_id.notnull()
        told = events.filter((events.type == "offer_redeem") & named)
        told = told.select("user_id", "offer_id", "order_id", "ts_us", "claim_id", said="discount", order="amount")
        keys = ["user_id", "offer_id", "order_id"]
        lines = self._bought.filter(self._bought.offer_id.notnull() & self._bought.order_id.notnull())
        by_order = lines.group_by(keys).aggregate(
            line_us=lines.ts_us.min(), after=lines.paid.sum(), off=lines.discount.sum().cast("float64")
        )
        unsaid = {"claim_id": ibis.null("string"), "said": ibis.null("int64"), "order": ibis.null("int64")}
        silent = by_order.anti_join(told, keys).select("user_id", "offer_id", "order_id", ts_us="line_us", **unsaid)
        used = _kept(told.union(silent), events.filter((events.type == "offer_return") & named))
        void = self.found.cancelled.filter(self.found.cancelled.item_id.isnull())
        used = used.anti_join(void, ["user_id", "order_id"])
        used = used.left_join(by_order, keys).drop(*(f"{name}_right" for name in keys), "line_us")
        rules = self.past.lake_offers.select("offer_id", "kind", "value", "max_cost")
        used = used.left_join(rules, "offer_id").drop("offer_id_right")
        parts = self._parts
        kept = parts.group_by("user_id", "order_id").aggregate(kept=(parts.part * parts.kept).sum())
        used = used.left_join(kept, ["user_id", "order_id"]).drop("user_id_right", "order_id_right")
        cost = _cost(used)
        return used.select(
            "user_id", "ts_us", "order_id", "offer_id", full=cost, cost=cost * used.kept.fill_null(1.0)
        ).cache()

    @cached_property
    def _brought(self) -> ir.Table:
        """What ads and leads brought."""
        events = self.past.events
        rows = events.filter(events.own & (events.revenue > 0))
        return rows.select("user_id", "ts_us", revenue=rows.revenue.cast("float64"))

    @cached_property
    def _shown(self) -> ir.Table:
        events = self.past.events
        rows = events.filter((events.type == "offer_exposure") & events.offer_id.notnull())
        return rows.select("user_id", "offer_id", "ts_us", named="decision_id").cache()

    def _exposed(self, units: ir.Table, days_us: int) -> ir.Table:
        """n, exposed of the units whose intended offer was shown within the window, or by the very answer (by a phone
        whose clock may be behind); of offers that no exposure at all is told of, everyone who was meant to see them."""
        rows = units.inner_join(self._shown, "user_id")
        named = (rows.named == rows.decision_id).fill_null(False) & (rows.ts_us >= rows.at_us - BEHIND_US)
        same = (rows.offer_id == rows.intended) & (rows.ts_us >= rows.at_us)
        rows = rows.filter((named | same) & (rows.ts_us < rows.at_us + days_us))
        return rows.select("n", exposed=ibis.literal(1.0))

    @cached_property
    def told(self) -> ir.Table:
        """Offers of which exposures are told: offer_id."""
        return self._shown.select("offer_id").distinct()


def _kept(used: ir.Table, returns: ir.Table) -> ir.Table:
    """Redemptions (user_id, offer_id, order_id, ts_us, claim_id, ..) that were not given back."""
    of_claim = ["user_id", "offer_id", "claim_id"]
    named = returns.filter(returns.claim_id.notnull())
    last = named.group_by(of_claim).aggregate(back_us=named.ts_us.max())
    unnamed = returns.anti_join(used.filter(used.claim_id.notnull()), of_claim).filter(returns.order_id.notnull())
    of_order = ["user_id", "offer_id", "order_id"]
    many = unnamed.group_by(of_order).aggregate(back=unnamed.count())
    used = used.left_join(last, of_claim).drop(*(f"{name}_right" for name in of_claim))
    used = used.filter(used.back_us.isnull() | (used.back_us < used.ts_us)).drop("back_us")
    used = used.left_join(many, of_order).drop(*(f"{name}_right" for name in of_order))
    nth = ibis.row_number().over(group_by=of_order, order_by=[used.claim_id.notnull(), used.ts_us])
    used = used.mutate(nth=nth)
    return used.filter(used.back.isnull() | (used.nth >= used.back)).drop("back", "nth")


def _within(units: ir.Table, rows: ir.Table, days_us: int) -> ir.Table:
    """Rows (user_id, ts_us) with the units in whose window they lie."""
    both = units.inner_join(rows, "user_id")
    return both.filter((both.ts_us >= both.at_us) & (both.ts_us < both.at_us + days_us))


def _cost(used: ir.Table) -> ir.FloatingValue:
    """Of redemptions with the rule of their offer and what is known of their order (order: its amount, as told with the
    redemption; after: paid, off: taken off)."""
    value, most, order = (used[name].cast("float64") for name in ("value", "max_cost", "order"))
    rate = ibis.least(value / BASIS_POINTS, 0.9999)
    by_rate = ibis.coalesce((order * ibis.least(value / BASIS_POINTS, 1.0)).floor(), used.after * rate / (1 - rate))
    above = ibis.greatest(order - value, 0.0)
    by_rule = ibis.cases(
        (used.kind == "cash", _at_most(value, order)),
        (used.kind.isin(("discount", "member")) & by_rate.notnull(), _at_most(by_rate, most)),
        ((used.kind == "exchange") & above.notnull() & order.notnull(), _at_most(above, most)),
        (used.off.notnull(), _at_most(used.off, most)),
        else_=most,
    )
    return ibis.coalesce(used.said.cast("float64"), by_rule, used.off, most, 0.0)


def _kept_share(lines: ir.Table) -> ir.FloatingValue:
    """Of lines, how much of what was paid did not come back, 0 to 1."""
    kept = 1 - (lines.refunded / lines.paid.nullif(0)).fill_null(0.0)
    return ibis.greatest(ibis.least(kept, 1.0), 0.0)


def _at_most(value: ir.Value, most: ir.Value) -> ir.Value:
    return ibis.ifelse(most.notnull() & (value > most), most, value)
