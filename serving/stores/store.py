"""The online store: one object by URL, and the one read that a request needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, select, true

from portraits.errors import UnknownApp
from recommender.types import Recent
from serving.stores import schema
from serving.stores.apps import Apps
from serving.stores.catalogues import Catalogues
from serving.stores.events import Events
from serving.stores.nights import Active, Nights, Version

RECENT_LIMIT = 500
"""Most events of one visitor since the last night that an answer takes into account, newest first."""


@dataclass(frozen=True, slots=True)
class OnlineState:
    """What an answer must know of the app and of the visitor, all of one moment.

    `recent` is newest first and holds what the active versions do not; `user` is the visitor's row of the users
    catalogue.
    """

    revision: int
    change_seq: int
    active: Active
    recent: tuple[Recent, ...] = ()
    user: dict[str, Any] | None = None

    @property
    def consent(self) -> bool:
        """False when the visitor's catalogue row refuses personalisation."""
        return self.user is None or self.user.get("consent") is not False


class Store(Apps, Events, Catalogues, Nights):
    """Apps, keys, events, catalogues, decisions, versions and runs; see the four parts for the verbs."""

    def state(self, app_id: str, user_id: str = "") -> OnlineState:
        """One statement, hence one round trip and one moment: a version is never mixed with another's events.

        `user_id` empty: nothing of any visitor. Raises UnknownApp, StoreUnavailable.
        """
        rows = self.ask(_STATE, {"app_id": app_id, "user_id": user_id})
        if not rows:
            raise UnknownApp(app_id)
        first = rows[0]
        active = Active(_version(first[2:6]), _version(first[6:10]))
        user = None if first[10] is None else json.loads(first[10])
        recent = () if first[11] is None else tuple(_new(rows, active))
        return OnlineState(first[0], first[1], active, recent, user)


def _new(rows: Iterable[Any], active: Active) -> Iterator[Recent]:
    """The events that at least one of the active versions does not hold."""
    versions = [version for version in (active.bundle, active.portraits) if version is not None]
    held_seq = min((version.events_seq for version in versions), default=-1)
    held_us = min((version.as_of_us for version in versions), default=0)
    for row in rows:
        if row[11] > held_seq or row[14] >= held_us:
            yield Recent(row[12], row[13], row[14])


def _version(columns: Any) -> Version | None:
    return None if columns[0] is None else Version(*columns)


def _statement() -> Any:
    apps, event = schema.apps.c, schema.events.c
    bundle, portraits = schema.active.alias("bundle"), schema.active.alias("portraits")
    recent = (
        select(event.seq, event.type, event.item_id, event.ts_us)
        .where(event.app_id == bindparam("app_id"), event.user_id == bindparam("user_id"), schema.SHAPING)
        .order_by(event.ts_us.desc(), event.seq.desc())
        .limit(RECENT_LIMIT)
        .subquery("recent")
    )
    user = schema.catalogue.alias("visitor")
    return (
        select(
            apps.revision,
            apps.change_seq,
            *(alias.c[name] for alias in (bundle, portraits) for name in Version._fields),
            user.c.payload,
            recent.c.seq,
            recent.c.type,
            recent.c.item_id,
            recent.c.ts_us,
        )
        .select_from(schema.apps)
        .outerjoin(bundle, and_(bundle.c.app_id == apps.app_id, bundle.c.kind == "bundle"))
        .outerjoin(portraits, and_(portraits.c.app_id == apps.app_id, portraits.c.kind == "portraits"))
        .outerjoin(
            user,
            and_(user.c.app_id == apps.app_id, user.c.name == "users", user.c.key == bindparam("user_id")),
        )
        .outerjoin(recent, true())
        .where(apps.app_id == bindparam("app_id"))
        .order_by(recent.c.ts_us.desc(), recent.c.seq.desc())
    )


_STATE = _statement()
