"""The one way to a visitor's published portrait: under any linked id, without the tags that were deleted since, and
without the name of who brought them, should that one refuse since or be forgotten."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from portraits.deleted import masked
from portraits.forgotten import NAMES_OTHERS
from portraits.portrait_set import PortraitSet
from serving.stores import Store


def portrait_of(store: Store, app_id: str, people: PortraitSet, ids: Collection[str]) -> dict[str, Any] | None:
    """The portrait of the person with these ids (the person's own first), None where there is none. Whether the
    visitor wants one is the caller's to know. Raises StoreUnavailable."""
    portrait = masked(people, people.of(ids), store.deleted_tags_of(app_id, ids))
    brought_by = portrait and portrait.get(NAMES_OTHERS)
    if portrait and brought_by and not store.state(app_id, brought_by).consent:
        return portrait | {NAMES_OTHERS: None}
    return portrait
