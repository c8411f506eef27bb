"""`huaxiang app`: the mini programs of merchants, and their settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from portraits.errors import InvalidValue
from portraits.settings import AppSettings
from serving.cli.output import AsJson, show, table
from serving.settings import ProcessSettings
from serving.stores import Store

apps = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="APP", show_default=False)]
OfMerchant = Annotated[str | None, typer.Option("--merchant", help="Whose app it is.", show_default=False)]


@apps.command("add")
def add_app(app: Name, merchant: OfMerchant = None, as_json: AsJson = False) -> None:
    """Add an app; adding it twice is no error. With a merchant it is that one's from now on."""
    added = _store().add_app(AppSettings(app), merchant)
    show({"app_id": app, "added": added}, f"{app}: added" if added else f"{app}: there already", as_json)


@apps.command("list")
def list_apps(as_json: AsJson = False) -> None:
    """List the apps with their settings."""
    found = [asdict(settings) for settings in _store().apps()]
    names = ("app_id", "currency", "time_zone", "objective")
    lines = table(names, ([app[name] for name in names] for app in found))
    show(found, lines if found else "no app yet; add one with: huaxiang app add APP", as_json)


@apps.command("set")
def set_app(
    app: Name, settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")], as_json: AsJson = False
) -> None:
    """Change settings of an app, all of them or none."""
    store = _store()
    changed = store.app(app)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InvalidValue("setting", setting, "KEY=VALUE, e.g. currency=EUR")
        changed = changed.with_value(key.strip(), value.strip())
    store.save_app(changed)
    values = asdict(changed)
    show(values, table(("setting", "value"), values.items()), as_json)


def _store() -> Store:
    return Store.open(ProcessSettings.from_env().store_url)
