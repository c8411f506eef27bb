"""Which files make up one app's lake at this moment, in the order in which they are to be copied.

Data files of a Delta table are never changed, and stay for days after no version refers to them any more; the log is
added to. So a table is copied as of one version: its data files, then the entries of its log up to that version. The
tables are looked at one after the other, those that a landing commits last first: what is copied is then a state that a
crash at some moment could have left, which the lake is made for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from portraits import delta
from portraits.history import TABLES

LOG = "_delta_log"


def files_of(folder: Path) -> list[Path]:
    """The files of the app's lake in `folder`, relative to it. Raises FileNotFoundError when one went meanwhile."""
    tables = [*TABLES, "quarantine"]
    found = [path for name in tables for path in _of_table(folder, name)]
    rest = sorted(one for one in folder.iterdir() if one.name not in tables and not one.name.startswith("."))
    return found + [file.relative_to(folder) for one in rest for file in _inside(one)]


def _of_table(folder: Path, name: str) -> Iterator[Path]:
    table = delta.open_table(folder / name)
    if table is None:
        return
    version = table.version()
    yield from (Path(name, file.path) for file in delta.live_files(table))
    for entry in sorted((folder / name / LOG).iterdir()):
        number = entry.name.partition(".")[0]  # `_last_checkpoint`, which may be of a later version, is only a hint
        if number.isdigit() and int(number) <= version:
            yield Path(name, LOG, entry.name)


def _inside(path: Path) -> Iterator[Path]:
    return (one for one in sorted(path.rglob("*")) if one.is_file()) if path.is_dir() else iter((path,))
