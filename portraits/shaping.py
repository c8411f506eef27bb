"""SQL that turns a batch as read (`batch`) into rows of the contract, values still as they were sent.

The result has `_line`, `_part` (which row of a line: rule * 2**20 + entry), `_broken` and `_broken_value` (the first
column whose mapping failed on this row, and on what), and the mapped columns. `portraits.checking_files` judges it.
"""

# ruff: noqa: S608  (SQL is what a mapping holds, and a mapping is a program of who runs the import)

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from portraits.errors import InvalidValue, UnreadableFile
from portraits.history import Column, Kind, Table
from portraits.mapping import EPOCH_FACTORS, EventRule, Field, Mapping, made_key
from portraits.reading import DELIMITERS, LINE, RAW, Source

PART = 2**20
SHOWN_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """`rows`: SQL of the shaped rows. `sorts`: SQL that counts rows left out, by the place of their condition (from 0;
    null: kept). `ignored`: the file's columns that nothing uses. `broken`: why, by (rule, column), a value failed.
    """

    rows: str
    sorts: str | None
    conditions: tuple[str, ...]
    ignored: tuple[str, ...]
    broken: dict[tuple[int, str], str]


def shape_as_named(source: Source, table: Table) -> Shape:
    """For a file that already has the contract's names. Raises UnreadableFile when a required column is missing."""
    if source.form == "jsonl":
        return _shape_json(table)
    used = [column.name for column in table.columns if column.name in source.columns]
    required = [c.name for c in table.columns if c.required and c.name != made_key(table)]
    _need(source, required)
    columns = ", ".join(f'"{name}"' for name in used)
    own = f'"{LINE}", 0::BIGINT AS _part, NULL::VARCHAR AS _broken, NULL::VARCHAR AS _broken_value'
    rows = f"SELECT {own}, {columns} FROM batch"
    return Shape(rows, None, (), tuple(name for name in source.columns if name not in used), {})


def _shape_json(table: Table) -> Shape:
    """JSON values by one parse a line. Two fields of one name, or no JSON object at all, are left to `json.loads`."""
    paths = ", ".join(f"'$.\"{name}\"'" for name in table.names)
    picks = ", ".join(f'_values[{place}] AS "{name}"' for place, name in enumerate(table.names, 1))
    rows = f"""
        SELECT "{LINE}", 0::BIGINT AS _part, CASE WHEN NOT _sound THEN '' END AS _broken,
               NULL::VARCHAR AS _broken_value, {picks}
        FROM (
            SELECT "{LINE}", _sound, CASE WHEN _sound THEN json_extract("{RAW}", [{paths}]) END AS _values
            FROM (
                SELECT *, coalesce(CASE WHEN json_valid("{RAW}") THEN json_type("{RAW}") = 'OBJECT'
                       AND len(list_distinct(json_keys("{RAW}"))) = len(json_keys("{RAW}")) END, false) AS _sound
                FROM batch
            )
        )"""
    return Shape(rows, None, (), (), {})


def shape_by_mapping(con: duckdb.DuckDBPyConnection, source: Source, mapping: Mapping) -> Shape:
    """For a mapped file. `batch` must exist. Raises UnreadableFile (missing columns) or InvalidValue naming the key."""
    fields = [field for rule in mapping.rules for field in rule.columns.values()]
    named = {field.text for field in fields if field.origin == "column"}
    if source.form != "jsonl":
        _need(source, sorted(named))
    base = _base(source)
    conditions = tuple(mapping.leave_out.values())
    kept = f"SELECT * FROM ({base}) WHERE NOT ({_any(conditions)})"
    writer = _Writer(source.form)
    rows = " UNION ALL BY NAME ".join(
        writer.rule(number, rule, mapping.table, kept) for number, rule in enumerate(mapping.rules)
    )
    _bind(con, base, mapping, writer, rows)
    sorts = None
    if conditions:
        cases = " ".join(f"WHEN coalesce(TRY(({text})), false) THEN {place}" for place, text in enumerate(conditions))
        sorts = f"SELECT CASE {cases} END AS place, count(*) AS n FROM ({base}) GROUP BY 1"
    spoken = " ".join([*conditions, *_expressions(mapping)])
    ignored = tuple(name for name in source.columns if name not in named and name not in spoken)
    return Shape(rows, sorts, tuple(mapping.leave_out), ignored, writer.broken)


def _base(source: Source) -> str:
    """The batch with empty texts as nulls, and what expressions may also use."""
    name = source.path.name.split(".")[0].replace("'", "''")
    extra = f"'{name}' AS _file"
    if source.form == "jsonl":
        return f'SELECT *, {extra}, CASE WHEN json_valid("{RAW}") THEN "{RAW}"::JSON END AS _json FROM batch'
    if source.form == "csv":
        texts = ", ".join(f'nullif("{name}", \'\') AS "{name}"' for name in map(_quoted, source.columns))
        return f"SELECT * REPLACE ({texts}), {extra} FROM batch"
    return f"SELECT *, {extra} FROM batch"


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _any(conditions: tuple[str, ...]) -> str:
    """True where a condition holds; one that fails on a row does not hold, and the row goes on to be checked."""
    return " OR ".join(f"coalesce(TRY(({text})), false)" for text in conditions) or "false"


def _expressions(mapping: Mapping) -> Iterator[str]:
    for rule in mapping.rules:
        yield from (text for text in (rule.when, rule.each) if text)
        yield from (field.text for field in rule.columns.values() if field.origin == "sql")


class _Writer:
    """Writes the SQL of rules, and remembers why a value of theirs may fail."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.broken: dict[tuple[int, str], str] = {}

    def rule(self, number: int, rule: EventRule, table: Table, kept: str) -> str:
        rows = kept
        if rule.when:
            rows = f"SELECT * FROM ({rows}) WHERE coalesce(TRY(({rule.when})), TRY((({rule.when}) IS NULL)) IS NULL)"
        entry = "0"
        if rule.each:
            rows = f"SELECT *, unnest({rule.each}) AS each, unnest(range(len({rule.each}))) AS _entry FROM ({rows})"
            entry = "_entry"
        values, failures = [], []
        if self.form == "jsonl":
            failures.append(("", "_json IS NULL", "NULL"))
        if rule.when:
            failures.append(("", f"TRY((({rule.when}) IS NULL)) IS NULL", "NULL"))
            self.broken[number, ""] = f"the condition fails: {rule.when}"
        for name, field in rule.columns.items():
            value, failure = self._value(table.column(name), field)
            values.append(f'{value} AS "{name}"')
            if failure:
                given, reason = failure
                failures.append((name, f"({given}) IS NOT NULL AND ({value}) IS NULL", f"({given})::VARCHAR"))
                self.broken[number, name] = reason
            if field.origin == "sql":
                failures.append((name, f"TRY((({field.text}) IS NULL)) IS NULL", "NULL"))
                self.broken.setdefault((number, name), f"the expression fails: {field.text}")
        return (
            f'SELECT "{LINE}", ({number} * {PART} + {entry})::BIGINT AS _part, {_case(failures, 0)} AS _broken, '
            f"{_case(failures, 1)} AS _broken_value, {', '.join(values)} FROM ({rows})"
        )

    def _value(self, column: Column, field: Field) -> tuple[str, tuple[str, str] | None]:
        """SQL of a field's value; and, where a given value may fail to convert, that value and the reason."""
        given = self.given(field)
        if field.origin == "order":
            since = "TIMESTAMPTZ 'epoch'"
            return (f'{since} + to_milliseconds("{LINE}")' if field.text == "row order" else since), None
        if field.decimals is not None:
            number = f"TRY_CAST(trim(({given})::VARCHAR) AS DECIMAL(38,18))"
            value = f"TRY_CAST(TRY({number} * {10**field.decimals}) AS BIGINT)"
            return value, (given, f"not an amount of money with {field.decimals} decimals")
        if column.kind is not Kind.TIME or field.origin == "constant":
            return given, None
        return self._time(given, field)

    def _time(self, given: str, field: Field) -> tuple[str, tuple[str, str] | None]:
        zone = (field.zone or "").replace("'", "''")
        if field.epoch:
            number = f"TRY_CAST(({given})::VARCHAR AS DECIMAL(38,6))"
            micros = f"TRY_CAST(TRY({number} * {EPOCH_FACTORS[field.epoch]}) AS BIGINT)"
            return f"TRY(make_timestamptz({micros}))", (given, f"not a number of {field.epoch} since 1970")
        if field.format:
            parsed = f"try_strptime(({given})::VARCHAR, '{field.format.replace(chr(39), chr(39) * 2)}')"
            value = parsed if "%z" in field.format else f"timezone('{zone}', {parsed})"
            return value, (given, f"not a time as {field.format}")
        if field.zone:
            text = f"({given})::VARCHAR"
            local = f"timezone('{zone}', TRY_CAST({text} AS TIMESTAMP))"
            absolute = f"TRY_CAST({text} AS TIMESTAMPTZ)"
            says_offset = rf"regexp_matches({text}, '(Z|[+-]\d\d(:?\d\d)?)$') AND length({text}) > 10"
            value = f"CASE WHEN {says_offset} THEN {absolute} ELSE {local} END"
            return value, (given, "not a time")
        return given, None

    def given(self, field: Field) -> str:
        """SQL of what the file gives for a field."""
        if field.origin == "constant":
            return "'" + field.text.replace("'", "''") + "'"
        if field.origin == "sql":
            return f"TRY(({field.text}))"
        if self.form == "jsonl":
            path = '$."' + field.text.replace("'", "''") + '"'
            return f"(_json ->> '{path}')"
        return f'"{_quoted(field.text)}"'


def _case(failures: list[tuple[str, str, str]], which: int) -> str:
    if not failures:
        return "NULL::VARCHAR"
    results = [
        f"WHEN {condition} THEN " + (f"'{name}'" if which == 0 else value) for name, condition, value in failures
    ]
    return f"CASE {' '.join(results)} ELSE NULL::VARCHAR END"


def _bind(con: duckdb.DuckDBPyConnection, base: str, mapping: Mapping, writer: _Writer, rows: str) -> None:
    """Lets DuckDB bind every expression; an error is laid at the door of its TOML key."""
    for name, condition in mapping.leave_out.items():
        _bind_one(con, f"leave_out.{name}", condition, f"SELECT ({condition})::BOOLEAN FROM ({base})")
    several = len(mapping.rules) > 1
    for number, rule in enumerate(mapping.rules, 1):
        where = f"event[{number}]." if several else ""
        rows_of = base
        if rule.when:
            _bind_one(con, f"{where}when", rule.when, f"SELECT ({rule.when})::BOOLEAN FROM ({base})")
        if rule.each:
            _bind_one(con, f"{where}each", rule.each, f"SELECT unnest({rule.each}) FROM ({base})")
            rows_of = f"SELECT *, unnest({rule.each}) AS each FROM ({base})"
        for name, field in rule.columns.items():
            if field.origin == "order":
                continue
            _bind_one(con, f"{where}columns.{name}", field.text, f"SELECT {writer.given(field)} FROM ({rows_of})")
    _bind_one(con, "columns", mapping.origin, rows)


def _bind_one(con: duckdb.DuckDBPyConnection, key: str, text: str, query: str) -> None:
    try:
        con.execute(f"DESCRIBE {query}")
    except duckdb.Error as error:
        problem = str(error).splitlines()[0]
        raise InvalidValue(key, text, f"an expression over the file's columns ({problem})") from None


def _need(source: Source, wanted: list[str]) -> None:
    """Raises UnreadableFile naming the columns that are missing, and the delimiter that would find more of them."""
    missing = [name for name in wanted if name not in source.columns]
    if not missing or not source.columns:
        return
    have = f"it has {', '.join(source.columns[:SHOWN_COLUMNS])}" + (
        ", ..." if len(source.columns) > SHOWN_COLUMNS else ""
    )
    problem = f"no column {', '.join(missing)}; {have}"
    if source.form == "csv":
        first_line = source.delimiter.join(source.columns)
        found = {other: len({part.strip() for part in first_line.split(other)} & set(wanted)) for other in DELIMITERS}
        best = max(found, key=lambda other: found[other])
        if found[best] > len(wanted) - len(missing):
            problem += (
                f". The file was split at {DELIMITERS.get(source.delimiter, repr(source.delimiter))}, and seems to "
                f"be split at {DELIMITERS[best]}: set file.delimiter in the mapping"
            )
    raise UnreadableFile(str(source.path), problem)
