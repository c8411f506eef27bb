"""A visitor's shelf: one function for the night's batch and backtest and for the day's requests.

candidates (`proposals`) -> hard rules, diversity (`slate`) -> items with reasons, filled from the ladder (`shelf`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from portraits.errors import InvalidValue
from recommender.answers.catalogue import Catalogue
from recommender.answers.companions import Companion, companion, companions
from recommender.answers.occasions import NOW, hear, listed, told, voices
from recommender.answers.promotions import NO_PROMOTIONS, Promotions
from recommender.answers.proposals import (
    NO_ITEMS,
    NO_TABLE,
    STRANGER,
    Proposals,
    Seed,
    Visitor,
    has_table,
    proposed,
    seeds_of,
    table_of,
    who,
)
from recommender.answers.reasons import reason
from recommender.answers.shelf import Shelf
from recommender.answers.slate import Rules
from recommender.bundles.bundle import Bundle
from recommender.types import Answer, Query, Reason, State

NO_STATE = State()


def recommend(
    bundle: Bundle | None,
    catalogue: Catalogue,
    query: Query,
    state: State = NO_STATE,
    promotions: Promotions = NO_PROMOTIONS,
) -> Answer:
    """The best `query.n` items for a visitor, with reasons.

    `bundle`: the active version, None when there is none (the answer is then `degraded`); `catalogue` is built on it.
    `promotions`: what the shop wants shown, held against `query.now`. While n items satisfy the rules, n come back.
    Raises InvalidValue when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    page = _page(catalogue, query)
    visitor, acts = who(bundle, catalogue, query, state) if query.personalized else (STRANGER, [])
    rules = rules_of(bundle, catalogue, query, page, visitor)
    if bundle is None:
        return Shelf(None, catalogue, query, rules, page, promotions=promotions).answer("fallback")
    pull = bundle.today.weight if has_table(bundle, visitor.row) else bundle.today.alone
    seeds = seeds_of(bundle, catalogue, query, page, acts, weight=pull)
    table = table_of(bundle, visitor.row, bundle.today.popular if seeds else 1.0)
    if speaking := voices(bundle, query, known=table.row >= 0):
        table = hear(bundle, table, speaking, bundle.today.popular if seeds and table.row < 0 else 1.0)
    shelf = Shelf(bundle, catalogue, query, rules, page, promotions=promotions)
    shelf.propose(proposed(bundle, table, seeds), table, seeds, visitor)
    if seeds or table.row >= 0:
        return shelf.answer("pipeline")
    return shelf.answer("occasion" if speaking else "popular")


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
    shelf.propose(proposed(bundle, NO_TABLE, seeds), NO_TABLE, seeds, STRANGER)
    return shelf.answer("pipeline" if seeds else "popular")


def together(bundle: Bundle | None, catalogue: Catalogue, query: Query) -> Answer:
    """The `query.n` items most bought in one order with `query.item_id` and those in `query.cart`; where too few are,
    items like them, then popular ones of the category. Nothing personal is used.

    Raises InvalidValue without an item, or when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    wanted = tuple(dict.fromkeys(one for one in (query.item_id, *query.cart) if one is not None))
    if not wanted:
        raise InvalidValue("item_id", None, "the item, or items, that others are bought with")
    given = catalogue.indices(wanted)
    rules = rules_of(bundle, catalogue, replace(query, cart=()), -1, STRANGER, asked_for=given)
    shelf = Shelf(bundle, catalogue, query, rules, given[0])
    if bundle is None:
        return shelf.answer("fallback")
    known = [item for item in given if 0 <= item < catalogue.base]
    pool = companions(bundle, known)

    def tell(one: Companion) -> tuple[str, Reason]:
        code = "bought_together" if one.orders else "similar_to"
        why = reason(code, query.lang, catalogue.item_id(one.item), catalogue.title(one.item))
        if not one.orders:
            return "similar", why
        counted = {"orders": one.orders, "lift": round(one.lift, 2)}
        return "together", why._replace(evidence={**why.evidence, **counted})

    shelf.show(pool, lambda causes: [tell(companion(bundle, known, pool, cause)) for cause in causes.tolist()])
    return shelf.answer("pipeline" if known else "popular")


def trending(bundle: Bundle | None, catalogue: Catalogue, query: Query) -> Answer:
    """The `query.n` items that rise most now, then popular ones. Nothing personal is used.

    Raises InvalidValue when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    page = _page(catalogue, query)
    shelf = Shelf(bundle, catalogue, query, rules_of(bundle, catalogue, query, page, STRANGER), page)
    if bundle is None:
        return shelf.answer("fallback")
    row = bundle.occasions.index(NOW)
    if row >= 0:
        entries = listed(bundle, row)
        causes = np.arange(entries.start, entries.stop)
        rising = Proposals(bundle.occasion_items[entries], bundle.occasion_scores[entries], causes, 0)
        shelf.show(rising, lambda chosen: told(bundle, chosen, query.lang))
    return shelf.answer("trending" if row >= 0 else "popular")


def popular_shelf(
    bundle: Bundle | None, catalogue: Catalogue, query: Query, promotions: Promotions = NO_PROMOTIONS
) -> Answer:
    """What everyone gets: the popular items under the rules of the request. The control group's shelf, where nothing
    is explored.

    Raises InvalidValue when the catalogue belongs to another bundle.
    """
    _check_pair(bundle, catalogue)
    page = _page(catalogue, query)
    query = replace(query, exploration=0.0)
    rules = rules_of(bundle, catalogue, query, page, STRANGER)
    shelf = Shelf(bundle, catalogue, query, rules, page, promotions=promotions)
    if bundle is None:
        return shelf.answer("fallback")
    table = table_of(bundle, -1, 1.0)
    shelf.propose(proposed(bundle, table, []), table, [], STRANGER)
    return shelf.answer("popular")


def _check_pair(bundle: Bundle | None, catalogue: Catalogue) -> None:
    if catalogue.bundle is not bundle:
        raise InvalidValue("catalogue", catalogue.bundle, "a catalogue that is built on the bundle it is used with")


def _page(catalogue: Catalogue, query: Query) -> int:
    return -1 if query.item_id is None else catalogue.index(query.item_id)


def rules_of(
    bundle: Bundle | None,
    catalogue: Catalogue,
    query: Query,
    page: int,
    visitor: Visitor,
    *,
    asked_for: Sequence[int] = (),
) -> Rules:
    """The hard rules of a request. `page`: number of the item on the page, -1 for none; `asked_for`: those of the items
    that others shall go with."""
    keeps = keeps_seen(bundle, query)
    since = visitor.since if not keeps else not_due(bundle, query, visitor)
    blocked: dict[int, str] = dict.fromkeys(since, "bought")
    for rule, ids in (("excluded", query.exclude), ("cart", query.cart)):
        if ids:
            blocked.update(dict.fromkeys(catalogue.indices(ids), rule))
    blocked.update(dict.fromkeys(asked_for, "asked_for"))
    blocked[page] = "page"
    blocked.pop(-1, None)
    conditions = catalogue.conditions(query.filters, query.store_id)
    return Rules(catalogue, conditions, blocked, NO_ITEMS if keeps else visitor.history)


def keeps_seen(bundle: Bundle | None, query: Query) -> bool:
    """Whether what the visitor had at night may come back."""
    return query.allow_seen if query.allow_seen is not None else bundle is not None and bundle.repeat


def not_due(bundle: Bundle | None, query: Query, visitor: Visitor) -> list[int]:
    """Items had since the night that nobody wants again yet, where repeats are shown; none when the call asks for
    everything."""
    if bundle is None or query.allow_seen or not visitor.since:
        return []
    now = int(query.now.timestamp() * 1_000_000)
    gaps = bundle.item_gap_us
    return [item for item, ts in visitor.since.items() if item < len(gaps) and now < ts + gaps[item]]
