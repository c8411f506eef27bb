"""The stage of a build that writes each visitor's behaviour (see `portraits.behaviour`)."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from portraits.behaviour import COLUMNS, FILE, OPEN_FILE
from portraits.draft import Draft
from portraits.past import Past
from portraits.rules.clock import day_of, start_of
from portraits.rules.grammar import WINDOW_DAYS
from portraits.sessions import SILENCE_US
from portraits.visits import visits_of

ROW_GROUP = 16_384
"""Rows a group: a visitor's are in one or two."""


def write_behaviour(draft: Draft) -> pa.Table:
    """The stage: writes FILE and OPEN_FILE beside the portraits, sorted by visitor and time; adds no column."""
    for name, rows in ((FILE, behaviour(draft.past)), (OPEN_FILE, open_sessions(draft.past))):
        rows.order_by(rows.columns).to_parquet(draft.folder / name, compression="zstd", row_group_size=ROW_GROUP)
    return pa.table({})


def behaviour(past: Past) -> ir.Table:
    """The rows of FILE, in no particular order."""
    events = past.events.mutate(us=past.events.ts_us)
    return kept(events, window_start(past.now.us, ZoneInfo(past.settings.time_zone)))


def kept(events: ir.Table, start_us: int) -> ir.Table:
    """Of events (COLUMNS): all from `start_us` on, and the first of each kind before it, its amount left out."""
    older = events.filter(events.us < start_us)
    kinds = [name for name in COLUMNS if name not in ("us", "amount")]
    firsts = older.group_by(*kinds).aggregate(us=older.us.min()).mutate(amount=ibis.null("int64"))
    return events.filter(events.us >= start_us).select(*COLUMNS).union(firsts.select(*COLUMNS))


def window_start(now_us: int, zone: tzinfo) -> int:
    """First microsecond of the longest window that a rule may ask for at `now_us`."""
    return start_of(day_of(now_us, zone) - WINDOW_DAYS + 1, zone)


def open_sessions(past: Past) -> ir.Table:
    """All events of the sessions that may still go on at T: COLUMNS, platform and scene."""
    before = past.before
    lately = before.filter(before.ts_us >= past.now.us - SILENCE_US).select("user_id").distinct()
    rows = before.semi_join(lately, "user_id").cache()
    visits = visits_of(rows)
    latest = visits.group_by("user_id").aggregate(start_us=visits.start_us.max())
    still = rows.inner_join(latest, "user_id").filter(ibis._.ts_us >= ibis._.start_us)
    return still.mutate(us=still.ts_us).select(*COLUMNS, "platform", "scene")
