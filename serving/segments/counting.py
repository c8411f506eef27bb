"""A marketer's questions about everyone, answered from one set of portraits: how many, how alike, how different.

The same questions are asked by the command, once and in its own process, and by the service, in the process that
counts (`counter`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from portraits.field import Field
from portraits.rules import Rule
from portraits.rules.match import Moment
from portraits.segments.evaluate import Tables, evaluate, lines
from portraits.segments.overlap import overlaps
from portraits.segments.preview import Preview, preview
from portraits.segments.profile import BASE, INSIDE, Profile, profile

ONE, OTHER = "one", "other"


@dataclass(frozen=True, slots=True)
class People:
    """Everyone with a portrait at one moment. `fields`: what the portraits hold."""

    tables: Tables
    moment: Moment
    fields: Mapping[str, Field]

    def preview(self, rule: Rule) -> Preview:
        """How many a rule finds, line by line."""
        return preview(rule, lines(rule, self.tables, self.moment))

    def compare(self, one: Rule, other: Rule) -> dict[str, Any]:
        """What two segments share, as JSON's own types."""
        sets = evaluate({ONE: one, OTHER: other}, self.tables, self.moment)
        told = overlaps(sets, (ONE, OTHER))[(ONE, OTHER)]
        return {
            "one": told.one,
            "other": told.other,
            "both": told.both,
            "base": told.base,
            "jaccard": told.jaccard,
            "share_of_one": told.share_of_one,
            "share_of_other": told.share_of_other,
            "lift": told.lift,
        }

    def profile(self, rule: Rule, base: Rule | None, wanted: Sequence[str] = ()) -> Profile:
        """What sets a segment apart from everyone, or from another segment. Raises as `profile.profile`."""
        asked = {INSIDE: rule} | ({BASE: base} if base is not None else {})
        answers = evaluate(asked, self.tables, self.moment)
        if base is None:
            answers = answers.mutate(ibis.literal(True).name(BASE))
        key = self.tables.key
        people = self.tables.portraits.inner_join(answers, key)
        return profile(people, self.fields, wanted)

    def members(self, rule: Rule) -> ir.Table:
        """The portraits of a segment's members."""
        answers = evaluate({INSIDE: rule}, self.tables, self.moment)
        inside = answers.filter(answers[INSIDE]).select(self.tables.key)
        return self.tables.portraits.semi_join(inside, self.tables.key)


def profile_to_dict(told: Profile) -> dict[str, Any]:
    """A profile as JSON's own types."""
    cells = [
        {
            "field": cell.field,
            "value": cell.value,
            "members": cell.inside,
            "share": cell.share,
            "base_share": cell.base_share,
            "tgi": cell.tgi,
            "p": cell.p,
            "q": cell.q,
        }
        for cell in told.cells
    ]
    figures = {"members": told.inside, "base": told.base, "too_small": told.too_small}
    return figures | {"cells": cells, "suppressed": dict(told.suppressed)}
