"""`huaxiang offers reach`: who to message in the next day, with which offer, at which hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.table import Table

from portraits.lake import Lake
from recommender.offers.reach import Messages, reach, send_at
from serving.cli.output import App, AsJson, in_a_folder, moment, show, table
from serving.inbox import inbox_of, rules_of
from serving.planning import Planning
from serving.segments.files import check_ending, write_rows
from serving.settings import ProcessSettings
from serving.stores import Store


def reach_visitors(
    *,
    app: App,
    n: Annotated[int | None, typer.Option("--n", min=0, help="At most so many messages.", show_default=False)] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The 24 hours from then; default: from now.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write them: .parquet or .csv.", dir_okay=False, callback=in_a_folder
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose who to message, with which offer and when: permissions are spent where they earn most.

    Only who gave a permission that is not used up, at most messages_per_week each, never between quiet_from and
    quiet_until. Nothing is sent: send what the file says, and tell of it by message_sent events.
    """
    if out is not None:
        check_ending(out)
    process = ProcessSettings.from_env()
    desk = Planning(process, Store.open(process.store_url), app, moment("--at", at))
    now_local = desk.now.astimezone(desk.zone)
    inbox = inbox_of(desk, Lake(process.lake), desk.now)
    found = reach(desk.plan, inbox, rules_of(desk, now_local), desk.budgets(1.0), now_local, most=n)
    rows = _rows(desk, found)
    told: dict[str, Any] = {
        "app_id": app,
        "at": now_local.isoformat(),
        "currency": desk.app.currency,
        "permitted": len(inbox.row),
        "messages": len(found),
        "expected_profit": float(found.profit.sum()),
        "expected_cost": float(found.cost.sum()),
        "offers": dict(Counter(rows["offer_id"].to_pylist()).most_common()),
    }
    if out is not None:
        told |= {"out": str(out), "rows": write_rows(rows, out)}
    show(told, _words(told), as_json)


def _rows(desk: Planning, found: Messages) -> pa.Table:
    """A row a message, the most valuable first. Money in minor units."""
    now_local = desk.now.astimezone(desk.zone)
    hours = {after: send_at(after, now_local).isoformat() for after in set(found.after.tolist())}
    return pa.table(
        {
            "user_id": pa.array(desk.plan.users.ids(found.row), pa.string()),
            "offer_id": pa.array([desk.plan.offers[column] for column in found.offer], pa.string()),
            "send_at": pa.array([hours[after] for after in found.after.tolist()], pa.string()),
            "chance_to_open": found.opened,
            "expected_profit": found.profit,
            "expected_cost": found.cost,
            "permission_price": found.kept,
        }
    )


def _words(told: dict[str, Any]) -> Iterator[str | Table]:
    yield f"{told['messages']:,} messages to {told['permitted']:,} visitors who permitted one, from {told['at']} on"
    yield (
        f"expected profit {told['expected_profit']:,.0f} for {told['expected_cost']:,.0f}, minor units of "
        f"{told['currency']}"
    )
    if told["offers"]:
        yield ""
        yield table(("offer", "messages"), told["offers"].items(), ("messages",))
    if "out" in told:
        yield f"{told['rows']:,} messages in {told['out']}"
