"""All fields of a portrait, and the page that tells them: `features/DICTIONARY.md`.

Written anew with `python -m portraits.dictionary`; a test holds the page against the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from portraits.features import REGISTRY
from portraits.field import Field
from portraits.personas.fields import FIELDS as PERSONA_FIELDS
from portraits.predictions.fields import FIELDS as PREDICTION_FIELDS

FIELDS: Mapping[str, Field] = {**REGISTRY, **PREDICTION_FIELDS, **PERSONA_FIELDS}
"""Every field of a portrait by name, in the order of its columns."""

PAGE = Path(__file__).parent / "features" / "DICTIONARY.md"

HEAD = """# Portrait fields

Generated from the registry by `python -m portraits.dictionary`. One row a visitor, as of a moment T, made from events
before T and catalogue rows true at T. Money is in minor units of the app's currency; days and hours are the app's local
ones. A field marked * needs real times: it is null where the history has none. "-" as range: unbounded.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([HEAD, *(_family(family) for family in dict.fromkeys(field.family for field in FIELDS.values()))])


def _family(family: str) -> str:
    rows = [_row(field) for field in FIELDS.values() if field.family == family]
    head = "| field | type | unit | range | source | meaning |\n|---|---|---|---|---|---|"
    return f"## {family}\n\n{head}\n" + "\n".join(rows) + "\n"


def _row(field: Field) -> str:
    name = f"`{field.name}`{'*' if field.clock else ''}"
    dtype = "list of evidence" if field.is_list else field.dtype.replace("('UTC', 6)", "")
    return f"| {name} | {dtype} | {field.unit} | {_range(field)} | {field.source} | {field.meaning} |"


def _range(field: Field) -> str:
    if field.values:
        return ", ".join(field.values)
    if field.minimum is None and field.maximum is None:
        return "-"
    low = "-" if field.minimum is None else f"{field.minimum:g}"
    high = "" if field.maximum is None else f"{field.maximum:g}"
    return f"{low} to {high}" if high else f"from {low}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
