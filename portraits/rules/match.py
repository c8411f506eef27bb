"""A rule asked of one visitor: the portrait of the last night and everything the visitor did up to this moment.

It says what `portraits.segments.evaluate` says of everyone; a law holds the two against each other. Plain Python, for
the request path: a rule of ten conditions over 500 acts takes well under a millisecond.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from portraits.field import Field
from portraits.history import CATEGORY_SEPARATOR
from portraits.rules import nodes
from portraits.rules.clock import DAY_US, Range, day_number, day_of, ranges_of, start_of, to_us
from portraits.rules.nodes import And, Compare, Condition, Did, First, Node, Not, Or, Rule, Segment, Tagged, What


class Act(NamedTuple):
    """One event of a visitor as rules see it. `us`: microseconds since 1970; `amount`: minor units."""

    us: int
    type: str
    item_id: str | None = None
    content_id: str | None = None
    store_id: str | None = None
    offer_id: str | None = None
    amount: int | None = None


class ItemFacts(NamedTuple):
    """What the catalogue says of an item. `category`: the first `values.LEVELS` of its path as one text
    ('food > tea'), '' without one."""

    category: str = ""
    brand: str | None = None
    tags: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """One visitor: the portrait (None: nobody knows the visitor yet) and the acts, oldest first.

    Acts are those of the night's behaviour file and, by day, the events since; those of test traffic are not among
    them (`acts.without_test_traffic`).
    """

    portrait: Mapping[str, Any] | None
    acts: Sequence[Act] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """When a rule is asked: microseconds since 1970, the app's time zone, and the catalogue as it is then."""

    us: int
    zone: tzinfo
    item_facts: Callable[[str], ItemFacts | None] = lambda _: None

    @property
    def today(self) -> int:
        """The local day, in days since 1970-01-01."""
        return day_of(self.us, self.zone)

    def since(self, days: int) -> int:
        """First microsecond of the window of the last `days` local days."""
        return start_of(self.today - days + 1, self.zone)


def match(rule: Rule, person: Person, moment: Moment) -> bool:
    """Whether the visitor is in the segment."""
    return _Asked(person, moment).holds(rule.root)


def match_lines(rule: Rule, person: Person, moment: Moment) -> list[bool]:
    """The same for each of `rule.lines()`, in their order; the first is the rule itself."""
    asked = _Asked(person, moment)
    return [asked.holds(line.node) for line in rule.lines()]


COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "between": lambda value, bounds: bool(bounds[0] <= value <= bounds[1]),
    "in": lambda value, several: value in several,
    "not_in": lambda value, several: value not in several,
    "starts_with": lambda value, start: bool(value.startswith(start)),
}


class _Asked:
    """Rules asked of one visitor at one moment."""

    def __init__(self, person: Person, moment: Moment) -> None:
        self._portrait = person.portrait
        self._moment = moment
        self._facts: dict[str, ItemFacts | None] = {}
        self._by_type: dict[str, list[Act]] = {}
        for act in person.acts:
            if act.us >= moment.us:
                break
            self._by_type.setdefault(act.type, []).append(act)

    def holds(self, node: Node) -> bool:
        if isinstance(node, And):
            return all(map(self.holds, node.parts))
        if isinstance(node, Or):
            return any(map(self.holds, node.parts))
        if isinstance(node, Not):
            return not self.holds(node.part)
        if isinstance(node, Segment):
            return self.holds(node.part)
        return self._condition(node)

    def _condition(self, node: Condition) -> bool:
        if isinstance(node, Compare):
            return self._compare(node)
        if isinstance(node, Tagged):
            return any(_evident(node, entry) for entry in self._value(node.field) or ())
        if isinstance(node, Did):
            return self._did(node)
        if isinstance(node, First):
            first = min((act.us for act in self._acts(node.what)), default=None)
            return first is not None and first >= self._moment.since(node.within_days)
        return self._sequence(node)

    # -- portraits ---------------------------------------------------------------------------------------------

    def _value(self, field: Field) -> Any:
        return field.empty if self._portrait is None else self._portrait.get(field.name)

    def _compare(self, node: Compare) -> bool:
        value = self._value(node.field)
        unknown = value is None or (node.kind == "list" and not value)
        if unknown or node.op in ("known", "unknown"):
            return unknown is (node.op == "unknown")
        if node.kind == "date":
            day = day_number(value)
            return any(_within(day, span) for span in ranges_of(node, self._moment.today))
        if node.kind == "moment":
            return any(_within(_us(value), self._in_us(span)) for span in ranges_of(node, self._moment.today))
        return COMPARE[node.op](value, node.value)

    def _in_us(self, span: Range) -> Range:
        low, high = (None if day is None else start_of(day, self._moment.zone) for day in span)
        return low, high

    # -- behaviour ---------------------------------------------------------------------------------------------

    def _acts(self, what: What, since: int | None = None) -> list[Act]:
        """The acts that `what` means, from `since` on; in order of time within a type."""
        found: list[Act] = []
        for one in what.type:
            acts = self._by_type.get(one, [])
            found += acts if since is None else acts[bisect_left(acts, since, key=_when) :]
        for of_act, wanted in _asked_ids(what):
            found = [act for act in found if of_act(act) in wanted]
        if what.of_item:
            fitting = {item for item in {act.item_id for act in found} if self._item_fits(what, item)}
            found = [act for act in found if act.item_id in fitting]
        return found

    def _item_fits(self, what: What, item_id: str | None) -> bool:
        if item_id is None:
            return False
        if item_id not in self._facts:
            self._facts[item_id] = self._moment.item_facts(item_id)
        facts = self._facts[item_id]
        return facts is not None and item_fits(what, facts)

    def _did(self, node: Did) -> bool:
        if node.within_days is None:
            return bool(self._acts(node.what))
        acts = self._acts(node.what, self._moment.since(node.within_days))
        if node.measure == "times":
            measured = len(acts)
        elif node.measure == "amount":
            measured = sum(act.amount or 0 for act in acts)
        else:
            measured = len({day_of(act.us, self._moment.zone) for act in acts})
        return COMPARE[node.op](measured, node.value)

    def _sequence(self, node: nodes.Sequence) -> bool:
        since = self._moment.since(node.within_days)
        most = None if node.gap_days is None else node.gap_days * DAY_US
        steps = (sorted(act.us for act in self._acts(step, since)) for step in node.steps)
        reached = next(steps)
        for times in steps:
            reached = [us for us in times if _follows(us, reached, most)]
        return bool(reached)


def _asked_ids(what: What) -> list[tuple[Callable[[Act], str | None], frozenset[str]]]:
    """What of an act must be one of which ids."""
    asked = ((_ITEM, what.item_id), (_CONTENT, what.content_id), (_STORE, what.store_id), (_OFFER, what.offer_id))
    return [(of_act, frozenset(wanted)) for of_act, wanted in asked if wanted]


def item_fits(what: What, facts: ItemFacts) -> bool:
    """Whether an item is one that `what` asks for by category, brand and tag."""
    return (
        (not what.category or not _above(facts.category).isdisjoint(what.category))
        and (not what.brand or facts.brand in what.brand)
        and (not what.tag or not set(what.tag).isdisjoint(facts.tags))
    )


def _above(category: str) -> set[str]:
    """A category path and every path above it; none without a path."""
    paths = {category} if category else set()
    end = category.find(CATEGORY_SEPARATOR)
    while end >= 0:
        paths.add(category[:end])
        end = category.find(CATEGORY_SEPARATOR, end + 1)
    return paths


def _follows(us: int, reached: Sequence[int], most: int | None) -> bool:
    """Whether the latest of `reached` (ascending) before `us` is there, and not longer ago than `most`."""
    before = bisect_left(reached, us)
    return before > 0 and (most is None or us - reached[before - 1] <= most)


def _evident(node: Tagged, entry: Mapping[str, Any]) -> bool:
    asked = ((node.weight, "weight"), (node.confidence, "confidence"), (node.events, "events"))
    return entry["tag"] == node.tag and all(
        least is None or (entry[name] is not None and entry[name] >= least) for least, name in asked
    )


def _within(value: int, span: Range) -> bool:
    low, high = span
    return (low is None or value >= low) and (high is None or value < high)


def _us(value: datetime | str) -> int:
    return to_us(datetime.fromisoformat(value) if isinstance(value, str) else value)


_when, _, _ITEM, _CONTENT, _STORE, _OFFER, _ = map(operator.attrgetter, Act._fields)
