"""`huaxiang recommend` and `huaxiang evaluate`: batch answers, and how good they would have been."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from portraits.errors import InvalidValue
from portraits.lake import Lake
from recommender.backtest import backtest_app
from recommender.given import judge_files, write_lists
from recommender.judging.evaluate import K, Table
from recommender.memory import MOST_TRIALS
from recommender.plan import MOST_JUDGED
from recommender.tuning.tune import Budget
from recommender.types import LARGEST_N
from serving.batch import answer_file, open_batch
from serving.cli.output import App, AsJson, OutFile, parquet_in_a_folder, reporter, show
from serving.publish import portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store


def recommend(
    *,
    app: App,
    users: Annotated[
        Path,
        typer.Option(
            "--users",
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet with a column user_id.",
            exists=True,
            dir_okay=False,
        ),
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


Pairs = Annotated[
    Path | None,
    typer.Option(metavar="F", help="Text, JSONL or Parquet: user, item, perhaps ts.", exists=True, dir_okay=False),
]
MANY_TRIALS = Budget().trials
LARGEST_SEED = 2**31 - 1
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        min=0,
        max=MOST_TRIALS,
        help=f"With files: parameters to try; 0 = the defaults; default: {MANY_TRIALS}.",
    ),
]


def evaluate(
    *,
    app: Annotated[str | None, typer.Option("--app", help="The app.", show_default=False)] = None,
    train: Pairs = None,
    test: Pairs = None,
    ks: Annotated[
        list[int] | None,
        typer.Option("--k", min=1, max=LARGEST_N, help="Length of list; may be repeated. Default: 10."),
    ] = None,
    users: Annotated[
        str | None,
        typer.Option("--users", metavar="N|all", help=f"With files: how many users to judge; default: {MOST_JUDGED}."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=LARGEST_SEED, help="With files: of every draw; default: 0.")
    ] = None,
    trials: Trials = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="F.parquet", help="With files: the lists served.", callback=parquet_in_a_folder),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Backtest every source and baseline, with intervals.

    Either of an app (its last weeks are judged, nothing is published) or of two files, --train and --test: a split
    that somebody else made. Columns of the lists served: user, rank (from 1), item_id, part (all; new = without what
    the user took in the training file; unknown = for users that are not in it).
    """
    lengths = tuple(dict.fromkeys(ks or [K]))
    with reporter() as report:
        report.now("backtest")
        if app is not None and train is None and test is None:
            _only_with_files({"--users": users, "--seed": seed, "--trials": trials, "--out": out})
            table = _of_app(app, lengths)
        elif app is None and train is not None and test is not None:
            budget = Budget(MANY_TRIALS if trials is None else trials)
            found = judge_files(train, test, ks=lengths, seed=seed or 0, judged=_how_many(users), budget=budget)
            table = found.table
            if out is not None:
                write_lists(found, out)
        else:
            raise InvalidValue("--app", app or "", "either --app APP, or --train F and --test F")
    show(table.as_json(), table.as_text(), as_json)


def _only_with_files(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            expected = "--train F and --test F beside it; of an app its settings (seed, tuning_trials) count"
            raise InvalidValue(option, str(value), expected)


def _how_many(users: str | None) -> int | None:
    if users is None:
        return MOST_JUDGED
    if users == "all":
        return None
    if not users.isdecimal() or not int(users):
        raise InvalidValue("--users", users, "a number of users from 1, or all")
    return int(users)


def _of_app(app: str, ks: tuple[int, ...]) -> Table:
    process = ProcessSettings.from_env()
    store = Store.open(process.store_url)
    settings = store.app(app)
    active = store.active(app).portraits
    portraits = None if active is None else portraits_folder(process, app, active.version)
    return backtest_app(Lake(process.lake).snapshot(app), settings, portraits, datetime.now(UTC), ks)
