"""Who is the same person: known answers, and one id at a time against all at once."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_links import START, Row, arrow, by_link, link, links_of, people

from portraits.identity import KINDS, MOST_IDS, MOST_USERS, merge_users, nodes
from portraits.people import Ignored, links


def mapping(rows: list[Row], **more: Any) -> dict[str, str]:
    table = links(arrow(rows), **more).people
    assert len(set(table["id"].to_pylist())) == len(table), "one row an id"
    return dict(zip(table["id"].to_pylist(), table["user_id"].to_pylist(), strict=True))


def test_a_row_links_all_ids_that_it_names() -> None:
    rows = [link(0, user_id="ann", openid="o1", unionid="w1", anonymous_id="a1"), link(1, user_id="bob")]
    assert mapping(rows) == dict.fromkeys(("ann", "o1", "w1", "a1"), "ann")


def test_rows_meet_in_an_identifier() -> None:
    rows = [
        link(0, openid="o1", anonymous_id="a1"),
        link(1, unionid="w", openid="o1"),
        link(2, unionid="w", openid="b"),
    ]
    assert mapping(rows) == dict.fromkeys(("o1", "a1", "w", "b"), "a1"), "without a user_id: the smallest id"
    assert set(mapping([*rows, link(3, user_id="zoe", openid="b")]).values()) == {"zoe"}


def test_the_person_is_the_user_linked_first_then_the_smallest() -> None:
    late, early, never = link(0, 5, user_id="ann", openid="o"), link(1, 2, user_id="zoe", openid="o"), {}
    assert set(mapping([late, early]).values()) == {"zoe"}
    assert set(mapping([late, link(1, 5, user_id="zoe", openid="o")]).values()) == {"ann"}
    never = link(2, None, user_id="aaa", openid="o")
    assert set(mapping([late, early, never]).values()) == {"zoe"}
    assert set(mapping([never, link(3, user_id="bbb", openid="o")]).values()) == {"aaa"}


def test_links_of_the_moment_and_later_do_not_count() -> None:
    rows = [
        link(0, 1, user_id="ann", openid="o1"),
        link(1, 2, user_id="bob", openid="o2"),
        link(2, openid="x", unionid="y"),
    ]
    at = int((START + timedelta(days=2)).timestamp() * 1e6)
    assert mapping(rows, before_us=at) == {"ann": "ann", "o1": "ann", "x": "x", "y": "x"}
    assert mapping(rows, before_us=at + 1).keys() == {"ann", "o1", "bob", "o2", "x", "y"}


def kiosk(users: int) -> list[Row]:
    return [link(n, user_id=f"u{n:02}", openid=f"o{n:02}", anonymous_id="tablet") for n in range(users)]


def test_an_identifier_of_too_many_users_links_nothing_and_is_reported() -> None:
    assert set(mapping(kiosk(MOST_USERS)).values()) == {"u00"}
    assert links(arrow(kiosk(MOST_USERS))).ignored == ()
    found = links(arrow(kiosk(MOST_USERS + 1)))
    assert found.ignored == (Ignored("anonymous_id", "tablet", MOST_USERS + 1),)
    assert found.persons == MOST_USERS + 1
    assert mapping(kiosk(MOST_USERS + 1)) == {f"{k}{n:02}": f"u{n:02}" for k in "uo" for n in range(MOST_USERS + 1)}


def test_a_tablet_of_visitors_without_an_account_is_a_tablet_too() -> None:
    rows = [link(n, openid=f"o{n}", anonymous_id="tablet") for n in range(MOST_USERS + 1)]
    assert mapping(rows) == {}
    assert links(arrow(rows)).ignored == (Ignored("anonymous_id", "tablet", 0),)


def test_a_group_that_grew_too_large_is_taken_apart_at_what_is_shared_most() -> None:
    """Two families of 15 on a tablet each, and one visitor who used both."""
    rows = [link(n, user_id=f"u{n:02}", openid=f"o{n:02}", anonymous_id=f"tablet {n % 2}") for n in range(30)]
    assert len(set(mapping(rows).values())) == 2
    rows.append(link(99, user_id="u00", anonymous_id="tablet 1"))
    found = links(arrow(rows))
    assert [one.value for one in found.ignored] == ["tablet 0", "tablet 1"]
    assert mapping(rows) == {f"{k}{n:02}": f"u{n:02}" for k in "uo" for n in range(30)}


def test_a_chain_of_pairs_breaks_into_its_people() -> None:
    """Each device is shared by two neighbours, thirty in a row."""
    rows = [
        link(2 * n + side, user_id=f"u{n + side:02}", anonymous_id=f"d{n:02}") for n in range(30) for side in (0, 1)
    ]
    assert mapping(rows) == {}
    assert len(links(arrow(rows)).ignored) == 30


def test_an_account_of_everybody_is_nobody() -> None:
    rows = [link(n, user_id="guest", anonymous_id=f"a{n:04}") for n in range(MOST_IDS + 1)]
    assert links(arrow(rows)).ignored == (Ignored("user_id", "guest", 0),)
    assert mapping(rows) == {}
    assert set(mapping(rows[: MOST_IDS - 1]).values()) == {"guest"}


def test_equal_texts_of_two_kinds_link_nothing() -> None:
    rows = [link(0, user_id="7", openid="o7"), link(1, user_id="9", anonymous_id="7", openid="o9")]
    assert mapping(rows) == {"7": "7", "o7": "7", "9": "9", "o9": "9"}
    rows.append(link(2, openid="x", anonymous_id="5"))
    rows.append(link(3, unionid="5", openid="y"))
    assert mapping(rows)["5"] == mapping(rows)["y"] == "5"
    assert "x" not in mapping(rows), "the unionid of that name is stronger"


def test_two_accounts_merge_in_an_identifier() -> None:
    rows = [link(0, 1, user_id="old", openid="o"), link(1, 2, user_id="new", openid="o")]
    assert mapping(rows) == dict.fromkeys(("old", "new", "o"), "old")
    undone = [rows[0], link(1, 2)]
    assert mapping(undone) == {"old": "old", "o": "old"}


@pytest.mark.law
@settings(max_examples=150, deadline=None)
@given(rows=st.lists(links_of(ids=40, users=40), max_size=90), seed=st.integers(0, 9))
def test_all_at_once_is_each_id_by_itself_in_any_order(rows: list[Row], seed: int) -> None:
    rows = by_link(rows)
    expected = people(rows)
    assert mapping(rows) == expected
    random.Random(seed).shuffle(rows)
    assert mapping(rows) == expected


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(links_of(ids=300, users=9), max_size=40))
def test_while_groups_are_small_a_person_is_what_is_connected(rows: list[Row]) -> None:
    """Against union-find over the ids, where nothing is shared too widely and no text is of two kinds."""
    rows = [{**row, **{k: row[k] and f"{k[:2]}{row[k]}" for k in KINDS}} for row in by_link(rows)]
    root: dict[str, str] = {}

    def find(text: str) -> str:
        while root.setdefault(text, text) != text:
            text = root[text]
        return text

    for row in rows:
        for one in nodes(row):
            root[find(one.value)] = find(nodes(row)[0].value)
    found = mapping(rows)
    for one in root:
        for other in root:
            if one != other:
                assert (find(one) == find(other)) == (found.get(one, one) == found.get(other, other))


def test_rows_of_one_person_become_one() -> None:
    early, late = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    rows = {
        "ann": {"user_id": "ann", "joined_at": late, "points": 5, "member_tier": None},
        "o1": {"user_id": "o1", "member_tier": "gold", "points": 9},
        "a1": {"user_id": "a1", "member_tier": "basic", "joined_at": early, "consent": True},
    }
    merged = {"user_id": "ann", "joined_at": early, "points": 5, "member_tier": "basic", "consent": True}
    assert merge_users(rows, "ann") == merged
    assert merge_users(rows | {"x": {"user_id": "x", "consent": False}}, "ann") == merged | {"consent": False}
    assert merge_users({}, "ann") is None


def test_an_app_without_links_has_no_people() -> None:
    assert links(arrow([])).people.num_rows == 0
    assert links(arrow([link(0)])).persons == 0
