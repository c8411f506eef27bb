"""SQLite: one file beside the process that uses it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, create_engine, event
from sqlalchemy.engine import URL

from portraits.errors import InvalidValue, StoreUnavailable
from serving.private import private, private_folder
from serving.stores.dialect import WRITE_WAIT_S, Dialect

DISK_FLOOR = 2_000_000
"""Bytes of the disk below which it counts as full."""
CHECKPOINT_PAGES = 2_000
"""Pages (8 MB) of the write-ahead log before it goes into the file: pages that many events touch are copied once, not
several times. The copying is part of a writer's turn: with four times as many it took 50 ms."""
MAPPED_BYTES = 1 << 30
"""So much of the file is read in place: all connections of all workers share its pages, and none is copied by a system
call, of which an answer would else make a dozen."""
READ_WAIT_MS = 50
"""A reader of a WAL database waits only while it is being recovered or migrated."""


class Sqlite(Dialect):
    """SQLite by URL `sqlite:///path`: one file, many readers, one writer at a time among all processes.

    SQLite's own busy handler starves writers under load (stalls of seconds), so writers of all processes queue at a
    file lock beside the database, and a transaction begins IMMEDIATE. WAL lets readers go on meanwhile;
    synchronous=FULL makes a commit survive power loss. Each thread keeps a connection for what it asks.
    """

    remote = False

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise InvalidValue("HUAXIANG_STORE", str(url), "sqlite:///path/to/file")
        path = Path(url.database)
        private_folder(path.parent)
        with suppress(OSError):  # what is wrong with it is told when it is opened
            os.close(private(str(path), os.O_CREAT | os.O_RDWR))  # SQLite's other files are as this one is
        super().__init__(create_engine(url, pool_size=4, max_overflow=64, hide_parameters=True))
        self.errors = self.engine.dialect.loaded_dbapi.Error
        event.listen(self.engine, "connect", _configure)
        self._path = path
        self._file: tuple[int, int] | None = None
        self._lock_path = path.with_name(path.name + ".lock")
        self._next_path = path.with_name(path.name + ".next")
        self._local = threading.local()

    def ask(self, statement: Select[Any], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        sql, order, constants = self._compiled.get(statement) or self._sql(statement)
        connection = getattr(self._local, "connection", None) or self._connect()
        try:
            named = constants | dict(values)
            rows: list[tuple[Any, ...]] = connection.driver_connection.execute(
                sql, [*map(named.__getitem__, order)]
            ).fetchall()
            return rows
        except self.errors:
            self._local.connection = None
            connection.invalidate()
            raise

    def close(self) -> None:
        """This thread's own connection, too: whoever closes last moves the write-ahead log into the file."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.close()
        super().close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._turn(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def problem(self) -> str | None:
        try:
            found, disk = os.stat(self._path), os.statvfs(self._path.parent)
        except OSError as error:
            return f"the store's file cannot be found ({error.strerror})"
        self._file = self._file or (found.st_dev, found.st_ino)
        if self._file != (found.st_dev, found.st_ino):
            return "the store's file was replaced while it was open; start the service again"
        return "the disk is full" if disk.f_bavail * disk.f_frsize < DISK_FLOOR else None

    def copy_to(self, target: Path) -> bool:
        """In one step, hence as of one moment: with a WAL neither readers nor writers wait meanwhile."""
        os.close(private(str(target), os.O_CREAT | os.O_RDWR))
        try:
            with closing(sqlite3.connect(self._path)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        return True

    def empty_log(self) -> bool:
        """Moves the write-ahead log into the file and cuts it to nothing: what was overwritten is then nowhere.

        Most of it is moved before other writers have to wait.
        """
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        with self._turn(), self.engine.connect() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return busy == 0

    def _connect(self) -> Any:
        self._local.connection = self.engine.raw_connection()
        return self._local.connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keeps out the other threads of this process, too. Who waits holds a second lock, that of the next in turn:
        whoever writes again and again cannot take the first one back before those that waited meanwhile."""
        deadline = time.monotonic() + WRITE_WAIT_S
        with open(self._lock_path, "a", opener=private) as held:
            with open(self._next_path, "a", opener=private) as following:
                _lock(following.fileno(), deadline)
                _lock(held.fileno(), deadline)
            yield


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions of its own
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")  # who was forgotten is overwritten, not only unlinked
    connection.execute(f"PRAGMA busy_timeout={READ_WAIT_MS}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA mmap_size={MAPPED_BYTES}")


def _lock(descriptor: int, deadline: float) -> None:
    """Takes the lock or raises StoreUnavailable at the deadline. It is polled because flock itself waits for ever."""
    pause = 0.0002
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreUnavailable("another writer holds it") from None
            time.sleep(pause)
            pause = min(pause * 2, 0.002)
        else:
            return
