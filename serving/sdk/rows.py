"""What is sent: an event, a row of a catalogue, what a shelf must obey.

Times are datetimes with an offset, or RFC 3339. In a catalogue row, a field that is not there stays as it is known,
and None takes it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

Moment = datetime | str
Lang = Literal["en", "zh"]


class Event(TypedDict):
    """What happened. Money in minor units, of the whole line."""

    user_id: str
    type: str
    event_id: NotRequired[str]
    ts: NotRequired[Moment]
    received_at: NotRequired[Moment | None]
    item_id: NotRequired[str | None]
    order_id: NotRequired[str | None]
    quantity: NotRequired[float | str | None]
    amount: NotRequired[int | None]
    list_amount: NotRequired[int | None]
    discount: NotRequired[int | None]
    revenue: NotRequired[int | None]
    platform: NotRequired[str | None]
    scene: NotRequired[str | None]
    session_id: NotRequired[str | None]
    page: NotRequired[str | None]
    query: NotRequired[str | None]
    duration_ms: NotRequired[int | None]
    device: NotRequired[str | None]
    content_id: NotRequired[str | None]
    store_id: NotRequired[str | None]
    offer_id: NotRequired[str | None]
    group_id: NotRequired[str | None]
    referrer_user_id: NotRequired[str | None]
    decision_id: NotRequired[str | None]
    position: NotRequired[int | None]
    points: NotRequired[int | None]
    geohash5: NotRequired[str | None]
    city: NotRequired[str | None]
    properties: NotRequired[dict[str, Any] | None]


class ItemRow(TypedDict):
    """A product. `stock` not given: unlimited."""

    item_id: str
    title: NotRequired[str | None]
    category: NotRequired[Sequence[str] | None]
    brand: NotRequired[str | None]
    price: NotRequired[int | None]
    cost: NotRequired[int | None]
    stock: NotRequired[int | None]
    hidden: NotRequired[bool | None]
    tags: NotRequired[Sequence[str] | None]
    store_ids: NotRequired[Sequence[str] | None]
    created_at: NotRequired[Moment | None]
    image: NotRequired[str | None]


class UserRow(TypedDict):
    """A visitor. `consent` false: personalisation is refused."""

    user_id: str
    attributes: NotRequired[dict[str, Any] | None]
    joined_at: NotRequired[Moment | None]
    member_tier: NotRequired[str | None]
    points: NotRequired[int | None]
    consent: NotRequired[bool | None]


class StoreRow(TypedDict):
    """A store. `hours`: by ISO weekday."""

    store_id: str
    name: NotRequired[str | None]
    geohash: NotRequired[str | None]
    hours: NotRequired[dict[str, Any] | None]


class ContentRow(TypedDict):
    """An article, a video or a live."""

    content_id: str
    title: NotRequired[str | None]
    kind: NotRequired[str | None]
    item_ids: NotRequired[Sequence[str] | None]


class IdentityRow(TypedDict):
    """Ids that are one person's."""

    link_id: str
    user_id: NotRequired[str | None]
    openid: NotRequired[str | None]
    unionid: NotRequired[str | None]
    anonymous_id: NotRequired[str | None]
    linked_at: NotRequired[Moment | None]


class OfferRow(TypedDict):
    """An offer. `value`: minor units off (cash), basis points off (discount, member), price to pay (exchange)."""

    offer_id: str
    kind: str
    title: NotRequired[str | None]
    value: NotRequired[int | None]
    minimum: NotRequired[int | None]
    items: NotRequired[Sequence[str] | None]
    categories: NotRequired[Sequence[str] | None]
    stores: NotRequired[Sequence[str] | None]
    tiers: NotRequired[Sequence[str] | None]
    days: NotRequired[Sequence[str] | None]
    hours: NotRequired[Sequence[str] | None]
    starts: NotRequired[Moment | None]
    ends: NotRequired[Moment | None]
    budget: NotRequired[int | None]
    daily_budget: NotRequired[int | None]
    per_user_limit: NotRequired[int | None]
    valid_hours: NotRequired[int | None]
    max_cost: NotRequired[int | None]
    stacking: NotRequired[str | None]
    payer: NotRequired[str | None]


class RuleRow(TypedDict):
    """A pin (item_id, position) or a boost (factor, and one thing it goes by). Sent again, it is replaced."""

    rule_id: str
    kind: Literal["pin", "boost"]
    item_id: NotRequired[str | None]
    position: NotRequired[int | None]
    factor: NotRequired[float | str | None]
    category: NotRequired[str | None]
    brand: NotRequired[str | None]
    tag: NotRequired[str | None]
    placement: NotRequired[str | None]
    starts: NotRequired[Moment | None]
    ends: NotRequired[Moment | None]


class Filters(TypedDict, total=False):
    """Conditions that every item meets: fields by 'and', entries of a field by 'or'."""

    category: Sequence[str]
    brand: Sequence[str]
    tags: Sequence[str]
    price_min: int
    price_max: int
    store_id: str
    in_stock: bool


class Context(TypedDict, total=False):
    """The moment: items in the cart, the visitor's local hour."""

    cart: Sequence[str]
    hour: int


class Which(TypedDict, total=False):
    """A segment: by `name`, or a `rule` that was not saved."""

    name: str
    rule: dict[str, Any]
