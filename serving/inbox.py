"""Visitors as receivers of messages: their portraits, and what happened since; for `recommender.offers.reach`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from portraits.build import past_of
from portraits.engine import connect
from portraits.lake import Lake
from portraits.portrait_set import TABLE_FILE
from recommender.offers.eligible import is_open
from recommender.offers.reach import HOURS, Inbox, Ints, Rules, open_hours
from recommender.offers.wording import moment
from serving.planning import Planning
from serving.stores.messages import Spoken
from serving.tenants import in_offer_control

WEEK = timedelta(days=7)
_COLUMNS = ("user_id", "permissions_left", "messages_sent", "messages_opened", "hour_counts")


def inbox_of(desk: Planning, lake: Lake, at: datetime) -> Inbox:
    """The visitors of the plan with a permission at `at` (aware). Those of the holdout are marked; those who refused or
    were forgotten are left out. Messages sent since the night count, and so does a permission given or taken back."""
    plan = desk.plan
    file = pq.ParquetFile(desk.folder / TABLE_FILE)
    table = file.read([name for name in _COLUMNS if name in file.schema_arrow.names])
    rows = plan.users.indices(table["user_id"].to_pylist())
    size = len(plan.users)
    permissions, sent, opened = (_counts(table, rows, name, size) for name in _COLUMNS[1:4])
    lately = _sent_before(desk, lake, at)
    for one in desk.store.spoken(desk.app.app_id, desk.version.as_of_us):
        _hear(one, plan.users.index(one.user_id), at, (permissions, sent, opened, lately))
    gone = plan.users.indices(desk.left_out)
    permissions[gone[gone >= 0]] = 0
    chosen = np.flatnonzero(permissions > 0)
    tenant = desk.store.tenant(desk.app.app_id)
    held_out = [in_offer_control(tenant, user_id) for user_id in plan.users.ids(chosen)]
    visits = _visits(table, rows, chosen, size)
    return Inbox(
        row=chosen,
        permissions=permissions[chosen],
        lately=lately[chosen],
        sent=sent[chosen],
        opened=opened[chosen],
        visits=visits,
        held_out=np.array(held_out, bool),
    )


def rules_of(desk: Planning, now_local: datetime) -> Rules:
    """The app's rules of messages, and when each of the plan's offers holds in the next 24 hours."""
    clock = now_local.replace(minute=0, second=0, microsecond=0)
    hours = [max(clock + timedelta(hours=after), now_local) for after in range(HOURS)]
    holds = [[_holds(desk, offer_id, hour) for offer_id in desk.plan.offers] for hour in hours]
    settings = desk.app
    return Rules(
        settings.messages_per_week, open_hours(settings.quiet_from, settings.quiet_until), np.array(holds, bool)
    )


def _holds(desk: Planning, offer_id: str, local: datetime) -> bool:
    row = desk.offers.get(offer_id)
    if row is None:
        return not desk.offers
    starts, ends = moment(row.get("starts")), moment(row.get("ends"))
    return (starts is None or starts <= local) and (ends is None or local < ends) and is_open(row, local)


def _counts(table: pa.Table, rows: NDArray[np.int32], name: str, size: int) -> Ints:
    counts = np.zeros(size, np.int64)
    if name in table.column_names:
        told = pc.fill_null(table[name].cast(pa.int64()), 0).to_numpy()
        counts[rows[rows >= 0]] = told[rows >= 0]
    return counts


def _visits(table: pa.Table, rows: NDArray[np.int32], chosen: Ints, size: int) -> NDArray[np.float64]:
    """Visits of `chosen` by hour, [V, 24]."""
    visits = np.zeros((len(chosen), HOURS))
    if "hour_counts" not in table.column_names:
        return visits
    place = np.full(size, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    lists = table["hour_counts"].combine_chunks()
    owner = place[rows[pc.list_parent_indices(lists).to_numpy()]]
    told = lists.flatten()
    known = owner >= 0
    hour, count = (told.field(name).to_numpy(zero_copy_only=False)[known] for name in ("hour", "visits"))
    np.add.at(visits, (owner[known], hour.astype(np.int64)), count)
    return visits


def _sent_before(desk: Planning, lake: Lake, at: datetime) -> Ints:
    """[U]: messages in the seven days before `at` that the lake holds and the night knew."""
    as_of = datetime.fromisoformat(str(desk.plan.manifest["as_of"]))
    lately = np.zeros(len(desk.plan.users), np.int64)
    events: Any = past_of(lake.snapshot(desk.app.app_id), desk.app, as_of, connect()).lake_events
    since, until = (ibis.literal(moment, "timestamp('UTC')") for moment in (at - WEEK, min(as_of, at)))
    sent = events.filter(events.type == "message_sent", events.ts >= since, events.ts < until)
    counted = sent.group_by("user_id").aggregate(n=sent.count()).to_pyarrow()
    rows = desk.plan.users.indices(counted["user_id"].to_pylist())
    lately[rows[rows >= 0]] = counted["n"].to_numpy()[rows >= 0]
    return lately


def _hear(one: Spoken, row: int, at: datetime, counts: tuple[Ints, Ints, Ints, Ints]) -> None:
    """Counts an event since the night, as the portraits do (`portraits.grains.memberships`)."""
    permissions, sent, opened, lately = counts
    now_us = at.timestamp() * 1e6
    if row < 0 or one.at_us >= now_us:
        return
    if one.type == "subscribe":
        permissions[row] += 1
    elif one.type == "unsubscribe":
        permissions[row] = 0
    elif one.type == "message_open":
        opened[row] += 1
    else:
        permissions[row] = max(permissions[row] - 1, 0)
        sent[row] += 1
        lately[row] += one.at_us >= now_us - WEEK.total_seconds() * 1e6
