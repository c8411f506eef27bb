"""Price: what a customer pays, against what the shop asks and against other items of the category."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature

BANDS = ("low", "middle", "high")


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
    return lines.price_level_e6.sum(where=lines.is_purchase) / (
        1_000_000 * lines.price_level_e6.count(where=lines.is_purchase).nullif(0)
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


@feature("events", "int64", "offers", empty=0)
def offers_claimed(events: ir.Table) -> ir.Value:
    """Offers claimed."""
    return events.count(where=events.type == "offer_claim")


@feature("events", "int64", "offers", empty=0)
def offers_redeemed(events: ir.Table) -> ir.Value:
    """Offers redeemed."""
    return events.count(where=events.type == "offer_redeem")


@feature("portrait", "string", "band", minimum=None, values=BANDS)
def price_band(portrait: ir.Table) -> ir.Value:
    """low: price_level below 1/3; high: above 2/3; middle: between."""
    level = portrait.price_level
    banded = ibis.cases((level < 1 / 3, "low"), (level > 2 / 3, "high"), else_="middle")
    return ibis.ifelse(level.notnull(), banded, None)


def _unit_price(lines: ir.Table) -> ir.Value:
    return lines.amount * 10_000 / lines.units_e4.nullif(0)


def _weighed(lines: ir.Table) -> ir.Value:
    return lines.is_purchase & (lines.units_e4 > 0)
