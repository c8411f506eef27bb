"""Entrance: by which channel the visitor comes in, and which channel earns."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature, most, only
from portraits.scenes import CHANNELS, CODE_SPACE, CODES

NAMES = tuple(CHANNELS)
CAME = "array<struct<channel: string, visits: int64, spend: int64, revenue: int64>>"


@feature("channels", "string", "channel", minimum=None, values=NAMES)
def first_channel(channels: ir.Table) -> ir.Value:
    """Channel of the first visit."""
    return _name((channels.first_us * CODE_SPACE + channels.code).min() % CODE_SPACE)


@feature("channels", "string", "channel", minimum=None, values=NAMES)
def last_channel(channels: ir.Table) -> ir.Value:
    """Channel of the latest visit."""
    return _name((channels.last_us * CODE_SPACE + channels.code).max() % CODE_SPACE)


@feature("channels", "string", "channel", minimum=None, values=NAMES)
def usual_channel(channels: ir.Table) -> ir.Value:
    """Channel of most visits; the first by name among equals."""
    return _name(most(channels.visits, channels.code, CODE_SPACE))


@feature("channels", "string", "channel", minimum=None, values=NAMES)
def best_channel(channels: ir.Table) -> ir.Value:
    """Channel whose visits brought most money, paid by the visitor or earned by advertisements and leads; null for a
    visitor who brought none."""
    return _name(most((channels.spend + channels.revenue).nullif(0), channels.code, CODE_SPACE))


@feature("channels", "float64", "share", maximum=1)
def scan_share(channels: ir.Table) -> ir.Value:
    """Share of visits that began by scanning a code."""
    return channels.visits.sum(where=channels.code == CODES["scan"]).fill_null(0) / channels.visits.sum()


@feature("channels", "float64", "share", maximum=1)
def share_share(channels: ir.Table) -> ir.Value:
    """Share of visits that began with what another person shared."""
    shared = channels.code.isin((CODES["share_chat"], CODES["share_moments"]))
    return channels.visits.sum(where=shared).fill_null(0) / channels.visits.sum()


@feature("channels", CAME, "evidence", minimum=None)
def channels(channels: ir.Table) -> ir.Value:
    """Every channel the visitor came by, with its visits, the spend and the revenue (of advertisements and leads) that
    they brought; most visits first."""
    entries = ibis.struct(
        {
            "fewer": -channels.visits,
            "channel": _name(channels.code),
            "visits": channels.visits,
            "spend": channels.spend,
            "revenue": channels.revenue,
        }
    )
    return only(entries.collect().sort(), "channel", "visits", "spend", "revenue")


def _name(code: ir.Value) -> ir.Value:
    return code.cases(*((number, name) for name, number in CODES.items()), else_=None)
