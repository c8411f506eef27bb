"""Who is the same person, kept by the upserts of the identities catalogue: true from the next request on.

A link that comes, changes or is taken back moves only the people near the ids that it named or names; they alone are
worked out again, by the rule that the night uses (`portraits.identity`). `linked_at` does not matter here: a link that
the store holds is known now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, and_, bindparam, delete, func, insert, select, text, union_all

from portraits.identity import KINDS, MOST_IDS, MOST_USERS, USER, Node, canonical, nodes, person, spread
from serving.stores import schema
from serving.stores.database import Database

VALUES_AT_ONCE = 200
NEAR_EACH = 20
"""Neighbours expected of an id. Where many ids asked together have more, they are halved until the one that is shared
widely is asked alone, no further than what makes it too wide: a tablet of a million visitors costs milliseconds."""


SAME = 3
"""Rows that name the same two ids, as expected at most."""

_FROM = (
    "one.kind, one.value, other.kind, other.value FROM links AS one CROSS JOIN links AS other "
    "WHERE other.app_id = one.app_id AND other.link_id = one.link_id AND one.app_id = :app_id "
)
"""Neighbours of ids. CROSS JOIN and not JOIN: SQLite keeps its order, and would else walk all links of the app."""
_NEAR = text(f"SELECT {_FROM} AND one.value IN :values LIMIT :most").bindparams(bindparam("values", expanding=True))
_OF_ONE = f"{_FROM} AND one.value = :value AND one.kind = :kind LIMIT :most"
_NEAR_ONE, _DISTINCT_ONE = text(f"SELECT {_OF_ONE}"), text(f"SELECT DISTINCT {_OF_ONE}")
"""Without DISTINCT a database stops at the limit; with it PostgreSQL first reads all."""
_FIRST = (
    select(schema.links.c.value, func.min(schema.links.c.linked_us))
    .where(
        schema.links.c.app_id == bindparam("app_id"),
        schema.links.c.kind == USER,
        schema.links.c.value.in_(bindparam("values", expanding=True)),
    )
    .group_by(schema.links.c.value)
)
_PEOPLE = select(schema.people.c.id, schema.people.c.user_id).where(schema.people.c.app_id == bindparam("app_id"))

_KNOWN, _OTHER = schema.people.alias("known"), schema.people.alias("other")
_ALL_IDS = (
    select(_OTHER.c.id)
    .join_from(_KNOWN, _OTHER, and_(_OTHER.c.app_id == _KNOWN.c.app_id, _OTHER.c.user_id == _KNOWN.c.user_id))
    .where(_KNOWN.c.app_id == bindparam("app_id"), _KNOWN.c.id.in_(bindparam("ids", expanding=True)))
)

_LINKED = (
    select(_KNOWN.c.id.label("asked"), _KNOWN.c.user_id.label("person"), _OTHER.c.id.label("one"))
    .join_from(_KNOWN, _OTHER, and_(_OTHER.c.app_id == _KNOWN.c.app_id, _OTHER.c.user_id == _KNOWN.c.user_id))
    .where(_KNOWN.c.app_id == bindparam("app_id"), _KNOWN.c.id.in_(bindparam("ids", expanding=True)))
)


def ids_of_person() -> Any:
    """SELECT of all ids of the person that has the id `user_id` (of the app `app_id`), for use in an IN."""
    asked, known = schema.people.alias("asked"), schema.people.alias("known")
    same = and_(known.c.app_id == asked.c.app_id, known.c.user_id == asked.c.user_id)
    mine = and_(asked.c.app_id == bindparam("app_id"), asked.c.id == bindparam("user_id"))
    itself = select(bindparam("user_id", type_=String).label("id"))
    return union_all(itself, select(known.c.id).select_from(asked.join(known, same)).where(mine))


class People(Database):
    """The part of the store that reads which ids belong to one person."""

    def people(self, app_id: str) -> dict[str, str]:
        """id -> user_id of its person, for every id of a person with several."""
        return {row.id: row.user_id for row in self.read(_PEOPLE, {"app_id": app_id})}

    def person(self, app_id: str, user_id: str) -> str:
        """The user_id of the person that has this id: itself when it is linked to nothing."""
        rows = self.read(_PEOPLE.where(schema.people.c.id == user_id), {"app_id": app_id})
        return str(rows[0].user_id) if rows else user_id

    def linked(self, app_id: str, user_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """id -> every id of its person, the person's own first (as in `OnlineState.ids`), for those of these ids that
        are linked."""
        found: dict[str, set[str]] = {}
        persons: dict[str, str] = {}
        for some in _parts(list(user_ids)):
            for row in self.read(_LINKED, {"app_id": app_id, "ids": some}):
                found.setdefault(row.asked, set()).add(row.one)
                persons[row.asked] = row.person
        return {
            asked: tuple(sorted(ids | {asked}, key=lambda one: (one != persons[asked], one)))
            for asked, ids in found.items()
        }

    def all_ids(self, app_id: str, user_ids: Collection[str]) -> set[str]:
        """These ids and every other id of their people, without reading everyone's."""
        found = set(user_ids)
        for some in _parts(sorted(user_ids)):
            found.update(row.id for row in self.read(_ALL_IDS, {"app_id": app_id, "ids": some}))
        return found


class Graph:
    """What the links say now, read as far as it is asked for."""

    def __init__(self, connection: Connection, app_id: str) -> None:
        self._connection = connection
        self._app_id = app_id
        self._near: dict[Node, set[Node]] = {}
        self._loaded: set[str] = set()
        self._persons: dict[Node, frozenset[Node]] = {}

    def near(self, node: Node) -> Collection[Node]:
        """The ids that rows name together with this one: all of them, or more than MOST_IDS."""
        if node.value not in self._loaded:
            self._load([node.value])
        return self._near.get(node, ())

    def person(self, node: Node) -> frozenset[Node]:
        """All ids of the person that has this one."""
        if node not in self._persons:
            group = person(node, self.near)
            self._persons |= dict.fromkeys(group, group)
        return self._persons[node]

    def owner(self, value: str) -> Node | None:
        """Which id an event's `user_id` of this text is; None when no link names it."""
        found = (Node(kind, value) for kind in KINDS)
        return next((node for node in found if self.near(node) or node in self._near), None)

    def around(self, values: Collection[str]) -> set[str]:
        """The texts of all people whom a change of links that name `values` may concern."""
        self._load(values)
        touched = [node for value in values for kind in KINDS if (node := Node(kind, value)) in self._near]
        close = {node: self.near(node) for node in touched if spread(node, self.near(node)) <= MOST_USERS}
        self._load({other.value for others in close.values() for other in others})
        concerned = {*touched, *(other for others in close.values() for other in others)}
        return {one.value for node in concerned for one in self.person(node)}

    def people(self, values: Iterable[str]) -> dict[str, str]:
        """id -> user_id, for those of the texts that are ids of a person with several."""
        owners = {value: owner for value in values if (owner := self.owner(value)) is not None}
        groups = {self.person(owner) for owner in owners.values()}
        owned = {group: [node for node in group if self.owner(node.value) == node] for group in groups}
        several = [ids for ids in owned.values() if sum(node.kind == USER for node in ids) > 1]
        first = self._first_linked([node.value for ids in several for node in ids if node.kind == USER])
        chosen = {group: canonical(ids, lambda node: first.get(node.value)) for group, ids in owned.items() if ids}
        found = {value: self.person(owner) for value, owner in owners.items()}
        return {value: chosen[group] for value, group in found.items() if len(owned[group]) > 1}

    def _first_linked(self, users: list[str]) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for some in _parts(users):
            rows = self._connection.execute(_FIRST, {"app_id": self._app_id, "values": some})
            found |= {row[0]: row[1] for row in rows}
        return found

    def _load(self, values: Collection[str]) -> None:
        for some in _parts([value for value in values if value not in self._loaded]):
            for kind, value, other_kind, other_value in self._rows(some):
                others = self._near.setdefault(Node(kind, value), set())
                if (kind, value) != (other_kind, other_value):
                    others.add(Node(other_kind, other_value))
            self._loaded.update(some)

    def _rows(self, values: list[str]) -> Iterator[Any]:
        """(kind, value, and those of a neighbour or of the id itself) for every id of these texts."""
        most = MOST_IDS + NEAR_EACH * len(values)
        asked = {"app_id": self._app_id, "values": values, "most": most}
        rows = self._connection.execute(_NEAR, asked).all()
        if len(rows) < most:
            yield from rows
        elif len(values) > 1:
            yield from self._rows(values[: len(values) // 2])
            yield from self._rows(values[len(values) // 2 :])
        else:
            for kind in KINDS:
                yield from self._rows_of_one(kind, values[0])

    def _rows_of_one(self, kind: str, value: str) -> set[Any]:
        """All of them, or enough to see that they are too many."""
        enough = MOST_IDS + 2
        one = {"app_id": self._app_id, "kind": kind, "value": value}
        rows = self._connection.execute(_NEAR_ONE, one | {"most": SAME * enough}).all()
        if len(rows) < SAME * enough or len(set(rows)) >= enough:
            return set(rows)
        return set(self._connection.execute(_DISTINCT_ONE, one | {"most": enough}))


def relink(
    connection: Connection, app_id: str, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> None:
    """Brings `links` and `people` up to rows (by link_id) that were `before` and are `after`, inside a transaction."""
    values = {node.value for rows in (before, after) for row in rows.values() for node in nodes(row)}
    stale = Graph(connection, app_id).around(values)
    write_links(connection, app_id, after)
    graph = Graph(connection, app_id)
    concerned = stale | graph.around(values) | values
    write_people(connection, app_id, concerned, graph.people(concerned))


def write_links(connection: Connection, app_id: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Replaces what these link rows name."""
    c = schema.links.c
    for some in _parts(list(rows)):
        connection.execute(delete(schema.links).where(c.app_id == app_id, c.link_id.in_(some)))
    named = [
        {
            "app_id": app_id,
            "link_id": link_id,
            "kind": node.kind,
            "value": node.value,
            "linked_us": _microseconds(row.get("linked_at")),
        }
        for link_id, row in rows.items()
        for node in nodes(row)
    ]
    if named:
        connection.execute(insert(schema.links), named)


def write_people(connection: Connection, app_id: str, ids: Collection[str], people: Mapping[str, str]) -> None:
    """Makes `people` all that is known of `ids`."""
    c = schema.people.c
    for some in _parts(list(ids)):
        connection.execute(delete(schema.people).where(c.app_id == app_id, c.id.in_(some)))
    if people:
        rows = [{"app_id": app_id, "id": one, "user_id": user_id} for one, user_id in people.items()]
        connection.execute(insert(schema.people), rows)


def _microseconds(moment: str | None) -> int | None:
    return None if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1e6)


def _parts(values: list[str]) -> list[list[str]]:
    return [values[start : start + VALUES_AT_ONCE] for start in range(0, len(values), VALUES_AT_ONCE)]
