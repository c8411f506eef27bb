"""`huaxiang nightly`: the night of one app or of all, with its exit code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from portraits.errors import HuaxiangError, InvalidValue
from portraits.lake import Lake
from serving.cli.output import AsJson, Reporter, moment, reporter, show
from serving.nightly import run_night
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.summary import NightSummary, in_words

FAILED, HELD = 1, 3

log = logging.getLogger(__name__)


def nightly(
    app: Annotated[str | None, typer.Option("--app", help="The app.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every app, one after the other.")] = False,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="T", help="A past moment, RFC 3339; default: now.")
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Let a past --as-of replace a newer version.")] = False,
    as_json: AsJson = False,
) -> None:
    """The whole night: drain, portraits, train, gate, publish.

    Safe to run again; takes up a night that was killed. Exit codes: 0 done, 1 failed, 3 the gate held the new model
    back, 4 another night of the app is running. With --all: 1 if any failed, else 3 if any was held, else 0.
    """
    if (app is None) == (not every):
        raise InvalidValue("--app", app or "", "either --app APP or --all")
    process = ProcessSettings.from_env()
    store = Store.open(process.store_url)
    when = moment("--as-of", as_of)
    if app is not None:
        summary = _night(process, store, app, when, publish)
        zone = ZoneInfo(store.app(app).time_zone)
        show(summary.to_dict(), in_words(summary, zone), as_json)
        raise typer.Exit(summary.exit_code)
    summaries = [_in_turn(process, store, name.app_id, when, publish) for name in store.apps()]
    show([summary.to_dict() for summary in summaries], _all_words(store, summaries), as_json)
    codes = {summary.exit_code for summary in summaries}
    raise typer.Exit(next((code for code in (FAILED, HELD) if code in codes), 0))


def _night(process: ProcessSettings, store: Store, app_id: str, as_of: datetime | None, publish: bool) -> NightSummary:
    with reporter() as report:
        return run_night(
            process,
            store,
            Lake(process.lake),
            app_id,
            as_of=as_of,
            publish=publish,
            on_step=lambda step, what: _tell(report, app_id, step, what),
        )


def _in_turn(
    process: ProcessSettings, store: Store, app_id: str, as_of: datetime | None, publish: bool
) -> NightSummary:
    """One app of many: its failure is told and does not keep the others from their night."""
    try:
        return _night(process, store, app_id, as_of, publish)
    except HuaxiangError as error:
        typer.echo(f"huaxiang: {app_id}: {error.message}", err=True)
        return NightSummary(app_id, "", as_of or datetime.now(UTC), "failed", error.message)
    except Exception as error:
        log.exception("the night of %s failed", app_id)
        return NightSummary(app_id, "", as_of or datetime.now(UTC), "failed", f"{type(error).__name__}: {error}")


def _tell(report: Reporter, app_id: str, step: str, what: str) -> None:
    line = f"{app_id}: {step}: {what}"
    if what.startswith("done"):
        report.say(line)
    else:
        report.now(line)


def _all_words(store: Store, summaries: list[NightSummary]) -> Iterator[str]:
    for summary in summaries:
        yield from in_words(summary, ZoneInfo(store.app(summary.app_id).time_zone))
        yield ""
    if not summaries:
        yield "no app yet; add one with: huaxiang app add APP"
