"""JSON as the standard library has it, only faster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import InvalidValue
from serving.codec import encode, parse

TEXTS = st.text(max_size=5) | st.sampled_from(["\ud800", "a\x00", "茶"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
def test_a_body_is_read_as_the_standard_library_reads_it(value: dict[str, Any], escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass" if not escaped else "strict")
    assert parse(text) == json.loads(text.decode("utf-8", "surrogatepass"))


@given(VALUES)
def test_an_answer_can_be_read_back(value: Any) -> None:
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"a":NaN}', b'{"a":Infinity}', b"\xff\xfe", b"[" * 100_000])
def test_anything_but_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidValue):
        parse(body)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_nothing_but_utf_8_is_read(encoding: str) -> None:
    with pytest.raises(InvalidValue):
        parse('{"a":1}'.encode(encoding))


def test_of_two_fields_with_one_name_the_last_counts() -> None:
    assert parse(b'{"a":1,"a":2}') == {"a": 2}


def test_a_number_of_any_size_stays_itself() -> None:
    assert parse(b'{"a":123456789012345678901234567890}') == {"a": 123456789012345678901234567890}
