"""The routes of `/v1` as data: path, scope, form, handler. Dispatch, OpenAPI and the tests of every route read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portraits.history import MOST_MONEY
from recommender.types import LANGUAGES
from serving.call import Handler
from serving.catalogues import upsert_route
from serving.claims import post_claim, post_redeem, post_return
from serving.codec import parse
from serving.events import post_events
from serving.forget import post_forget
from serving.forms import Field, Form
from serving.offers import post_offers
from serving.recommend import post_recommend, post_similar, post_together, post_trending
from serving.rights import MOST_ROWS, post_export, post_personalization, post_portrait, post_tags_delete
from serving.rules import post_rules, post_rules_delete, post_rules_list
from serving.segments import handlers as segments
from serving.sent_events import LARGEST_BATCH, read_events
from serving.stores.catalogues import LINKS_AT_ONCE
from serving.tokens import DEFAULT_TTL_S, LONGEST_TTL_S
from serving.visitors import need_own, post_token, with_own_id

LARGEST_N = 100
DEFAULT_N = 10

_N = Field("n", "integer", "how many, at most", default=DEFAULT_N, least=1, greatest=LARGEST_N)
_USER = Field("user_id", "string", "the visitor", required=True)
_PLACEMENT = Field("placement", "string", "which shelf of which page")
_STORE = Field("store_id", "string", "the store the visitor is in: only what it sells")
_LANG = Field("lang", "string", "language of the reasons", default="en", choices=LANGUAGES)
_PERSONAL = Field("personalized", "boolean", "false: nothing known about the visitor is used", default=True)
_EXCLUDE = Field("exclude", "strings", "items that must not come back")
_FILTERS = Field(
    "filters",
    "object",
    "conditions that every item meets: fields by 'and', entries of a field by 'or'",
    inside=Form(
        Field("category", "strings", "any element of the item's category path", default=()),
        Field("brand", "strings", "brands", default=()),
        Field("tags", "strings", "tags", default=()),
        Field("price_min", "integer", "least price, minor units", least=0),
        Field("price_max", "integer", "greatest price, minor units", least=0),
        Field("store_id", "string", "sold in this store"),
        Field("in_stock", "boolean", "items out of stock never come back, whatever this says"),
    ),
)
_CONTEXT = Field(
    "context",
    "object",
    "the moment",
    inside=Form(
        Field("cart", "strings", "items in the cart", default=()),
        Field("hour", "integer", "the visitor's local hour", least=0, greatest=23),
    ),
)
_RECOMMEND = Form(
    _USER,
    _N,
    _PLACEMENT,
    Field("platform", "string", "wechat, alipay, douyin or other"),
    Field("scene", "string", "entrance value as the platform spells it"),
    Field("item_id", "string", "the item on the page"),
    _STORE,
    Field("content_id", "string", "the article, video or live on the page"),
    _CONTEXT,
    _FILTERS,
    _EXCLUDE,
    Field("diversity", "number", "0: best first; 1: as mixed as can be; default: the app's", least=0, greatest=1),
    Field("allow_seen", "boolean", "true: also what was bought before; false: without it; default: as learnt"),
    _LANG,
    _PERSONAL,
    Field("offers", "boolean", "false: no item carries an offer", default=True),
)
_SHOWN = (
    Field("user_id", "string", "who sees the answer; only recorded with it"),
    _N,
    _PLACEMENT,
    _STORE,
    _FILTERS,
    _EXCLUDE,
    _LANG,
)
_SIMILAR = Form(Field("item_id", "string", "the item that others shall be like", required=True), *_SHOWN)
_TOGETHER = Form(
    Field("item_id", "string", "the item that others are bought with"),
    Field("items", "strings", "several items, e.g. those in the cart", default=(), most=20),
    *_SHOWN,
)
_OFFERS = Form(
    _USER,
    _N,
    _PLACEMENT,
    _STORE,
    Field("item_id", "string", "the item on the page: only offers that may cover it"),
    _CONTEXT,
    _LANG,
    _PERSONAL,
)
_AGAIN = "of your own making, one for each wish; sent again with the same body it does nothing twice"
_REQUEST = Field("request_id", "string", _AGAIN, required=True)
_DECISION = Field("decision_id", "string", "the answer that showed the offer")
_OF_CLAIM = Field("claim_id", "string", "the claim; without it user_id and offer_id say which")
_WHOSE = (_OF_CLAIM, Field("user_id", "string", "the visitor"), Field("offer_id", "string", "the offer"))
_WHERE = Field("store_id", "string", "the store")
_CLAIM = Form(_REQUEST, _USER, Field("offer_id", "string", "the offer", required=True), _DECISION, _WHERE)
_REDEEM = Form(
    _REQUEST,
    *_WHOSE,
    Field("order_id", "string", "the order that it was used for"),
    Field("items", "strings", "the order's items; without them its purchase events say, where they came before"),
    Field("amount", "integer", "the order's amount before the offer, minor units", least=0, greatest=MOST_MONEY),
    Field(
        "discount",
        "integer",
        "what was taken off, minor units; without it the offer's rule says",
        least=0,
        greatest=MOST_MONEY,
    ),
    _WHERE,
)
_RETURN = Form(_REQUEST, *_WHOSE, Field("order_id", "string", "the refunded order: the claim that it was used for"))


@dataclass(frozen=True, slots=True)
class Route:
    """POST /v1`path`: who may (the key's scope), what the body holds, who answers."""

    path: str
    scope: str
    form: Form
    handler: Handler
    meaning: str
    quickly: Callable[[bytes], dict[str, Any] | None] | None = None
    """Reads a body in which all is as usual; None where something is not, and `form` says what."""
    user: bool = False
    """Whether a visitor's token may call it, for its own `user_id` (`serving.visitors`)."""

    def read(self, body: bytes, visitor: str = "") -> dict[str, Any]:
        """The body with every field of the form; of a `visitor` (by token), whose requests are all their own.

        Raises InvalidValue naming the first field that is wrong, NotAllowed (another visitor's user_id).
        """
        read = None if self.quickly is None else self.quickly(body)
        if read is None:
            sent = parse(body)
            read = self.form.read(with_own_id(self.form, sent, visitor) if visitor else sent)
        if visitor:
            need_own(read, visitor)
        return read


def _rows(path: str, table: str, scope: str, more: str = "", most: int = LARGEST_BATCH) -> Route:
    field = Field(table, "rows", "rows of the contract", required=True, most=most, row=table)
    meaning = f"Upsert rows of the {table} catalogue, all or none; what a row does not name stays, null takes it away."
    return Route(path, scope, Form(field), upsert_route(table), meaning + more)


_LINKS = " The ids that a row names are one person from the next answer on, and apart again once taken away."


_SEGMENT = Field("name", "string", "a segment, by name")
_RULE = Field("rule", "object", "a rule of the grammar: and / or / not over conditions")
_WHICH = Form(_SEGMENT, _RULE)
_WORDS = Field("lang", "string", "language of the words", default="en", choices=LANGUAGES)
_SAVE = Form(
    Field("name", "string", "what other rules call it: a-z, 0-9, '-', '_'", required=True),
    Field("title", "string", "what people call it"),
    Field("rule", "object", "a rule of the grammar: and / or / not over conditions", required=True),
    _WORDS,
)
_NAME = Field("name", "string", "the segment", required=True)
_PREVIEW = Form(_SEGMENT, _RULE, _WORDS)
_MATCH = Form(
    _USER,
    Field("names", "strings", "segments, by name; without names and rule: all", default=()),
    Field("rule", "object", "a rule that was not saved"),
)
_COMPARE = Form(
    Field("one", "object", "a segment by name, or a rule", required=True, inside=_WHICH),
    Field("other", "object", "a segment by name, or a rule", required=True, inside=_WHICH),
)
_PROFILE = Form(
    Field("segment", "object", "a segment by name, or a rule", required=True, inside=_WHICH),
    Field("base", "object", "what it is compared with; default: everyone", inside=_WHICH),
    Field("fields", "strings", "portrait fields; default: all of words, classes and tags", default=()),
)

_RULES = Form(Field("rules", "rows", "pins and boosts", required=True, most=LARGEST_BATCH, row="rules"))
_HOLDING = Form(Field("holding", "boolean", "only those that hold now", default=False))
_RULE_IDS = Form(Field("rule_ids", "strings", "the rules", required=True))

_TOKEN = Form(
    Field("user_id", "string", "the visitor whom the token is for", required=True),
    Field("ttl", "integer", "seconds that it is valid", default=DEFAULT_TTL_S, least=1, greatest=LONGEST_TTL_S),
)

_FORGET = "Forget a visitor under all linked ids: online now, everywhere by the next night; asked again: how far."

_TELL = "What is said of a visitor, in words and tag by tag, and why."
_KEPT = "Every row that is kept of a visitor, a page at a time."
_UNTELL = "Delete a tag of a visitor's portrait: gone at once, and not made again from what happened before."
_TURN = "A visitor's own switch: off, nothing personal is used or kept; no import turns it back."
_PORTRAIT = Form(_USER, Field("lang", "string", "language of the words", default="en", choices=LANGUAGES))
_AFTER = "rows to pass over: `next` of the page before; rows that come or go in between move the others"
_EXPORT = Form(
    _USER,
    Field("after", "integer", _AFTER, default=0, least=0, greatest=10**9),
    Field("n", "integer", "rows, at most", default=MOST_ROWS, least=1, greatest=MOST_ROWS),
)
_TAG = Form(_USER, Field("tag", "string", "a tag of the portrait, or a field of it", required=True))
_SWITCH = Form(_USER, Field("on", "boolean", "whether personalisation is wanted", required=True))

_SEND = "Send events; what is accepted is on disk. A visitor's token sends the visitor's own, and none of money."
_TAKE = "Claim an offer: the most it may cost is reserved until it is used, given back or expires; 409 says why not."
_BEST = "The best items for a visitor, with reasons."
_EVENTS = Form(Field("events", "rows", "events, oldest first", required=True, most=LARGEST_BATCH, row="events"))

ROUTES: Mapping[str, Route] = {
    route.path: route
    for route in (
        Route("/events", "events", _EVENTS, post_events, _SEND, read_events, user=True),
        Route("/recommend", "recommend", _RECOMMEND, post_recommend, _BEST, user=True),
        Route("/similar", "recommend", _SIMILAR, post_similar, "Items like one item.", user=True),
        Route("/together", "recommend", _TOGETHER, post_together, "Items bought in one order with others.", user=True),
        Route("/trending", "recommend", Form(*_SHOWN), post_trending, "Items that rise most now.", user=True),
        Route(
            "/offers", "recommend", _OFFERS, post_offers, "Offers worth giving now; at times rightly none.", user=True
        ),
        Route("/offers/claim", "events", _CLAIM, post_claim, _TAKE, user=True),
        Route("/offers/redeem", "events", _REDEEM, post_redeem, "Use a claim for an order; what it cost is booked."),
        Route("/offers/return", "events", _RETURN, post_return, "Give back a claim, or one whose order was refunded."),
        _rows("/items", "items", "events"),
        _rows("/users", "users", "events"),
        _rows("/stores", "stores", "events"),
        _rows("/contents", "contents", "events"),
        _rows("/identities", "identities", "events", _LINKS, LINKS_AT_ONCE),
        _rows("/offers/catalogue", "offers", "marketing"),
        Route("/rules", "marketing", _RULES, post_rules, "Save pins and boosts, all or none; a rule_id is replaced."),
        Route("/rules/list", "marketing", _HOLDING, post_rules_list, "Every pin and boost, and whether it holds."),
        Route("/rules/delete", "marketing", _RULE_IDS, post_rules_delete, "Delete pins and boosts."),
        Route("/token", "events", _TOKEN, post_token, "A token with which one visitor's phone may ask for itself."),
        Route("/forget", "admin", Form(_USER), post_forget, _FORGET, user=True),
        Route("/portrait", "recommend", _PORTRAIT, post_portrait, _TELL, user=True),
        Route("/portrait/export", "admin", _EXPORT, post_export, _KEPT, user=True),
        Route("/tags/delete", "recommend", _TAG, post_tags_delete, _UNTELL, user=True),
        Route("/personalization", "recommend", _SWITCH, post_personalization, _TURN, user=True),
        Route("/segments", "marketing", _SAVE, segments.post_save, "Save a segment as its next version."),
        Route("/segments/list", "marketing", Form(_WORDS), segments.post_list, "Every segment, with its rule."),
        Route("/segments/delete", "marketing", Form(_NAME), segments.post_delete, "Delete a segment."),
        Route("/segments/preview", "marketing", _PREVIEW, segments.post_preview, "How many a rule finds, by line."),
        Route("/segments/match", "marketing", _MATCH, segments.post_match, "Which segments a visitor is in now."),
        Route("/segments/compare", "marketing", _COMPARE, segments.post_compare, "How much two segments share."),
        Route("/segments/profile", "marketing", _PROFILE, segments.post_profile, "What sets a segment apart."),
    )
}
