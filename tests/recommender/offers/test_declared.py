"""Declarations as numbers."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
from planted_answers import Row

from recommender.offers.declared import Declared

ZONES = ["Urban", "Rural", "Surburban", "Urban"]
SPENT = ["4) 200 - 350", "1) 0 - 100", "10) 1,000 +", "2) 100 - 200"]


def table(*rows: Row) -> pa.Table:
    """Rows of the users catalogue; attributes as they are."""
    told = [{"member_tier": None} | row | {"attributes": json.dumps(row.get("attributes"))} for row in rows]
    return pa.Table.from_pylist(told, pa.schema([(n, pa.string()) for n in ("user_id", "attributes", "member_tier")]))


def told(*rows: Row) -> dict[str, list[float]]:
    """Columns of what these declared, in order of their ids."""
    found = Declared.read(table(*rows))
    return {name: found.X[:, place].tolist() for place, name in enumerate(found.encoding.names)}


def declares(**attributes: list[object]) -> dict[str, list[float]]:
    """The same of one visitor for each value."""
    count = len(next(iter(attributes.values())))
    names = attributes.items()
    return told(*({"user_id": f"u{n:03}", "attributes": {key: v[n] for key, v in names}} for n in range(count)))


def test_numbers_and_texts_of_numbers_are_numbers() -> None:
    found = declares(age=[31, 7.5, 0], income=["12", "-3", "1e3"], mixed=[1, True, "0"])
    assert found == {"age": [31, 7.5, 0], "income": [12, -3, 1000], "mixed": [1, 1, 0]}


def test_yes_and_no_are_one_and_zero_and_what_is_not_told_is_nan() -> None:
    found = declares(mens=[True, False, None], kids=["", "2", None])
    assert found["mens"][:2] == [1, 0]
    assert np.isnan(found["mens"][2])
    assert np.isnan(found["kids"]).tolist() == [True, False, True]


def test_a_few_words_have_a_column_each_and_two_words_one() -> None:
    found = declares(zone=ZONES, channel=["Web", "Phone", "Web", None])
    assert [found[f"zone={word}"] for word in ("Rural", "Surburban", "Urban")] == [
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [1, 0, 0, 1],
    ]
    assert found["channel=Web"][:3] == [1, 0, 1]
    assert np.isnan(found["channel=Web"][3])
    assert len(found) == 4


def test_more_words_are_places_in_the_order_of_their_numbers() -> None:
    words = [f"{n}) {n}00 to {n + 1}00" for n in (10, 2, 1, 7, 8, 9, 3)]
    assert declares(spent=words) == {"spent": [6, 1, 0, 3, 4, 5, 2]}


def test_words_of_which_there_are_many_or_one_and_lists_are_left_out() -> None:
    names = [f"name {n}" for n in range(60)]
    assert declares(name=names, country=["cn"] * 60, tags=[["a"], ["b"]] * 30, where=[{"x": 1}] * 60) == {}


def test_keys_may_be_any_text_and_objects_none() -> None:
    odd = {'a "b".$[0]': 3, "会员": "是"}
    rows = [{"user_id": "u1", "attributes": odd}, {"user_id": "u2", "attributes": {"会员": "否"}}]
    found = told(*rows, {"user_id": "u0", "attributes": None}, {"user_id": "u3", "attributes": [1, 2]})
    assert set(found) == {'a "b".$[0]', "会员=是"}
    assert found["会员=是"][1:3] == [1, 0]


def test_the_tier_is_a_word_whatever_it_is() -> None:
    found = told({"user_id": "u1", "member_tier": "2"}, {"user_id": "u2", "member_tier": "1"})
    assert found == {"member_tier=2": [1, 0]}
