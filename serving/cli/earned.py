"""`huaxiang earned`: what the recommender earns beside its control group, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from math import isnan
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from portraits.engine import connect
from portraits.errors import InvalidValue
from portraits.lake import Lake
from portraits.segments.nights import nights
from portraits.settings import AppSettings
from recommender.contrast import Contrast
from recommender.earned import Report
from recommender.earned import earned as report_of
from serving.cli.output import App, AsJson, reporter, show, table
from serving.segments.night import folder_of
from serving.settings import ProcessSettings
from serving.stores import Store

USUAL_DAYS = 28
SHARES = ("click rate", "bought")
MONEY = ("value", "value led to")
COUNTS = {name: name for name in ("answers", "shown", "clicks", "purchases")} | {"led": "led to"}
FIGURES = {"ctr": "click rate", "cvr": "purchases a click", "revenue_per_answer": "revenue an answer"}
WEIGHTED = {"weighted_ctr": "weighted click rate", "weighted_revenue_per_shown": "weighted revenue a shown item"}
MOST_ROWS = 20


def earned(
    *,
    app: App,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First local day; default: 28 days.", show_default=False),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Last local day; default: until now.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What the recommender earns beside its control group.

    The control group (control_share) sees the popular shelf. Of visitors who got an answer: what those who are
    recommended to did from then on, beside those who are not, with 95% intervals; then, only to describe, by placement,
    model version, source, position and segment: click rate, purchases a click, revenue an answer. Of what the history
    holds: answers and events go there with each night.
    """
    process = ProcessSettings.from_env()
    tenant = Store.open(process.store_url).tenant(app)
    settings = tenant.settings
    since, until = span(settings, from_, to)
    with reporter() as report:
        report.now("attribution")
        lake = Lake(process.lake)
        kept = nights(folder_of(lake, app))
        found = report_of(lake.snapshot(app), settings, since, until, connect(), nights=kept, salt=tenant.salt)
    show(found.as_json(), _words(found, settings), as_json)


def span(settings: AppSettings, first: str | None, last: str | None) -> tuple[datetime, datetime]:
    """From the first moment of the first day to the end of the last, by the app's clock; never after now."""
    zone, now = ZoneInfo(settings.time_zone), datetime.now(UTC)
    until = now if last is None else min(now, _midnight("--to", last, zone) + timedelta(days=1))
    since = until - timedelta(days=USUAL_DAYS) if first is None else _midnight("--from", first, zone)
    if since >= until:
        raise InvalidValue("--to", last or f"{until:%Y-%m-%d}", "a day from --from on, which has begun")
    return since.astimezone(UTC), until.astimezone(UTC)


def _midnight(option: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), zone)
    except ValueError:
        raise InvalidValue(option, text, "a day, e.g. 2026-03-01") from None


def _words(found: Report, settings: AppSettings) -> Iterable[str | Table]:
    zone = ZoneInfo(settings.time_zone)
    unit = {"margin": f"margin (minor units of {settings.currency})"}
    unit["revenue"] = unit["margin"].replace("margin", "revenue")
    yield (
        f"{settings.app_id}, {found.since.astimezone(zone):%Y-%m-%d %H:%M} to "
        f"{found.until.astimezone(zone):%Y-%m-%d %H:%M}: {found.visitors['treated']:,} visitors with the recommender, "
        f"{found.visitors['control']:,} in the control group; objective: {unit.get(found.objective, found.objective)}"
    )
    if found.figures:
        headers = ("a visitor", "recommender", "control", "difference", "95% interval", "lift", "says", "detectable")
        lines = [_line(name, figure, found.objective) for name, figure in found.figures.items()]
        yield table(headers, lines, right=(*headers[1:6], headers[7]))
    yield ", ".join(f"{name}: {count:,}" for name, count in found.counts.items())
    yield from (f"note: {warning}" for warning in found.warnings)
    for name, rows in found.tables.items():
        if name == "placement" or len(rows) > 1:
            yield ""
            yield from _described(name, rows)


def _described(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterable[str | Table]:
    """One table, its first rows: `--json` has them all."""
    figures = WEIGHTED if name == "explored" else FIGURES
    headers = (name, "arm", *COUNTS.values(), *figures.values())
    lines = (
        (
            _known_as(row[name]),
            row["arm"] or "both alike",
            *(f"{row[count]:,.0f}" for count in COUNTS),
            *(_within(row[figure], as_share=figure.endswith(("ctr", "cvr"))) for figure in figures),
        )
        for row in rows[:MOST_ROWS]
    )
    yield table(headers, lines, right=headers[2:])
    if len(rows) > MOST_ROWS:
        yield f"and {len(rows) - MOST_ROWS:,} more: --json"


def _known_as(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else value


def _within(figure: tuple[float, float, float], *, as_share: bool) -> str:
    """A value and its interval; without one where too few visitors tell."""
    value, low, high = (f"{one:.2%}" if as_share else f"{one:,.2f}" for one in figure)
    if isnan(figure[0]):
        return "-"
    return value if isnan(figure[1]) else f"{value} ({low} to {high})"


def _line(name: str, figure: Contrast, objective: str) -> tuple[object, ...]:
    def said(value: float, sign: str = "") -> str:
        if isnan(value):
            return "-"
        if name in SHARES:
            return f"{value:{sign}.2%}"
        return f"{value:{sign},.1f}" if name in MONEY and objective != "clicks" else f"{value:{sign}.3f}"

    value, low, high = figure.difference
    lift = "-" if isnan(figure.lift[0]) else "{:+.1%} ({:+.1%} to {:+.1%})".format(*figure.lift)
    interval = "-" if isnan(low) else f"{said(low, '+')} to {said(high, '+')}"
    title = {"value": objective, "value led to": f"{objective} led to"}.get(name, name)
    means = (said(figure.treated.mean), said(figure.control.mean), said(value, "+"))
    return (title, *means, interval, lift, figure.says, said(figure.detectable))
