"""`huaxiang offers report`, `evaluate` and `audit`: what offers earned, what a plan would earn, who could have what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.lake import Lake
from portraits.segments.nights import nights
from portraits.settings import AppSettings
from recommender.offers.audit import Audit, audit, changes
from recommender.offers.evaluate import Evaluation, evaluate
from recommender.offers.evidence import evidence
from recommender.offers.incremental import CHANCES, EARLY, Line
from recommender.offers.plan_files import OfferPlan
from recommender.offers.report import TABLES, Report, report
from serving.cli.earned import span
from serving.cli.output import App, AsJson, reporter, show, table
from serving.planning import Planning
from serving.segments.night import folder_of
from serving.settings import ProcessSettings
from serving.stores import Store

From = Annotated[
    str | None,
    typer.Option("--from", metavar="DATE", help="First local day; default: 28 days.", show_default=False),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="DATE", help="Last local day; default: until now.", show_default=False)
]
By = Literal["offer", "segment", "night"]
MOST_ROWS = 20
LONGEST = 366.0
"""Days beyond which it is not said how long it takes to tell."""
MONEY = ("revenue", "margin", "cost", "profit")
FUNNEL = ("decided", "held back", "shown", "claimed", "redeemed", "redeemed unseen", "expired", "returned", "cost")


def offers_report(
    *,
    app: App,
    from_: From = None,
    to: To = None,
    by: Annotated[By | None, typer.Option("--by", help="One table; default: all.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """What offers earned beside visitors who never get one.

    The holdout (offer_control_share) is never shown an offer; what would have been chosen is known for it, too. Each
    visitor counts once in a line, by the draw alone. In all and by segment: what visitors did from their first answer
    about offers on, also one that gives nothing. By night: within offer_days after the first answer of its plan. By
    offer: within offer_days after it was first chosen for the visitor, if no limit a person was reached before.
    Revenue, margin (before coupons), cost, profit = margin - cost, ROI = profit / cost, with 95% intervals; "too early
    to tell" where they hold nothing and something, and how many more visitors would tell.
    """
    process = ProcessSettings.from_env()
    settings = Store.open(process.store_url).app(app)
    since, until = span(settings, from_, to)
    with reporter() as progress:
        progress.now("trials")
        lake = Lake(process.lake)
        kept = nights(folder_of(lake, app))
        found = report(lake.snapshot(app), settings, since, until, connect(), nights=kept)
    show(found.as_json(), _words(found, settings, by), as_json)


def offers_evaluate(
    *,
    app: App,
    from_: From = None,
    to: To = None,
    policy: Annotated[
        Literal["plan", "everybody", "nobody"] | None,
        typer.Option("--policy", help="One policy; default: all.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What tonight's plan would earn, told before it is spent.

    From what was given in the past and the chances by which it was (IPS, SNIPS, DR), beside nothing given to anybody.
    The effective size says how many answers of the past are like the plan's own.
    """
    process = ProcessSettings.from_env()
    desk = Planning(process, Store.open(process.store_url), app)
    within = span(desk.app, from_, to)
    with reporter() as progress:
        progress.now("trials")
        every = evaluate(Lake(process.lake).snapshot(app), desk.app, desk.plan, within, connect())
    found = [one for one in every if policy in (None, one.policy)]
    told = {"from": within[0], "to": within[1], "policies": [one.as_json() for one in found]}
    show(told, _values(found, desk.app), as_json)


def offers_audit(
    *,
    app: App,
    offer: Annotated[str, typer.Option("--offer", help="The offer.", show_default=False)],
    from_: From = None,
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """The stated rule of an offer, every change of it, who could have it and who had it."""
    process = ProcessSettings.from_env()
    desk = Planning(process, Store.open(process.store_url), app)
    since, until = span(desk.app, from_, to)
    con, snapshot = connect(), Lake(process.lake).snapshot(app)
    history = changes(snapshot, desk.app, offer, con)
    try:
        plan = desk.plan
    except NothingThere:
        plan = None
    try:
        funnel = evidence(snapshot, desk.app, since, until, con).funnel.get(offer)
    except NothingThere:
        funnel = None
    users = snapshot.catalogue(con, "users").select("user_id", "member_tier").to_pyarrow().to_pylist()
    tiers = {row["user_id"]: row["member_tier"] for row in users if row["member_tier"]}
    segments = {} if plan is None else _memberships(desk, plan)
    found = audit(offer, history, plan=plan, tiers=tiers, segments=segments, funnel=funnel)
    show(found.as_json() | {"from": since, "to": until}, _audited(found), as_json)


def _memberships(desk: Planning, plan: OfferPlan) -> dict[str, NDArray[np.bool_]]:
    """Whether each of the plan's visitors is in each segment."""
    who, inside = desk.segments()
    rows = plan.users.indices(who.to_pylist())
    found = {}
    for name, members in inside.items():
        found[name] = np.zeros(len(plan.users), bool)
        found[name][rows[members & (rows >= 0)]] = True
    return found


def _words(found: Report, settings: AppSettings, by: By | None) -> Iterator[str | Table]:
    unit = f"minor units of {settings.currency}"
    if found.overall is not None:
        treated, control = found.overall.visitors
        yield f"{settings.app_id}: {treated:,} visitors who may get offers, {control:,} who never do; {unit}"
        headers = ("all offers", "a visitor", "held out", "difference", "95% interval", "in all", "95% interval ")
        yield table(headers, [_figure(found.overall, name) for name in found.overall.figures], right=headers[1:])
        yield f"profit: {found.overall.says}; ROI {_roi(found.overall)}{_later(found, found.overall)}"
        if found.overall.steadier > 0:
            yield f"what visitors earned before takes {found.overall.steadier:.0%} off the variance of the profit"
    yield ", ".join(f"{name}: {count:,}" for name, count in found.counts.items())
    yield from (f"note: {warning}" for warning in found.warnings)
    for name in TABLES:
        lines: Sequence[Line] = getattr(found, name)
        if lines and by in (None, name.removesuffix("s")):
            yield ""
            yield from _lines(name.removesuffix("s"), lines, found)
    if by in (None, "offer") and found.funnel:
        yield ""
        rows = [(offer, *(f"{told.get(name, 0):,.0f}" for name in FUNNEL)) for offer, told in found.funnel.items()]
        yield table(("offer", *FUNNEL), rows[:MOST_ROWS], right=FUNNEL)
        yield from _rest(len(rows))


def _lines(name: str, lines: Sequence[Line], found: Report) -> Iterator[str | Table]:
    """Totals of what was given; how it was compared where that is not the holdout."""
    headers = (name, "treated", "control", *MONEY, "profit's 95% interval", "ROI", "says")
    rows = [
        (
            one.of or "-",
            *(f"{count:,}" for count in one.rows),
            *(_amount(one.totals[figure][0]) for figure in MONEY),
            _interval(one.totals["profit"]),
            _roi(one),
            one.says + (" (by known chances)" if one.how == CHANCES else "") + _later(found, one),
        )
        for one in lines
    ]
    yield table(headers, rows[:MOST_ROWS], right=headers[1:-1])
    yield from _rest(len(rows))


def _rest(rows: int) -> Iterator[str]:
    if rows > MOST_ROWS:
        yield f"and {rows - MOST_ROWS:,} more: --json"


def _figure(one: Line, name: str) -> tuple[str, ...]:
    told = one.figures[name]
    share = name == "bought"
    each = [f"{value:.2%}" if share else f"{value:,.1f}" for value in (told.treated.mean, told.control.mean)]
    value, low, high = told.difference
    within = (f"{part:+.2%}" if share else f"{part:+,.1f}" for part in (value, low, high))
    said, least, most = ("-" if part.startswith("+nan") else part for part in within)
    return name, *each, said, f"{least} to {most}", _amount(one.totals[name][0]), _interval(one.totals[name])


def _amount(value: float) -> str:
    return "-" if isnan(value) else f"{value:+,.0f}"


def _interval(within: tuple[float, float, float]) -> str:
    return "-" if isnan(within[1]) else f"{within[1]:+,.0f} to {within[2]:+,.0f}"


def _roi(one: Line) -> str:
    value, low, high = one.roi
    if isnan(value):
        return "-"
    return f"{value:.2f}" if isnan(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _later(found: Report, one: Line) -> str:
    """How much longer it takes to tell, where it is too early."""
    days = found.days(one)
    if one.says != EARLY or isnan(days):
        return ""
    return f" ({one.needs:,.0f} more visitors: {days:,.0f} days)" if days <= LONGEST else " (not within a year)"


def _values(found: Sequence[Evaluation], settings: AppSettings) -> Iterator[str | Table]:
    yield (
        f"{settings.app_id}: profit an answer beside nothing given, within {settings.offer_days:g} days, in minor "
        f"units of {settings.currency}; from {found[0].answers:,} answers whose chances are known"
    )
    headers = ("policy", "estimate", "profit an answer", "95% interval", "in all", "effective size", "cost an answer")
    rows = [
        (
            one.policy,
            name,
            _each(gain.value),
            gain.says or f"{gain.low:+,.2f} to {gain.high:+,.2f}",
            _amount(gain.value * one.answers),
            f"{gain.effective_size:,.0f}",
            _each(one.cost.value),
        )
        for one in found
        for name, gain in one.gains.items()
        if one.policy != "nobody"
    ]
    yield table(headers, rows, right=headers[2:])
    yield from (f"note: {one.policy}: {warning}" for one in found for warning in one.warnings)


def _each(value: float) -> str:
    return "-" if isnan(value) else f"{value:+,.2f}"


def _audited(found: Audit) -> Iterator[str | Table]:
    yield f"{found.offer_id}: {found.rule or 'states no rule: it is not offered'}"
    for one in found.changes:
        what = ", ".join(f"{name} {_said(old)} -> {_said(new)}" for name, (old, new) in one.changed.items())
        yield f"  {one.since:%Y-%m-%d %H:%M}  {'taken out' if one.gone else what or 'as first known'}"
    if found.known:
        yield f"by this rule {found.eligible:,} of {found.known:,} visitors may have it"
        groups = [("tier", found.by_tier), ("segment", found.by_segment)]
        rows = [(kind, name, f"{size:,}", f"{some:,}") for kind, told in groups for name, (size, some) in told.items()]
        yield table(("by", "name", "visitors", "may have it"), rows[:MOST_ROWS], right=("visitors", "may have it"))
        yield from _rest(len(rows))
    if found.funnel is not None:
        yield ", ".join(f"{name}: {found.funnel.get(name, 0):,.0f}" for name in FUNNEL)
    yield from (f"note: {note}" for note in found.notes)


def _said(value: Any) -> str:
    return "-" if value in (None, "", []) else str(value)
