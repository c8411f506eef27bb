"""`huaxiang recommend` and `huaxiang evaluate`: batch answers, and how good they would have been."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from portraits.lake import Lake
from serving.backtest import backtest_app, backtest_files
from portraits.errors import InvalidValue
from serving.batch import answer_file
from serving.cli.output import App, AsJson, reporter, show
from serving.settings import ProcessSettings
from serving.stores import Store

File = Annotated[Path, typer.Option(show_default=False)]


def recommend(
    app: App,
    users: Annotated[Path, typer.Option("--users", metavar="FILE", help="A file with a column user_id.")],
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="Items a visitor.")],
    out: Annotated[Path, typer.Option("--out", metavar="F.parquet", help="The file to write.")],
    exclude_seen: Annotated[
        bool | None,
        typer.Option("--exclude-seen/--allow-seen", help="Without or with items had before; default: as learnt."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Batch answers for a file of visitors.

    Columns: user_id, rank (from 1), item_id, score, source, reason. Visitors unknown to the model get the fallback.
    """
    process = ProcessSettings.from_env()
    store = Store.open(process.store_url)
    allow_seen = None if exclude_seen is None else not exclude_seen
    with reporter() as report:
        visitors, rows = answer_file(process, store, app, users, n, out, allow_seen, report.share)
    words = f"{rows:,} items for {visitors:,} visitors in {out}"
    show({"visitors": visitors, "rows": rows, "out": str(out)}, words, as_json)
