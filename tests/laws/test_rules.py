"""One rule, three places: everyone at once, one visitor by day, and a plain reading of the grammar always agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import plain_rules
import pyarrow as pa
import pytest
import random_rules as world
from hypothesis import given, settings
from hypothesis import strategies as st

from portraits import behaviour, behaviour_files
from portraits.engine import connect
from portraits.local import to_us
from portraits.portrait_set import TABLE_FILE
from portraits.rules import Act, ItemFacts, Moment, Person, match, match_lines, parse
from portraits.rules.grammar import CONDITIONS
from portraits.segments.evaluate import Tables, evaluate, lines
from portraits.segments.tables import NUMBER, laid_out_tables, lay_out

pytestmark = pytest.mark.law

Row = dict[str, Any]
People = list[tuple[Row, list[Row]]]
"""Each visitor's portrait and acts."""
MOMENT = Moment(
    to_us(world.NOW),
    world.ZONE,
    {
        name: ItemFacts(" > ".join((row["category"] or ())[:4]), row["brand"], row["tags"] or ())
        for name, row in world.ITEMS.items()
    }.get,
)
SHOP = {"items": world.ITEMS, "segments": world.SEGMENTS}
BEHAVIOUR = pa.schema([(name, pa.int64() if name in ("us", "amount") else pa.string()) for name in behaviour.COLUMNS])
PORTRAITS = pa.schema(
    [("user_id", pa.string())] + [(name, ibis.dtype(field.dtype).to_pyarrow()) for name, field in world.FIELDS.items()]
)
ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("category", pa.list_(pa.string())),
        ("brand", pa.string()),
        ("tags", pa.list_(pa.string())),
    ]
)


@cache
def engine() -> Any:
    return connect(memory_limit="1GB")


def table(rows: list[Row], schema: pa.Schema) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pylist(rows, schema=schema))


def rows_of(people: People, before: datetime) -> list[Row]:
    """Events before a moment, as the lake holds them."""
    return [
        {**act, "user_id": f"u{n}", "us": to_us(act["ts"])}
        for n, (_, acts) in enumerate(people)
        for act in acts
        if act["ts"] < before
    ]


def night_file(people: People, at: datetime) -> ibis.Table:
    """What the night of `at` keeps of it."""
    return behaviour_files.kept(
        table(rows_of(people, at), BEHAVIOUR), behaviour_files.window_start(to_us(at), world.ZONE)
    )


def tables_of(people: People) -> Tables:
    portraits = [{"user_id": f"u{n}", **portrait} for n, (portrait, _) in enumerate(people)]
    items = [dict(row) for row in world.ITEMS.values()]
    return Tables(table(portraits, PORTRAITS), night_file(people, world.NOW), table(items, ITEMS))


def everyone(answers: ibis.Table) -> dict[str, Row]:
    return {row.pop("user_id"): row for row in engine().to_pyarrow(answers).to_pylist()}


def by_day(people: People, night: datetime) -> dict[str, Person]:
    """Everyone as the day knows them: the file of that night, and the events since."""
    kept = engine().to_pyarrow(night_file(people, night)).to_pylist()
    since = [row for row in rows_of(people, world.NOW) if row["ts"] >= night]
    found = {}
    for n, (portrait, _) in enumerate(people):
        own = [row for row in (*kept, *since) if row["user_id"] == f"u{n}"]
        acts = sorted((Act(*(row[name] for name in behaviour.COLUMNS[1:])) for row in own), key=lambda act: act.us)
        found[f"u{n}"] = Person(portrait, acts)
    return found


@settings(max_examples=120)
@given(st.lists(world.rules, min_size=1, max_size=4), world.people, world.moments())
def test_everyone_at_once_by_day_and_plainly(rules: list[Row], people: People, night: datetime) -> None:
    parsed = {f"rule_{n}": parse(rule, world.FIELDS, world.SEGMENTS) for n, rule in enumerate(rules)}
    batch = everyone(evaluate(parsed, tables_of(people), MOMENT))
    assert len(batch) == len(people)
    known = by_day(people, night)
    for n, (portrait, acts) in enumerate(people):
        plainly = [plain_rules.holds(rule, portrait, acts, world.NOW, world.ZONE, SHOP) for rule in rules]
        assert list(batch[f"u{n}"].values()) == plainly
        assert [match(rule, known[f"u{n}"], MOMENT) for rule in parsed.values()] == plainly


@settings(max_examples=30)
@given(st.lists(world.rules, min_size=1, max_size=4), world.people)
def test_laid_out(rules: list[Row], people: People) -> None:
    """Behaviour by type and evidence by tag answer as portraits and behaviour by visitor do."""
    parsed = {f"rule_{n}": parse(rule, world.FIELDS, world.SEGMENTS) for n, rule in enumerate(rules)}
    plain = tables_of(people)
    with TemporaryDirectory() as room:
        for name, rows in ((TABLE_FILE, plain.portraits), (behaviour.FILE, plain.behaviour)):
            rows.order_by("user_id").to_parquet(Path(room) / name)
        lay_out(connect(memory_limit="1GB"), Path(room), plain.items)
        con = connect(memory_limit="1GB")
        tables = laid_out_tables(con, Path(room))
        named = tables.portraits.select(NUMBER, "user_id").inner_join(evaluate(parsed, tables, MOMENT), NUMBER)
        answers = {row.pop("user_id"): row for row in con.to_pyarrow(named.drop(NUMBER)).to_pylist()}
        con.disconnect()
    assert answers == everyone(evaluate(parsed, plain, MOMENT))


BUYS, VIEWS = {"type": "purchase"}, {"type": "item_view"}
MANY: dict[str, Callable[[int], Row]] = {
    "field": lambda n: {"field": "orders", "op": "!=", "value": n - 2},
    "tag": lambda n: {"tag": world.PATHS[n % 7], "in": "categories", "weight": n / 200},
    "times": lambda n: {"did": BUYS, "times": {"op": "<=", "value": n // 40}, "within_days": 1 + n % 180},
    "days": lambda n: {"did": VIEWS, "days": {"op": "<=", "value": n // 40}, "within_days": 1 + n % 180},
    "first": lambda n: {"first": {**VIEWS, "item_id": f"i{n % 5}"}, "within_days": 1 + n % 180},
    "sequence": lambda n: {
        "sequence": [BUYS, VIEWS, BUYS][: 2 + n % 2],
        "within_days": 1 + n % 180,
        "gap_days": 1 + n % 90,
    },
}


@pytest.mark.parametrize("kind", MANY)
def test_as_many_conditions_of_a_kind_as_may_be(kind: str) -> None:
    """The engine can be asked whatever the grammar takes."""
    acts = [act(kind, days) for days in range(0, 100, 3) for kind in ("purchase", "item_view")]
    portrait: Row = {name: field.empty for name, field in world.FIELDS.items()}
    people: People = [(portrait, acts), (portrait, acts[30:]), (portrait, acts[:1]), (portrait, [])]
    parsed = parse({"or": [MANY[kind](n) for n in range(CONDITIONS)]}, world.FIELDS)
    known = by_day(people, world.NOW)
    for user, said in everyone(lines(parsed, tables_of(people), MOMENT)).items():
        assert list(said.values()) == match_lines(parsed, known[user], MOMENT)


def act(kind: str, days: int) -> Row:
    """Of a day: views an hour before purchases."""
    ts = world.NOW - timedelta(days=days, hours=1 + (kind == "item_view"))
    return {**dict.fromkeys(behaviour.COLUMNS), "ts": ts, "type": kind, "item_id": f"i{days % 5}", "amount": 100}


@settings(max_examples=30)
@given(world.rules, world.people)
def test_every_line(rule: Row, people: People) -> None:
    """A line holds of a visitor as if it were a rule of its own."""
    parsed = parse(rule, world.FIELDS, world.SEGMENTS)
    batch = everyone(lines(parsed, tables_of(people), MOMENT))
    known = by_day(people, world.NOW)
    for user, person in known.items():
        alone = [match(type(parsed)(line.node), person, MOMENT) for line in parsed.lines()]
        assert list(batch[user].values()) == match_lines(parsed, person, MOMENT) == alone


@given(world.rules)
def test_json_and_back(rule: Row) -> None:
    parsed = parse(rule, world.FIELDS, world.SEGMENTS)
    assert parse(parsed.to_json(), world.FIELDS, world.SEGMENTS) == parsed


@given(world.rules, world.acts)
def test_nobody_knows_the_visitor(rule: Row, acts: list[Row]) -> None:
    """Without a portrait each field has its empty value."""
    parsed = parse(rule, world.FIELDS, world.SEGMENTS)
    empty = {name: field.empty for name, field in world.FIELDS.items()}
    known = [Act(to_us(act["ts"]), *(act[name] for name in behaviour.COLUMNS[2:])) for act in acts]
    person = Person(None, sorted(known, key=lambda act: act.us))
    expected = plain_rules.holds(rule, empty, acts, world.NOW, world.ZONE, SHOP)
    assert match(parsed, person, MOMENT) == expected
