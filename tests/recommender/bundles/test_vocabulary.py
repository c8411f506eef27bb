"""Ids <-> row numbers: round trips for any text, and the traps of fixed-width bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import InvalidValue
from recommender.bundles.vocabulary import Vocabulary

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(st.sets(ids), st.lists(ids))
def test_every_id_finds_its_row_and_no_other_id_finds_one(known: set[str], asked: list[str]) -> None:
    vocabulary = Vocabulary.build(known)
    order = sorted(known, key=str.encode)
    assert [vocabulary.id(row) for row in range(len(vocabulary))] == order
    for one in [*known, *asked]:
        assert vocabulary.index(one) == (order.index(one) if one in known else -1)
    several = [*asked, *known]
    assert vocabulary.indices(several).tolist() == [vocabulary.index(one) for one in several]


def test_bytes_are_looked_up_like_text() -> None:
    vocabulary = Vocabulary.build(["茶", "🍵"])
    assert vocabulary.indices(np.array(["🍵".encode(), b"x"])).tolist() == [vocabulary.index("🍵"), -1]


def test_an_id_longer_than_any_stored_is_not_cut_to_its_prefix() -> None:
    vocabulary = Vocabulary.build(["ab", "abc"])
    assert vocabulary.index("abcd") == -1
    assert vocabulary.indices(["abcd", "abc"]).tolist() == [-1, 1]


def test_prefixes_are_ids_of_their_own() -> None:
    vocabulary = Vocabulary.build(["a", "ab", "abc"])
    assert [vocabulary.index(one) for one in ("a", "ab", "abc")] == [0, 1, 2]


def test_a_trailing_nul_is_not_dropped() -> None:
    assert Vocabulary.build(["a"]).index("a\0") == -1
    assert Vocabulary.build(["a", "bb"]).indices(["a\0", "bb"]).tolist() == [-1, 1]
    with pytest.raises(InvalidValue, match="NUL"):
        Vocabulary.build(["a\0"])


def test_text_that_is_not_utf8_is_unknown() -> None:
    assert Vocabulary.build(["abcdef"]).index("\ud800") == -1
    assert Vocabulary.build(["abcdef"]).indices(["\ud800"]).tolist() == [-1]


def test_nothing_is_in_an_empty_vocabulary() -> None:
    empty = Vocabulary.build(())
    assert len(empty) == 0
    assert empty.index("a") == -1
    assert empty.indices(["a", ""]).tolist() == [-1, -1]


def test_a_row_outside_is_an_error() -> None:
    vocabulary = Vocabulary.build(["a"])
    for row in (-1, 1):
        with pytest.raises(IndexError):
            vocabulary.id(row)


def test_it_works_on_a_mapped_file(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", Vocabulary.build(["小红", "小明"]).array)
    mapped = Vocabulary(np.load(tmp_path / "ids.npy", mmap_mode="r"))
    assert mapped.id(mapped.index("小明")) == "小明"
