"""`huaxiang earned`: what the recommender earns beside its control group, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from math import isnan
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from portraits.engine import connect
from portraits.errors import InvalidValue
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.contrast import Contrast
from recommender.earned import Report
from recommender.earned import earned as report_of
from serving.cli.output import App, AsJson, reporter, show, table
from serving.settings import ProcessSettings
from serving.stores import Store

USUAL_DAYS = 28
SHARES = ("click rate", "bought")
MONEY = ("value", "value led to")


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
    recommended to did from then on, beside those who are not, with 95% intervals; then, only to describe, by placement
    and by source. Of what the history holds: answers and events go there with each night.
    """
    process = ProcessSettings.from_env()
    settings = Store.open(process.store_url).app(app)
    since, until = _span(settings, from_, to)
    with reporter() as report:
        report.now("attribution")
        found = report_of(Lake(process.lake).snapshot(app), settings, since, until, connect())
    show(found.as_json(), _words(found, settings), as_json)


def _span(settings: AppSettings, first: str | None, last: str | None) -> tuple[datetime, datetime]:
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
    for name, rows in (("placement", found.placements), ("source", found.sources)):
        shown = ("answers",) if name == "placement" else ()
        headers = (name, "arm", *shown, "shown", "clicks", "click rate", "purchases", "led to")
        yield ""
        yield table(headers, (_described(row, headers) for row in rows), right=headers[2:])


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


def _described(row: Mapping[str, Any], headers: tuple[str, ...]) -> tuple[object, ...]:
    rate = f"{row['clicks'] / row['shown']:.2%}" if row["shown"] else None
    told = {"click rate": rate, "led to": f"{row['led']:,.0f}", "arm": row["arm"] or "both alike"}
    return tuple(told.get(name, row.get(name)) for name in headers)
