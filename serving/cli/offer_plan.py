"""`huaxiang offers plan`: who would get which offer under a budget, and what other budgets would earn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.table import Table

from portraits.errors import InvalidValue
from recommender.offers.frontier import Point, Reallocated, by_segment, frontier, reallocate
from serving.cli.output import App, AsJson, in_a_folder, show, table
from serving.planning import Planning
from serving.segments.files import check_ending, write_rows
from serving.settings import ProcessSettings
from serving.stores import Store

MOST_SEGMENTS = 12

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write the chosen: .parquet or .csv.", dir_okay=False, callback=in_a_folder
    ),
]


def plan(
    *,
    app: App,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            min=0,
            help="For all offers together, in minor units (2000000: 20,000 yuan).",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long it is to last.")] = 7,
    what_if: Annotated[bool, typer.Option("--what-if", help="Also at 0, half, same and double budget.")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Make it the app's budget for the rest of today and so many days.")
    ] = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Plan who gets which offer: the most expected profit under a budget.

    Gains and costs are those that the last night found. The offers' own budgets hold too. Without --budget the app's
    own (settings offer_budget...) counts, if it has one. Whom the app's holdout holds is given nothing.
    """
    if publish and not budget:
        raise InvalidValue("--publish", "", "a --budget above 0 beside it")
    if out is not None:
        check_ending(out)
    desk = Planning(ProcessSettings.from_env(), Store.open(ProcessSettings.from_env().store_url), app)
    budgets = desk.budgets(days, budget)
    left_out = [*desk.left_out, *desk.held_out]
    found = reallocate(desk.plan, budgets, days, share=desk.shares(days), left_out=left_out, seed=desk.app.seed)
    rows = found.chosen_rows()
    told = _told(desk, found, budgets.total, days, rows)
    if what_if:
        told["frontier"] = [asdict(point) for point in frontier(found, budgets, desk.app.seed)]
    if out is not None:
        told |= {"out": str(out), "rows": write_rows(rows.drop_columns("weight"), out)}
    if publish:
        changed = desk.set_total(budget or 0, days)
        told["published"] = {"from": changed.offer_budget_from, "until": changed.offer_budget_until}
    told["in_force"] = desk.total_in_words()
    show(told, _words(told), as_json)


def _told(desk: Planning, found: Reallocated, total: float | None, days: int, rows: pa.Table) -> dict[str, Any]:
    """For machines. total: the budget; rows: `Reallocated.chosen_rows`."""
    share = desk.shares(days)
    return {
        "app_id": desk.app.app_id,
        "as_of": desk.plan.manifest.get("as_of"),
        "currency": desk.app.currency,
        "days": days,
        "budget": total,
        "total": asdict(found.point(total)),
        "total_price": float(found.allocation.prices[-1]),
        "offers": found.by_offer(),
        "not_running": [one for one, part in zip(desk.plan.offers, share, strict=True) if part == 0],
        "segments": by_segment(rows, *desk.segments()),
    }


def _words(told: dict[str, Any]) -> Iterator[str | Table]:
    unit, whole = told["currency"], Point(**told["total"])
    limit = "no budget over all offers" if whole.budget is None else f"budget {whole.budget:,.0f}"
    yield f"{told['days']} days, {limit}; amounts in minor units of {unit}; effects as of {told['as_of']}"
    range_ = f"90%: {whole.low:,.0f} to {whole.high:,.0f}"
    yield f"expected profit {whole.profit:,.0f} ({range_}) for {whole.cost:,.0f}; gap {whole.gap:.2%}"
    yield ""
    heads = ("offer", "visitors", "expected cost", "expected profit", "price")
    rows = (
        (one["offer_id"], f"{one['visitors']:,.1f}", f"{one['expected_cost']:,.0f}", f"{one['expected_profit']:,.0f}",
         f"{one['price'] + told['total_price']:.2f}")
        for one in told["offers"]
    )  # fmt: skip
    yield table(heads, rows, heads[1:])
    if told["not_running"]:
        yield f"not running in these days: {', '.join(told['not_running'])}"
    if told["segments"]:
        yield ""
        yield _segments(told["segments"])
    if "frontier" in told:
        yield ""
        yield _frontier(told["frontier"])
    if "out" in told:
        yield f"{told['rows']:,} visitors in {told['out']}"
    if "published" in told:
        first, last = told["published"].values()
        yield f"the app's budget for all offers from {first} to {last}: claims keep it, tonight plans with it"
    if told["in_force"]:
        yield told["in_force"]


def _segments(told: list[dict[str, Any]]) -> Table:
    heads = ("segment", "members", "of the visitors", "of the spending")
    reached = [one for one in told if one["visitors"] > 0][:MOST_SEGMENTS]
    rows = ((one["segment"], one["members"], f"{one['visitors']:.1%}", f"{one['spending']:.1%}") for one in reached)
    return table(heads, rows, heads[1:])


def _frontier(points: list[dict[str, Any]]) -> Table:
    heads = ("budget", "visitors", "expected cost", "expected profit", "90% from", "to")
    rows = (
        ("unlimited" if one["budget"] is None else f"{one['budget']:,.0f}", f"{one['visitors']:,.1f}",
         *(f"{one[name]:,.0f}" for name in ("cost", "profit", "low", "high")))
        for one in points
    )  # fmt: skip
    return table(heads, rows, heads)
