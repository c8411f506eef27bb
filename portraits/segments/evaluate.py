"""Rules asked of everyone at once: Ibis expressions over portraits, behaviour and the items catalogue.

Every condition becomes a column of truth, whatever its rule, and is asked once: those on portraits in one look at the
portraits (or at their tags, where these are laid out), those on behaviour in as few looks at it as can be
(`behaviour_conditions`). Only then are visitors joined, by narrow rows, and the conditions combined to rules. The
answer for one visitor is that of `portraits.rules.match`.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import ibis.expr.types as ir

from portraits.rules.match import Moment
from portraits.rules.nodes import And, Compare, Condition, Node, Not, Or, Rule, Segment, Tagged, conditions_of
from portraits.segments.asking import Tables, balanced
from portraits.segments.behaviour_conditions import asked_of_behaviour, of_nothing
from portraits.segments.portrait_conditions import asked_of_portraits, asked_of_tags

__all__ = ["Tables", "evaluate", "lines"]


def evaluate(rules: Mapping[str, Rule], tables: Tables, moment: Moment) -> ir.Table:
    """One row a visitor of `tables.portraits`: the key and, under each rule's name, whether the visitor is in it.

    `moment` as for `match`; its item_facts are not asked, `tables.items` is.
    """
    return _answers({name: rule.root for name, rule in rules.items()}, tables, moment)


def lines(rule: Rule, tables: Tables, moment: Moment) -> ir.Table:
    """The same for each of `rule.lines()`, as columns line_1, line_2, ...; line_1 is the rule itself."""
    return _answers({f"line_{line.number}": line.node for line in rule.lines()}, tables, moment)


def _answers(asked: Mapping[str, Node], tables: Tables, moment: Moment) -> ir.Table:
    conditions = list(dict.fromkeys(one for node in asked.values() for one in conditions_of(node)))
    names = {condition: f"condition_{n}" for n, condition in enumerate(conditions)}
    of_portraits = {one: name for one, name in names.items() if isinstance(one, Compare | Tagged)}
    of_behaviour = {one: name for one, name in names.items() if one not in of_portraits}
    of_tags = {one: of_portraits.pop(one) for one in names if isinstance(one, Tagged) and tables.tags is not None}
    people = tables.portraits.select(tables.key, *asked_of_portraits(of_portraits, tables.portraits, moment))
    parts = [*asked_of_tags(of_tags, tables), *asked_of_behaviour(of_behaviour, tables, moment)]
    people = _joined(people, parts, tables.key)
    joined = {one: name for one, name in names.items() if one not in of_portraits}
    people = people.mutate({name: people[name].fill_null(of_nothing(one)) for one, name in joined.items()})
    return people.select(tables.key, *(_combined(node, people, names).name(name) for name, node in asked.items()))


def _joined(people: ir.Table, parts: Sequence[ir.Table], key: str) -> ir.Table:
    """Everyone, with the columns of the parts. One chain: joins of joins would be as deep as there are parts."""
    chain = people
    for n, part in enumerate(parts):
        chain = chain.left_join(part.rename({f"key_{n}": key}), [(key, f"key_{n}")])
    return chain.select(*people.columns, *(name for part in parts for name in part.columns if name != key))


def _combined(node: Node, answered: ir.Table, names: Mapping[Condition, str]) -> ir.BooleanValue:
    """A node from the columns of its conditions."""
    if isinstance(node, And | Or):
        parts = [_combined(part, answered, names) for part in node.parts]
        return balanced(operator.and_ if isinstance(node, And) else operator.or_, parts)
    if isinstance(node, Not):
        return ~_combined(node.part, answered, names)
    if isinstance(node, Segment):
        return _combined(node.part, answered, names)
    return answered[names[node]]
