"""Everything that one database does differently from another: this file and nothing else knows.

SQLite's own busy handler starves writers under load (stalls of seconds), so writers of all processes queue at a file
lock beside the database, and a transaction begins IMMEDIATE. WAL lets readers go on meanwhile; synchronous=FULL makes
a commit survive power loss.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL

from portraits.errors import InvalidValue, StoreUnavailable

WRITE_WAIT_S = 5.0
CHECKPOINT_PAGES = 8_000
"""Pages (32 MB) of the write-ahead log before it goes into the file: pages that many events touch are copied once
instead of eight times, which halves the system time of an insert."""
READ_WAIT_MS = 50
"""A reader of a WAL database waits only while it is being recovered or migrated."""


class Reader:
    """Constant statements, compiled once, on a connection that each thread keeps.

    What SQLAlchemy does anew on each call (take a connection, look the statement up, make result objects) costs 0.06
    ms; the statements themselves cost 0.01 to 0.05.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._local = threading.local()
        self._compiled: dict[Select[Any], tuple[str, tuple[str, ...], dict[str, Any]]] = {}
        self.errors: type[Exception] = engine.dialect.loaded_dbapi.Error

    def ask(self, statement: Select[Any], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows. Raises one of `errors`; the next question then opens a new connection."""
        sql, order, constants = self._compiled.get(statement) or self._compile(statement)
        connection = getattr(self._local, "connection", None) or self._connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql, [values[name] if name in values else constants[name] for name in order])
            return cursor.fetchall()  # type: ignore[no-any-return]
        except self.errors:
            self._local.connection = None
            connection.invalidate()
            raise

    def _connect(self) -> Any:
        self._local.connection = self._engine.raw_connection()
        return self._local.connection

    def _compile(self, statement: Select[Any]) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        compiled: Any = statement.compile(dialect=self._engine.dialect)
        self._compiled[statement] = (str(compiled), tuple(compiled.positiontup), dict(compiled.params))
        return self._compiled[statement]


class Sqlite:
    """SQLite by URL `sqlite:///path`: one file, many readers, one writer at a time among all processes."""

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise InvalidValue("HUAXIANG_STORE", str(url), "sqlite:///path/to/file")
        path = Path(url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_engine(url, pool_size=4, max_overflow=64)
        event.listen(self.engine, "connect", _configure)
        self.reader = Reader(self.engine)
        self._lock_path = path.with_name(path.name + ".lock")
        self._thread_lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other writer is in. Commits when the block ends, rolls back when it raises."""
        with self._turn(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def empty_log(self) -> bool:
        """Moves the write-ahead log into the file and cuts it to nothing: what was overwritten is then nowhere.

        False: a reader is in the middle of it. Most of it is moved before other writers have to wait.
        """
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        with self._turn(), self.engine.connect() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return busy == 0

    @contextmanager
    def _turn(self) -> Iterator[None]:
        deadline = time.monotonic() + WRITE_WAIT_S
        if not self._thread_lock.acquire(timeout=WRITE_WAIT_S):
            raise StoreUnavailable("another writer holds it")
        try:
            with self._lock_path.open("a") as held:
                _lock(held.fileno(), deadline)
                yield
        finally:
            self._thread_lock.release()


def open_dialect(url: URL) -> Sqlite:
    """The dialect that `url` names. Raises InvalidValue for one that is not supported."""
    if url.get_backend_name() == "sqlite":
        return Sqlite(url)
    raise InvalidValue("HUAXIANG_STORE", url.render_as_string(hide_password=True), "sqlite:///path/to/file")


class Inserts:
    """INSERT statements for rows given as tuples in the order of a table's columns (without a generated `seq`).

    SQLAlchemy's own way, dictionaries row by row, costs as much as the insertion itself.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str, bool], str] = {}

    def run(self, connection: Connection, table: Table, rows: list[tuple[Any, ...]], *, skip: bool = False) -> int:
        """Inserts the rows; `skip` leaves out those whose unique key is taken. How many went in."""
        which = (connection.dialect.name, table.name, skip)
        if which not in self._texts:
            statement = sqlite.insert(table).on_conflict_do_nothing() if skip else insert(table)
            names = [column.name for column in table.columns if column.name != "seq"]
            self._texts[which] = str(statement.compile(dialect=connection.dialect, column_keys=names))
        return connection.exec_driver_sql(self._texts[which], rows).rowcount


insert_tuples = Inserts().run


def upsert(table: Table, *, replace: tuple[str, ...]) -> Any:
    """INSERT that, where the primary key exists, replaces the columns `replace` instead."""
    statement = sqlite.insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={name: statement.excluded[name] for name in replace}
    )


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions of its own
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")  # who was forgotten is overwritten, not only unlinked
    connection.execute(f"PRAGMA busy_timeout={READ_WAIT_MS}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")


def _lock(descriptor: int, deadline: float) -> None:
    """Takes the lock or raises StoreUnavailable at the deadline. It is polled because flock itself waits for ever."""
    pause = 0.0002
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreUnavailable("another process is writing") from None
            time.sleep(pause)
            pause = min(pause * 2, 0.002)
        else:
            return
