"""The calls of `/v1` as values: arguments are the fields of the request, None means not given.

Every call may be sent twice. Reads change nothing; rows, rules, segments, switches and deletions say what shall be, so
the second time changes nothing (only the counts of the answer then say so); events are known again by their event_id,
claims by their request_id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from serving.sdk import answers
from serving.sdk.rows import (
    ContentRow,
    Context,
    Filters,
    IdentityRow,
    ItemRow,
    Lang,
    OfferRow,
    RuleRow,
    StoreRow,
    UserRow,
    Which,
)

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request that is answered with T_co: path below `/v1`, and the body as it is sent."""

    path: str
    content: bytes


def encoded(value: Any) -> bytes:
    """Compact JSON. Raises ValueError or TypeError for what JSON cannot say."""
    return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no offset; give it a tzinfo")
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{value!r} cannot be sent as JSON")


def _call(path: str, **body: Any) -> Call[Any]:
    return Call(path, encoded({name: value for name, value in body.items() if value is not None}))


def recommend(
    user_id: str,
    *,
    n: int | None = None,
    placement: str | None = None,
    platform: str | None = None,
    scene: str | None = None,
    item_id: str | None = None,
    store_id: str | None = None,
    content_id: str | None = None,
    context: Context | None = None,
    filters: Filters | None = None,
    exclude: Sequence[str] | None = None,
    diversity: float | None = None,
    allow_seen: bool | None = None,
    lang: Lang | None = None,
    personalized: bool | None = None,
    offers: bool | None = None,
) -> Call[answers.RecommendAnswer]:
    """The best items for a visitor, with reasons."""
    return _call("/recommend", **locals())


def similar(
    item_id: str,
    *,
    user_id: str | None = None,
    n: int | None = None,
    placement: str | None = None,
    store_id: str | None = None,
    filters: Filters | None = None,
    exclude: Sequence[str] | None = None,
    lang: Lang | None = None,
) -> Call[answers.ItemsAnswer]:
    """Items like one item."""
    return _call("/similar", **locals())


def together(
    item_id: str | None = None,
    *,
    items: Sequence[str] | None = None,
    user_id: str | None = None,
    n: int | None = None,
    placement: str | None = None,
    store_id: str | None = None,
    filters: Filters | None = None,
    exclude: Sequence[str] | None = None,
    lang: Lang | None = None,
) -> Call[answers.ItemsAnswer]:
    """Items bought in one order with an item, or with several."""
    return _call("/together", **locals())


def trending(
    *,
    user_id: str | None = None,
    n: int | None = None,
    placement: str | None = None,
    store_id: str | None = None,
    filters: Filters | None = None,
    exclude: Sequence[str] | None = None,
    lang: Lang | None = None,
) -> Call[answers.ItemsAnswer]:
    """Items that rise most now."""
    return _call("/trending", **locals())


def offers(
    user_id: str,
    *,
    n: int | None = None,
    placement: str | None = None,
    store_id: str | None = None,
    item_id: str | None = None,
    context: Context | None = None,
    lang: Lang | None = None,
    personalized: bool | None = None,
) -> Call[answers.OffersAnswer]:
    """The offers that are worth giving now; there may rightly be none."""
    return _call("/offers", **locals())


def offers_claim(
    request_id: str,
    user_id: str,
    offer_id: str,
    *,
    decision_id: str | None = None,
    store_id: str | None = None,
) -> Call[answers.ClaimAnswer]:
    """Claims an offer; Conflict says why not. `request_id`: of your own making, one for each wish."""
    return _call("/offers/claim", **locals())


def offers_redeem(
    request_id: str,
    claim_id: str | None = None,
    *,
    user_id: str | None = None,
    offer_id: str | None = None,
    order_id: str | None = None,
    items: Sequence[str] | None = None,
    amount: int | None = None,
    discount: int | None = None,
    store_id: str | None = None,
) -> Call[answers.ClaimAnswer]:
    """Uses a claim for an order."""
    return _call("/offers/redeem", **locals())


def offers_return(
    request_id: str,
    claim_id: str | None = None,
    *,
    user_id: str | None = None,
    offer_id: str | None = None,
    order_id: str | None = None,
) -> Call[answers.ClaimAnswer]:
    """Gives back a claim, or the one that was used for an order which was refunded (`order_id`)."""
    return _call("/offers/return", **locals())


def items(items: Sequence[ItemRow]) -> Call[answers.UpsertAnswer]:
    """Upserts products, all or none."""
    return _call("/items", items=items)


def users(users: Sequence[UserRow]) -> Call[answers.UpsertAnswer]:
    """Upserts visitors, all or none."""
    return _call("/users", users=users)


def stores(stores: Sequence[StoreRow]) -> Call[answers.UpsertAnswer]:
    """Upserts stores, all or none."""
    return _call("/stores", stores=stores)


def contents(contents: Sequence[ContentRow]) -> Call[answers.UpsertAnswer]:
    """Upserts articles, videos and lives, all or none."""
    return _call("/contents", contents=contents)


def identities(identities: Sequence[IdentityRow]) -> Call[answers.UpsertAnswer]:
    """Upserts links: the ids that a row names are one person from the next answer on."""
    return _call("/identities", identities=identities)


def offers_catalogue(offers: Sequence[OfferRow]) -> Call[answers.UpsertAnswer]:
    """Upserts offers, all or none."""
    return _call("/offers/catalogue", offers=offers)


def rules(rules: Sequence[RuleRow]) -> Call[answers.RulesAnswer]:
    """Saves pins and boosts, all or none."""
    return _call("/rules", rules=rules)


def rules_list(*, holding: bool | None = None) -> Call[answers.RulesListAnswer]:
    """Every pin and boost; `holding`: only those that hold now."""
    return _call("/rules/list", holding=holding)


def rules_delete(rule_ids: Sequence[str]) -> Call[answers.DeletedAnswer]:
    """Deletes pins and boosts."""
    return _call("/rules/delete", rule_ids=rule_ids)


def forget(user_id: str) -> Call[answers.ForgetAnswer]:
    """Forgets a visitor under all linked ids; asked again, it tells how far that is."""
    return _call("/forget", user_id=user_id)


def token(user_id: str, ttl: int | None = None) -> Call[answers.TokenAnswer]:
    """A token with which one visitor's phone may ask for itself; `ttl`: seconds that it is valid."""
    return _call("/token", user_id=user_id, ttl=ttl)


def portrait(user_id: str, *, lang: Lang | None = None) -> Call[answers.PortraitAnswer]:
    """What is said of a visitor, in words and tag by tag."""
    return _call("/portrait", user_id=user_id, lang=lang)


def portrait_export(user_id: str, *, after: int | None = None, n: int | None = None) -> Call[answers.ExportAnswer]:
    """Every row that is kept of a visitor, `n` at a time; `after`: `next` of the page before."""
    return _call("/portrait/export", user_id=user_id, after=after, n=n)


def tags_delete(user_id: str, tag: str) -> Call[answers.TagDeletedAnswer]:
    """Deletes a tag of a visitor's portrait."""
    return _call("/tags/delete", user_id=user_id, tag=tag)


def personalization(user_id: str, *, on: bool) -> Call[answers.PersonalizationAnswer]:
    """Turns personalisation off or on: the visitor's own switch."""
    return _call("/personalization", user_id=user_id, on=on)


def segments(
    name: str, rule: dict[str, Any], *, title: str | None = None, lang: Lang | None = None
) -> Call[answers.SegmentAnswer]:
    """Saves a segment as its next version."""
    return _call("/segments", **locals())


def segments_list(*, lang: Lang | None = None) -> Call[answers.SegmentsListAnswer]:
    """Every segment, with its rule."""
    return _call("/segments/list", lang=lang)


def segments_delete(name: str) -> Call[answers.SegmentsDeleteAnswer]:
    """Deletes a segment."""
    return _call("/segments/delete", name=name)


def segments_preview(
    *, name: str | None = None, rule: dict[str, Any] | None = None, lang: Lang | None = None
) -> Call[answers.PreviewAnswer]:
    """How many a rule, or the segment of a name, finds, by line."""
    return _call("/segments/preview", **locals())


def segments_match(
    user_id: str, *, names: Sequence[str] | None = None, rule: dict[str, Any] | None = None
) -> Call[answers.MatchAnswer]:
    """Which segments a visitor is in now; without names and rule: of all."""
    return _call("/segments/match", **locals())


def segments_compare(one: Which, other: Which) -> Call[answers.CompareAnswer]:
    """How much two segments share."""
    return _call("/segments/compare", **locals())


def segments_profile(
    segment: Which, *, base: Which | None = None, fields: Sequence[str] | None = None
) -> Call[answers.ProfileAnswer]:
    """What sets a segment apart from everyone, or from another."""
    return _call("/segments/profile", **locals())
