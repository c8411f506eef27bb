"""Everything that one database does differently from another: `sqlite`, `postgres` and this file know, nothing else.

Both databases let one writer in at a time. SQLite cannot do otherwise. PostgreSQL could, but the lake is filled by
"every event after the last number that it holds" and a worker's model by "every change after the last number that it
knows": were two transactions to append at once, the one with the lower numbers might commit last, and whoever had read
the higher numbers meanwhile would never see the lower (acknowledged events lost to the lake). With writers in turn,
numbers become visible in order. It costs little: writes of a process share a transaction, and the disk's sync, for
which they wait, would have been in turn anyway.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.sql import Executable

from portraits.errors import InvalidValue, MissingExtra

WRITE_WAIT_S = 5.0
"""How long a writer waits for its turn."""
URLS = "sqlite:///path/to/file or postgresql://user:password@host/database"

_patience: ContextVar[float] = ContextVar("patience", default=30.0)


def silence_allowed() -> float:
    """Seconds that a database behind a network may be silent before it counts as unreachable."""
    return _patience.get()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Sets `silence_allowed` inside the block."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


class Dialect(ABC):
    """One database by its URL. `remote`: it is behind a network, so a read may take any time.

    `errors`: what `ask` raises when the database cannot be read now.
    """

    remote: bool
    errors: type[Exception] | tuple[type[Exception], ...]

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._compiled: dict[Select[Any], tuple[str, tuple[str, ...], dict[str, Any]]] = {}

    def close(self) -> None:
        """Closes every connection that nobody else has in hand."""
        self.engine.dispose()

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that no other writer is in. Commits when the block ends, rolls back when it raises."""

    @abstractmethod
    def ask(self, statement: Select[Any], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of a constant statement, compiled once. Raises one of `errors`.

        What SQLAlchemy does anew on each call (take a connection, look the statement up, make result objects) costs
        0.06 ms; the statements themselves cost 0.01 to 0.05 on SQLite.
        """

    def read(self, statement: Executable, values: Mapping[str, Any]) -> list[Row[Any]]:
        """All rows of any statement. Raises what SQLAlchemy does."""
        with self.engine.connect() as connection:
            return list(connection.execute(statement, dict(values)))

    def stream(self, statement: Executable, at_once: int) -> Iterator[Row[Any]]:
        """The same, so many rows at a time."""
        with self.engine.connect() as one, one.execution_options(yield_per=at_once).execute(statement) as rows:
            yield from rows

    def problem(self) -> str | None:
        """What is wrong with the database's files although open connections still answer; None: nothing."""
        return None

    def copy_to(self, target: Path) -> bool:  # noqa: ARG002 - of those that have no tools of their own
        """Copies the whole database, as of one moment, into a file of its own. False: its own tools must do that."""
        return False

    @abstractmethod
    def empty_log(self) -> bool:
        """Removes what was overwritten or deleted from wherever the database still has it. False: a reader that may
        still see it keeps it; ask again later."""

    def _sql(self, statement: Select[Any]) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """(text, names of its parameters in order, values of those that never change)"""
        found = self._compiled.get(statement)
        if found is None:
            compiled: Any = statement.compile(dialect=self.engine.dialect)
            found = str(compiled), tuple(compiled.positiontup or ()), dict(compiled.params)
            self._compiled[statement] = found
        return found


def open_dialect(url: URL) -> Dialect:
    """The dialect that `url` names. Raises InvalidValue for one that is not supported, MissingExtra."""
    name = url.get_backend_name()
    if name == "sqlite":
        from serving.stores.sqlite import Sqlite  # noqa: PLC0415 - it builds on this file

        return Sqlite(url)
    if name == "postgresql":
        try:
            from serving.stores.postgres import Postgres  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtra("postgres", "an online store on PostgreSQL") from None
        return Postgres(url)
    raise InvalidValue("HUAXIANG_STORE", shown(url), URLS)


def shown(url: URL) -> str:
    """The URL as it may be printed: without what may hold a password."""
    return url.set(query={}).render_as_string(hide_password=True)


_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def file_of(url: str) -> Path | None:
    """The file of an embedded database; None: `url` names another."""
    named = make_url(url)
    return Path(named.database) if named.get_backend_name() == "sqlite" and named.database else None


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, wherever it lies: a path may hold what means something else in a URL."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


TOGETHER = (64, 16, 4, 1)
"""Rows of one statement on SQLite: as many as are left allow. Few sizes, so that it keeps each statement prepared."""


class Inserts:
    """INSERT statements for rows given as tuples in the order of a table's columns (without a generated `seq`).

    SQLAlchemy's own way, dictionaries row by row, costs as much as the insertion itself. SQLite gets many rows by one
    statement: it lets go of Python's lock for each, and a busy event loop gives that back only milliseconds later.
    PostgreSQL gets all rows as one array a column, which takes one round trip and a third of the time of rows one by
    one.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[Any, ...], str] = {}

    def run(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], *, skip: bool = False) -> int:
        """Inserts the rows; `skip` leaves out those whose unique key is taken. How many went in."""
        if connection.dialect.name == "postgresql":
            text = self._text(_from_arrays, connection, table, "ON CONFLICT DO NOTHING" if skip else "")
            return connection.exec_driver_sql(text, tuple(map(list, zip(*rows, strict=True)))).rowcount
        driver, done, at = _driver(connection), 0, 0
        for size in TOGETHER:
            while len(rows) - at >= size:
                values = tuple(chain.from_iterable(rows[at : at + size]))
                done += driver.execute(self._text(_together, connection, table, (size, skip)), values).rowcount
                at += size
        return done

    def new(
        self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], key: tuple[str, ...]
    ) -> set[tuple[Any, ...]]:
        """Inserts the rows whose unique `key` is not taken, of several with the same the first; the keys that went in.

        Nearly always all are new: that costs one statement.
        """
        if connection.dialect.name == "postgresql":
            text = self._text(_from_arrays, connection, table, f"ON CONFLICT DO NOTHING RETURNING {', '.join(key)}")
            found = connection.exec_driver_sql(text, tuple(map(list, zip(*rows, strict=True))))
            return {tuple(row) for row in found}
        driver = _driver(connection)
        (before,) = driver.execute(f"SELECT coalesce(max(seq), 0) FROM {table.name}").fetchone()  # noqa: S608
        if self.run(connection, table, rows, skip=True) == len(rows):
            places = [_names(table).index(column) for column in key]
            return {tuple(row[place] for place in places) for row in rows}
        return set(driver.execute(f"SELECT {', '.join(key)} FROM {table.name} WHERE seq > ?", (before,)))  # noqa: S608

    def _text(self, make: Callable[..., str], connection: Connection, table: Table, more: object) -> str:
        which = (make, table.name, more)
        if which not in self._texts:
            self._texts[which] = make(connection, table, more)
        return self._texts[which]


inserts = Inserts()
insert_tuples, insert_new = inserts.run, inserts.new


def part(connection: Connection, what: str) -> None:
    """SAVEPOINT, ROLLBACK TO or RELEASE (`what`) of the part of a transaction that may fail alone."""
    if connection.dialect.name == "sqlite":  # past SQLAlchemy, which takes five times as long as SQLite
        _driver(connection).execute(f"{what} part")
    else:
        connection.exec_driver_sql(f"{what} part")


_asked: dict[Any, tuple[str, dict[str, Any]]] = {}


def ask_within(connection: Connection, statement: Any, values: Mapping[str, Any]) -> list[Any]:
    """All rows of a constant statement as a transaction sees them, in a third of the time of `Connection.execute`."""
    if connection.dialect.name != "sqlite":
        return list(connection.execute(statement, dict(values)))
    return _on_sqlite(connection, statement, values).fetchall()  # type: ignore[no-any-return]


def do_within(connection: Connection, statement: Any, values: Mapping[str, Any]) -> int:
    """Does a constant UPDATE or DELETE inside a transaction, in as little time; how many rows it found."""
    if connection.dialect.name != "sqlite":
        return connection.execute(statement, dict(values)).rowcount
    return int(_on_sqlite(connection, statement, values).rowcount)


def _on_sqlite(connection: Connection, statement: Any, values: Mapping[str, Any]) -> Any:
    if statement not in _asked:
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        _asked[statement] = str(compiled), {name: value for name, value in compiled.params.items() if value is not None}
    text, constants = _asked[statement]
    return _driver(connection).execute(text, constants | dict(values))


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.name != "seq"]


def _together(connection: Connection, table: Table, more: tuple[int, bool]) -> str:
    size, skip = more
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, _names(table)))
    row = f"({', '.join('?' * len(_names(table)))})"
    rows, rest = ", ".join([row] * size), "ON CONFLICT DO NOTHING" if skip else ""
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES {rows} {rest}"  # noqa: S608


def _from_arrays(connection: Connection, table: Table, more: str) -> str:
    prepare = connection.dialect.identifier_preparer
    names = ", ".join(prepare.quote(name) for name in _names(table))
    arrays = ", ".join(f"%b::{table.c[name].type.compile(connection.dialect)}[]" for name in _names(table))
    return f"INSERT INTO {prepare.quote(table.name)} ({names}) SELECT * FROM unnest({arrays}) {more}"  # noqa: S608


def upsert(connection: Connection, table: Table, rows: Any, *, replace: tuple[str, ...]) -> None:
    """Inserts rows (dictionaries, or one); where the primary key exists, replaces the columns `replace` instead."""
    statement = _INSERTS[connection.dialect.name](table)
    new = {name: statement.excluded[name] for name in replace}
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=new), rows)
