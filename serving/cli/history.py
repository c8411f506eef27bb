"""`huaxiang import` and `huaxiang doctor`: a merchant's history comes in and is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from portraits.doctor import Finding, diagnose
from portraits.history import TABLES
from portraits.importing import ImportReport
from portraits.lake import Lake
from portraits.mapping import Mapping
from recommender.offers.findings import offer_findings
from recommender.offers.total import total_of
from serving.cli.output import App, AsJson, reporter, show
from serving.imports import take_file
from serving.settings import ProcessSettings
from serving.stores import Store

MARKS = {True: "yes", False: "no ", None: "?  "}


def import_table(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=", ".join(TABLES), show_default=False)],
    app: App,
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="CSV, TSV, JSONL or Parquet; .gz too.", exists=True)
    ],
    mapping: Annotated[
        Path | None,
        typer.Option("--map", metavar="MAP.toml", help="Names, constants, units, filters, time format.", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a file into one table of an app's history.

    accepted + duplicates + filtered + quarantined = rows read. Importing a file twice changes nothing.
    """
    process = ProcessSettings.from_env()
    names = Mapping.load(mapping) if mapping is not None else None
    with reporter() as report:
        report.now(f"{app}: {table} from {source.name}")
        process.make_home()
        store, lake = Store.open(process.store_url), Lake(process.lake)
        done = take_file(store, lake, app, table, source, mapping=names, on_progress=report.share)
    show(asdict(done), _account(done), as_json)


def doctor(app: App, as_json: AsJson = False) -> None:
    """Say what an app's history can and cannot support, and why."""
    process = ProcessSettings.from_env()
    settings = Store.open(process.store_url).app(app)
    snapshot = Lake(process.lake).snapshot(app)
    findings = [*diagnose(snapshot, settings), *offer_findings(snapshot, settings)]
    total, now = total_of(settings), datetime.now(UTC)
    if total is not None:
        findings.append(Finding("offer budget", total.in_force(now) or None, f"{total.in_words(now)}."))
    show([asdict(finding) for finding in findings], map(_line, findings), as_json)


def _account(done: ImportReport) -> Iterator[str]:
    for name in ("rows", "accepted", "duplicates", "filtered", "quarantined", "events"):
        yield f"{name:12}{getattr(done, name):>14,}"
    if done.quarantined and not done.accepted + done.duplicates:
        yield (
            f"NOTHING was imported: all {done.quarantined:,} rows were refused; the quarantine says why of each "
            "(column, value, reason)"
        )
    for condition, rows in done.filtered_by.items():
        yield f"filtered by {condition!r}: {rows:,}"
    if done.ignored_columns:
        yield f"columns not used: {', '.join(done.ignored_columns)}"
    if done.time_kind != "real":
        yield "the file has no real time: features of time are off"


def _line(finding: Finding) -> str:
    return f"{MARKS[finding.ok]}  {finding.subject}: {finding.sentence}"
