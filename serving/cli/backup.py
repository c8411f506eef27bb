"""`huaxiang backup` and `huaxiang restore`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from serving.backup import backup as copy_home
from serving.backup import restore as put_back
from serving.cli.output import AsJson, reporter, show
from serving.settings import ProcessSettings

POSTGRES = "the online store is a PostgreSQL and not in it: keep the dump that pg_dump made before this began beside it"


def backup(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where; empty or not there.")],
    as_json: AsJson = False,
) -> None:
    """Copy all that is kept into a folder, while it is used.

    Store, lake, models and portraits: the backup holds every event that was acknowledged before it began.
    HUAXIANG_SECRET is not in it. A PostgreSQL is dumped with pg_dump, before this begins.
    """
    with reporter() as report:
        made = copy_home(ProcessSettings.from_env(), out, report.now)
    words = [f"{out}: {made.files:,} files, {made.bytes:,} bytes, every event acknowledged before {made.began}"]
    show({"folder": str(out)} | asdict(made), words + ([] if made.store else [POSTGRES]), as_json)


def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", show_default=False, help="The folder of a backup.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty home.

    Every file of it must be as it was written. Who was forgotten after the backup was made must be forgotten again.
    """
    process = ProcessSettings.from_env()
    with reporter() as report:
        made = put_back(process, source, report.now)
    words = f"{process.home}: as of {made.began}, {made.apps:,} apps, {made.files:,} files"
    show({"home": str(process.home)} | asdict(made), words, as_json)
