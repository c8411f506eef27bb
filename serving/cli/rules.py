"""`huaxiang rules`: pins and boosts, which change the order of what may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from portraits.errors import NothingThere
from serving.cli.output import App, AsJson, show, table
from serving.promotions import RULES, read_rules, when
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
    show(told, f"{len(texts):,} rules: {changed:,} changed, {len(texts) - changed:,} as they were", as_json)


@rules.command("list")
def list_rules(app: App, as_json: AsJson = False) -> None:
    """List the rules of an app and whether they hold: now, later, or over."""
    store = _store()
    store.app(app)
    found = [row | {"when": when(row)} for row in store.rules(app)]
    names = ("when", *RULES.names)
    lines = table(names, ([row.get(name) for name in names] for row in found))
    show(found, lines if found else f"no rule yet; huaxiang rules import --app {app} --from FILE", as_json)


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
