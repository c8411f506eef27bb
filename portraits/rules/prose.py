"""A rule in words, English and Chinese, that says no less than the rule: it could be read back.

Groups are bracketed with what holds them together in front ("all of (...; ...)"), texts are quoted as in JSON, money
is in the app's currency, shares are percentages; numbers keep every digit.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from portraits.errors import InvalidValue
from portraits.field import Field
from portraits.rules import phrases
from portraits.rules.nodes import (
    And,
    Compare,
    Condition,
    Did,
    First,
    Line,
    Node,
    Not,
    Or,
    Rule,
    Segment,
    Sequence,
    Tagged,
    What,
)
from portraits.words import LANGUAGES, MINOR_DIGITS

MONEY, SHARE = "minor units", "share"


def in_words(rule: Rule, lang: str = "en", currency: str = "CNY") -> str:
    """The whole rule as one text. `currency`: the app's, ISO 4217. Raises InvalidValue for a language unknown."""
    return _language(lang, currency).node(rule.root)


def line_in_words(line: Line, lang: str = "en", currency: str = "CNY") -> str:
    """One of `rule.lines()`: a condition whole, of a group only what holds it together, as its parts are lines."""
    language = _language(lang, currency)
    node = line.node
    return language.groups[type(node)] if isinstance(node, And | Or | Not) else language.node(node)


def _language(lang: str, currency: str) -> _Language:
    if lang not in LANGUAGES:
        raise InvalidValue("lang", lang, "en or zh")
    return _Chinese(currency) if lang == "zh" else _English(currency)


class _Language:
    """What both languages share: the order of things and how values are written."""

    lang: str
    groups: dict[type, str]
    brackets: tuple[str, str]
    separator: str
    ops: dict[str, str]
    date_ops: dict[str, str]

    def __init__(self, currency: str) -> None:
        self._currency = currency

    def node(self, node: Node) -> str:
        if isinstance(node, And | Or):
            return self._group(node, *node.parts)
        if isinstance(node, Not):
            return self._group(node, node.part)
        return self.segment(node) if isinstance(node, Segment) else self._condition(node)

    def _group(self, node: Node, *parts: Node) -> str:
        opening, closing = self.brackets
        return self.groups[type(node)] + opening + self.separator.join(map(self.node, parts)) + closing

    def _condition(self, node: Condition) -> str:
        if isinstance(node, Compare):
            return self.compare(node)
        if isinstance(node, Tagged):
            return self.tagged(node)
        if isinstance(node, Did):
            return self.did(node)
        return self.first(node) if isinstance(node, First) else self.sequence(node)

    def segment(self, node: Segment) -> str:
        raise NotImplementedError

    def compare(self, node: Compare) -> str:
        raise NotImplementedError

    def tagged(self, node: Tagged) -> str:
        raise NotImplementedError

    def did(self, node: Did) -> str:
        raise NotImplementedError

    def first(self, node: First) -> str:
        raise NotImplementedError

    def sequence(self, node: Sequence) -> str:
        raise NotImplementedError

    # -- values ------------------------------------------------------------------------------------------------

    def value(self, field: Field, value: Any) -> str:
        """One value of a field."""
        if isinstance(value, bool) or value is None:
            return json.dumps(value)
        if isinstance(value, str):
            return quoted(value)
        if field.unit == MONEY:
            return self.money(value)
        return percent(value) if field.unit == SHARE else _plain(value)

    def money(self, minor: float) -> str:
        """Minor units as money, every digit kept: 'CNY 1,234.50'."""
        digits = MINOR_DIGITS.get(self._currency, 2)
        exact = Decimal(repr(minor)).scaleb(-digits)
        exponent = exact.normalize().as_tuple().exponent
        return f"{self._currency} {exact:,.{max(digits, -int(exponent))}f}"


class _English(_Language):
    lang = "en"
    groups = {And: "all of", Or: "any of", Not: "not"}  # noqa: RUF012
    brackets = (" (", ")")
    separator = "; "
    ops = {  # noqa: RUF012
        "=": "is {}",
        "!=": "is not {}",
        "<": "is less than {}",
        "<=": "is at most {}",
        ">": "is more than {}",
        ">=": "is at least {}",
        "between": "is from {} to {}",
        "in": "is one of {}",
        "not_in": "is none of {}",
        "starts_with": "begins with {}",
        "known": "is known",
        "unknown": "is unknown",
    }
    date_ops = {  # noqa: RUF012
        "<": "is before {}",
        "<=": "is on or before {}",
        ">": "is after {}",
        ">=": "is on or after {}",
        "within_days": "is within the last {}",
        "before_days": "is {} ago or longer",
        "next_days": "is within the next {}",
    }

    def segment(self, node: Segment) -> str:
        return f"in segment {quoted(node.name)}"

    def compare(self, node: Compare) -> str:
        label = phrases.field_words(node.field, "en")
        template = self.ops.get(node.op, "")
        if node.kind in ("date", "moment"):
            template = self.date_ops.get(node.op, template)
        if node.op.endswith("_days"):
            return f"{label} {template.format(days(node.value))}"
        if isinstance(node.value, tuple):
            told = [self.plain_or_date(node, one) for one in node.value]
            return f"{label} {template.format(*told) if node.op == 'between' else template.format(', '.join(told))}"
        return f"{label} {template.format(self.plain_or_date(node, node.value))}"

    def plain_or_date(self, node: Compare, value: Any) -> str:
        return str(value) if node.kind in ("date", "moment") else self.value(node.field, value)

    def tagged(self, node: Tagged) -> str:
        least = [
            *([f"weight at least {percent(node.weight)}"] if node.weight is not None else []),
            *([f"confidence at least {percent(node.confidence)}"] if node.confidence is not None else []),
            *([f"events at least {node.events}"] if node.events is not None else []),
        ]
        told = f"{phrases.field_words(node.field, 'en')} has {quoted(node.tag)}"
        return f"{told} with {', '.join(least)}" if least else told

    def did(self, node: Did) -> str:
        when = "ever" if node.within_days is None else f"within the last {days(node.within_days)}"
        if node.measure == "times":
            return f"{self._amount(node, str)} {self._events(node.what, node.value == 1)} {when}"
        if node.measure == "amount":
            return f"{self._amount(node, self.money)} in {self._events(node.what)} {when}"
        return f"{self._events(node.what)} on {self._amount(node, str)} {_day(node.value)} {when}"

    def first(self, node: First) -> str:
        return f"the first ever of {self._events(node.what)} is within the last {days(node.within_days)}"

    def sequence(self, node: Sequence) -> str:
        steps = ", then ".join(self._events(step, one=True) for step in node.steps)
        gap = "" if node.gap_days is None else f", each at most {days(node.gap_days)} after the one before"
        return f"one after another: {steps}{gap}, within the last {days(node.within_days)}"

    def _amount(self, node: Did, tell: Any) -> str:
        if isinstance(node.value, tuple):
            return f"from {tell(node.value[0])} to {tell(node.value[1])}"
        words = {"=": "exactly", "!=": "anything but", "<": "less than", "<=": "at most", ">": "more than"}
        return f"{words.get(node.op, 'at least')} {tell(node.value)}"

    def _events(self, what: What, one: bool = False) -> str:
        named = [phrases.TYPES[kind][0 if one else 1] if kind in phrases.TYPES else quoted(kind) for kind in what.type]
        about = [f"{words[0]} {told}" for words, told in _about(what, " or ")]
        return " or ".join(named) + (f" [{', '.join(about)}]" if about else "")


class _Chinese(_Language):
    lang = "zh"
    groups = {And: "同时满足", Or: "满足任一", Not: "不满足"}  # noqa: RUF012
    brackets = ("（", "）")
    separator = "；"
    ops = {  # noqa: RUF012
        "=": "为{}",
        "!=": "不为{}",
        "<": "小于{}",
        "<=": "至多{}",
        ">": "大于{}",
        ">=": "至少{}",
        "between": "在{}至{}之间",
        "in": "属于{}",
        "not_in": "不属于{}",
        "starts_with": "以{}开头",
        "known": "已知",
        "unknown": "未知",
    }
    date_ops = {  # noqa: RUF012
        "<": "早于{}",
        "<=": "不晚于{}",
        ">": "晚于{}",
        ">=": "不早于{}",
        "within_days": "在最近{}天内",
        "before_days": "在{}天前或更早",
        "next_days": "在未来{}天内",
    }

    def segment(self, node: Segment) -> str:
        return f"属于人群{quoted(node.name)}"

    def compare(self, node: Compare) -> str:
        template = self.ops.get(node.op, "")
        if node.kind in ("date", "moment"):
            template = self.date_ops.get(node.op, template)
        several = node.value if isinstance(node.value, tuple) else (node.value,)
        told = [str(one) if node.kind in ("date", "moment") else self.value(node.field, one) for one in several]
        said = template.format(*told) if node.op == "between" else template.format("、".join(told))
        return f"「{phrases.field_words(node.field, 'zh')}」{said}"

    def tagged(self, node: Tagged) -> str:
        least = [
            *([f"权重至少{percent(node.weight)}"] if node.weight is not None else []),
            *([f"置信度至少{percent(node.confidence)}"] if node.confidence is not None else []),
            *([f"事件至少{node.events}"] if node.events is not None else []),
        ]
        told = f"「{phrases.field_words(node.field, 'zh')}」含{quoted(node.tag)}"
        return f"{told}，{'，'.join(least)}" if least else told

    def did(self, node: Did) -> str:
        when = "曾经" if node.within_days is None else f"最近{node.within_days}天内"
        if node.measure == "times":
            return f"{when}{self._events(node.what)}{self._amount(node, str)}次"
        if node.measure == "amount":
            return f"{when}{self._events(node.what)}金额{self._amount(node, self.money)}"
        return f"{when}{self._events(node.what)}天数{self._amount(node, str)}天"

    def first(self, node: First) -> str:
        return f"首次{self._events(node.what)}在最近{node.within_days}天内"

    def sequence(self, node: Sequence) -> str:
        gap = "" if node.gap_days is None else f"，相邻不超过{node.gap_days}天"
        return f"最近{node.within_days}天内依次{'→'.join(map(self._events, node.steps))}{gap}"

    def _amount(self, node: Did, tell: Any) -> str:
        if isinstance(node.value, tuple):
            return f"在{tell(node.value[0])}至{tell(node.value[1])}之间"
        return self.ops[node.op].format(tell(node.value))

    def _events(self, what: What) -> str:
        named = [phrases.TYPES[kind][2] if kind in phrases.TYPES else quoted(kind) for kind in what.type]
        about = [f"{words[1]}{told}" for words, told in _about(what, "或")]
        return "或".join(named) + (f"［{'，'.join(about)}］" if about else "")


def quoted(text: str) -> str:
    """A text as JSON writes it, so that its end cannot be mistaken."""
    return json.dumps(text, ensure_ascii=False)


def percent(share: float) -> str:
    """0.205 is '20.5%', every digit kept."""
    exact = (Decimal(repr(share)) * 100).normalize()
    return f"{exact:f}%"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def days(number: Any) -> str:
    """'1 day', '7 days'."""
    return f"{number} {_day(number)}"


def _day(number: Any) -> str:
    return "day" if number == 1 else "days"


def _about(what: What, glue: str) -> list[tuple[tuple[str, str], str]]:
    """What the events are asked to be about: the property's words and its values."""
    asked = [(words, getattr(what, key)) for key, words in phrases.PROPERTIES.items()]
    return [(words, glue.join(map(quoted, values))) for words, values in asked if values]
