"""The connection under the store: one read, one write transaction, errors as ours."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Row, Select, column, select, table, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import Executable

from portraits.errors import InvalidValue, StoreUnavailable
from serving.stores.dialect import URLS, Dialect, open_dialect
from serving.stores.migrations import upgrade
from serving.stores.schema import REVISION

_ALEMBIC = table("alembic_version", column("version_num"))
_REVISION_FOUND = select(_ALEMBIC.c.version_num)

STREAMED = 5_000
"""Rows at a time of a stream."""


def now_us() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Database:
    """An open database whose tables are those of `schema`. `prepared`: they are, or were once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.prepared = True

    @classmethod
    def open(cls, url: str, *, away: bool = False) -> Self:
        """Opens the database at `url`, creating or migrating its tables first when they are behind. `away`: one that is
        behind a network and cannot be reached is opened all the same; until `prepare` was heard, nothing else is.

        Raises:
            InvalidValue: not a URL, or of a database that is not supported.
            StoreUnavailable: it cannot be reached or written.
        """
        try:
            dialect = open_dialect(make_url(url))
        except (ArgumentError, ValueError):
            raise InvalidValue("HUAXIANG_STORE", url.rpartition("@")[2], URLS) from None  # before it: a password
        store = cls(dialect)
        store.prepared = False
        try:
            store.prepare()
        except StoreUnavailable:
            if not away or not store.remote:
                raise
        return store

    def prepare(self) -> None:
        """Creates or migrates the tables when they are behind. Raises StoreUnavailable."""
        with our_errors():
            upgrade(self._dialect)
        self.prepared = True

    @property
    def remote(self) -> bool:
        """The database is behind a network: a read may take any time."""
        return self._dialect.remote

    def close(self) -> None:
        """Gives every connection back."""
        self._dialect.close()

    def problem(self) -> str | None:
        """Why no request should come here, in words; None: the tables can be read and are those that the code knows.

        Tables that a newer release has migrated count as known, so that replicas can be replaced one by one.
        Raises StoreUnavailable.
        """
        wrong = self._dialect.problem()
        if wrong is not None:
            return wrong
        found = str(next(iter(self.ask(_REVISION_FOUND, {})), ("none",))[0])
        return None if found >= REVISION else f"the store's tables are of version {found}, not {REVISION}"

    def copy_to(self, target: Path) -> bool:
        """Copies everything, as of one moment, into a SQLite file. False: its own tools must do that.

        Raises StoreUnavailable.
        """
        with our_errors():
            return self._dialect.copy_to(target)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: on disk when the block has ended, undone when it raises.

        Raises:
            StoreUnavailable: the database is locked, full or gone; nothing was written.
        """
        self._need_tables()
        with our_errors(), self._dialect.writing() as connection:
            yield connection

    def ask(self, statement: Select[Any], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a constant statement that requests wait for: a third of the time that `read` takes.

        Raises:
            StoreUnavailable: the database cannot be read now.
        """
        self._need_tables()
        try:
            return self._dialect.ask(statement, values)
        except self._dialect.errors as error:
            raise StoreUnavailable(_first_line(error)) from error

    def read(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Row[Any]]:
        """The rows of one statement. Raises StoreUnavailable when the database cannot be read."""
        self._need_tables()
        with our_errors():
            return self._dialect.read(statement, values or {})

    def stream(self, statement: Executable) -> Iterator[Row[Any]]:
        """The rows of one statement, some at a time. Raises as `read`."""
        self._need_tables()
        with our_errors():
            yield from self._dialect.stream(statement, STREAMED)

    def _need_tables(self) -> None:
        if not self.prepared:
            raise StoreUnavailable("nobody has reached it since the start")


def touch_disk(connection: Connection) -> None:
    """Writes a page that changes nothing: what fails then would fail for an event, too."""
    connection.execute(update(_ALEMBIC).values(version_num=_ALEMBIC.c.version_num))


@contextmanager
def our_errors() -> Iterator[None]:
    """Turns what a driver raises when the database is locked, full or gone into StoreUnavailable."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
        raise StoreUnavailable(_first_line(getattr(error, "orig", None) or error)) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # a subclass is a mistake of ours; the class itself is a broken file
            raise
        raise StoreUnavailable(_first_line(error.orig or error)) from error
    except (OSError, sqlite3.OperationalError) as error:  # the latter where SQLAlchemy is passed by
        raise StoreUnavailable(_first_line(error)) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise StoreUnavailable(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
