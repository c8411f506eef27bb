"""`huaxiang portraits`: what is known of one visitor, or of all in a file."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.table import Table

from portraits.deleted import cells
from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.portrait_set import TABLE_FILE, PortraitSet
from portraits.segments.tables import masked_portraits, without_names
from portraits.words import in_words
from serving.cli.output import App, AsJson, parquet_in_a_folder, show, table
from serving.everything import as_line, everything
from serving.forget import Receipt, forget
from serving.portrait import portrait_of
from serving.publish import portraits_folder
from serving.receipts import Check, check
from serving.settings import ProcessSettings
from serving.stores import Store

portraits = typer.Typer(no_args_is_help=True)


@portraits.command("show")
def show_portrait(
    user: Annotated[str, typer.Argument(metavar="USER", show_default=False)], app: App, as_json: AsJson = False
) -> None:
    """Show one visitor's portrait: in words, then field by field."""
    process = ProcessSettings.from_env()
    store = Store.open(process.store_url)
    settings = store.app(app)
    person = store.state(app, user)
    portrait = portrait_of(store, app, _published(process, store, app), person.ids) if person.consent else None
    if portrait is None:
        raise NothingThere("portrait", user, "the visitor is new since the last night, or wants none")
    show(portrait, _lines(portrait, settings.currency), as_json)


@portraits.command("export")
def export(
    app: App,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="F.parquet", help="The file to write.", dir_okay=False, callback=parquet_in_a_folder
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Export the published portraits to a Parquet file, one row a visitor.

    Who refused since is left out, also as who brought somebody, and so are tags that were deleted since.
    """
    process = ProcessSettings.from_env()
    store = Store.open(process.store_url)
    people = _published(process, store, app)
    refused = sorted(store.refusing(app))
    gone = cells(people, store.deleted_tags(app))
    unfinished = out.with_name(f".{out.name}.tmp")
    if refused or gone:
        rows = masked_portraits(people.table(connect()), people.fields, gone)
        rows = without_names(rows.filter(~rows.user_id.isin(refused)), refused) if refused else rows
        rows.order_by("user_id").to_parquet(unfinished, compression="zstd")
    else:
        shutil.copyfile(people.path / TABLE_FILE, unfinished)
    count = pq.ParquetFile(unfinished).metadata.num_rows
    unfinished.replace(out)
    show({"rows": count, "out": str(out), "as_of": people.as_of}, f"{count:,} portraits in {out}", as_json)


def forget_visitor(
    user: Annotated[str, typer.Argument(metavar="USER", show_default=False)],
    app: App,
    search: Annotated[
        bool, typer.Option("--check", help="Forget nothing: search everything for what is left; exit code 1 if any.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a visitor: online now, everywhere by the next night.

    All linked ids are forgotten with it, and refused when they come again. Ask again to see how far it is.
    """
    process = ProcessSettings.from_env()
    if search:
        found = check(process, Store.open(process.store_url), app, user)
        show(found.to_dict(), _searched(found), as_json)
        raise typer.Exit(1 if found.left else 0)
    receipt = forget(process, Store.open(process.store_url), app, user)
    show(receipt.to_dict(), _told(receipt), as_json)


def export_everything(
    user: Annotated[str, typer.Argument(metavar="USER", show_default=False)],
    app: App,
    out: Annotated[Path, typer.Option("--out", metavar="F.jsonl", help="The file to write.", dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Everything that is kept of one visitor, in a file.

    Under all linked ids: a JSON object a line, of the table and the row.
    """
    process = ProcessSettings.from_env()
    unfinished, counted = out.with_name(f".{out.name}.tmp"), Counter[str]()
    with unfinished.open("w", encoding="utf-8") as file:
        for row in everything(process, Store.open(process.store_url), app, user):
            counted[row[0]] += 1
            file.write(as_line(row) + "\n")
    unfinished.replace(out)
    show({"rows": counted.total(), "tables": dict(counted), "out": str(out)}, _counted(counted, out), as_json)


def _counted(counted: Mapping[str, int], out: Path) -> Iterator[str]:
    yield f"{sum(counted.values()):,} rows in {out}"
    for name, rows in counted.items():
        yield f"{name:20}{rows:>10,}"


def _searched(found: Check) -> Iterator[str]:
    yield f"{found.status}; searched {found.rows:,} rows and {found.files:,} files: {len(found.left) or 'nothing'} left"
    yield from (f"left in {place}" for place in found.left)


def _told(receipt: Receipt) -> Iterator[str]:
    ids = "1 id" if receipt.ids == 1 else f"{receipt.ids} ids"
    yield f"{receipt.user_id}: {ids} forgotten, {receipt.status}"
    if not receipt.known:
        yield "nothing was known of this visitor; what comes under this id later is refused all the same"
    for what in receipt.pending:
        yield f"still held by {what}"


def _published(process: ProcessSettings, store: Store, app: str) -> PortraitSet:
    store.app(app)
    active = store.active(app).portraits
    if active is None:
        raise NothingThere("portraits", app, f"build them with: huaxiang nightly --app {app}")
    return PortraitSet(portraits_folder(process, app, active.version))


def _lines(portrait: Mapping[str, Any], currency: str) -> Iterator[str | Table]:
    yield from in_words(dict(portrait), currency)
    yield ""
    yield table(("field", "value"), ((name, value) for name, value in portrait.items() if not isinstance(value, list)))
