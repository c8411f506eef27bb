"""Tags over the registry: every field has one, and nothing that a visitor deleted is left in another field's words."""

from __future__ import annotations

import ibis
import ibis.expr.operations as ops
import pytest

from portraits.dictionary import FIELDS
from portraits.errors import UnknownName
from portraits.features import REGISTRY
from portraits.local import Now
from portraits.personas.traits import FIELDS as OF_PERSONAS
from portraits.predictions.activity import FIELDS as OF_PREDICTIONS
from portraits.tags import ALSO, MOVED, TAGS, hidden, named, tag_of, tags_of
from portraits.titles import ZH, title

NOW = Now(us=10**15, day=10_000, half_life_days=30.0)
ROW_LEVEL = [field for field in REGISTRY.values() if field.grain in ("portrait", "everyone")]


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_every_field_has_a_tag_and_a_title_in_both_languages(field: object) -> None:
    known = FIELDS[field.name]  # type: ignore[attr-defined]
    assert tags_of(known) <= set(TAGS)
    assert tag_of(known) in tags_of(known)
    assert title(known, "zh") == ZH[known.name]
    assert title(known, "en")


def test_every_tag_has_fields_and_no_name_is_left_over() -> None:
    assert {tag_of(field) for field in FIELDS.values()} == set(TAGS)
    assert set(MOVED) | set(ALSO) <= set(FIELDS)
    assert set(ZH) == set(FIELDS)


@pytest.mark.parametrize("field", ROW_LEVEL, ids=lambda field: field.name)
def test_a_field_goes_with_every_field_it_looks_at(field: object) -> None:
    derived = REGISTRY[field.name]  # type: ignore[attr-defined]
    columns = {one.name: one.dtype for one in REGISTRY.values() if not one.is_list}
    portrait = ibis.table({"user_id": "string", **columns}, name="portrait")
    bases = {found.name for found in derived.expression(portrait, NOW).op().find(ops.Field)}
    for base in bases & set(REGISTRY):
        assert tags_of(REGISTRY[base]) <= tags_of(derived), f"{derived.name} tells of {base}"
    assert tag_of(derived) in set().union(*(tags_of(REGISTRY[base]) for base in bases & set(REGISTRY)))


@pytest.mark.parametrize(("family", "bases"), [("predictions", OF_PREDICTIONS), ("personas", OF_PERSONAS)])
def test_what_a_model_made_goes_with_what_it_rests_on(family: str, bases: tuple[str, ...]) -> None:
    for field in (one for one in FIELDS.values() if one.family == family):
        for base in bases:
            assert tag_of(FIELDS[base]) in tags_of(field), f"{field.name} tells of {base}"


def test_a_tag_is_named_by_itself_or_by_a_field() -> None:
    assert named("brands", FIELDS) == "brands"
    assert named("top_category", FIELDS) == "categories"
    assert {"categories", "top_category", "top_subcategory", "avoided_categories"} <= hidden(FIELDS, ["categories"])
    assert hidden(FIELDS, []) == frozenset()
    with pytest.raises(UnknownName, match="brands"):
        named("hat size", FIELDS)
