"""A visitor's rights over HTTP: to see the own portrait and data, to delete a tag, to turn personalisation off and on.

Each call is of one person under all linked ids, and holds from the next answer on, on every worker: what it says is a
row of the store that every request reads. A visitor's own token may make any of them; of server keys those of scope
`recommend`, since they change what is recommended, but for the export of everything, which needs `admin` (of a token:
that of the key which made it).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from portraits.field import Field
from portraits.forgotten import NAMES_OTHERS, SOMEBODY
from portraits.portrait_set import PortraitSet
from portraits.tags import TAGS, hidden, named, tag_of
from portraits.titles import title, value, why
from portraits.words import in_words
from serving.call import Call
from serving.portrait import portrait_of
from serving.segments import online
from serving.stores import rights
from serving.stores.catalogues import upsert_rows
from serving.stores.forgotten import forgotten_among
from serving.stores.store import OnlineState

SOMEBODY_IN = {"en": SOMEBODY, "zh": "某人"}
MOST_ROWS = 2_000
"""Of a page of an export: about a megabyte."""


async def post_portrait(call: Call) -> dict[str, Any]:
    """POST /v1/portrait: all that is said of the visitor, in words, and why; of one who refused, only that."""
    state = await call.state(call.body["user_id"])
    if not state.consent:
        return {"user_id": call.body["user_id"], "personalized": False, "portrait": None}
    context, app_id, version = call.context, call.app_id, state.active.portraits
    people = await context.published.people(app_id, version)
    portrait = None
    if people is not None:
        portrait = await context.published.read(partial(portrait_of, context.store, app_id, people, state.ids))
    seq, us = (-1, 0) if version is None else (version.events_seq, version.as_of_us)
    waiting = await context.reads.slow(context.store.events_of, app_id, state.ids, seq, us)
    deleted = await context.reads.slow(context.store.deleted_tags_of, app_id, state.ids)
    return {
        "user_id": call.person(state.user_id),
        "personalized": True,
        "portrait": None if people is None or portrait is None else _told(call, people, portrait),
        "declared": state.user and {name: known for name, known in state.user.items() if known is not None},
        "ids": _ids(call, state),
        "segments": await _segments(call, state),
        "deleted": [{"tag": tag, "at": _moment(at_us)} for tag, at_us in sorted(deleted.items())],
        "waiting": {"events": len(waiting), "since": None if version is None else version.as_of.isoformat()},
    }


async def post_export(call: Call) -> dict[str, Any]:
    """POST /v1/portrait/export: every row that is kept of the visitor, some at a time.

    It is read by the counting process, so that no phone waits for it; see `serving.everything`.
    """
    state = await call.state(call.body["user_id"])
    asked = {"ask": "everything", "app_id": call.app_id, "user_id": call.body["user_id"]}
    asked |= {"after": call.body["after"], "n": call.body["n"]}
    page = await call.unless_gone(call.context.analyst.export(asked))
    return {"user_id": call.person(state.user_id), "ids": _ids(call, state)} | page


async def post_tags_delete(call: Call) -> dict[str, Any]:
    """POST /v1/tags/delete: a tag of the portrait is gone at once, and what happened before brings it back no more."""
    state = await call.state(call.body["user_id"])
    fields = await call.context.published.fields(call.app_id, state.active.portraits)
    tag = named(call.body["tag"], fields)
    if not state.forgotten:
        write = partial(_delete_tag, app_id=call.app_id, user_id=call.body["user_id"], tag=tag)
        await call.context.writer.write(call.app_id, write, len(state.ids))
    return {"user_id": call.person(state.user_id), "tag": tag, "fields": sorted(hidden(fields, (tag,)))}


async def post_personalization(call: Call) -> dict[str, Any]:
    """POST /v1/personalization: the visitor's own switch, which no import turns back."""
    state, on = await call.state(call.body["user_id"]), call.body["on"]
    if state.forgotten:
        return {"user_id": call.person(state.user_id), "on": False}
    write = partial(_turn, app_id=call.app_id, user_id=call.body["user_id"], on=on)
    on = await call.context.writer.write(call.app_id, write, len(state.ids))
    return {"user_id": call.person(state.user_id), "on": on}


def _ids(call: Call, state: OnlineState) -> list[str]:
    """The linked ids, the person's own first; of a token only its own."""
    return [call.grant.user_id] if call.grant.user_id else list(state.ids)


def turn(connection: Connection, app_id: str, user_id: str, *, on: bool) -> bool:
    """Turns personalisation of a visitor off or on, inside a write transaction; whether it is on then."""
    if forgotten_among(connection, app_id, [user_id]):
        return False
    ids = rights.turn(connection, app_id, user_id, on=on)
    upsert_rows(connection, app_id, "users", [{"user_id": one} for one in ids])
    return on


def _turn(connection: Connection, app_id: str, user_id: str, on: bool) -> bool:
    return turn(connection, app_id, user_id, on=on)


def _delete_tag(connection: Connection, app_id: str, user_id: str, tag: str) -> None:
    if not forgotten_among(connection, app_id, [user_id]):
        rights.delete_tag(connection, app_id, user_id, tag)


def _told(call: Call, people: PortraitSet, portrait: Mapping[str, Any]) -> dict[str, Any]:
    """A portrait in sentences, and tag by tag; what is unknown is left out."""
    lang, currency = call.body["lang"], call.grant.settings.currency
    known = [field for field in people.fields.values() if portrait.get(field.name) not in (None, [])]
    known.sort(key=lambda field: list(TAGS).index(tag_of(field)))
    return {
        "as_of": people.as_of.isoformat(),
        "words": in_words(portrait, currency, lang),
        "tags": [
            {
                "tag": tag,
                "title": TAGS[tag].title(lang),
                "fields": [_field(call, field, portrait[field.name]) for field in fields],
            }
            for tag, fields in groupby(known, key=tag_of)
        ],
    }


def _field(call: Call, field: Field, known: Any) -> dict[str, Any]:
    lang, names_others = call.body["lang"], field.name == NAMES_OTHERS  # another visitor's id is not told
    told = value(field, known, call.grant.settings.currency, call.grant.zone, lang)
    return {
        "field": field.name,
        "title": title(field, lang),
        "value": SOMEBODY if names_others else _plain(known),
        "words": SOMEBODY_IN[lang] if names_others else told,
        "why": why(field, lang),
    }


async def _segments(call: Call, state: OnlineState) -> list[dict[str, str]]:
    """The segments that the visitor is in now."""
    context = call.context
    segments = await context.published.segments(context.store, context.reads, call.app_id, state)
    known = {one.name: one for one in segments.all(call.body["lang"]) if segments.problem(one.name) is None}
    held = await online.answers(call, state, {name: segments.rule(name) for name in known})
    return [{"name": name, "title": known[name].title} for name in known if held[name]]


def _plain(known: Any) -> Any:
    """A value as JSON has it."""
    match known:
        case date() | datetime():
            return known.isoformat()
        case list():
            return [_plain(one) for one in known]
        case Mapping():
            return {name: _plain(one) for name, one in known.items()}
    return known


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()
