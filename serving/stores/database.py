"""The connection under the store: one read, one write transaction, errors as ours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import Connection, Row, Select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import Executable

from portraits.errors import InvalidValue, StoreUnavailable
from serving.stores.dialect import Sqlite, open_dialect
from serving.stores.migrations import upgrade


def now_us() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Database:
    """An open database whose tables are those of `schema`."""

    def __init__(self, dialect: Sqlite) -> None:
        self._dialect = dialect

    @classmethod
    def open(cls, url: str) -> Self:
        """Opens the database at `url`, creating or migrating its tables first when they are behind.

        Raises:
            InvalidValue: not a URL, or of a database that is not supported.
            StoreUnavailable: it cannot be reached or written.
        """
        try:
            dialect = open_dialect(make_url(url))
        except ArgumentError:
            raise InvalidValue("HUAXIANG_STORE", url, "a database URL") from None
        store = cls(dialect)
        with _our_errors():
            upgrade(dialect)
        return store

    def close(self) -> None:
        """Gives every connection back."""
        self._dialect.engine.dispose()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: on disk when the block has ended, undone when it raises.

        Raises:
            StoreUnavailable: the database is locked, full or gone; nothing was written.
        """
        with _our_errors(), self._dialect.writing() as connection:
            yield connection

    def ask(self, statement: Select[Any], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a constant statement that requests wait for: a third of the time that `read` takes.

        Raises:
            StoreUnavailable: the database cannot be read now.
        """
        try:
            return self._dialect.reader.ask(statement, values)
        except self._dialect.reader.errors as error:
            raise StoreUnavailable(_first_line(error)) from error

    def read(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Row[Any]]:
        """The rows of one statement. Raises StoreUnavailable when the database cannot be read."""
        with _our_errors(), self._dialect.engine.connect() as connection:
            return list(connection.execute(statement, dict(values or {})))


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
        raise StoreUnavailable(_first_line(getattr(error, "orig", None) or error)) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # a subclass is a mistake of ours; the class itself is a broken file
            raise
        raise StoreUnavailable(_first_line(error.orig or error)) from error
    except OSError as error:
        raise StoreUnavailable(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
