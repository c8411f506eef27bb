"""`/v1/segments`: a marketer's calls. Rules are parsed here, counted in the process that counts, matched online."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from portraits.deleted import cells
from portraits.errors import InvalidValue, NothingThere
from portraits.rules import Rule, in_words
from portraits.segments.nights import newest
from serving.call import Call
from serving.segments import definitions, online
from serving.segments.definitions import Definitions, Known, needed
from serving.segments.wording import lines_in_words
from serving.stores.nights import Version
from serving.stores.segments import Segment, Wanted
from serving.stores.store import OnlineState

NOBODY = {"total": 0, "base": 0, "lines": []}
NO_OVERLAP = dict.fromkeys(("one", "other", "both", "base"), 0) | dict.fromkeys(
    ("jaccard", "share_of_one", "share_of_other", "lift")
)
NO_PROFILE: Mapping[str, Any] = {"members": 0, "base": 0, "too_small": True, "cells": [], "suppressed": {}}


@dataclass(frozen=True, slots=True)
class Ground:
    """What a marketer's call stands on: the app's state and its segments as they are now."""

    call: Call
    state: OnlineState
    segments: Definitions

    @classmethod
    async def of(cls, call: Call, user_id: str = "") -> Ground:
        """Confirms the key, reads the app. Raises StoreUnavailable, NotKnown."""
        state = await call.state(user_id)
        context = call.context
        return cls(call, state, await context.published.segments(context.store, context.reads, call.app_id, state))

    @property
    def version(self) -> Version | None:
        return self.state.active.portraits

    @property
    def told(self) -> dict[str, Any]:
        """Of which portraits the answer is: null before the first night."""
        if self.version is None:
            return {"version": None, "as_of": None}
        return {"version": self.version.version, "as_of": self.version.as_of.isoformat()}

    def rule(self, asked: Mapping[str, Any], path: str = "") -> tuple[Any, Rule]:
        """The rule that {"name": ...} or {"rule": ...} asks for, as JSON and parsed.

        Raises InvalidValue unless exactly one is given; NothingThere, InvalidRule.
        """
        if (asked["name"] is None) == (asked["rule"] is None):
            raise InvalidValue(f"{path}name", asked["name"], "either the name of a segment or a rule")
        if asked["name"] is None:
            return asked["rule"], self.segments.parse(asked["rule"])
        return self.segments.known(asked["name"]).rule, self.segments.rule(asked["name"])

    def words(self, rule: Rule) -> str:
        return in_words(rule, self.call.body["lang"], self.call.grant.settings.currency)

    async def ask(self, question: Mapping[str, Any], *rules: Any) -> dict[str, Any]:
        """The counting process' answer about the published portraits, without who refused or deleted a tag since.

        `rules`: those of the question, whose other segments go along.
        """
        version = self.version
        if version is None:
            raise NothingThere("portraits", self.call.app_id, "they come with the first night")
        store, app_id = self.call.context.store, self.call.app_id
        left_out = await asyncio.to_thread(store.left_out, app_id, version)
        deleted = await self._deleted(version)
        about = {"app_id": app_id, "version": version.version, "time_zone": self.call.grant.settings.time_zone}
        others = {name: rule for told in rules for name, rule in needed(told, self.segments.rules).items()}
        asked = {**about, **question, "segments": others, "left_out": left_out, "deleted": deleted}
        return await self.call.unless_gone(self.call.context.analyst.ask(asked))

    async def _deleted(self, version: Version) -> dict[str, list[str]]:
        """Tags that were deleted since the portraits were built, and by whom."""
        context, app_id = self.call.context, self.call.app_id
        deletions = await asyncio.to_thread(context.store.deleted_tags, app_id)
        people = await context.published.people(app_id, version) if deletions else None
        return {} if people is None else await context.published.read(partial(cells, people, deletions))


async def post_save(call: Call) -> dict[str, Any]:
    """POST /v1/segments: saves a definition as its next version."""
    ground = await Ground.of(call)
    body = call.body
    wanted = Wanted(body["name"], body["title"] or body["name"], body["rule"])
    write = partial(_save, call.app_id, ground.segments, wanted)
    segment = await call.context.writer.write(call.app_id, write)
    return segment.to_dict() | {"words": ground.words(ground.segments.parse(segment.rule))}


async def post_list(call: Call) -> dict[str, Any]:
    """POST /v1/segments/list: every segment with its rule in words, and its members on the last night."""
    ground = await Ground.of(call)
    segments = await asyncio.to_thread(partial(_listed, ground))
    return ground.told | {"segments": segments}


async def post_delete(call: Call) -> dict[str, Any]:
    """POST /v1/segments/delete: the segment is there no more; its versions are kept."""
    await call.confirm()
    write = partial(definitions.delete, app_id=call.app_id, name=call.body["name"])
    try:
        await call.context.writer.write(call.app_id, write)
    except NothingThere:
        return {"name": call.body["name"], "deleted": False}
    return {"name": call.body["name"], "deleted": True}


async def post_preview(call: Call) -> dict[str, Any]:
    """POST /v1/segments/preview: how many a rule finds, and what each line adds or leaves."""
    ground = await Ground.of(call)
    told, rule = ground.rule(call.body)
    if ground.version is None:
        return ground.told | NOBODY | {"words": ground.words(rule)}
    counted = await ground.ask({"ask": "preview", "rule": told}, told)
    words = lines_in_words(rule, call.body["lang"], call.grant.settings.currency)
    lines = [line | {"words": said} for line, said in zip(counted["lines"], words, strict=True)]
    return ground.told | counted | {"lines": lines, "words": ground.words(rule)}


async def post_compare(call: Call) -> dict[str, Any]:
    """POST /v1/segments/compare: how much two segments share."""
    ground = await Ground.of(call)
    one, _ = ground.rule(call.body["one"], "one.")
    other, _ = ground.rule(call.body["other"], "other.")
    if ground.version is None:
        return ground.told | NO_OVERLAP
    return ground.told | await ground.ask({"ask": "compare", "one": one, "other": other}, one, other)


async def post_profile(call: Call) -> dict[str, Any]:
    """POST /v1/segments/profile: what sets a segment apart from everyone, or from another segment."""
    ground = await Ground.of(call)
    rule, _ = ground.rule(call.body["segment"], "segment.")
    against = call.body["base"]
    base = None if against["name"] is None and against["rule"] is None else ground.rule(against, "base.")[0]
    if ground.version is None:
        return {**ground.told, **NO_PROFILE}
    question = {"ask": "profile", "rule": rule, "base": base, "fields": list(call.body["fields"])}
    return ground.told | await ground.ask(question, rule, *([] if base is None else [base]))


async def post_match(call: Call) -> dict[str, Any]:
    """POST /v1/segments/match: which segments one visitor is in now, the last minute's events included."""
    user_id, names = call.body["user_id"], call.body["names"]
    ground = await Ground.of(call, user_id)
    rules = await asyncio.to_thread(_asked, ground.segments, names, call.body["rule"])
    held = await online.answers(call, ground.state, rules)
    answer = ground.told | {
        "user_id": ground.state.user_id,
        "at": datetime.now(UTC).isoformat(),
        "consent": ground.state.consent,
    }
    if call.body["rule"] is not None:
        answer["rule"] = held.pop(ASKED)
    return answer | {"segments": held}


ASKED = "?"
"""Stands for the rule of the request, which has no name; no segment can be called so."""


def _asked(segments: Definitions, names: tuple[str, ...], rule: Any) -> dict[str, Rule]:
    """The rules of a match: those named, that of the request, or, where neither is given, all."""
    if names or rule is not None:
        rules = {name: segments.rule(name) for name in names}
        return rules if rule is None else rules | {ASKED: segments.parse(rule)}
    return {known.name: segments.rule(known.name) for known in segments.all() if segments.problem(known.name) is None}


def _listed(ground: Ground) -> list[dict[str, Any]]:
    lake = ground.call.context.settings.lake
    night = newest(lake / ground.call.app_id)
    members = {} if night is None else night.members
    return [_entry(ground, known, members.get(known.name)) for known in ground.segments.all(ground.call.body["lang"])]


def _entry(ground: Ground, known: Known, members: int | None) -> dict[str, Any]:
    problem = ground.segments.problem(known.name)
    return {
        "name": known.name,
        "version": known.version,
        "title": known.title,
        "ready_made": known.ready_made,
        "rule": known.rule,
        "words": None if problem else ground.words(ground.segments.rule(known.name)),
        "problem": problem and problem.message,
        "members": members,
    }


def _save(app_id: str, segments: Definitions, wanted: Wanted, connection: Connection) -> Segment:
    return definitions.save(connection, app_id, segments.fields, wanted)
