"""PostgreSQL: one server for any number of processes and machines.

What a request or a command waits for is bounded here, not by the server: a server that hangs, or a network that
swallows, bounds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, Row, Select, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import Executable

from portraits.errors import InvalidValue, StoreUnavailable
from serving.stores.dialect import WRITE_WAIT_S, Dialect, patience, shown, silence_allowed

T = TypeVar("T")

WRITERS = int.from_bytes(b"huaxiang")
"""The advisory lock of whoever writes: one among all processes that use the database."""
CONNECTIONS = 8
MORE_CONNECTIONS = 8
"""That many at rest, that many more under load: of one process."""
CONNECTION_WAIT_S = 2.0
LOST_AFTER = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""Seconds (and tries) until a machine that is gone counts as gone."""
SESSION = f"""
SET lock_timeout = '{WRITE_WAIT_S:g}s';
SET idle_in_transaction_session_timeout = '{2 * WRITE_WAIT_S:g}s';
SET client_encoding = 'UTF8';
SET jit = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
"""
"""A commit is on disk before it is acknowledged, whatever the server's default. A writer whose machine froze gives its
turn up after a while. Compiling a statement of a millisecond would take a hundred. Every join here begins with few rows
and goes on by an index; of a table that was just filled the planner does not know that, and would read all of it."""
POLL_S = 0.05
ERASED = (
    "events decisions rejected catalogue catalogue_log links people forgotten deleted_tags claims claim_requests"
).split()
"""Tables that may have held rows of a visitor who was forgotten."""
HELD = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xmin IS NOT NULL
AND age(backend_xmin) >= age(%(marker)s::xid) AND pid <> pg_backend_pid()
"""
"""Sessions that may still see what was there before the transaction `marker`."""
MAINTENANCE_S = 3600.0


class _Silent(psycopg.OperationalError):
    """No byte came for as long as one was ready to wait."""


class _Patient(psycopg.Connection[Any]):
    """A connection that does not wait longer than `dialect.patience` for the next byte."""

    def wait(self, gen: Generator[Any, Any, T], interval: float = POLL_S, timeout: float | None = None) -> T:
        try:
            return super().wait(_unless_silent(gen, silence_allowed()), interval, timeout)
        except _Silent:
            self.close()  # the answer may still come: nobody may take it for that to another question
            raise


def _unless_silent(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """psycopg's own steps; it sends 0 where nothing has arrived."""
    last = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                last = time.monotonic()
            elif time.monotonic() - last > seconds:
                raise _Silent(f"no answer within {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result


class Postgres(Dialect):
    """PostgreSQL by URL `postgresql://user:password@host/database`; what else libpq takes goes behind a `?`.

    Writers wait for their turn at an advisory lock that ends with the transaction (why: see `dialect`). A connection
    that turns out to be lost (the server was restarted) is replaced and the question asked once more; a transaction
    only while nothing of it was sent.
    """

    remote = True
    errors = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, PoolTimeout)

    def __init__(self, url: URL) -> None:
        if not url.database:
            raise InvalidValue("HUAXIANG_STORE", shown(url), "postgresql://user:password@host/database")
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,  # what visitors sent is in no traceback
            isolation_level="AUTOCOMMIT",  # one statement is one moment; transactions are begun by hand
            pool_size=CONNECTIONS,
            max_overflow=MORE_CONNECTIONS,
            pool_timeout=CONNECTION_WAIT_S,
            pool_use_lifo=True,
            connect_args={"application_name": "huaxiang", "tcp_user_timeout": 10_000, **LOST_AFTER} | dict(url.query),
        )
        super().__init__(engine)
        event.listen(engine, "do_connect", lambda _dialect, _record, args, named: _Patient.connect(*args, **named))
        event.listen(engine, "connect", _configure)

    def ask(self, statement: Select[Any], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        sql, _, constants = self._compiled.get(statement) or self._sql(statement)
        return self._again(lambda: self._ask(sql, {**constants, **values}))

    def read(self, statement: Executable, values: Mapping[str, Any]) -> list[Row[Any]]:
        return self._again(lambda: super(Postgres, self).read(statement, values))

    def stream(self, statement: Executable, at_once: int) -> Iterator[Row[Any]]:
        with self.engine.connect() as connection:
            begin = "BEGIN READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0"  # whoever reads may be slow
            _raw(connection).execute(begin, prepare=False)
            try:
                with connection.execution_options(yield_per=at_once).execute(statement) as rows:
                    yield from rows
            finally:
                with suppress(SQLAlchemyError):
                    connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        try:
            begun = self._again(self._begun)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(str(error).partition("\n")[0]) from error
        with begun as connection:
            try:
                yield connection
                if _raw(connection).info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                    raise RuntimeError("a statement failed and the transaction went on")  # COMMIT would not object
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                with suppress(SQLAlchemyError):
                    connection.exec_driver_sql("ROLLBACK")
                raise

    def empty_log(self) -> bool:
        """Vacuums the tables that may have held rows of the forgotten: from then on no statement, index or dump finds
        a trace of them, as soon as no transaction may still see the rows.

        What stays the operator's, because this side of the connection cannot reach it: archived write-ahead log,
        standbys, backups, and bytes in the unused space of pages, until something else is written there.
        """
        with patience(MAINTENANCE_S), self.engine.connect() as connection:
            marker = connection.exec_driver_sql("SELECT pg_current_xact_id()::xid::text").scalar_one()
            deadline = time.monotonic() + WRITE_WAIT_S
            while connection.exec_driver_sql(HELD, {"marker": marker}).scalar_one():
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL_S)
            # All pages, also those that somebody has in hand, and all entries of the indexes, however few are dead.
            options = "FREEZE, DISABLE_PAGE_SKIPPING, INDEX_CLEANUP ON"
            connection.exec_driver_sql(f"VACUUM ({options}) {', '.join(ERASED)}")
        return True

    def _ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        connection = self.engine.raw_connection()
        try:
            return connection.cursor().execute(sql, values).fetchall()  # type: ignore[no-any-return]
        except psycopg.Error:
            connection.invalidate()
            raise
        finally:
            connection.close()

    def _begun(self) -> Connection:
        """A connection on which the transaction has begun and whose turn it is to write, in one round trip."""
        connection = self.engine.connect()
        try:
            _raw(connection).execute(f"BEGIN; SELECT pg_advisory_xact_lock({WRITERS})", prepare=False)
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def _again(self, question: Callable[[], T]) -> T:
        """Asks once more where a connection was lost. All others that wait in the pool are lost with it."""
        try:
            return question()
        except (DBAPIError, psycopg.OperationalError) as error:
            if not _was_lost(error):
                raise
            self.engine.dispose()
            return question()


def _was_lost(error: Exception) -> bool:
    """The server ended the connection, or there was none to be had; not: it is slow, or another writer is."""
    cause = getattr(error, "orig", error)
    if isinstance(cause, _Silent | psycopg.errors.ConnectionTimeout) or not isinstance(cause, psycopg.OperationalError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith("57P0")


def _raw(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _configure(connection: Any, _record: Any) -> None:
    connection.execute(SESSION, prepare=False)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise InvalidValue("HUAXIANG_STORE", f"a database in {encoding}", "a database in UTF8")
