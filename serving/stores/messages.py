"""What happened to visitors' permissions for messages since the last night, for a command that asks of everybody."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import and_, func, select

from serving.stores import schema
from serving.stores.database import Database

TYPES = ("subscribe", "message_sent", "message_open", "unsubscribe")


class Spoken(NamedTuple):
    """user_id: the person's, whichever of the linked ids was used. at_us: microseconds; type: one of `TYPES`."""

    user_id: str
    at_us: int
    type: str


class Messages(Database):
    """The part of the store that reads what was said about messages."""

    def spoken(self, app_id: str, since_us: int) -> list[Spoken]:
        """Events about messages of `since_us` or later, in the order of their times. Raises StoreUnavailable."""
        event, person = schema.events.c, schema.people.c
        who = func.coalesce(person.user_id, event.user_id)
        linked = schema.events.outerjoin(schema.people, and_(person.app_id == event.app_id, person.id == event.user_id))
        statement = select(who, event.ts_us, event.type).select_from(linked)
        wanted = and_(event.app_id == app_id, event.type.in_(TYPES), event.ts_us >= since_us)
        return [Spoken._make(row) for row in self.read(statement.where(wanted).order_by(event.ts_us, event.seq))]
