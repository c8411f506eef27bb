"""An app's history in counts: events by type, visitors, columns that hold something, rows refused.

`portraits.doctor` says what these counts mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ibis.backends.duckdb import Backend

from portraits.history import CATALOGUES
from portraits.people import Links, Persons
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from portraits.storage import TimeKind

VISITS = ("click", "item_view", "content_view")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured.

    first, last: `ts` of the first and the last event. events: counts over the events, by the names in `_event_counts`.
    by_type: events of each type. catalogues: counts of each catalogue, by the names in `_catalogue_counts`. refused:
    rows in the quarantine by (table, reason). links: who has several ids.
    """

    settings: AppSettings
    time_kind: TimeKind
    first: datetime
    last: datetime
    events: dict[str, int]
    by_type: dict[str, int]
    catalogues: dict[str, dict[str, int]]
    refused: dict[tuple[str, str], int]
    links: Links

    @property
    def days(self) -> int:
        """Days from the first event to the last, both counted."""
        return (self.last - self.first).days + 1

    def share(self, name: str, of: str = "rows") -> float:
        """Count `name` as a share of count `of`; 0 where there is nothing."""
        return self.events[name] / self.events[of] if self.events[of] else 0.0


def measure(snapshot: Snapshot, settings: AppSettings, con: Backend) -> Facts | None:
    """The counts of an app's history; None where there is no event."""
    bounds = snapshot.bounds()
    if bounds is None:
        return None
    return Facts(
        settings,
        snapshot.time_kind(),
        bounds[0],
        bounds[1],
        _event_counts(snapshot, con),
        _type_counts(snapshot, con),
        _catalogue_counts(snapshot, con),
        count_refused(snapshot, con),
        Persons(snapshot, con).links,
    )


def _event_counts(snapshot: Snapshot, con: Backend) -> dict[str, int]:
    events = snapshot.events(con)
    bought = events.type == "purchase"
    present = ("scene", "session_id", "platform", "duration_ms", "device", "city", "decision_id", "query")
    counts: dict[str, Any] = {
        "rows": events.count(),
        "users": events.user_id.nunique(),
        "items": events.item_id.nunique(),
        "active_days": events.day.nunique(),
        "buyers": events.user_id.nunique(where=bought),
        "viewers": events.user_id.nunique(where=events.type.isin(VISITS) & events.item_id.notnull()),
        "purchases": bought.sum(),
        "priced": (bought & events.amount.notnull()).sum(),
        "listed": (bought & (events.list_amount.notnull() | events.discount.notnull())).sum(),
        "ordered": (bought & events.order_id.notnull()).sum(),
        "with_revenue": events.revenue.notnull().sum(),
        "with_item": events.item_id.notnull().sum(),
        "stores": events.store_id.nunique(),
        "contents": events.content_id.nunique(),
        "offers": events.offer_id.nunique(),
        "referred": events.referrer_user_id.notnull().sum(),
        "groups": events.group_id.nunique(),
        "clamped": (events.sent_day > events.day).sum(),
        **{f"with_{name}": events[name].notnull().sum() for name in present},
    }
    users = events.group_by("user_id").agg(
        rows=events.count(), items=events.item_id.nunique(), days=events.day.nunique(where=bought)
    )
    several = users.aggregate(
        users_of_two_events=(users["rows"] >= 2).sum(),
        users_of_two_items=(users["items"] >= 2).sum(),
        buyers_of_two_days=(users["days"] >= 2).sum(),
    )
    rows = [*events.aggregate(**counts).to_pyarrow().to_pylist(), *several.to_pyarrow().to_pylist()]
    return {name: int(value or 0) for row in rows for name, value in row.items()}


def _type_counts(snapshot: Snapshot, con: Backend) -> dict[str, int]:
    events = snapshot.events(con)
    return {row["type"]: row["n"] for row in events.group_by("type").agg(n=events.count()).to_pyarrow().to_pylist()}


def _catalogue_counts(snapshot: Snapshot, con: Backend) -> dict[str, dict[str, int]]:
    """Rows of each catalogue and how many have each column; and how many of the events' items are in `items`."""
    found = {}
    for name in CATALOGUES:
        rows = snapshot.catalogue(con, name)
        counts = rows.aggregate(rows=rows.count(), **{f"with_{c}": rows[c].notnull().sum() for c in rows.columns})
        found[name] = {key: int(value or 0) for key, value in counts.to_pyarrow().to_pylist()[0].items()}
    events = snapshot.events(con)
    for name, key in (("items", "item_id"), ("users", "user_id")):
        seen = events.filter(events[key].notnull()).select(key).distinct()
        found[name]["seen"] = int(seen.semi_join(snapshot.catalogue(con, name), key).count().execute())
    users = snapshot.catalogue(con, "users")
    found["users"]["refusing"] = int(users.filter(~users.consent).count().execute())
    return found


def count_refused(snapshot: Snapshot, con: Backend) -> dict[tuple[str, str], int]:
    """Rows in the quarantine by (table, reason)."""
    rows = snapshot.quarantine(con)
    grouped = rows.group_by(["table", "reason"]).agg(n=rows.count()).order_by(["table", "reason"])
    return {(row["table"], row["reason"]): row["n"] for row in grouped.to_pyarrow().to_pylist()}
