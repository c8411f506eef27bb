"""Price: what a customer pays, against what the shop asks and against other items of the category."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import at_most_one, feature
from portraits.grains.tags import BANDS

PRIOR_TAKES = 2
"""Discounts taken as the shop's average would have it, that a visitor is credited with: with less than that to go by,
discount_sensitivity stays near 1. Of 0.5, 1, 2 and 5, 2 ranked the sample shop's visitors best."""


@feature("lines", "float64", "minor units")
def unit_price_p25(lines: ir.Table) -> ir.Value:
    """Lower quartile of the prices paid for one unit."""
    return _unit_price(lines).quantile(0.25, where=_weighed(lines))


@feature("lines", "float64", "minor units")
def unit_price_median(lines: ir.Table) -> ir.Value:
    """Median of the prices paid for one unit."""
    return _unit_price(lines).quantile(0.5, where=_weighed(lines))


@feature("lines", "float64", "minor units")
def unit_price_p75(lines: ir.Table) -> ir.Value:
    """Upper quartile of the prices paid for one unit."""
    return _unit_price(lines).quantile(0.75, where=_weighed(lines))


@feature("lines", "float64", "share", maximum=1)
def price_level(lines: ir.Table) -> ir.Value:
    """Where the bought items stand in their root category by price, on average: 0 the cheapest, 0.5 the middle,
    1 the dearest. Prices are the catalogue's, or what was paid on average where it has none."""
    return lines.price_level_e9.sum(where=lines.is_purchase) / (
        1_000_000_000 * lines.price_level_e9.count(where=lines.is_purchase).nullif(0)
    )


@feature("lines", "float64", "share", maximum=1)
def discount_share(lines: ir.Table) -> ir.Value:
    """Money saved as a share of the list price, over the lines with a known list price or discount."""
    return lines.saved.sum() / lines.listed.sum().nullif(0)


@feature("lines", "float64", "share", maximum=1)
def full_price_share(lines: ir.Table) -> ir.Value:
    """Share of lines bought at full price, among the lines with a known list price or discount."""
    return lines.count(where=lines.saved == 0) / lines.listed.count().nullif(0)


@feature("lines", "float64", "share", maximum=1)
def deepest_discount(lines: ir.Table) -> ir.Value:
    """Largest share of the list price saved on one line."""
    return (lines.saved / lines.listed.nullif(0)).max()


@feature("lines", "int64", "lines", empty=0)
def priced_lines(lines: ir.Table) -> ir.Value:
    """Lines bought with a known list price or discount."""
    return lines.saved_e9.count()


@feature("lines", "float64", "share", maximum=1)
def usual_discount(lines: ir.Table) -> ir.Value:
    """Share of the list price saved on a line, on average over the lines where it is known."""
    return lines.saved_e9.sum() / (1_000_000_000 * lines.saved_e9.count().nullif(0))


@feature("lines", "int64", "minor units", empty=0)
def saved(lines: ir.Table) -> ir.Value:
    """Money saved: list price minus what was paid, over the lines where both are known."""
    return lines.saved.sum()


@feature("lines", "float64", "share", maximum=1)
def coupon_share(lines: ir.Table) -> ir.Value:
    """Share of lines bought with an offer."""
    bought = lines.count(where=lines.is_purchase)
    return lines.count(where=lines.is_purchase & lines.offer_id.notnull()) / bought.nullif(0)


@feature("lines", "float64", "share", maximum=1)
def merchant_paid_share(lines: ir.Table) -> ir.Value:
    """Of the money saved on lines bought with an offer whose payer is known: share that the merchant paid."""
    return _paid_by(lines, "merchant")


@feature("lines", "float64", "share", maximum=1)
def platform_paid_share(lines: ir.Table) -> ir.Value:
    """The same: share that the platform paid."""
    return _paid_by(lines, "platform")


@feature("lines", "float64", "share", maximum=1)
def supplier_paid_share(lines: ir.Table) -> ir.Value:
    """The same: share that the supplier paid."""
    return _paid_by(lines, "supplier")


@feature("events", "int64", "showings", empty=0)
def offers_shown(events: ir.Table) -> ir.Value:
    """Times an offer was shown."""
    return events.count(where=events.type == "offer_exposure")


@feature("events", "int64", "offers", empty=0)
def offers_claimed(events: ir.Table) -> ir.Value:
    """Offers claimed."""
    return events.count(where=events.type == "offer_claim")


@feature("events", "int64", "offers", empty=0)
def offers_redeemed(events: ir.Table) -> ir.Value:
    """Offers redeemed."""
    return events.count(where=events.type == "offer_redeem")


@feature("coupons", "int64", "showings", empty=0)
def offer_chances(coupons: ir.Table) -> ir.Value:
    """Times an offer was shown while the visitor could still claim it: until the first claim of each offer; an offer
    claimed unseen is one."""
    return coupons.chances.sum()


@feature("coupons", "int64", "offers", empty=0)
def offers_taken(coupons: ir.Table) -> ir.Value:
    """Different offers ever claimed."""
    return coupons.taken.sum()


@feature("portrait", "float64", "share", maximum=1)
def redemption_share(portrait: ir.Table) -> ir.Value:
    """Offers redeemed as a share of offers claimed, at most 1."""
    return at_most_one(portrait.offers_redeemed / portrait.offers_claimed.nullif(0))


@feature("everyone", "float64", "ratio")
def discount_sensitivity(portrait: ir.Table) -> ir.Value:
    """How much more than others the visitor takes discounts, given the chances: 1 as the shop's average, 2 twice as
    much, 0.5 half. (discounts taken + 2) / (discounts expected + 2). Taken: each offer claimed counts 1, each line
    the share of its list price that was saved. Expected: the visitor's chances to claim (offer_chances) times the
    shop's share of chances taken, plus their lines times the shop's average share saved. Null without a chance."""
    depth_e9 = (portrait.usual_discount * portrait.priced_lines * 1_000_000_000).round().cast("int64").fill_null(0)
    everyone = ibis.window()
    claims = portrait.offers_taken.sum().over(everyone) / portrait.offer_chances.sum().over(everyone).nullif(0)
    depth = depth_e9.sum().over(everyone) / portrait.priced_lines.sum().over(everyone).nullif(0)
    taken = portrait.offers_taken + depth_e9 / 1_000_000_000
    expected = portrait.offer_chances * claims.fill_null(0) + portrait.priced_lines * depth.fill_null(0) / 1_000_000_000
    ratio = (taken + PRIOR_TAKES) / (expected + PRIOR_TAKES)
    return ibis.ifelse(portrait.offer_chances + portrait.priced_lines > 0, ratio, None)


@feature("portrait", "string", "band", minimum=None, values=BANDS)
def price_band(portrait: ir.Table) -> ir.Value:
    """low: price_level below 1/3; high: above 2/3; middle: between."""
    level = portrait.price_level
    banded = ibis.cases((level < 1 / 3, "low"), (level > 2 / 3, "high"), else_="middle")
    return ibis.ifelse(level.notnull(), banded, None)


def _paid_by(lines: ir.Table, payer: str) -> ir.Value:
    return lines.saved.sum(where=lines.payer == payer).fill_null(0) / lines.saved.sum(
        where=lines.payer.notnull()
    ).nullif(0)


def _unit_price(lines: ir.Table) -> ir.Value:
    return lines.amount.cast("float64") * 10_000 / lines.units_e4.nullif(0)


def _weighed(lines: ir.Table) -> ir.Value:
    return lines.is_purchase & (lines.units_e4 > 0)
