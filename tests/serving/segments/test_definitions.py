"""What may be saved and deleted, and what rules may refer to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from portraits.errors import InUse, InvalidRule, InvalidValue, NothingThere
from portraits.field import Field
from portraits.settings import AppSettings
from serving.segments.definitions import Definitions, delete, needed, save, uses
from serving.stores import Store
from serving.stores.segments import Segment, Wanted

FIELDS = {
    name: Field(name, "planted", kind, "-", None, None, (), None, False, "events", "Planted.")
    for name, kind in (("orders", "int64"), ("stage", "string"))
}
BUYERS = {"field": "orders", "op": ">", "value": 0}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    yield opened
    opened.close()


def put(store: Store, name: str, rule: Any, title: str = "") -> Segment:
    with store.write() as connection:
        return save(connection, "shop", FIELDS, Wanted(name, title or name, rule))


def drop(store: Store, name: str) -> None:
    with store.write() as connection:
        delete(connection, "shop", name)


def test_a_rule_is_saved_and_found_by_name(store: Store) -> None:
    put(store, "buyers", BUYERS, "Buyers")
    known = Definitions.of(store, "shop", FIELDS)
    assert known.known("buyers").title == "Buyers"
    assert known.rule("buyers").to_json() == BUYERS
    assert known.parse({"not": {"segment": "buyers"}}).to_json() == {"not": {"segment": "buyers"}}
    with pytest.raises(NothingThere, match="sellers"):
        known.known("sellers")


@pytest.mark.parametrize("name", ["", "Buyers", "-a", "a b", "买家", "a" * 61, "loyal"])
def test_a_name_that_cannot_be_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidValue, match="name"):
        put(store, name, BUYERS)
    assert store.segments("shop") == []


def test_a_rule_that_is_none_is_not_saved(store: Store) -> None:
    with pytest.raises(InvalidRule, match="colour"):
        put(store, "red", {"field": "colour", "op": "=", "value": "red"})
    assert store.segments("shop") == []


def test_no_segment_leads_back_to_itself(store: Store) -> None:
    with pytest.raises(InvalidRule, match="segment"):
        put(store, "a", {"segment": "a"})
    put(store, "a", BUYERS)
    put(store, "b", {"segment": "a"})
    put(store, "c", {"not": {"segment": "b"}})
    with pytest.raises(InvalidRule, match="back to itself"):
        put(store, "a", {"or": [BUYERS, {"segment": "c"}]})
    assert store.segment("shop", "a").rule == BUYERS


def test_a_rule_that_would_make_another_one_too_deep_is_refused(store: Store) -> None:
    put(store, "inner", BUYERS)
    deep: Any = {"segment": "inner"}
    for _ in range(5):
        deep = {"not": deep}
    put(store, "outer", deep)
    with pytest.raises(InvalidRule, match="levels"):
        put(store, "inner", {"not": {"not": BUYERS}})


def test_what_another_one_uses_stays(store: Store) -> None:
    put(store, "a", BUYERS)
    put(store, "b", {"and": [{"segment": "a"}, BUYERS]})
    with pytest.raises(InUse, match="'a' is used by 'b'"):
        drop(store, "a")
    drop(store, "b")
    drop(store, "a")
    with pytest.raises(NothingThere):
        drop(store, "a")


def test_ready_made_ones_are_there_where_the_portraits_have_their_fields(store: Store) -> None:
    known = Definitions.of(store, "shop", FIELDS)
    names = {one.name for one in known.all()}
    assert {"loyal", "cart-abandoners"} <= names
    assert "key-sharers" not in names, "no such field here"
    assert known.known("loyal", "zh").title == "忠诚客户"
    assert known.problem("key-sharers") is not None


def test_the_segments_that_a_rule_needs() -> None:
    rules = {"a": {"segment": "b"}, "b": {"not": {"segment": "c"}}, "c": BUYERS, "d": BUYERS}
    assert set(uses({"or": [{"segment": "a"}, {"segment": "d"}, BUYERS]})) == {"a", "d"}
    assert set(needed({"segment": "a"}, rules)) == {"a", "b", "c"}


@pytest.mark.parametrize("title", ["a" * 129, "two\nlines", "bell\a", "line\u2028end", "\udc80"])
def test_a_title_is_a_line_of_text(store: Store, title: str) -> None:
    with pytest.raises(InvalidValue, match="title"):
        put(store, "buyers", BUYERS, title)
    assert put(store, "buyers", BUYERS, "买" * 128).title == "买" * 128


def test_a_ready_made_one_is_not_deleted(store: Store) -> None:
    with pytest.raises(InvalidValue, match="ready-made"):
        drop(store, "loyal")


def test_a_definition_is_parsed_once(store: Store) -> None:
    put(store, "buyers", BUYERS)
    known = Definitions.of(store, "shop", FIELDS)
    assert known.rule("buyers") is known.rule("buyers")
    assert known.problem("key-sharers") is known.problem("key-sharers")
