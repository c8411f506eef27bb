"""`huaxiang models`: published versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from serving.cli.output import App, AsJson, show, table
from serving.publish import Published, rollback, versions
from serving.settings import ProcessSettings
from serving.stores import Store

models = typer.Typer(no_args_is_help=True)


@models.command("list")
def list_models(app: App, as_json: AsJson = False) -> None:
    """List the versions that can be served, newest first."""
    process = ProcessSettings.from_env()
    found = versions(process, Store.open(process.store_url), app)
    lines = table(("version", "as of", "active", "ndcg@10", "interval"), map(_line, found), right=("ndcg@10",))
    show([asdict(one) for one in found], lines if found else f"no version yet; huaxiang nightly --app {app}", as_json)


@models.command("promote")
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", show_default=False)], app: App, as_json: AsJson = False
) -> None:
    """Serve the given version from the next request on."""
    _serve(app, version, as_json)


@models.command("rollback")
def roll_back(app: App, as_json: AsJson = False) -> None:
    """Serve the version before the active one."""
    _serve(app, None, as_json)


def _serve(app: str, version: str | None, as_json: bool) -> None:
    process = ProcessSettings.from_env()
    served = rollback(process, Store.open(process.store_url), app, version)
    show({"app_id": app, "version": served}, f"{app}: {served} is served", as_json)


def _line(one: Published) -> tuple[object, ...]:
    active = "active" if one.active else ""
    served = [row for row in (one.manifest.get("metrics") or {}).get("rows", ()) if row["name"] == "served"]
    if not served:
        return one.version, one.as_of, active, None, "popular shelf"
    mean, low, high = served[0]["ndcg"]
    return one.version, one.as_of, active, f"{mean:.3f}", f"{low:.3f} to {high:.3f}"
