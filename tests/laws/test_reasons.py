"""Every reason is true: take away what it rests on, and it is said no more.

`CASES` is a registry: a code that it does not name fails. What the night says is tried on a history: what the reason
rests on is taken out of it, the night learns again, and the day is asked through its own door. What the day says is
tried on the day: on events, the cart, the page, the occasion, the rules of the shop, the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from planted_shelf import NOW, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend, similar, together, trending
from recommender.answers.promotions import NO_PROMOTIONS, Pin, Promotion, Promotions
from recommender.answers.reasons import WORDS
from recommender.bundles.bundle import Bundle
from recommender.candidates import make
from recommender.fusion.assemble import Fitted, bundle_arrays
from recommender.fusion.pool import Pooler
from recommender.fusion.recipe import Recipe
from recommender.history.dataset import DAY_US, Dataset
from recommender.types import Answer, Query, Recent, State

pytestmark = pytest.mark.law

UNTIL = 1_000 * DAY_US
MORNING = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=1_000)
Line = tuple[str, str, str]
"""Who did what with which item."""


def history(*own: Line) -> list[Line]:
    """A dozen visitors who buy tea, pot and cup, a dozen who buy ink, pen and pad; and `own`."""
    lines = [
        (f"{items[0]}-{number}", one, "purchase")
        for items in (("tea", "pot", "cup"), ("ink", "pen", "pad"))
        for number in range(12)
        for one in items
        if number % 4 or one != items[2]
    ]
    return [*lines, *own]


def learnt(
    lines: Sequence[Line], new: str, friends: Sequence[tuple[str, str]] = (), came: Sequence[str] = ()
) -> Bundle:
    """The bundle of a night on this history whose new items are those of the source `new`. came: visitors who share a
    feature."""
    users, items, kinds = zip(*lines, strict=True)
    days = np.arange(len(lines)) % 7 + 993
    dataset = Dataset.from_arrays(users, items, days * DAY_US, kinds, until_us=UNTIL, extra_users=["ann"])
    linked = sp.lil_matrix((len(dataset.users),) * 2, dtype=np.float32)
    for pair in friends:
        one, other = np.searchsorted(dataset.users, [name.encode() for name in pair])
        linked[one, other] = linked[other, one] = 1
    features = sp.csr_matrix(np.isin(dataset.users, [name.encode() for name in came])[:, None], dtype=np.float32)
    dataset = replace(dataset, friends=linked.tocsr(), user_features=features if came else None)
    sources = [source.fit(dataset, 0) for source in make({new, "again"})]
    pooler = Pooler(dataset, sources, depth=10, repeats=5)
    recipe = Recipe(pooler.names, new=new, repeat="again", mix="repeats_first")
    arrays = bundle_arrays(Fitted(pooler, recipe, None), np.arange(len(dataset.users), dtype=np.int32))
    manifest = {"sources": list(pooler.names), "target": list(dataset.target), "repeat": True}
    return Bundle.of(arrays, manifest)


def by_night(*own: Line, new: str = "similar", rest: Sequence[Line] | None = None) -> Callable[[bool], Answer]:
    """Ann's answer after a night that knows (or does not know) what she did."""

    def ask(there: bool) -> Answer:
        lines = list(rest) if rest is not None else history()
        bundle = learnt([*lines, *(own if there else ())], new)
        return recommend(bundle, Catalogue.from_bundle(bundle), Query("ann", 4, MORNING))

    return ask


def by_friends(there: bool) -> Answer:
    bundle = learnt(history(), "friends", [("ann", "tea-1")] if there else [])
    return recommend(bundle, Catalogue.from_bundle(bundle), Query("ann", 4, MORNING))


def by_features(*own: Line) -> Callable[[bool], Answer]:
    """Ann, of whom it is known how she came, with what she did with items or without; where there is nothing of that
    kind, without how she came."""

    def ask(there: bool) -> Answer:
        lines = [*history(), *(own if there else ())]
        bundle = learnt(lines, "hybrid", came=["tea-1", "tea-2", *(["ann"] if there or own else [])])
        return recommend(bundle, Catalogue.from_bundle(bundle), Query("ann", 4, MORNING))

    return ask


SHOP: dict[str, Any] = {
    "items": [item(one, title=one.title(), category=["ware"]) for one in ("cup", "ink", "pot", "tea")],
    "popular": [("ink", 1.0)],
}


def by_day(
    night: dict[str, Any],
    without: dict[str, Any],
    *,
    door: Callable[..., Answer] = recommend,
    recent: Sequence[Recent] = (),
    promotions: Promotions = NO_PROMOTIONS,
    **asked: Any,
) -> Callable[[bool], Answer]:
    """The answer to a stranger of a planted night; `without` takes away from the night or from what was asked."""

    def ask(there: bool) -> Answer:
        now = {**night, "recent": recent, "promotions": promotions, **asked} | ({} if there else without)
        state, rules = State(now.pop("recent")), now.pop("promotions")
        bundle = Night(
            **SHOP | {name: now.pop(name) for name in tuple(now) if name in Night.__dataclass_fields__}
        ).bundle()
        query = Query(now.pop("user_id", "eve"), 4, NOW, **now)
        catalogue = Catalogue.from_bundle(bundle)
        return (
            recommend(bundle, catalogue, query, state, rules) if door is recommend else door(bundle, catalogue, query)
        )

    return ask


def after(kind: str) -> Callable[[bool], Answer]:
    """An event of today about the tea, which the cup is near to."""
    return by_day({"near": {"tea": [("cup", 1.0)]}}, {"recent": ()}, recent=[Recent(kind, "tea", 1)])


def occasion(key: str, **asked: Any) -> list[Case]:
    """The request's occasion is taken away, or the night's list of it."""
    night = {"occasions": {key: [("pot", 9)]}}
    return [Case(by_day(night, dict.fromkeys(asked), **asked)), Case(by_day(night, {"occasions": {}}, **asked))]


class Case(NamedTuple):
    """said(True): an answer that gives the reason (and names `evidence`); said(False): without what it rests on."""

    said: Callable[[bool], Answer]
    evidence: str | None = None


PIN = Promotions([Promotion("p", Pin("pot", 1))])
OVER = Promotions([Promotion("p", Pin("pot", 1), ends_us=1)])
NEW = [item("tea", created_at=NOW - timedelta(days=2))]
VIEWS = [(user, one, "item_view") for user, one, _ in history()]
CASES: dict[str, list[Case]] = {
    "bought_again": [Case(by_night(("ann", "tea", "purchase")))],
    "liked_again": [
        Case(by_night(("ann", "tea", "item_view"), rest=VIEWS)),
        Case(by_night(("ann", "tea", "cart"), new="touched")),
    ],
    "because_bought": [
        Case(by_night(("ann", "tea", "purchase")), "tea"),
        Case(by_night(("ann", "tea", "purchase"), new="linear"), "tea"),
        Case(by_night(("ann", "tea", "purchase"), new="follows"), "tea"),
        Case(after("purchase"), "tea"),
    ],
    "because_viewed": [
        Case(by_night(("ann", "tea", "item_view")), "tea"),
        *(Case(after(kind), "tea") for kind in ("item_view", "click", "share")),
    ],
    "because_saved": [Case(after("favorite"), "tea")],
    "because_carted": [
        Case(after("cart"), "tea"),
        Case(by_day({"near": {"tea": [("cup", 1.0)]}}, {"cart": ()}, cart=("tea",)), "tea"),
    ],
    "similar_to": [
        Case(by_day({"near": {"tea": [("cup", 1.0)]}}, {"item_id": None}, item_id="tea"), "tea"),
        Case(by_day({"near": {"tea": [("cup", 1.0)]}}, {"near": {}}, item_id="tea", door=similar), "tea"),
    ],
    "for_you": [
        Case(by_night(("ann", "tea", "purchase"), new="als")),
        Case(by_features(("ann", "tea", "purchase"))),
    ],
    "like_you": [Case(by_friends), Case(by_features())],
    "popular": [
        Case(by_day({}, {"popular": ()})),
        Case(
            by_night(
                ("dan", "kit", "purchase"), new="popular", rest=[(one, "kit", "purchase") for one in ("bob", "cat")]
            )
        ),
    ],
    "popular_in_category": [
        Case(by_day({}, {"popular": ()}, item_id="tea", door=similar)),
        Case(
            by_day(
                {},
                {"items": [row | {"category": [row["item_id"]]} for row in SHOP["items"]]},
                item_id="tea",
                door=similar,
            )
        ),
    ],
    "popular_in_store": occasion("store:s1", store_id="s1"),
    "popular_by_entrance": occasion("scene:wechat:1011", platform="wechat", scene="1011"),
    "popular_at_this_hour": occasion("hour:8", hour=8),
    "from_this_article": occasion("article:c1", content_id="c1"),
    "readers_took": occasion("readers:c1", content_id="c1"),
    "trending": [Case(by_day({"occasions": {"now": [("pot", 9)]}}, {"occasions": {}}, door=trending))],
    "bought_together": [
        Case(by_day({"together": {"tea": [("cup", 1.0)]}}, {"together": {}}, item_id="tea", door=together), "tea")
    ],
    "pinned": [Case(by_day({}, {"promotions": rules}, promotions=PIN)) for rules in (NO_PROMOTIONS, OVER)],
    "new": [Case(by_day({"items": NEW, "popular": ()}, {"items": [item("tea")]}))],
    "available": [Case(by_day({}, {"items": [item("ink")]}))],
}


def test_every_code_has_a_case() -> None:
    assert CASES.keys() == WORDS["en"].keys()


@pytest.mark.parametrize(("code", "case"), [(code, case) for code, cases in CASES.items() for case in cases])
def test_without_its_evidence_a_reason_is_not_given(code: str, case: Case) -> None:
    told = [ranked.reason for ranked in case.said(True).items]
    assert (code, case.evidence) in [(reason.code, reason.evidence.get("item_id")) for reason in told]
    for reason in (ranked.reason for ranked in case.said(False).items):
        assert reason.code != code
        assert case.evidence is None or reason.evidence.get("item_id") != case.evidence
