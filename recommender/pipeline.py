"""A visitor's shelf: one function for the night's batch and backtest and for the day's requests.

candidates (`proposals`) -> hard rules, diversity (`slate`) -> items with reasons, filled from the ladder (`shelf`)
"""

from __future__ import annotations

from portraits.errors import InvalidValue
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.proposals import (
    NO_ITEMS,
    NO_TABLE,
    STRANGER,
    STRANGER_WEIGHT,
    Seed,
    Visitor,
    blend,
    seeds_of,
    table_of,
    who,
)
from recommender.shelf import Shelf
from recommender.slate import Rules
from recommender.types import Answer, Query, State

NO_STATE = State()


def recommend(bundle: Bundle | None, catalogue: Catalogue, query: Query, state: State = NO_STATE) -> Answer:
    """The best `query.n` items for a visitor, with reasons.

    `bundle`: the active version, None when there is none (the answer is then `degraded`); `catalogue` is built on it.
    While n items satisfy the rules, n come back. Raises InvalidValue when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    page = _page(catalogue, query)
    visitor, acts = who(bundle, catalogue, query, state) if query.personalized else (STRANGER, [])
    rules = rules_of(bundle, catalogue, query, page, visitor)
    if bundle is None:
        return Shelf(None, catalogue, query, rules, page).answer("fallback")
    seeds = seeds_of(bundle, catalogue, query, page, acts)
    table = table_of(bundle, visitor.row, STRANGER_WEIGHT if seeds else 1.0)
    shelf = Shelf(bundle, catalogue, query, rules, page)
    shelf.propose(blend(bundle, table, seeds), table, seeds, visitor)
    return shelf.answer("pipeline" if seeds or table.row >= 0 else "popular")


def similar(bundle: Bundle | None, catalogue: Catalogue, query: Query) -> Answer:
    """The `query.n` items most like `query.item_id`, then popular ones of its category; nothing personal is used.

    Raises InvalidValue without `item_id`, or when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    if query.item_id is None:
        raise InvalidValue("item_id", None, "the item that others shall be similar to")
    page = _page(catalogue, query)
    shelf = Shelf(bundle, catalogue, query, rules_of(bundle, catalogue, query, page, STRANGER), page)
    if bundle is None:
        return shelf.answer("fallback")
    seeds = [Seed(page, 1.0, "similar_to")] if 0 <= page < catalogue.base else []
    shelf.propose(blend(bundle, NO_TABLE, seeds), NO_TABLE, seeds, STRANGER)
    return shelf.answer("pipeline" if seeds else "popular")


def popular_shelf(bundle: Bundle | None, catalogue: Catalogue, query: Query) -> Answer:
    """What everyone gets: the popular items under the rules of the request. The control group's shelf.

    Raises InvalidValue when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    page = _page(catalogue, query)
    shelf = Shelf(bundle, catalogue, query, rules_of(bundle, catalogue, query, page, STRANGER), page)
    if bundle is None:
        return shelf.answer("fallback")
    table = table_of(bundle, -1, 1.0)
    shelf.propose(blend(bundle, table, []), table, [], STRANGER)
    return shelf.answer("popular")


def _check_pair(bundle: Bundle | None, catalogue: Catalogue) -> None:
    if catalogue.bundle is not bundle:
        raise InvalidValue("catalogue", catalogue.bundle, "a catalogue that is built on the bundle it is used with")


def _page(catalogue: Catalogue, query: Query) -> int:
    return -1 if query.item_id is None else catalogue.index(query.item_id)


def rules_of(bundle: Bundle | None, catalogue: Catalogue, query: Query, page: int, visitor: Visitor) -> Rules:
    """The hard rules of a request. `page`: number of the item on the page, -1 for none."""
    keeps = query.allow_seen
    if keeps is None:
        keeps = bundle is not None and bundle.repeat
    blocked: dict[int, str] = {} if keeps else dict.fromkeys(visitor.since, "bought")
    for rule, ids in (("excluded", query.exclude), ("cart", query.cart)):
        if ids:
            blocked.update(dict.fromkeys(catalogue.indices(ids), rule))
    blocked[page] = "page"
    blocked.pop(-1, None)
    conditions = catalogue.conditions(query.filters, query.store_id)
    return Rules(catalogue, conditions, blocked, NO_ITEMS if keeps else visitor.history)
