"""Who is the same person: the rule of links, the same for a night over everyone and for one link by day.

A row of the identities catalogue says that the ids it names (user_id, openid, unionid, anonymous_id) are one
visitor's; any of them may stand in an event's `user_id`. Connected ids are one person, whatever the order of the rows.

Not every link is to be believed: a shared tablet signs many people in under one identifier. So:

* an identifier's *spread* is how many user_ids rows name it with, or how many unionids or openids, if those are more.
  Over `MOST_USERS` it links nothing. Neither does an id that is named with more than `MOST_IDS` others.
* a connected group with more than MOST_USERS user_ids (or unionids, or openids), or with more than MOST_IDS ids, is not
  one person. Within it identifiers of a spread over 5 are left out, in what is then still too large those over 2,
  then 1, and what even so holds together is not linked at all.

This is decided from the neighbourhood of an id alone, without knowing how large a group is beyond being too large,
which is why a link sent by day costs no more in an app with a million of them.

A person's id is one that the merchant gave, a `user_id`: the one linked earliest, of several the smallest text. A
group without one goes by its smallest id.

All ids share the space of the events' `user_id`, so one text may be an id of two kinds by accident. Nothing is linked
by that: "7" as an anonymous id and "7" as a user_id are different nodes. An event under such a text belongs to the
user of that name, else to the unionid, the openid, the anonymous id, in this order: the merchant's own naming wins.
Two accounts are merged by naming the same identifier in both, not by naming the one in the other's openid.

Plain Python: the online store imports this module. `portraits.people` does the same for all ids of an app at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

KINDS = ("user_id", "unionid", "openid", "anonymous_id")
"""Ids of a link, strongest first."""
USER = KINDS[0]
COUNTED = KINDS[:3]
"""Kinds of which a person has few. Anonymous ids come with every fresh install."""
MOST_USERS = 20
MOST_IDS = 200
LEVELS = (MOST_USERS, 5, 2, 1)
"""Greatest spread of the identifiers that are believed: first everywhere, then within groups that are too large."""
UNBOUNDED = 2**31
NEVER = 2**63 - 1


class Node(NamedTuple):
    """An id of a kind."""

    kind: str
    value: str


def nodes(row: Mapping[str, Any]) -> list[Node]:
    """The ids that a link names, strongest first."""
    return [Node(kind, row[kind]) for kind in KINDS if row.get(kind) is not None]


def spread(node: Node, near: Collection[Node]) -> int:
    """How widely a node is shared, by its neighbours (the ids that rows name with it)."""
    if len(near) > MOST_IDS:
        return UNBOUNDED
    return 0 if node.kind == USER else max(sum(other.kind == kind for other in near) for kind in COUNTED)


def person(node: Node, near: Callable[[Node], Collection[Node]]) -> frozenset[Node]:
    """All ids of the person that has this one. `near` gives the neighbours of a node: all, or more than MOST_IDS."""
    for level in LEVELS:
        group = _group(node, near, level)
        if group is not None:
            return group
    return frozenset([node])


def canonical(ids: Iterable[Node], linked_us: Callable[[Node], int | None]) -> str:
    """The user_id of a person with these ids (each the owner of its text). `linked_us`: a user_id's first link."""

    def rank(node: Node) -> tuple[bool, int, bytes]:
        us = linked_us(node) if node.kind == USER else None
        return node.kind != USER, NEVER if us is None else us, node.value.encode()

    return min(ids, key=rank).value


def merge_users(rows: Mapping[str, Mapping[str, Any]], user_id: str) -> dict[str, Any] | None:
    """The users rows of a person's ids as one: the canonical id's values first, then those of the other ids in order
    of their texts; joined at the earliest moment; refusing when any of them refuses. None without rows."""
    order = sorted(rows, key=lambda known: (known != user_id, known.encode()))
    merged = {name: value for known in reversed(order) for name, value in rows[known].items() if value is not None}
    joined = [row["joined_at"] for row in rows.values() if row.get("joined_at") is not None]
    if joined:
        merged["joined_at"] = min(joined)
    if any(row.get("consent") is False for row in rows.values()):
        merged["consent"] = False
    return merged | {"user_id": user_id} if rows else None


def _group(start: Node, near: Callable[[Node], Collection[Node]], level: int) -> frozenset[Node] | None:
    """What is connected to `start` by ids of a spread up to `level`; None when that is too much for one person."""
    if spread(start, near(start)) > level:
        return frozenset([start])
    found, waiting, counts = {start}, [start], dict.fromkeys(KINDS, 0) | {start.kind: 1}
    while waiting:
        for other in near(waiting.pop()):
            if other in found or spread(other, near(other)) > level:
                continue
            found.add(other)
            waiting.append(other)
            counts[other.kind] += 1
            if len(found) > MOST_IDS or any(counts[kind] > MOST_USERS for kind in COUNTED):
                return None
    return frozenset(found)
