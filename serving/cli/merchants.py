"""`huaxiang provider` and `huaxiang merchant`: who owns apps, and who runs them for several owners."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from serving.cli.output import AsJson, show, table
from serving.settings import ProcessSettings
from serving.stores import Store

providers = typer.Typer(no_args_is_help=True)
merchants = typer.Typer(no_args_is_help=True)

ProviderId = Annotated[str, typer.Argument(metavar="PROVIDER", show_default=False)]
MerchantId = Annotated[str, typer.Argument(metavar="MERCHANT", show_default=False)]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.", show_default=False)]
OfProvider = Annotated[str | None, typer.Option("--provider", help="The provider.", show_default=False)]


@providers.command("add")
def add_provider(provider: ProviderId, name: Name = None, as_json: AsJson = False) -> None:
    """Add a provider; adding it twice is no error."""
    _told("provider_id", provider, _store().add_provider(provider, name), as_json)


@providers.command("list")
def list_providers(as_json: AsJson = False) -> None:
    """List the providers."""
    found = [asdict(provider) for provider in _store().providers()]
    names = ("provider_id", "name", "merchants")
    lines = table(names, ([one[name] for name in names] for one in found), right=("merchants",))
    show(found, lines if found else "no provider yet; add one with: huaxiang provider add PROVIDER", as_json)


@merchants.command("add")
def add_merchant(merchant: MerchantId, provider: OfProvider = None, name: Name = None, as_json: AsJson = False) -> None:
    """Add a merchant; of one that is there, what is named changes: with another provider it is that one's at once."""
    _told("merchant_id", merchant, _store().add_merchant(merchant, provider, name), as_json)


@merchants.command("list")
def list_merchants(provider: OfProvider = None, as_json: AsJson = False) -> None:
    """List the merchants with their apps."""
    found = [asdict(merchant) for merchant in _store().merchants(provider)]
    names = ("merchant_id", "name", "provider_id", "apps")
    lines = table(names, ([*(one[name] or "" for name in names[:3]), " ".join(one["apps"])] for one in found))
    show(found, lines if found else "no merchant yet; add one with: huaxiang merchant add MERCHANT", as_json)


def _told(what: str, name: str, added: bool, as_json: bool) -> None:
    show({what: name, "added": added}, f"{name}: {'added' if added else 'there already'}", as_json)


def _store() -> Store:
    return Store.open(ProcessSettings.from_env().store_url)
