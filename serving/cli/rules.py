"""`huaxiang rules`: pins and boosts, which change the order of what may be shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from portraits.errors import NothingThere
from recommender.answers.catalogue import Catalogue
from serving.cli.output import App, AsJson, show, table
from serving.models import Models
from serving.promotions import RULES, read_rules, unknown, when
from serving.reads import Reads
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.rows import as_text

rules = typer.Typer(no_args_is_help=True)


@rules.command("import")
def import_rules(
    app: App,
    source: Annotated[
        Path,
        typer.Option("--from", metavar="FILE", help="CSV, JSON or JSONL; .gz too.", exists=True, dir_okay=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Import pins and boosts, all or none; a rule_id that is there is replaced.

    Columns: rule_id, kind (pin: item_id, position; boost: factor and one of item_id, category, brand, tag), placement,
    starts, ends.
    """
    rows = read_rules(source)
    texts = {row["rule_id"]: as_text(row) for row in rows}
    changed = _store().save_rules(app, texts)
    told = {"rules": len(texts), "changed": changed, "unchanged": len(texts) - changed}
    found = unknown(rows, _catalogue(app))
    words = [f"{len(texts):,} rules: {changed:,} changed, {len(texts) - changed:,} as they were"]
    words += [
        f"{rule_id}: {what} is not known yet; the rule changes nothing until it is" for rule_id, what in found.items()
    ]
    show(told | {"unknown": list(found)}, words, as_json)


@rules.command("list")
def list_rules(app: App, as_json: AsJson = False) -> None:
    """List the rules of an app and whether they hold: now, later, or over; unknown: what the catalogue lacks."""
    store = _store()
    store.app(app)
    rows = store.rules(app)
    found = unknown(rows, _catalogue(app))
    told = [row | {"when": when(row), "known": row["rule_id"] not in found} for row in rows]
    names = ("when", "unknown", *RULES.names)
    lines = table(names, ([(row | {"unknown": found.get(row["rule_id"])}).get(name) for name in names] for row in told))
    show(told, lines if told else f"no rule yet; huaxiang rules import --app {app} --from FILE", as_json)


@rules.command("delete")
def delete_rules(
    rule_ids: Annotated[list[str], typer.Argument(metavar="RULE_ID...", show_default=False)],
    app: App,
    as_json: AsJson = False,
) -> None:
    """Delete rules, all or none; the next answer does not know them."""
    store = _store()
    store.app(app)
    known = {row["rule_id"] for row in store.rules(app)}
    for rule_id in rule_ids:
        if rule_id not in known:
            way_out = f"nothing was deleted; list them with: huaxiang rules list --app {app}"
            raise NothingThere("rule", rule_id, way_out)
    told: dict[str, Any] = {"rule_ids": rule_ids, "deleted": store.delete_rules(app, rule_ids)}
    show(told, f"{', '.join(rule_ids)}: deleted", as_json)


def _store() -> Store:
    return Store.open(ProcessSettings.from_env().store_url)


def _catalogue(app: str) -> Catalogue:
    """What answers would know now."""
    process, store = ProcessSettings.from_env(), _store()
    return asyncio.run(Models(process, store, Reads(store)).model(app, store.state(app))).catalogue
