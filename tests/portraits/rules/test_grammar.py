from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import random_rules as world
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import InvalidRule
from portraits.rules import Person, in_words, match, parse, parse_text
from portraits.rules.grammar import CONDITIONS, DEPTH, TEXT_BYTES
from portraits.rules.match import Moment

Row = dict[str, Any]
ONE: Row = {"field": "orders", "op": ">", "value": 1}
MOMENT = Moment(0, world.ZONE)


def nested(levels: int) -> Row:
    """A rule of so many levels."""
    return ONE if levels == 1 else {"not": nested(levels - 1)}


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ([], "", "an object"),
        ({}, "", "exactly one of and, or, not"),
        ({"and": [ONE], "or": [ONE]}, "", "exactly one of"),
        ({"and": []}, "/and", "1 to 200 conditions"),
        ({"and": ONE}, "/and", "a list of conditions"),
        ({"and": [ONE, {"not": {**ONE, "value": "2"}}]}, "/and/1/not/value", "a whole number"),
        ({"or": [ONE], "note": "x"}, "/note", "only or here"),
        ({**ONE, "field": "order"}, "/field", "close to it: orders"),
        ({**ONE, "op": "=="}, "/op", "one of =, !=, <"),
        ({**ONE, "op": "starts_with"}, "/op", "for orders"),
        ({"field": "orders", "op": ">"}, "", "value beside it"),
        ({"field": "orders", "op": "known", "value": 1}, "/value", "only field, op here"),
        ({**ONE, "value": True}, "/value", "a whole number"),
        ({**ONE, "value": 2**63}, "/value", "a whole number"),
        ({"field": "orders", "op": "between", "value": [2, 1]}, "/value", "the least value first"),
        ({"field": "orders", "op": "in", "value": [1, None]}, "/value/1", "a whole number"),
        ({"field": "share", "op": "<", "value": float("nan")}, "/value", "a number"),
        ({"field": "share", "op": "<", "value": float("inf")}, "/value", "a number"),
        ({"field": "stage", "op": "=", "value": "old"}, "/value", "one of new, loyal, asleep"),
        ({"field": "top_brand", "op": "=", "value": ""}, "/value", "a text, not empty"),
        ({"field": "top_brand", "op": "=", "value": "\ud800"}, "/value", "valid text"),
        ({"field": "member", "op": "=", "value": 1}, "/value", "true or false"),
        ({"field": "due_date", "op": "<", "value": "2025-02-30"}, "/value", "a local date"),
        ({"field": "due_date", "op": "<", "value": "20250228"}, "/value", "a local date"),
        ({"field": "last_seen", "op": "within_days", "value": 0}, "/value", "from 1 to 3650"),
        ({"field": "categories", "op": "=", "value": "food"}, "/op", "one of known, unknown"),
        ({"tag": "food"}, "", "in beside it"),
        ({"tag": "food", "in": "channels"}, "/in", "categories"),
        ({"tag": "food", "in": "categories", "weight": 2}, "/weight", "a number from 0 to 1"),
        ({"tag": "food", "in": "categories", "events": 0.5}, "/events", "a whole number"),
        ({"did": {}}, "/did", "type beside it"),
        ({"did": {"type": []}}, "/did/type", "1 to 1000 texts"),
        ({"did": {"type": "purchase", "price": 1}}, "/did/price", "only type, item_id"),
        ({"did": {"type": "purchase", "category": "a > b > c > d > e"}}, "/did/category", "at most 4 levels"),
        ({"did": {"type": "purchase"}, "times": 2, "within_days": 3}, "/times", 'such as {"op"'),
        ({"did": {"type": "purchase"}, "times": {"op": ">=", "value": 2}}, "/times", "within_days"),
        ({"did": {"type": "purchase"}, "within_days": 181}, "/within_days", "from 1 to 180"),
        (
            {"did": {"type": "a"}, "times": {"op": "=", "value": 1}, "days": {"op": "=", "value": 1}, "within_days": 1},
            "",
            "only one of times, amount, days",
        ),
        ({"first": {"type": "purchase"}}, "", "within_days beside it"),
        ({"sequence": [{"type": "a"}], "within_days": 3}, "/sequence", "2 to 5 steps"),
        ({"segment": "bougth"}, "/segment", "close to it: bought"),
        ({"segment": ["bought"]}, "/segment", "the name of a saved segment"),
    ],
)
def test_what_is_wrong_and_where(rule: Any, path: str, expected: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(rule, world.FIELDS, world.SEGMENTS)
    assert refused.value.path == path
    assert expected in refused.value.expected
    assert refused.value.status == 422


def test_the_line_of_a_text() -> None:
    text = (
        '{"or": [\n  {"field": "orders", "op": "known"},\n  {"field": "orders",\n   "op": ">",\n   "value": "many"}]}'
    )
    with pytest.raises(InvalidRule, match=r"rule/or/1/value \(line 5\) = 'many': expected a whole number"):
        parse_text(text, world.FIELDS)
    assert parse_text(text.replace('"many"', "2"), world.FIELDS).lines()[2].path == "/or/1"


@given(world.rules, st.integers(0, 3))
def test_every_line_of_a_rule_is_found_in_its_text(rule: Row, indent: int) -> None:
    """The text of a rule with one thing wrong, wherever: the line of the error holds what is wrong."""
    text = json.dumps(rule, indent=indent, ensure_ascii=False)
    parsed = parse_text(text, world.FIELDS, world.SEGMENTS)
    assert parsed == parse(rule, world.FIELDS, world.SEGMENTS)
    for key in ("op", "type", "tag", "segment"):
        wrong = text.replace(f'"{key}": "', f'"{key}": "\\u0000', 1)
        if wrong != text:
            with pytest.raises(InvalidRule) as refused:
                parse_text(wrong, world.FIELDS, world.SEGMENTS)
            line = wrong.splitlines()[(refused.value.line or 0) - 1]
            assert "\\u0000" in line or refused.value.path == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "JSON"),
        ('{"and": [', "JSON"),
        ("[" * 60_000, "levels deep"),
        ('{"not":' * 9_000, "levels deep|JSON"),
        ('{"field": "orders", "op": "=", "value": NaN}', "NaN is not a number"),
        ('{"field": "orders", "op": "=", "value": -Infinity}', "-Infinity is not a number"),
        ('{"field": "orders", "op": "=", "value": 1' + "0" * 5_000 + "}", "JSON|whole number"),
        ('{"field": "orders", "op": ">", "op": "<", "value": 1}', "'op' stands twice"),
        ('{"field": "orders", "op": "=", "value": 1}' + " " * TEXT_BYTES, "at most 65536 bytes"),
        ('"' + "茶" * 30_000 + '"', "at most 65536 bytes"),
        ("null", "an object"),
    ],
)
def test_hostile_texts(text: str, expected: str) -> None:
    with pytest.raises(InvalidRule, match=expected):
        parse_text(text, world.FIELDS)


def test_a_depth_bomb() -> None:
    assert parse(nested(DEPTH), world.FIELDS)
    with pytest.raises(InvalidRule, match="at most 8 levels deep") as refused:
        parse(nested(min(900, sys.getrecursionlimit() // 2)), world.FIELDS)
    assert refused.value.path == "/not" * DEPTH


def test_too_many_conditions() -> None:
    assert parse({"or": [ONE] * CONDITIONS}, world.FIELDS)
    with pytest.raises(InvalidRule, match="1 to 200 conditions"):
        parse({"or": [ONE] * (CONDITIONS + 1)}, world.FIELDS)
    with pytest.raises(InvalidRule, match="at most 200") as refused:
        parse({"and": [{"or": [ONE] * 101}, {"or": [ONE] * 100}]}, world.FIELDS)
    assert refused.value.path == "/and/1/or/99"


def test_too_much_text() -> None:
    """Wherever a rule comes from, the texts in it are bounded as its JSON text is."""
    many = [f"{n:04d}" + "x" * 996 for n in range(66)]
    with pytest.raises(InvalidRule, match="at most 65536 characters in all"):
        parse({"field": "top_brand", "op": "in", "value": many}, world.FIELDS)
    with pytest.raises(InvalidRule, match="1 to 1000 values"):
        parse({"field": "orders", "op": "in", "value": list(range(1_001))}, world.FIELDS)


def test_segments_are_bounded_too() -> None:
    circle = {"a": {"not": {"segment": "b"}}, "b": {"or": [ONE, {"segment": "a"}]}}
    with pytest.raises(InvalidRule, match=r"segment 'b', rule/or/1/segment = 'a': .*\(a -> b\)"):
        parse({"segment": "a"}, world.FIELDS, circle)
    tower = {f"s{n}": {"segment": f"s{n + 1}"} for n in range(50)} | {"s50": ONE}
    with pytest.raises(InvalidRule, match="levels deep"):
        parse({"segment": "s0"}, world.FIELDS, tower)
    assert parse({"segment": f"s{50 - DEPTH + 2}"}, world.FIELDS, tower)
    doubling = {f"s{n}": {"and": [{"segment": f"s{n + 1}"}] * 100} for n in range(5)} | {"s5": ONE}
    with pytest.raises(InvalidRule, match="at most 200"):
        parse({"segment": "s3"}, world.FIELDS, doubling)
    with pytest.raises(InvalidRule, match="segment 'bad', rule/value"):
        parse({"and": [ONE, {"segment": "bad"}]}, world.FIELDS, {"bad": {**ONE, "value": []}})


def test_a_segment_that_is_used_twice_and_deep() -> None:
    """What is inlined again is bounded where it stands."""
    deep = {"deep": nested(DEPTH - 2)}
    assert parse({"and": [{"segment": "deep"}, {"segment": "deep"}]}, world.FIELDS, deep)
    with pytest.raises(InvalidRule, match="levels deep") as refused:
        parse({"and": [{"segment": "deep"}, {"not": {"segment": "deep"}}]}, world.FIELDS, deep)
    assert refused.value.path == "/and/1/not/segment"


HOSTILE = (
    "'; DROP TABLE portraits; --",
    '" OR 1=1',
    "__import__('os').system('x')",
    "{0.__class__}",
    "${x}",
    "\\",
    "%",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_a_name(text: str) -> None:
    for rule in ({**ONE, "field": text}, {**ONE, "op": text}, {"segment": text}, {text: 1}, {"tag": "a", "in": text}):
        with pytest.raises(InvalidRule):
            parse(rule, world.FIELDS, world.SEGMENTS)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_value_is_a_value(text: str) -> None:
    rule = parse({"field": "top_brand", "op": "starts_with", "value": text}, world.FIELDS)
    empty = dict.fromkeys(world.FIELDS)
    assert match(rule, Person({**empty, "top_brand": text + "!"}), MOMENT)
    assert not match(rule, Person({**empty, "top_brand": "b0"}), MOMENT)
    assert json.dumps(text) in in_words(rule)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("and", "or", "not", "field", "op", "value", "did", "type", "times", "within_days", "segment", "tag")
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(anything)
def test_anything_else_is_refused_in_words(rule: Any) -> None:
    """Never another error than InvalidRule, whatever is given."""
    assert (refusal(rule) or "rule").startswith("rule")


def refusal(rule: Any) -> str | None:
    """What is said against it, None when it is read."""
    try:
        parse(rule, world.FIELDS, world.SEGMENTS)
    except InvalidRule as refused:
        return str(refused)
    return None


@given(world.rules, st.data())
def test_a_rule_with_one_thing_replaced(rule: Row, data: st.DataObject) -> None:
    """Wherever something else is put into a good rule, it is read or refused; what is read can be asked and told."""
    places = list(inner_places(rule))
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(anything)
    if refusal(rule) is not None:
        return
    parsed = parse(rule, world.FIELDS, world.SEGMENTS)
    assert match(parsed, Person(None), MOMENT) in (True, False)
    assert in_words(parsed, "zh")


def inner_places(value: Any) -> Any:
    """(holder, key) of every value inside."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from inner_places(inner)
