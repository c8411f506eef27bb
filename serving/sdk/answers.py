"""What the calls of `/v1` answer: the types that a client gets and the schemas of the OpenAPI document, declared once.

An answer may get more fields than these one day; none of these goes away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

Time = Annotated[str, "date-time"]
"""RFC 3339, with an offset."""


class Reason(TypedDict):
    """Why it is shown: a code for machines, words for people, and what the words rest on."""

    code: str
    text: str
    evidence: dict[str, str | int | float]


class OfferCall(TypedDict):
    """What to do about an offer: claim it, or, where it is the visitor's already, use it. `path` and `body` of the
    call, to which a request_id of your making belongs (and, when it is used, the order). With a visitor's token, which
    may not say that it was used: show the claim (`claim_id`)."""

    do: Literal["claim", "redeem", "show"]
    path: NotRequired[str]
    body: NotRequired[dict[str, str]]
    claim_id: NotRequired[str]


class Offer(TypedDict):
    """An offer for this visitor now. Money in minor units. `expires`: when it ends; of one that is the visitor's
    (reason "yours"), until when it can be used."""

    offer_id: str
    title: str | None
    kind: str
    value: int | None
    minimum: int | None
    reason: Reason
    expires: Time | None
    action: OfferCall


class ItemOffer(Offer):
    """An offer on an item: send its exposure and its claim with this decision_id."""

    decision_id: str


class RankedItem(TypedDict):
    """One item, best first. The score orders items within one answer and means nothing across answers."""

    item_id: str
    score: float
    source: str
    reason: Reason
    offer: NotRequired[ItemOffer]


class ItemsAnswer(TypedDict):
    """Items to show. Send exposures and clicks with the decision_id and the position, from 1."""

    decision_id: str
    version: str | None
    degraded: bool
    items: list[RankedItem]
    removed: NotRequired[dict[str, int]]


class RecommendAnswer(ItemsAnswer):
    """Items for a visitor; user_id is the person's own, whichever linked id was asked for."""

    user_id: str


class OffersAnswer(TypedDict):
    """Offers for a visitor; there may rightly be none, and `none_because` then says why. Send an `offer_exposure` for
    each that was seen: they are what is counted of what somebody has seen."""

    decision_id: str
    user_id: str
    degraded: bool
    offers: list[Offer]
    none_because: NotRequired[Literal["none_running", "budget", "limits", "seen_enough", "not_worth_it"]]


class ClaimAnswer(TypedDict):
    """A claim as it is now. `state`: claimed, redeemed or returned; `reserved`: the most that it may cost, while it is
    open; `cost`: what it did cost, while it is redeemed; `expires`: until when it can be used, null: for ever."""

    claim_id: str
    offer_id: str
    user_id: str
    state: str
    reserved: int
    cost: int
    expires: Time | None
    order_id: str | None


class RejectedEvent(TypedDict):
    """An event that was not taken: its place in the request, the field that is wrong, and why."""

    index: int
    field: str
    reason: str


class EventsAnswer(TypedDict):
    """accepted + duplicates + rejected = events sent. What is accepted is on disk."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]


class RefusedRow(TypedDict):
    """A row of a visitor who was forgotten."""

    index: int
    reason: str


class UpsertAnswer(TypedDict):
    """How many rows changed something; `rejected`: those that were left out."""

    changed: int
    unchanged: int
    rejected: NotRequired[list[RefusedRow]]


class RulesAnswer(TypedDict):
    """`unknown`: rule_ids about what the catalogue lacks; they change nothing until it comes."""

    changed: int
    unchanged: int
    unknown: NotRequired[list[str]]


class SavedRule(TypedDict):
    """A pin or a boost, whether it holds, and whether the catalogue knows what it is about."""

    rule_id: str
    kind: str
    item_id: NotRequired[str]
    position: NotRequired[int]
    factor: NotRequired[str]
    category: NotRequired[str]
    brand: NotRequired[str]
    tag: NotRequired[str]
    placement: NotRequired[str]
    starts: NotRequired[Time]
    ends: NotRequired[Time]
    when: Literal["now", "later", "over"]
    known: bool


class RulesListAnswer(TypedDict):
    """Every pin and boost."""

    rules: list[SavedRule]


class DeletedAnswer(TypedDict):
    """How many were there and are no more."""

    deleted: int


class ForgetAnswer(TypedDict):
    """The receipt. `ids`: how many ids the person had; `known`: false where there was nothing to forget (it is
    remembered all the same); `pending`: what may still hold the visitor."""

    user_id: str
    ids: int
    known: bool
    status: Literal["pending", "done"]
    pending: list[str]


class ToldField(TypedDict):
    """A field of a portrait: its value as JSON has it, and as people say it."""

    field: str
    title: str
    value: Any
    words: str
    why: str


class ToldTag(TypedDict):
    """What a portrait says under one tag, which can be deleted by its name."""

    tag: str
    title: str
    fields: list[ToldField]


class ToldPortrait(TypedDict):
    """A portrait in sentences, and tag by tag."""

    as_of: Time
    words: list[str]
    tags: list[ToldTag]


class ToldSegment(TypedDict):
    """A segment that a visitor is in."""

    name: str
    title: str


class DeletedTag(TypedDict):
    """A tag that the visitor deleted, and when."""

    tag: str
    at: Time


class WaitingEvents(TypedDict):
    """What the portrait does not know yet: events since its moment (null: since ever)."""

    events: int
    since: Time | None


class PortraitAnswer(TypedDict):
    """What is said of a visitor; portrait is null for who is unknown. Of who refused, only that."""

    user_id: str
    personalized: bool
    portrait: ToldPortrait | None
    declared: NotRequired[dict[str, Any] | None]
    ids: NotRequired[list[str]]
    segments: NotRequired[list[ToldSegment]]
    deleted: NotRequired[list[DeletedTag]]
    waiting: NotRequired[WaitingEvents]


class KeptRow(TypedDict):
    """A row that is kept of a visitor."""

    table: str
    row: dict[str, Any]


class ExportAnswer(TypedDict):
    """A page of all rows that are kept of a visitor; `next`: `after` of the next page, null at the end."""

    user_id: str
    ids: list[str]
    rows: list[KeptRow]
    next: int | None


class TagDeletedAnswer(TypedDict):
    """The tag that is gone, and the fields that went with it."""

    user_id: str
    tag: str
    fields: list[str]


class PersonalizationAnswer(TypedDict):
    """Whether personalisation is on now; it stays off for who was forgotten."""

    user_id: str
    on: bool


class TokenAnswer(TypedDict):
    """A visitor's token, for a phone to ask for itself; `expires` is not later than the key that made it."""

    token: str
    expires: Time


class OfPortraits(TypedDict):
    """Which portraits the answer is about; null before the first night."""

    version: str | None
    as_of: Time | None


class SegmentAnswer(TypedDict):
    """A segment as it is saved now."""

    name: str
    version: int
    title: str
    rule: dict[str, Any]
    words: str
    created: Time


class ListedSegment(TypedDict):
    """A segment with its members on the last night; `problem`: why its rule cannot be asked any more."""

    name: str
    version: int | None
    title: str
    ready_made: bool
    rule: dict[str, Any]
    words: str | None
    problem: str | None
    members: int | None


class SegmentsListAnswer(OfPortraits):
    """Every segment."""

    segments: list[ListedSegment]


class SegmentsDeleteAnswer(TypedDict):
    """`deleted`: false where there was no such segment."""

    name: str
    deleted: bool


class RuleLine(TypedDict):
    """A line of a rule: what it has alone, what it adds to or leaves of the lines above."""

    number: int
    path: str
    depth: int
    parent: int
    own: int
    adds: int | None
    leaves: int | None
    words: str


class PreviewAnswer(OfPortraits):
    """How many a rule finds of all (`base`), by line."""

    total: int
    base: int
    words: str
    lines: list[RuleLine]


class MatchAnswer(OfPortraits):
    """Which segments a visitor is in; `rule`: whether the rule of the request holds."""

    user_id: str
    at: Time
    consent: bool
    segments: dict[str, bool]
    rule: NotRequired[bool]


class CompareAnswer(OfPortraits):
    """What two segments share. A share is null where it would divide by nobody."""

    one: int
    other: int
    both: int
    base: int
    jaccard: float | None
    share_of_one: float | None
    share_of_other: float | None
    lift: float | None


class ProfileCell(TypedDict):
    """One value of a portrait field. `value` null: not known of the visitor; `tgi`: share over base share, times 100;
    `p`: two-sided; `q`: p among all cells told."""

    field: str
    value: str | None
    members: int
    share: float
    base_share: float
    tgi: float | None
    p: float | None
    q: float | None


class ProfileAnswer(OfPortraits):
    """What sets a segment apart. `suppressed`: by field, how many values are not told."""

    members: int
    base: int
    too_small: bool
    suppressed: dict[str, int]
    cells: list[ProfileCell]


class ErrorDetail(TypedDict):
    """`code` is for machines, `message` for people, `field` names what cannot be taken."""

    code: str
    message: str
    field: NotRequired[str]


class ErrorAnswer(TypedDict):
    """Every refusal."""

    error: ErrorDetail


ANSWERS: Mapping[str, type] = {
    "/events": EventsAnswer,
    "/recommend": RecommendAnswer,
    "/similar": ItemsAnswer,
    "/together": ItemsAnswer,
    "/trending": ItemsAnswer,
    "/offers": OffersAnswer,
    "/offers/claim": ClaimAnswer,
    "/offers/redeem": ClaimAnswer,
    "/offers/return": ClaimAnswer,
    "/items": UpsertAnswer,
    "/users": UpsertAnswer,
    "/stores": UpsertAnswer,
    "/contents": UpsertAnswer,
    "/identities": UpsertAnswer,
    "/offers/catalogue": UpsertAnswer,
    "/rules": RulesAnswer,
    "/rules/list": RulesListAnswer,
    "/rules/delete": DeletedAnswer,
    "/forget": ForgetAnswer,
    "/token": TokenAnswer,
    "/portrait": PortraitAnswer,
    "/portrait/export": ExportAnswer,
    "/tags/delete": TagDeletedAnswer,
    "/personalization": PersonalizationAnswer,
    "/segments": SegmentAnswer,
    "/segments/list": SegmentsListAnswer,
    "/segments/delete": SegmentsDeleteAnswer,
    "/segments/preview": PreviewAnswer,
    "/segments/match": MatchAnswer,
    "/segments/compare": CompareAnswer,
    "/segments/profile": ProfileAnswer,
}
"""By path, below `/v1`."""
