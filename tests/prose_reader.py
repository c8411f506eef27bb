"""Reads a rule back from its words, English or Chinese: what can be read back was said.

It knows the vocabulary (`phrases`: fields, event types, properties) and nothing of how the words were made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from portraits.field import Field
from portraits.rules.phrases import PROPERTIES, TYPES, field_words

Row = dict[str, Any]
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
HELD = re.compile(r"§(\d+)§")


class Reader:
    """`fields` are those that the rule may name; `digits` is how many follow the point of the currency."""

    def __init__(self, fields: Mapping[str, Field], lang: str, digits: int = 2) -> None:
        self.fields = {field_words(field, lang): field for field in fields.values()}
        self.digits = digits
        self.zh = lang == "zh"
        self.types = {words: kind for kind, told in TYPES.items() for words in (told[2:] if self.zh else told[:2])}
        self.properties = {words[self.zh]: key for key, words in PROPERTIES.items()}
        self.texts: list[str] = []

    def read(self, told: str) -> Row:
        """The rule as JSON. Texts are taken out first, so that nothing in them can be mistaken for a word."""
        self.texts = []
        return self.node(QUOTED.sub(self._hold, told))

    def _hold(self, text: re.Match[str]) -> str:
        self.texts.append(json.loads(text[0]))
        return f"§{len(self.texts) - 1}§"

    def text(self, held: str) -> str:
        found = HELD.fullmatch(held)
        assert found, held
        return self.texts[int(found[1])]

    def node(self, told: str) -> Row:
        for key, opening in GROUPS[self.zh].items():
            if told.startswith(opening) and told.endswith(CLOSING[self.zh]):
                parts = [self.node(part) for part in self.split(told[len(opening) : -1])]
                return {key: parts[0] if key == "not" else parts}
        if found := re.fullmatch(r"(?:in segment |属于人群)(§\d+§)", told):
            return {"segment": self.text(found[1])}
        return self.chinese(told) if self.zh else self.english(told)

    def split(self, told: str) -> list[str]:
        """At the separators outside of brackets."""
        parts, depth = [""], 0
        for sign in told:
            depth += {"(": 1, "（": 1, ")": -1, "）": -1}.get(sign, 0)
            if depth == 0 and sign == ";；"[self.zh]:
                parts.append("")
            else:
                parts[-1] += sign
        return [part.removeprefix(" ") for part in parts]

    # -- values ------------------------------------------------------------------------------------------------

    def number(self, told: str) -> Any:
        if told.endswith("%"):
            return float(Decimal(told[:-1]) / 100)
        exact = Decimal(told.removeprefix("CNY ").replace(",", ""))
        if told.startswith("CNY "):
            exact = exact.scaleb(self.digits)
        return int(exact) if exact == exact.to_integral_value() else float(exact)

    def value(self, told: str) -> Any:
        if HELD.fullmatch(told):
            return self.text(told)
        if told in ("true", "false"):
            return told == "true"
        return told if re.fullmatch(r"\d{4}-\d\d-\d\d", told) else self.number(told)

    def events(self, told: str) -> Row:
        found = re.fullmatch(r"(.*?)(?: \[(.*)\]|［(.*)］)?", told)
        assert found
        what: Row = {"type": [self.types.get(kind) or self.text(kind) for kind in found[1].split(self._or())]}
        about = found[2] or found[3]
        for one in about.split("，" if self.zh else ", ") if about else []:
            asked = re.fullmatch(r"([^§]*?) ?(§.*)", one)
            assert asked, one
            what[self.properties[asked[1]]] = [self.text(held) for held in asked[2].split(self._or())]
        return what

    def _or(self) -> str:
        return "或" if self.zh else " or "

    # -- English -----------------------------------------------------------------------------------------------

    def english(self, told: str) -> Row:  # noqa: PLR0911
        for label in sorted(self.fields, key=len, reverse=True):
            if told.startswith((f"{label} is ", f"{label} begins ")):
                return {"field": self.fields[label].name, **self.compared(told[len(label) + 1 :], COMPARED_EN, ", ")}
            if told.startswith(f"{label} has "):
                return self.tagged(label, told[len(label) + 5 :], r"(§\d+§)(?: with (.*))?", ", ")
        if found := re.fullmatch(r"the first ever of (.*) is within the last (\d+) days?", told):
            return {"first": self.events(found[1]), "within_days": int(found[2])}
        if found := re.fullmatch(IN_ORDER_EN, told):
            gap = {"gap_days": int(found[2])} if found[2] else {}
            return {
                "sequence": [self.events(s) for s in found[1].split(", then ")],
                "within_days": int(found[3]),
            } | gap
        found = re.fullmatch(r"(.*) (?:ever|within the last (\d+) days?)", told)
        assert found, told
        window = {"within_days": int(found[2])} if found[2] else {}
        amount = "(" + "|".join(COMPARED_EN_DID) + r"|from) (\S+|CNY \S+)(?: to (\S+|CNY \S+))?"
        if days := re.fullmatch(rf"(.*) on {amount} days?", found[1]):
            return {"did": self.events(days[1]), "days": self.asked(*days.groups()[1:])} | window
        if money := re.fullmatch(rf"{amount} in (.*)", found[1]):
            return {"did": self.events(money[4]), "amount": self.asked(*money.groups()[:3])} | window
        times = re.fullmatch(rf"{amount} (.*)", found[1])
        assert times, told
        return {"did": self.events(times[4]), "times": self.asked(*times.groups()[:3])} | window

    def asked(self, words: str, low: str, high: str | None) -> Row:
        if high is not None:
            return {"op": "between", "value": [self.number(low), self.number(high)]}
        return {"op": COMPARED_EN_DID[words], "value": self.number(low)}

    def compared(self, told: str, forms: Mapping[str, str], comma: str) -> Row:
        for op, form in forms.items():
            found = re.fullmatch(form, told)
            if found is None:
                continue
            if op in ("in", "not_in"):
                return {"op": op, "value": [self.value(one) for one in found[1].split(comma)]}
            values = [self.value(one) for one in found.groups()]
            return {"op": op} | ({"value": values if op == "between" else values[0]} if values else {})
        raise AssertionError(told)

    def tagged(self, label: str, told: str, form: str, comma: str) -> Row:
        found = re.fullmatch(form, told)
        assert found, told
        rule: Row = {"tag": self.text(found[1]), "in": self.fields[label].name}
        for one in found[2].split(comma) if found[2] else []:
            least = re.fullmatch(r"(.*?)(?: at least |至少)(.*)", one)
            assert least, one
            rule[LEAST.get(least[1], least[1])] = self.number(least[2])
        return rule

    # -- Chinese -----------------------------------------------------------------------------------------------

    def chinese(self, told: str) -> Row:
        if found := re.fullmatch(r"「(.*?)」含(.*)", told):
            return self.tagged(found[1], found[2], r"(§\d+§)(?:，(.*))?", "，")
        if found := re.fullmatch(r"「(.*?)」(.*)", told):
            return {"field": self.fields[found[1]].name, **self.compared(found[2], COMPARED_ZH, "、")}
        if found := re.fullmatch(r"首次(.*)在最近(\d+)天内", told):
            return {"first": self.events(found[1]), "within_days": int(found[2])}
        if found := re.fullmatch(r"最近(\d+)天内依次(.*?)(?:，相邻不超过(\d+)天)?", told):
            gap = {"gap_days": int(found[3])} if found[3] else {}
            return {
                "sequence": [self.events(s) for s in found[2].split("→")],
                "within_days": int(found[1]),
            } | gap
        found = re.fullmatch(r"(?:曾经|最近(\d+)天内)(.*)", told)
        assert found, told
        window = {"within_days": int(found[1])} if found[1] else {}
        for measure, form in MEASURED_ZH.items():
            if asked := re.fullmatch(form, found[2]):
                return {"did": self.events(asked[1]), measure: self.compared(asked[2], COMPARED_ZH, "、")} | window
        raise AssertionError(told)


IN_ORDER_EN = (
    r"one after another: (.*?)(?:, each at most (\d+) days? after the one before)?"
    r", within the last (\d+) days?"
)
GROUPS = (
    {"and": "all of (", "or": "any of (", "not": "not ("},
    {"and": "同时满足（", "or": "满足任一（", "not": "不满足（"},
)
CLOSING = (")", "）")
LEAST = {"权重": "weight", "置信度": "confidence", "事件": "events"}
COMPARED_EN = {
    "known": "is known",
    "unknown": "is unknown",
    "within_days": r"is within the last (\d+) days?",
    "before_days": r"is (\d+) days? ago or longer",
    "next_days": r"is within the next (\d+) days?",
    "starts_with": "begins with (.*)",
    "between": "is from (.*) to (.*)",
    "in": "is one of (.*)",
    "not_in": "is none of (.*)",
    "<": "is (?:less than|before) (.*)",
    "<=": "is (?:at most|on or before) (.*)",
    ">": "is (?:more than|after) (.*)",
    ">=": "is (?:at least|on or after) (.*)",
    "!=": "is not (.*)",
    "=": "is (.*)",
}
COMPARED_EN_DID = {
    "exactly": "=",
    "anything but": "!=",
    "less than": "<",
    "at most": "<=",
    "more than": ">",
    "at least": ">=",
}
COMPARED_ZH = {
    "known": "已知",
    "unknown": "未知",
    "within_days": r"在最近(\d+)天内",
    "before_days": r"在(\d+)天前或更早",
    "next_days": r"在未来(\d+)天内",
    "starts_with": "以(.*)开头",
    "between": "在(.*)至(.*)之间",
    "not_in": "不属于(.*)",
    "in": "属于(.*)",
    "<": "(?:小于|早于)(.*)",
    "<=": "(?:至多|不晚于)(.*)",
    ">": "(?:大于|晚于)(.*)",
    ">=": "(?:至少|不早于)(.*)",
    "!=": "不为(.*)",
    "=": "为(.*)",
}
MEASURED_ZH = {
    "days": r"(.*?)天数(.*?)天",
    "amount": r"(.*?)金额(.*)",
    "times": r"(.*?)((?:为|不为|小于|至多|大于|至少|在).*)次",
}
