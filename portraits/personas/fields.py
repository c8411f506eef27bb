"""The fields of the portrait that tell a visitor's persona."""

from __future__ import annotations

from dataclasses import replace

from portraits.field import Field


def _field(name: str, unit: str, source: str, meaning: str) -> Field:
    return Field(name, "personas", "string", unit, None, None, (), None, False, source, meaning)


PERSONA = _field(
    "persona",
    "persona",
    "fields above",
    "The group of similar visitors that this one is in, as p1; it keeps its id from night to night, and what sets it "
    "apart is in personas.json. Null where an app is too small or too uniform for groups.",
)
NAME_EN = _field("persona_name", "name", "persona", "Name of the persona in English, from what sets it apart.")
NAME_ZH = _field("persona_name_zh", "name", "persona", "Name of the persona in Chinese.")
FIT = replace(
    _field(
        "persona_fit",
        "share",
        "fields above",
        "How typical the visitor is of the persona: 1 at its very centre, 0 halfway to the next one.",
    ),
    dtype="float64",
    minimum=0,
    maximum=1,
)
FIELDS = {field.name: field for field in (PERSONA, NAME_EN, NAME_ZH, FIT)}
"""By name, in the order of the portrait's columns."""
