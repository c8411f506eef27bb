"""The online store: one object by URL, and the one read that a request needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    String,
    and_,
    bindparam,
    cast,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)

from portraits.errors import UnknownApp
from portraits.identity import merge_users, nodes
from recommender.types import Recent
from serving.stores import schema
from serving.stores.catalogues import Catalogues
from serving.stores.claims import Claims
from serving.stores.events import Events
from serving.stores.forgotten import Forgetting
from serving.stores.keys import Keys
from serving.stores.messages import Messages
from serving.stores.nights import Active, Nights, Version
from serving.stores.people import ids_of_person
from serving.stores.promotions import Promoting
from serving.stores.rights import Rights
from serving.stores.segments import Segments
from serving.stores.totals import Totals

RECENT_LIMIT = 500
"""Most events of one visitor since the last night that an answer takes into account, newest first."""
HEAD, ID, USER, EVENT = range(4)
"""Kinds of rows in the state of a visitor with several ids."""


class OnlineState(NamedTuple):
    """What an answer must know of the app and of the visitor, all of one moment.

    `user_id` is the person's, whichever of the person's `ids` was asked for (the person's own comes first). `recent` is
    newest first and holds what the active versions do not, under any of the ids; `user` is what the users catalogue
    says of them together.
    """

    revision: int
    change_seq: int
    active: Active
    recent: tuple[Recent, ...] = ()
    user: dict[str, Any] | None = None
    user_id: str = ""
    ids: tuple[str, ...] = ()
    forgotten: bool = False

    @property
    def consent(self) -> bool:
        """False when the visitor refuses personalisation, under any id, or was forgotten."""
        return not self.forgotten and (self.user is None or self.user.get("consent") is not False)


class Store(Keys, Events, Catalogues, Rights, Nights, Segments, Promoting, Forgetting, Claims, Totals, Messages):
    """Apps, keys, events, catalogues, decisions, versions, runs, segments, rules, claims and who was forgotten; see
    the parts."""

    def state(self, app_id: str, user_id: str = "") -> OnlineState:
        """One statement, hence one round trip and one moment: a version is never mixed with another's events.

        A visitor who is linked costs a second one, which is again all of one moment. `user_id` empty: nothing of any
        visitor. A visitor who was forgotten is one of whom nothing is known. Raises UnknownApp, StoreUnavailable.
        """
        asked = {"app_id": app_id, "user_id": user_id}
        rows = self.ask(_STATE, {**asked, "mark": self.mark(app_id, user_id)})
        if not rows:
            raise UnknownApp(app_id)
        first = rows[0]
        active = Active(_version(first[2:6]), _version(first[6:10]))
        if first[17] is not None:
            return OnlineState(first[0], first[1], active, (), None, user_id, (user_id,), forgotten=True)
        if first[11] is not None:
            return _linked(self.ask(_LINKED, asked), user_id)
        user = None if first[10] is None else json.loads(first[10])
        recent = () if first[12] is None else tuple(_new(sorted((row[12:17] for row in rows), key=_newest), active))
        return OnlineState(first[0], first[1], active, recent, user, user_id, (user_id,))

    def refusing(self, app_id: str) -> set[str]:
        """Every id of the visitors who refuse personalisation, under whichever of their ids they said so, and of those
        who were forgotten but are not yet gone from everywhere."""
        gone = {one.user_id for one in self.waiting(app_id)}
        return gone | self.all_ids(app_id, self.refused(app_id))

    def with_news(self, app_id: str, active: Active) -> set[str]:
        """Ids under which there may be something in `OnlineState.recent`: events that at least one of the active
        versions does not hold."""
        held_seq, held_us = _held(active)
        event = schema.events.c
        new = or_(event.seq > held_seq, event.ts_us >= held_us)
        statement = select(event.user_id).where(event.app_id == app_id, schema.SHAPING, new).distinct()
        return {row.user_id for row in self.read(statement)}

    def left_out(self, app_id: str, version: Version) -> list[str]:
        """Who may be in these published portraits and must not be counted or exported: those who refused since or were
        linked since to an id that refuses, under all of their ids, and those who were forgotten."""
        since = version.changes_seq, version.as_of_us
        linked = {node.value for row in self.changes(app_id, "identities", *since) for node in nodes(row)}
        refused = {*self.refused(app_id, *since), *self.refused_of(app_id, self.all_ids(app_id, linked))}
        return sorted(self.all_ids(app_id, refused) | {one.user_id for one in self.waiting(app_id)})


def _linked(rows: Iterable[Any], user_id: str) -> OnlineState:
    """The state of a visitor with several ids, from the rows of `_LINKED`."""
    parts: dict[int, list[Any]] = {HEAD: [], ID: [], USER: [], EVENT: []}
    for row in rows:
        parts[row[0]].append(row)
    head = parts[HEAD][0]
    active = Active(_version(head[6:10]), _version(head[10:14]))
    person = user_id if head[3] is None else head[3]  # the link may have been taken back between the two statements
    ids = sorted({row[3] for row in parts[ID]}, key=lambda one: (one != person, one))
    users = {row[3]: json.loads(row[4]) for row in parts[USER]}
    events = sorted(((row[1], row[3], row[4], row[2], row[5]) for row in parts[EVENT]), key=_newest)
    recent = tuple(_new(events, active))
    return OnlineState(head[1], head[2], active, recent, merge_users(users, person), person, tuple(ids))


def _newest(event: Any) -> tuple[int, int]:
    """Of (seq, type, item_id, ts_us, ...): later first. Cheaper here than as the last step of the statement."""
    return -event[3], -event[0]


def _new(rows: Iterable[Any], active: Active) -> Iterator[Recent]:
    """Of (seq, type, item_id, ts_us, payload of those that move money) the events that at least one of the active
    versions does not hold."""
    held_seq, held_us = _held(active)
    for row in rows:
        if row[0] > held_seq or row[3] >= held_us:
            told = {} if row[4] is None else json.loads(row[4])
            yield Recent(row[1], row[2], row[3], told.get("order_id"), told.get("amount"))


def _held(active: Active) -> tuple[int, int]:
    """Every active version holds the events up to this seq that are before this moment (microseconds)."""
    versions = [version for version in (active.bundle, active.portraits) if version is not None]
    held_seq = min((version.events_seq for version in versions), default=-1)
    return held_seq, min((version.as_of_us for version in versions), default=0)


def _version(columns: Any) -> Version | None:
    return None if columns[0] is None else Version(*columns)


_MONEY: Any = literal_column("CASE WHEN type IN ('purchase', 'refund', 'order_cancel') THEN payload END").label("money")


def _recent(whose: Any) -> Any:
    """The visitor's newest events."""
    event = schema.events.c
    return (
        select(event.seq, event.type, event.item_id, event.ts_us, _MONEY)
        .where(event.app_id == bindparam("app_id"), whose, schema.SHAPING)
        .order_by(event.ts_us.desc(), event.seq.desc())
        .limit(RECENT_LIMIT)
        .subquery("recent")
    )


_BUNDLE, _PORTRAITS, _PERSON = (
    schema.active.alias("bundle"),
    schema.active.alias("portraits"),
    schema.people.alias("person"),
)
_VERSIONS = [alias.c[name] for alias in (_BUNDLE, _PORTRAITS) for name in Version._fields]


def _app(source: Any = schema.apps) -> Any:
    """FROM: the app, what is active of it, and the person that the visitor belongs to."""
    app_id = schema.apps.c.app_id
    return (
        source.outerjoin(_BUNDLE, and_(_BUNDLE.c.app_id == app_id, _BUNDLE.c.kind == "bundle"))
        .outerjoin(_PORTRAITS, and_(_PORTRAITS.c.app_id == app_id, _PORTRAITS.c.kind == "portraits"))
        .outerjoin(_PERSON, and_(_PERSON.c.app_id == app_id, _PERSON.c.id == bindparam("user_id")))
    )


def _statement() -> Any:
    apps = schema.apps.c
    recent, user = _recent(schema.events.c.user_id == bindparam("user_id")), schema.catalogue.alias("visitor")
    own = and_(user.c.app_id == apps.app_id, user.c.name == "users", user.c.key == bindparam("user_id"))
    gone = schema.forgotten.alias("gone")
    marked = and_(gone.c.app_id == apps.app_id, gone.c.hash == bindparam("mark"))
    events = (recent.c[name] for name in ("seq", "type", "item_id", "ts_us", "money"))
    columns = (user.c.payload, _PERSON.c.user_id, *events)
    return (
        select(apps.revision, apps.change_seq, *_VERSIONS, *columns, gone.c.hash)
        .select_from(_app().outerjoin(user, own).outerjoin(gone, marked).outerjoin(recent, true()))
        .where(apps.app_id == bindparam("app_id"))
    )


def _linked_statement() -> Any:
    """Rows of four kinds in one moment: (kind, number, number, text, text, text, versions)."""
    apps, user = schema.apps.c, schema.catalogue.c
    number, words = cast(null(), BigInteger), cast(null(), String)
    nothing = [cast(null(), column.type) for column in _VERSIONS]
    recent = _recent(schema.events.c.user_id.in_(ids_of_person()))
    ids = ids_of_person().subquery("ids")
    head = select(literal(HEAD), apps.revision, apps.change_seq, _PERSON.c.user_id, words, words, *_VERSIONS)
    users = select(literal(USER), number, number, user.key, user.payload, words, *nothing)
    mine = and_(user.app_id == bindparam("app_id"), user.name == "users", user.key.in_(ids_of_person()))
    return union_all(
        head.select_from(_app()).where(apps.app_id == bindparam("app_id")),
        select(literal(ID), number, number, ids.c.id, words, words, *nothing),
        users.where(mine),
        select(literal(EVENT), *(recent.c[name] for name in ("seq", "ts_us", "type", "item_id", "money")), *nothing),
    )


_STATE = _statement()
_LINKED = _linked_statement()
