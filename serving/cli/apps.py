"""`huaxiang app` and `huaxiang key`: merchants, their settings and their keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from portraits.errors import InvalidValue
from portraits.settings import AppSettings
from serving.cli.output import App, AsJson, show, table
from serving.settings import ProcessSettings
from serving.stores import Store

apps = typer.Typer(no_args_is_help=True)
keys = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="APP", show_default=False)]


@apps.command("add")
def add_app(app: Name, as_json: AsJson = False) -> None:
    """Add an app; adding it twice is no error."""
    added = _store().add_app(AppSettings(app))
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


@keys.command("create")
def create_key(
    app: App,
    scope: Annotated[str, typer.Option("--scope", help="events, recommend, marketing or admin.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Create a server key. It is printed once; the store keeps only its hash."""
    key = _store().add_key(app, scope)
    show({"app_id": app, "scope": scope, "key": key}, key, as_json)


@keys.command("list")
def list_keys(app: App, as_json: AsJson = False) -> None:
    """List the keys of an app, without the keys themselves."""
    found = [asdict(key) for key in _store().keys(app)]
    names = ("key_id", "scope", "created", "revoked")
    lines = table(names, ([key[name] for name in names] for key in found))
    show(found, lines if found else f"no key yet; create one with: huaxiang key create --app {app} --scope S", as_json)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False)], app: App, as_json: AsJson = False
) -> None:
    """Revoke a key; it stops working with the next request."""
    _store().revoke_key(app, key_id)
    show({"app_id": app, "key_id": key_id, "revoked": True}, f"{key_id}: revoked", as_json)


def _store() -> Store:
    return Store.open(ProcessSettings.from_env().store_url)
