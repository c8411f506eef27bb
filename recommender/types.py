"""What the day side is asked and what it answers: plain values, the same at night (batch, backtest) and by day (HTTP).

Times are aware datetimes or UTC microseconds, money is minor units of the app's currency, ids are the merchant's own
strings. The small values of which an answer holds many are named tuples: they are made for every item of every answer,
and a tuple costs a third of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from portraits.errors import InvalidValue

LARGEST_N = 1_000
MOST_EXPLORATION = 0.5
LANGUAGES = ("en", "zh")
OF_OFFERS = "offers"
"""The policy of answers that hold offers."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Hard conditions of one request. Fields are joined by "and", the entries of one field by "or".

    `category` matches any element of an item's path, `price_min` and `price_max` are inclusive and drop items without
    a price, `store_id` keeps items sold there (an item that names no store is sold in all). Items out of stock never
    come back, whatever `in_stock` says; the field is part of the contract so that a caller may state it.
    """

    category: tuple[str, ...] = ()
    brand: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    price_min: int | None = None
    price_max: int | None = None
    store_id: str | None = None
    in_stock: bool | None = None


ANYTHING = Filters()


@dataclass(slots=True)
class Query:
    """One request. Nobody changes it; to freeze it would make it cost five times as much, a twentieth of an answer.

    `now` is aware. `item_id` is the product on the page, `store_id` the store the visitor is in (a hard rule, like
    `filters.store_id`), `hour` the local hour. `cart` and `exclude` never come back, nor does `item_id`.
    `allow_seen`: True keeps items the visitor already bought, False drops them, None follows what the night learnt
    (`repeat`). `diversity`: 0 (best first) to 1 (no second item of a category path while another is left).
    `exploration`: share of the places that go to new items, drawn by the seed `draw`; nobody who asks for nothing
    personal is explored on. `personalized=False`: nothing known about the visitor is used.

    Raises InvalidValue for an n outside 1 to 1,000, an unknown language, a naive `now`, a diversity outside 0 to 1 or
    an exploration outside 0 to 0.5.
    """

    user_id: str
    n: int
    now: datetime
    placement: str | None = None
    platform: str | None = None
    scene: str | None = None
    item_id: str | None = None
    store_id: str | None = None
    content_id: str | None = None
    cart: tuple[str, ...] = ()
    hour: int | None = None
    filters: Filters = ANYTHING
    exclude: tuple[str, ...] = ()
    lang: str = "en"
    personalized: bool = True
    allow_seen: bool | None = None
    diversity: float = 0.0
    exploration: float = 0.0
    draw: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= LARGEST_N:
            raise InvalidValue("n", self.n, f"a whole number from 1 to {LARGEST_N}")
        if self.lang not in LANGUAGES:
            raise InvalidValue("lang", self.lang, f"one of {', '.join(LANGUAGES)}")
        if self.now.tzinfo is None:
            raise InvalidValue("now", self.now, "a time with its offset from UTC")
        if not 0 <= self.diversity <= 1:
            raise InvalidValue("diversity", self.diversity, "a number from 0 to 1")
        if not 0 <= self.exploration <= MOST_EXPLORATION:
            raise InvalidValue("exploration", self.exploration, f"a share from 0 to {MOST_EXPLORATION}")


class Recent(NamedTuple):
    """One event of the visitor that the published version does not know yet. `ts_us`: UTC microseconds. `order_id` and
    `amount` (minor units) of what is bought and sent back; a whole order is sent back without naming its items."""

    type: str
    item_id: str | None
    ts_us: int
    order_id: str | None = None
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What is known about the visitor since the published version, in any order."""

    recent: Sequence[Recent] = ()


Evidence = Mapping[str, str | int | float]


class Reason(NamedTuple):
    """Why an item or offer is shown: a code for machines, words for people, and what the words rest on.

    `evidence` holds `item_id` and `title` of the item that caused it (for what is bought together with it `orders` and
    `lift`), or `category`, or the store, entrance, hour or article and how many `visitors` it rests on, or how many
    `times_usual` an item is taken, or is empty.
    """

    code: str
    text: str
    evidence: Evidence


class Ranked(NamedTuple):
    """One item of an answer, best first. `score` orders items within one answer and means nothing across answers; a
    pinned or explored item has that of the item it stands before. `propensity`: how probable it was, before the draw,
    that this item would be in this answer."""

    item_id: str
    score: float
    source: str
    reason: Reason
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The items of a shelf.

    `policy`: pipeline (something about the visitor or the item on the page was used), occasion (only the store, the
    entrance, the hour or the article), trending (what rises), popular (nothing was), fallback (no model). `degraded`:
    the model is missing. `removed`: how many of the proposed items each hard rule took away; an item counts once, under
    the first rule it broke (hidden, stock, unknown or unfit filters, page, cart, asked_for, excluded, bought).
    """

    items: tuple[Ranked, ...]
    degraded: bool = False
    policy: str = "pipeline"
    removed: Mapping[str, int] = field(default_factory=dict)
