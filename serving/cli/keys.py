"""`huaxiang key`: keys of an app, or of a provider for all apps of its merchants."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from portraits.errors import InvalidValue
from serving.cli.output import AsJson, show, table
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.keys import Key, Owner
from serving.stores.merchants import Provider

keys = typer.Typer(no_args_is_help=True)

OfApp = Annotated[str | None, typer.Option("--app", help="The app.", show_default=False)]
OfProvider = Annotated[str | None, typer.Option("--provider", help="The provider.", show_default=False)]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False)]
Grace = Annotated[
    float, typer.Option("--grace", min=0, metavar="HOURS", help="How long the old key works; 0: no more.")
]


@keys.command("create")
def create_key(
    scope: Annotated[str, typer.Option("--scope", help="events, recommend, marketing or admin.", show_default=False)],
    app: OfApp = None,
    provider: OfProvider = None,
    as_json: AsJson = False,
) -> None:
    """Create a server key. It is printed once; the store keeps only its hash."""
    key = _store().add_key(_owner(app, provider), scope)
    show(_named(app, provider) | {"scope": scope, "key": key}, key, as_json)


@keys.command("list")
def list_keys(app: OfApp = None, provider: OfProvider = None, as_json: AsJson = False) -> None:
    """List the keys of an app or of a provider, without the keys themselves."""
    found = [asdict(key) for key in _store().keys(_owner(app, provider))]
    names = ("key_id", "scope", "created", "revoked", "ends")
    lines = table(names, ([key[name] or "" if name == "ends" else key[name] for name in names] for key in found))
    whose = f"--provider {provider}" if provider else f"--app {app}"
    show(found, lines if found else f"no key yet; create one with: huaxiang key create {whose} --scope S", as_json)


@keys.command("rotate")
def rotate_key(key_id: KeyId, grace: Grace = 24.0, as_json: AsJson = False) -> None:
    """Create a key of the same owner and scope, printed once; the old one, and its tokens, end after the grace."""
    store = _store()
    key = store.rotate_key(key_id, grace)
    old = store.key(key_id)
    show(_named(old.app_id, old.provider_id) | {"scope": old.scope, "key": key, "old": _ending(old)}, key, as_json)


@keys.command("revoke")
def revoke_key(key_id: KeyId, app: OfApp = None, provider: OfProvider = None, as_json: AsJson = False) -> None:
    """Revoke a key; it stops working with the next request, and so do the tokens made with it."""
    store = _store()
    owner = store.key(key_id).owner if app is None and provider is None else _owner(app, provider)
    store.revoke_key(owner, key_id)
    key = store.key(key_id)
    told = _named(key.app_id, key.provider_id) | {"key_id": key_id, "revoked": True}
    show(told, f"{key_id}: revoked", as_json)


def _owner(app: str | None, provider: str | None) -> Owner:
    if (app is None) == (provider is None):
        raise InvalidValue("--app", app, "either --app APP or --provider PROVIDER")
    return Provider(provider) if provider is not None else str(app)


def _named(app: str | None, provider: str | None) -> dict[str, Any]:
    return {"provider_id": provider} if provider is not None else {"app_id": app}


def _ending(key: Key) -> dict[str, Any]:
    return {"key_id": key.key_id, "ends": key.ends}


def _store() -> Store:
    return Store.open(ProcessSettings.from_env().store_url)
