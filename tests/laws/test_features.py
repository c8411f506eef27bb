"""Laws of portraits, each over every field of the registry: a field that is added is held to all of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import ibis.expr.datatypes as dt
import plain_portraits
import planted_deals
import planted_history as planted
import pytest

from portraits.build import fields
from portraits.features import FAMILIES, REGISTRY, Feature
from portraits.past import Past
from portraits.scenes import TEST_SCENES

pytestmark = pytest.mark.law
every_field = pytest.mark.parametrize("name", sorted(REGISTRY))


def table_of(past: Past) -> dict[str, dict[str, Any]]:
    rows = fields(past).to_pyarrow().to_pylist()
    assert len({row["user_id"] for row in rows}) == len(rows), "one row a visitor"
    return {row["user_id"]: row for row in rows}


def shuffled() -> Past:
    rows = planted.events()
    random.Random(1).shuffle(rows)
    catalogue = planted.items()
    random.Random(2).shuffle(catalogue)
    return planted.past(rows, catalogue, planted.users()[::-1])


def with_future() -> Past:
    """Events of the moment T and later, for known and new visitors, of every kind that a field counts."""
    later = [{**row, "ts": row["ts"] + (planted.AS_OF - planted.START)} for row in planted.events(seed=99)]
    at_once = {"user_id": "u01", "ts": planted.AS_OF, "type": "purchase", "item_id": "i01", "amount": 10**9}
    future = planted.numbered([row for row in later if row["ts"] >= planted.AS_OF] + [at_once], "future")
    return planted.past(planted.events() + future)


def with_test_traffic() -> Past:
    """Visits by test traffic, of which only the launch tells, at times when nobody else was there."""
    rows = []
    for n, scene in enumerate(TEST_SCENES * 7):
        quiet = planted.START - timedelta(days=2 + n)
        launch = {"user_id": f"u{n:02d}", "ts": quiet, "type": "launch", "platform": "wechat", "scene": scene}
        rows += [launch, {**launch, "ts": quiet + timedelta(seconds=9), "type": "purchase", "scene": None, "amount": 9}]
        rows.append({"user_id": f"robot{n}", "ts": quiet, "type": "item_view", "item_id": "i01", "scene": scene})
    return planted.past(planted.events() + planted.numbered(rows, "test"))


def in_pieces() -> Past:
    """As for a history too large to be sorted at once."""
    whole = planted.past(planted.events())
    return Past(**{**vars_of(whole), "size": 3 * 20_000_000 - 1})


def vars_of(past: Past) -> dict[str, Any]:
    return {name: getattr(past, name) for name in Past.__dataclass_fields__}


VARIANTS: dict[str, Callable[[], Past]] = {
    "base": lambda: planted.past(planted.events()),
    "again": lambda: planted.past(planted.events()),
    "shuffled": shuffled,
    "future": with_future,
    "test_traffic": with_test_traffic,
    "pieces": in_pieces,
}


@cache
def built(variant: str) -> dict[str, dict[str, Any]]:
    return table_of(VARIANTS[variant]())


@cache
def plain() -> dict[str, dict[str, Any]]:
    return plain_portraits.portraits(
        planted.events(),
        planted.items(),
        planted.users(),
        planted.AS_OF,
        planted.SETTINGS,
        stores=planted.stores(),
        contents=planted.contents(),
        offers=planted_deals.offers(),
    )


@every_field
def test_agrees_with_a_plain_reading(name: str) -> None:
    """Golden values: the same field read by plain loops, for every visitor of the planted history."""
    assert built("base").keys() == plain().keys()
    for user, person in plain().items():
        assert built("base")[user][name] == approximately(person[name]), f"{name} of {user}"


def approximately(value: Any) -> Any:
    """Equal to a millionth in floats, at any depth (tastes are summed in billionths); everything else exactly."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-6, abs=1e-9)
    if isinstance(value, list):
        return [approximately(entry) for entry in value]
    if isinstance(value, dict):
        return {key: approximately(entry) for key, entry in value.items()}
    return value


@every_field
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "base"])
def test_nothing_else_moves_it(name: str, variant: str) -> None:
    """No leak from the future, no trace of test traffic, no order of rows, no size of pieces: equal to the last bit."""
    assert built(variant).keys() == built("base").keys()
    moved = {user for user, row in built("base").items() if built(variant)[user][name] != row[name]}
    assert not moved


@every_field
def test_documented_and_typed(name: str) -> None:
    field = REGISTRY[name]
    assert field.name == name == field.compute.__name__
    assert field.family in FAMILIES
    assert field.meaning.endswith(".")
    assert field.unit
    for row in built("base").values():
        assert in_range(field, row[name]), row[name]


def in_range(field: Feature, value: Any) -> bool:
    if value is None:
        return field.empty is None
    if field.values:
        return value in field.values
    return (field.minimum is None or value >= field.minimum) and (field.maximum is None or value <= field.maximum)


def test_types_are_the_promised_ones() -> None:
    promised = {field.name: dt.dtype(field.dtype) for field in REGISTRY.values()}
    schema = fields(VARIANTS["base"]()).schema()
    assert {name: schema[name] for name in REGISTRY} == promised
    assert list(schema.names) == ["user_id", *REGISTRY]


@pytest.mark.parametrize("name", sorted(name for name, field in REGISTRY.items() if field.clock))
def test_no_clock_no_time(name: str) -> None:
    """Where the history has no real time, fields that need one are null."""
    assert {row[name] for row in timeless().values()} == {None}


@pytest.mark.parametrize("name", sorted(name for name, field in REGISTRY.items() if not field.clock))
def test_other_fields_need_no_clock(name: str) -> None:
    """... and the others are what they were, but for tastes, which no longer fade."""
    if "tastes" in REGISTRY[name].grain:
        assert any(row[name] is not None for row in timeless().values())
    else:
        assert {user: row[name] for user, row in timeless().items()} == {
            user: row[name] for user, row in built("base").items()
        }


@cache
def timeless() -> dict[str, dict[str, Any]]:
    return table_of(planted.past(planted.events(), real_time=False))


@pytest.mark.fault
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"user_id": "one", "ts": planted.START, "type": "launch"}],
        [{"user_id": "one", "ts": planted.START, "type": "purchase", "item_id": "i01", "amount": 1}],
        [
            {"user_id": f"u{n % 3}", "ts": planted.START, "type": kind, "item_id": "i01", "amount": 5}
            for n in range(30)
            for kind in ("item_view", "purchase", "refund")
        ],
        [{"user_id": "robot", "ts": planted.START, "type": "launch", "scene": "1129"}],
    ],
    ids=["empty app", "one event", "one buyer", "every event the same second", "test traffic alone"],
)
def test_odd_histories(rows: list[dict[str, Any]]) -> None:
    numbered = planted.numbered(rows, "e")
    expected = plain_portraits.portraits(
        numbered,
        planted.items(),
        [],
        planted.AS_OF,
        planted.SETTINGS,
        stores=planted.stores(),
        contents=planted.contents(),
        offers=planted_deals.offers(),
    )
    found = table_of(planted.past(numbered, user_rows=[]))
    assert found == {user: {"user_id": user} | approximately(person) for user, person in expected.items()}
