"""`huaxiang recommend` and `huaxiang evaluate`: batch answers, and how good they would have been."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from portraits.errors import InvalidValue
from portraits.lake import Lake
from recommender.backtest import backtest_app, backtest_files
from recommender.evaluate import Table
from serving.batch import answer_file, open_batch
from serving.cli.output import App, AsJson, OutFile, reporter, show
from serving.publish import portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store


def recommend(
    *,
    app: App,
    users: Annotated[
        Path, typer.Option("--users", metavar="FILE", help="A file with a column user_id.", exists=True, dir_okay=False)
    ],
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="Items a visitor.")],
    out: OutFile,
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
        visitors, rows = answer_file(open_batch(process, store, app, n, allow_seen), users, out, report.share)
    words = f"{rows:,} items for {visitors:,} visitors in {out}"
    show({"visitors": visitors, "rows": rows, "out": str(out)}, words, as_json)


def evaluate(
    app: Annotated[str | None, typer.Option("--app", help="The app.", show_default=False)] = None,
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="F", help="CSV: user, item, perhaps ts (a number).", exists=True),
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", metavar="F", help="CSV: user, item; what came after.", exists=True)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Backtest every source and baseline, with intervals.

    Either of an app (its last weeks are judged, nothing is published) or of two files, --train and --test.
    """
    with reporter() as report:
        report.now("backtest")
        if app is not None and train is None and test is None:
            table = _of_app(app)
        elif app is None and train is not None and test is not None:
            table = backtest_files(train, test)
        else:
            raise InvalidValue("--app", app or "", "either --app APP, or --train F and --test F")
    show(table.as_json(), table.as_text(), as_json)


def _of_app(app: str) -> Table:
    process = ProcessSettings.from_env()
    store = Store.open(process.store_url)
    settings = store.app(app)
    active = store.active(app).portraits
    portraits = None if active is None else portraits_folder(process, app, active.version)
    return backtest_app(Lake(process.lake).snapshot(app), settings, portraits, datetime.now(UTC))
