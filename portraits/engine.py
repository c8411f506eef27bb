"""Engines behind Ibis: the embedded one, DuckDB, bounded in memory and in UTC; and Spark, by its address.

A DuckDB connection never grows past `memory_limit`; what does not fit is spilled to `temp`. Rows come back in no
particular order unless a query orders them (`preserve_insertion_order = false`), which is what lets DuckDB stream.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import ibis
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend

from portraits.errors import MissingExtra

EMBEDDED = "duckdb"

MOST_MEMORY_BYTES = 8 * 2**30


def connect(memory_limit: str | None = None, threads: int | None = None, temp: Path | None = None) -> Backend:
    """A new in-memory DuckDB behind Ibis.

    `memory_limit` is DuckDB's text ("4GB"); by default half of the machine's memory, at most 8 GiB. `threads` defaults
    to one for each core. `temp` is where DuckDB spills, by default the system's temporary folder.
    """
    config: dict[str, str | int | bool] = {
        "memory_limit": memory_limit or f"{_default_memory_bytes() // 2**20}MiB",
        "temp_directory": str(temp or Path(tempfile.gettempdir()) / f"huaxiang-spill-{os.getpid()}"),
        "preserve_insertion_order": False,
    }
    if threads is not None:
        config["threads"] = threads
    con: Backend = ibis.duckdb.connect(**config)
    con.raw_sql("SET TimeZone = 'UTC'")
    # In a notebook kernel without ipywidgets DuckDB draws no bar, and refuses to be told so.
    with suppress(duckdb.InvalidInputException):
        con.raw_sql("SET enable_progress_bar = false")
    return con


@contextmanager
def engine(url: str = EMBEDDED) -> Iterator[BaseBackend]:
    """A connection of the engine at `url`, closed at the end: `duckdb`, or the address of a Spark master
    (`spark://host:port`, `local[2]`).

    Raises:
        MissingExtra: Spark's packages are not installed.
        NothingThere: no Spark answers there.
    """
    con = _open(url)
    try:
        yield con
    finally:
        con.disconnect()


def is_embedded(con: BaseBackend) -> bool:
    """Whether everything that `con` does happens in this process."""
    return bool(con.name == EMBEDDED)


def _open(url: str) -> BaseBackend:
    if url == EMBEDDED:
        return connect()
    try:
        from portraits import spark  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        raise MissingExtra("spark", f"the engine {url}") from missing
    return spark.connect(url)


def _default_memory_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MOST_MEMORY_BYTES, physical // 2)
