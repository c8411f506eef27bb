"""What the command line prints: results on stdout (words, or JSON with --json), progress and errors on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from portraits.errors import HuaxiangError, InvalidValue

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
App = Annotated[str, typer.Option("--app", help="The app.", show_default=False)]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0: a free one; default: HUAXIANG_PORT.")]


def in_a_folder(out: Path | None) -> Path | None:
    """The file to write, if one is asked for. Raises InvalidValue unless its folder is there."""
    if out is not None and not out.parent.is_dir():
        raise InvalidValue("--out", str(out), "a file in a folder that is there")
    return out


def parquet_in_a_folder(out: Path | None) -> Path | None:
    """The same for what is only written as Parquet. Raises InvalidValue for another ending."""
    if out is not None and out.suffix.lower() != ".parquet":
        raise InvalidValue("--out", out.name, "a name that ends with .parquet")
    return in_a_folder(out)


OutFile = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="To write: .parquet or .csv.", dir_okay=False, callback=in_a_folder),
]

PIPE_WIDTH = 160
SECONDS_BETWEEN_LINES = 1.0


def console(stderr: bool = False) -> Console:
    """A terminal's own width; a fixed one in a pipe, so that a table's columns are not cut."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def show(data: Any, words: str | Table | Iterable[str | Table], as_json: bool) -> None:
    """`data` as one JSON document, or `words` for people."""
    if as_json:
        typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_plain))
        return
    for part in [words] if isinstance(words, (str, Table)) else words:
        if isinstance(part, Table):
            console().print(part)
        else:
            typer.echo(part)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> Table:
    """A plain table; the columns named in `right` hold figures and are aligned right. Cell text is never markup."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for header in headers:
        made.add_column(header, justify="right" if header in set(right) else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def fail(error: HuaxiangError, as_json: bool) -> NoReturn:
    """One line (or one JSON object) on stderr, then the error's exit code."""
    if as_json:
        body = {"code": error.code, "message": error.message}
        typer.echo(json.dumps({"error": body | ({"field": error.field} if error.field else {})}), err=True)
    else:
        typer.echo(f"huaxiang: {error.message}", err=True)
    raise SystemExit(error.exit_code)


def moment(option: str, text: str | None) -> datetime | None:
    """A time given on the command line. Raises InvalidValue unless it is RFC 3339 with an offset."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise InvalidValue(option, text, "a time with its offset, e.g. 2026-11-20T03:00:00+08:00")
    return parsed


class Reporter:
    """Progress of long work: a live line on a terminal, at most one plain line a second elsewhere."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None) if bar is not None else None
        self._last = float("-inf")

    def say(self, line: str) -> None:
        """A line that stays: a step that is done."""
        if self._bar is None:
            typer.echo(line, err=True)
        else:
            self._bar.console.print(line)

    def now(self, text: str) -> None:
        """What is being done at this moment."""
        if self._bar is None or self._task is None:
            typer.echo(text, err=True)
        else:
            self._bar.update(self._task, description=text, completed=0, total=None)

    def share(self, done: float) -> None:
        """How far the present work is, from 0 to 1."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=1.0)
        elif time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            typer.echo(f"{done:.0%}", err=True)


@contextmanager
def reporter() -> Iterator[Reporter]:
    """A Reporter on stderr for the length of the block."""
    err = console(stderr=True)
    if not err.is_terminal:
        yield Reporter(None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        yield Reporter(bar)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def _plain(value: Any) -> Any:
    """What `json` does not know: times as RFC 3339, numbers of NumPy and Decimal as numbers, the rest as text."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)
