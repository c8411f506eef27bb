"""`huaxiang models`: published versions, those held back, and the nights that made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from serving.cli.output import App, AsJson, show, table
from serving.publish import Published, rollback, versions
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import RunRecord
from serving.summary import trials

PARTS = ("all", "new")
SHOWN = ("served", "recent_popular")

models = typer.Typer(no_args_is_help=True)


@models.command("list")
def list_models(app: App, as_json: AsJson = False) -> None:
    """List the versions that can be served, newest first, then those held back."""
    process = ProcessSettings.from_env()
    found = versions(process, Store.open(process.store_url), app)
    lines = table(("version", "as of", "state", "ndcg@10", "interval"), map(_line, found), right=("ndcg@10",))
    show([asdict(one) for one in found], lines if found else f"no version yet; huaxiang nightly --app {app}", as_json)


@models.command("promote")
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", show_default=False)], app: App, as_json: AsJson = False
) -> None:
    """Serve the given version from the next request on, also one that was held back."""
    _serve(app, version, as_json)


@models.command("rollback")
def roll_back(app: App, as_json: AsJson = False) -> None:
    """Serve the version published before the active one; versions that were held back are passed over."""
    _serve(app, None, as_json)


@models.command("nights")
def list_nights(app: App, as_json: AsJson = False) -> None:
    """List the last nights, newest first: what each saw, tried, measured and decided."""
    store = Store.open(ProcessSettings.from_env().store_url)
    zone = ZoneInfo(store.app(app).time_zone)
    nights = [_night(run) for run in store.runs(app)]
    ndcg = ("all items", "popular", "new items", "popular")
    headers = ("as of", "status", "events", "visitors", "items", *ndcg, "trials", "seconds", "version", "why")
    lines = table(headers, (_night_line(night, zone) for night in nights), right=(*headers[2:5], *headers[9:11]))
    show(nights, lines if nights else f"no night yet; huaxiang nightly --app {app}", as_json)


def _night(run: RunRecord) -> dict[str, Any]:
    """A night as one flat value; None = not known. `ndcg` by part and contestant: [mean, low, high]."""
    told, census = run.summary, run.summary.get("census") or {}
    rows = {(row["part"], row["name"]): row["ndcg"] for row in (told.get("backtest") or {}).get("rows", ())}
    return {
        "run_id": run.run_id,
        "as_of": run.as_of,
        "status": run.status,
        "events": (told.get("history") or {}).get("events"),
        "interactions": census.get("interactions"),
        "visitors": census.get("users"),
        "items": census.get("items"),
        "ndcg": {part: {name: rows.get((part, name)) for name in SHOWN} for part in PARTS},
        "trials": trials(told.get("tuning") or {}),
        "seconds": {step: done.get("seconds") for step, done in run.steps.items()},
        "version": told.get("version"),
        "reason": told.get("reason", ""),
    }


def _night_line(night: Mapping[str, Any], zone: ZoneInfo) -> tuple[object, ...]:
    figures = [_figure(night["ndcg"][part][name], name) for part in PARTS for name in SHOWN]
    counts = (f"{night[name]:,}" if night[name] is not None else None for name in ("events", "visitors", "items"))
    took = f"{sum(night['seconds'].values()):.0f}"
    told = (night["trials"], took, night["version"], night["reason"])
    return (night["as_of"].astimezone(zone), night["status"], *counts, *figures, *told)


def _figure(ndcg: list[float] | None, name: str) -> str | None:
    """The mean, with its interval for what was served."""
    if ndcg is None:
        return None
    mean, low, high = ndcg
    return f"{mean:.3f} ({low:.3f} to {high:.3f})" if name == "served" else f"{mean:.3f}"


def _serve(app: str, version: str | None, as_json: bool) -> None:
    process = ProcessSettings.from_env()
    served = rollback(process, Store.open(process.store_url), app, version)
    show({"app_id": app, "version": served}, f"{app}: {served} is served", as_json)


def _line(one: Published) -> tuple[object, ...]:
    state = ", ".join(word for word, holds in (("active", one.active), ("held back", one.held)) if holds)
    served = [row for row in (one.manifest.get("metrics") or {}).get("rows", ()) if row["name"] == "served"]
    if not served or served[0]["ndcg"] is None:
        return one.version, one.as_of, state, None, "popular shelf"
    mean, low, high = served[0]["ndcg"]
    return one.version, one.as_of, state, f"{mean:.3f}", f"{low:.3f} to {high:.3f}"
