"""A visitor's own word in the online store: the switch of personalisation, and tags that were deleted.

The switch is a row SWITCHES of the catalogue table, one an id, beside the users row whose `consent` it holds in place:
whatever an import or a request says of consent later, `catalogues.upsert_rows` keeps to it. So everything that reads
`consent` honours the switch without knowing of it.

Both are said of a person and kept under every id that the person has at that moment. What is linked later is united
where it is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, true

from portraits.deleted import united
from serving.stores import schema
from serving.stores.database import Database, now_us
from serving.stores.dialect import upsert
from serving.stores.people import People, ids_of_person

SWITCHES = "switches"
"""Name of the switches among the catalogues; requests, imports and the lake know no such one."""

_DELETED = schema.deleted_tags.c
_SWITCH = select(schema.catalogue.c.key, schema.catalogue.c.payload).where(
    schema.catalogue.c.app_id == bindparam("app_id"), schema.catalogue.c.name == SWITCHES
)
_SWITCHES_OF = _SWITCH.where(schema.catalogue.c.key.in_(bindparam("keys", expanding=True)))


class Rights(People, Database):
    """The part of the store that reads what visitors chose and everything that is kept of them."""

    def switches(self, app_id: str) -> dict[str, dict[str, Any]]:
        """id -> {"on", "at_us"} of all who used the switch themselves."""
        return {row.key: json.loads(row.payload) for row in self.read(_SWITCH, {"app_id": app_id})}

    def rows_of_switches(self, app_id: str) -> list[str]:
        """The users rows of everyone who used the switch, as JSON of the contract's rows."""
        own, row = schema.catalogue.alias("own"), schema.catalogue.alias("row")
        mine = and_(row.c.app_id == own.c.app_id, row.c.name == "users", row.c.key == own.c.key)
        asked = select(row.c.payload).select_from(own.join(row, mine))
        return [one.payload for one in self.read(asked.where(own.c.app_id == app_id, own.c.name == SWITCHES))]

    def deleted_tags(self, app_id: str) -> dict[str, dict[str, int]]:
        """id -> tag -> moment (microseconds), for every id of everyone who deleted one; linked ids have the same."""
        everyone = select(_DELETED.user_id, _DELETED.tag, _DELETED.at_us).where(_DELETED.app_id == app_id)
        found = _by_id(self.read(everyone))
        for ids in set(self.linked(app_id, list(found)).values()):
            together = united(found[one] for one in ids if one in found)
            found |= dict.fromkeys(ids, together)
        return found

    def deleted_tags_of(self, app_id: str, ids: Collection[str]) -> dict[str, int]:
        """tag -> moment of one person with these ids."""
        return united(_by_id(self.read(_tags_of(app_id, ids))).values())

    def rows_of_person(self, app_id: str, ids: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(table, row) of everything that the store keeps under these ids and the lake does not: what is true now of
        catalogues, events and decisions since the last night, switches, deleted tags, claims and refused rows."""
        mine, c = sorted(ids), schema.catalogue.c
        links = select(schema.links.c.link_id).where(schema.links.c.app_id == app_id, schema.links.c.value.in_(mine))
        rows = select(c.name, c.payload).where(c.app_id == app_id)
        for own in (
            rows.where(c.name.in_(("users", SWITCHES)), c.key.in_(mine)),
            rows.where(c.name == "identities", c.key.in_(links)),
        ):
            yield from ((row.name, json.loads(row.payload)) for row in self.read(own.order_by(c.name, c.key)))
        yield from (("deleted_tags", row._asdict()) for row in self.read(_tags_of(app_id, mine)))
        drained = select(schema.apps.c.events_drained).where(schema.apps.c.app_id == app_id).scalar_subquery()
        for table, new in ((schema.events, schema.events.c.seq > drained), (schema.decisions, true())):
            of = select(table.c.payload).where(table.c.app_id == app_id, table.c.user_id.in_(mine), new)
            yield from ((table.name, json.loads(row.payload)) for row in self.read(of.order_by(table.c.seq)))
        yield from self._claims(app_id, mine)
        r = schema.rejected.c
        refused = select(r.at_us, r.source, r.reason, r.value, r.row).where(r.app_id == app_id, r.user_id.in_(mine))
        yield from (("rejected", row._asdict()) for row in self.read(refused.order_by(r.seq)))

    def _claims(self, app_id: str, ids: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Claims, and the requests that moved them."""
        c, q = schema.claims.c, schema.claim_requests.c
        own = c.app_id == app_id, c.user_id.in_(ids)
        for row in self.read(select(schema.claims).where(*own).order_by(c.claimed_us, c.claim_id)):
            yield "claims", {name: known for name, known in row._asdict().items() if name != "app_id"}
        asked = select(q.request_id, q.claim_id, q.answer, q.at_us).where(q.app_id == app_id)
        theirs = asked.where(q.claim_id.in_(select(c.claim_id).where(*own)))
        rows = self.read(theirs.order_by(q.at_us, q.request_id))
        yield from (("claim_requests", row._asdict()) for row in rows)


def _tags_of(app_id: str, ids: Collection[str]) -> Any:
    tags = select(_DELETED.user_id, _DELETED.tag, _DELETED.at_us).where(_DELETED.app_id == app_id)
    return tags.where(_DELETED.user_id.in_(sorted(ids))).order_by(_DELETED.user_id, _DELETED.tag)


def own_consent(connection: Connection, app_id: str, ids: Collection[str]) -> dict[str, bool]:
    """What the visitors with these ids said themselves, as the transaction sees it."""
    if not ids:
        return {}
    rows = connection.execute(_SWITCHES_OF, {"app_id": app_id, "keys": sorted(ids)})
    return {row.key: bool(json.loads(row.payload)["on"]) for row in rows}


def turn(connection: Connection, app_id: str, user_id: str, *, on: bool) -> list[str]:
    """Records the visitor's own word under all ids of the person, inside a write transaction; the ids.

    The users rows are the caller's to upsert: only then does it hold.
    """
    ids = _ids(connection, app_id, user_id)
    at_us = now_us()
    payload = json.dumps({"on": on, "at_us": at_us})
    common = {"app_id": app_id, "name": SWITCHES, "payload": payload, "change_seq": 0, "changed_us": at_us}
    upsert(connection, schema.catalogue, [common | {"key": one} for one in ids], replace=("payload", "changed_us"))
    return ids


def delete_tag(connection: Connection, app_id: str, user_id: str, tag: str) -> list[str]:
    """Records that the visitor deleted a tag, under all ids of the person, inside a write transaction; the ids."""
    ids = _ids(connection, app_id, user_id)
    at_us = now_us()
    rows = [{"app_id": app_id, "user_id": one, "tag": tag, "at_us": at_us} for one in ids]
    upsert(connection, schema.deleted_tags, rows, replace=("at_us",))
    return ids


def _ids(connection: Connection, app_id: str, user_id: str) -> list[str]:
    found = connection.execute(ids_of_person(), {"app_id": app_id, "user_id": user_id})
    return sorted({str(row[0]) for row in found})


def _by_id(rows: Collection[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.user_id, {})[row.tag] = row.at_us
    return found
