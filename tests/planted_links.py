"""Rows of the identities catalogue for tests, and a plain reading of what they say."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from portraits.history import IDENTITIES
from portraits.identity import KINDS, USER, Node, canonical, nodes, person

START = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def link(number: int, day: int | None = None, **ids: str | None) -> Row:
    """A link learnt `day` days after START."""
    linked_at = None if day is None else START + timedelta(days=day)
    return {"link_id": f"l{number}"} | dict.fromkeys(KINDS) | ids | {"linked_at": linked_at}


def arrow(rows: list[Row]) -> pa.Table:
    """Rows as the lake's catalogue gives them."""
    return pa.Table.from_pylist(rows, schema=IDENTITIES.arrow_schema())


def links_of(ids: int, users: int) -> st.SearchStrategy[Row]:
    """Rows over few values, so that groups form; texts of the kinds overlap, so that accidents happen."""
    value = st.integers(0, ids - 1).map(str)
    return st.builds(
        link,
        st.integers(0, 10_000),
        st.none() | st.integers(0, 3),
        user_id=st.none() | st.integers(0, users - 1).map(lambda n: str(3 * n)),
        unionid=st.none() | st.none() | value,
        openid=st.none() | value,
        anonymous_id=st.none() | value,
    )


def by_link(rows: list[Row]) -> list[Row]:
    """The last row of each link_id."""
    return list({row["link_id"]: row for row in rows}.values())


def people(rows: list[Row]) -> dict[str, str]:
    """id -> the id of its person, for ids of people with several: each id looked up by itself, by plain sets."""
    near: dict[Node, set[Node]] = defaultdict(set)
    first: dict[Node, int] = {}
    for row in rows:
        named = nodes(row)
        for node in named:
            near[node] |= {other for other in named if other != node}
        if row["linked_at"] is not None and row[USER] is not None:
            us = int(row["linked_at"].timestamp() * 1e6)
            first[Node(USER, row[USER])] = min(us, first.get(Node(USER, row[USER]), us))
    owner: dict[str, Node] = {}
    for node in sorted(near, key=lambda node: KINDS.index(node.kind)):
        owner.setdefault(node.value, node)
    found = {}
    for text, node in owner.items():
        ids = [other for other in person(node, near.__getitem__) if owner[other.value] == other]
        if len(ids) > 1:
            found[text] = canonical(ids, first.get)
    return found
