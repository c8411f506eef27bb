"""What segments an app has: the ready-made ones and those that marketers saved, and what may be saved or deleted.

Plain Python: requests and commands use it alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from portraits.errors import InUse, InvalidRule, InvalidValue, NothingThere
from portraits.field import Field
from portraits.history import ID_LIMIT
from portraits.rules import Rule, parse, parse_text
from portraits.segments import readymade
from portraits.segments.readymade import READY_MADE
from serving.stores import Store
from serving.stores.segments import Rules, Segment, Wanted, drop_segment, put_segment

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
TITLE_LIMIT = ID_LIMIT
"""Characters, as of any text of a request."""
UNPRINTED = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of what is no part of a line of text: control characters, halves of pairs, line ends."""
READY_MADE_VERSION = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A segment that an app has. `version` 0: ready-made. `title` is in the language asked for where it has several."""

    name: str
    version: int
    title: str
    rule: Any

    @property
    def ready_made(self) -> bool:
        return self.version == READY_MADE_VERSION


class Definitions:
    """The segments of one app at one moment, each parsed once. `fields`: those of its published portraits."""

    def __init__(self, fields: Mapping[str, Field], saved: Mapping[str, Segment]) -> None:
        self.fields = fields
        self._saved = saved
        self._parsed: dict[str, Rule | InvalidRule] = {}
        self.rules: Rules = known_rules({name: segment.rule for name, segment in saved.items()})

    @classmethod
    def of(cls, store: Store, app_id: str, fields: Mapping[str, Field]) -> Definitions:
        """As the store has them now. Raises StoreUnavailable."""
        return cls(fields, {segment.name: segment for segment in store.segments(app_id)})

    @property
    def names(self) -> tuple[str, ...]:
        """Of all segments, those included that the app's portraits cannot answer."""
        return tuple(dict.fromkeys((*self._saved, *READY_MADE)))

    def all(self, lang: str = "en") -> Iterator[Known]:
        """Saved ones by name, then the ready-made; of the latter those that the app's portraits can answer."""
        for segment in self._saved.values():
            yield Known(segment.name, segment.version, segment.title, segment.rule)
        for name in READY_MADE:
            if name not in self._saved and self.problem(name) is None:
                yield self.known(name, lang)

    def known(self, name: str, lang: str = "en") -> Known:
        """One of them by name. Raises NothingThere."""
        if name in self._saved:
            segment = self._saved[name]
            return Known(name, segment.version, segment.title, segment.rule)
        if name in READY_MADE:
            return Known(name, READY_MADE_VERSION, READY_MADE[name].titles[lang], READY_MADE[name].rule)
        raise NothingThere("segment", name, "list them with: huaxiang segments list, or POST /v1/segments/list")

    def rule(self, name: str) -> Rule:
        """The parsed rule of a segment. Raises NothingThere; InvalidRule where the portraits lack a field of it."""
        if name not in self._parsed:
            told = self.known(name).rule
            try:
                self._parsed[name] = self.parse(told)
            except InvalidRule as problem:
                self._parsed[name] = problem
        found = self._parsed[name]
        if isinstance(found, InvalidRule):
            raise found.with_traceback(None)
        return found

    def parse(self, rule: Any) -> Rule:
        """A rule over the app's fields and segments. Raises InvalidRule."""
        return parse(rule, self.fields, self.rules)

    def parse_text(self, text: str) -> Rule:
        """The same from a file's text: errors also say the line. Raises InvalidRule."""
        return parse_text(text, self.fields, self.rules)

    def problem(self, name: str) -> InvalidRule | None:
        """Why a segment cannot be asked of the app's portraits; None where it can."""
        try:
            self.rule(name)
        except InvalidRule as problem:
            return problem
        return None


def save(connection: Connection, app_id: str, fields: Mapping[str, Field], wanted: Wanted) -> Segment:
    """Saves a definition inside a write transaction.

    Raises:
        InvalidValue: a name or title that cannot be. InvalidRule: not in the grammar, or leading back to itself, or one
        with which a segment that refers to this one cannot be any more. TooMuch, UnknownApp.
    """
    check_name(wanted.name)
    _check_title(wanted.title)
    return put_segment(connection, app_id, wanted, partial(_check_saved, fields, wanted))


def delete(connection: Connection, app_id: str, name: str) -> None:
    """Deletes a definition inside a write transaction.

    Raises NothingThere; InvalidValue for a ready-made segment; InUse where another one refers to it.
    """
    try:
        drop_segment(connection, app_id, name, partial(_check_unused, name))
    except NothingThere:
        if name in READY_MADE:
            raise InvalidValue("name", name, "a segment that was saved: ready-made ones are always there") from None
        raise


def check_name(name: str) -> str:
    """`name` itself. Raises InvalidValue for one that cannot be a segment's, or is a ready-made one's."""
    if not NAME.fullmatch(name):
        raise InvalidValue("name", name, "1 to 60 of a-z, 0-9, '-' and '_', beginning with a letter or digit")
    if name in READY_MADE:
        raise InvalidValue("name", name, "another name: this one is a ready-made segment's")
    return name


def _check_title(title: str) -> None:
    if len(title) > TITLE_LIMIT:
        raise InvalidValue("title", title, f"at most {TITLE_LIMIT} characters")
    if any(unicodedata.category(one) in UNPRINTED for one in title):
        raise InvalidValue("title", ascii(title), "a line of text, without control characters")


def known_rules(saved: Rules) -> Rules:
    """Saved and ready-made rules by name, as other rules may refer to them."""
    return {**readymade.rules(), **saved}


def uses(rule: Any) -> Iterator[str]:
    """Names of the segments that a valid rule refers to itself."""
    if isinstance(rule, list):
        for part in rule:
            yield from uses(part)
    elif isinstance(rule, Mapping):
        if isinstance(rule.get("segment"), str):
            yield rule["segment"]
        for key in ("and", "or", "not"):
            yield from uses(rule.get(key))


def needed(rule: Any, rules: Rules) -> dict[str, Any]:
    """The rules that a valid rule refers to, directly or through others."""
    found: dict[str, Any] = {}
    waiting = list(uses(rule))
    while waiting:
        name = waiting.pop()
        if name not in found and name in rules:
            found[name] = rules[name]
            waiting += uses(rules[name])
    return found


def _check_saved(fields: Mapping[str, Field], wanted: Wanted, others: Rules) -> None:
    name, _, rule = wanted
    rules = known_rules({**others, name: rule})
    parse(rule, fields, rules)
    for other in others:
        if name in needed(others[other], rules):
            parse(others[other], fields, rules)


def _check_unused(name: str, others: Rules) -> None:
    for other, rule in others.items():
        if name in set(uses(rule)):
            raise InUse("segment", name, other)
