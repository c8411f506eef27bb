"""Random rules, portraits and behaviour (hypothesis strategies) over a small closed world, so that they often meet."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from portraits.field import Field

Row = dict[str, Any]

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2025, 11, 5, 9, 30, 0, 17, tzinfo=UTC)
"""Ten days after Berlin's clocks went back."""
TYPES = ("purchase", "item_view", "message_open", "juggle")
ITEMS: dict[str, Row] = {
    "i0": {"item_id": "i0", "category": ["food", "tea", "green"], "brand": "b0", "tags": ["new", "gift"]},
    "i1": {"item_id": "i1", "category": ["food"], "brand": None, "tags": None},
    "i2": {"item_id": "i2", "category": ["food stalls"], "brand": "b0", "tags": []},
    "i3": {"item_id": "i3", "category": None, "brand": "茶", "tags": ["gift"]},
    "i4": {"item_id": "i4", "category": ["a", "b", "c", "d", "e"], "brand": "b1", "tags": ["o'clock"]},
}
PATHS = ("food", "food > tea", "food > tea > green", "food stalls", "a > b > c > d", "a > c", "fo")
EVIDENCE = (
    "array<struct<tag: string, weight: float64, events: int64, last_ts: timestamp('UTC', 6), confidence: float64>>"
)


def field(name: str, dtype: str, unit: str = "things", values: tuple[str, ...] = (), empty: Any = None) -> Field:
    return Field(name, "planted", dtype, unit, None, None, values, empty, False, "events", "A planted field.")


FIELDS = {
    one.name: one
    for one in (
        field("orders", "int64", "orders", empty=0),
        field("spend", "int64", "minor units"),
        field("share", "float64", "share"),
        field("stage", "string", "stage", ("new", "loyal", "asleep")),
        field("top_brand", "string", "brand"),
        field("member", "boolean", "yes or no", empty=False),
        field("due_date", "date", "local date"),
        field("last_seen", "timestamp('UTC', 6)", "UTC"),
        field("categories", EVIDENCE, "evidence"),
        field("channels", "array<struct<channel: string, visits: int64>>", "evidence"),
    )
}

numbers = st.integers(-2, 3)
shares = st.sampled_from((0.0, 0.1, 0.2, 0.30000000000000004, 0.5, 1.0))
brands = st.sampled_from(("b0", "b1", "茶", "b", "o'clock"))
dates = st.integers(-5, 5).map(lambda days: NOW.date() + timedelta(days))
SINGLE: dict[str, st.SearchStrategy[Any]] = {
    "orders": numbers,
    "spend": st.integers(-1, 2).map(lambda n: 2**53 + n),
    "share": shares,
    "stage": st.sampled_from(("new", "loyal", "asleep")),
    "top_brand": brands,
    "member": st.booleans(),
    "due_date": dates,
    "last_seen": dates,
}
ORDER = ("=", "!=", "<", "<=", ">", ">=")
NUMERIC = (*ORDER, "between", "in", "not_in", "known", "unknown")
OPS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("orders", "spend", "share"), NUMERIC),
    **dict.fromkeys(("stage", "top_brand"), ("=", "!=", "in", "not_in", "starts_with", "known", "unknown")),
    "member": ("=", "!=", "known", "unknown"),
    **dict.fromkeys(
        ("due_date", "last_seen"), (*ORDER, "between", "known", "unknown", "within_days", "before_days", "next_days")
    ),
    **dict.fromkeys(("categories", "channels"), ("known", "unknown")),
}


def one_or_list(values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3, unique=True)


@st.composite
def comparisons(draw: st.DrawFn) -> Row:
    name = draw(st.sampled_from(sorted(OPS)))
    op = draw(st.sampled_from(OPS[name]))
    told: Row = {"field": name, "op": op}
    if op in ("known", "unknown"):
        return told
    single = SINGLE[name].map(lambda one: one.isoformat() if isinstance(one, date) else one)
    if op.endswith("_days"):
        told["value"] = draw(st.integers(1, 6))
    elif op == "starts_with":
        told["value"] = draw(st.sampled_from(("b", "n", "茶", "o'", "%", "b_")))
    elif op == "between":
        told["value"] = sorted((draw(single), draw(single)))
    elif op in ("in", "not_in"):
        told["value"] = draw(st.lists(single, min_size=1, max_size=3, unique=True))
    else:
        told["value"] = draw(single)
    return told


tags = st.fixed_dictionaries(
    {"tag": st.sampled_from(PATHS), "in": st.just("categories")},
    optional={"weight": shares, "confidence": shares, "events": st.integers(0, 3)},
)
whats = st.fixed_dictionaries(
    {"type": one_or_list(st.sampled_from(TYPES))},
    optional={
        "item_id": one_or_list(st.sampled_from((*ITEMS, "i9"))),
        "category": one_or_list(st.sampled_from(PATHS)),
        "brand": one_or_list(brands),
        "tag": one_or_list(st.sampled_from(("gift", "new", "o'clock"))),
        "store_id": one_or_list(st.sampled_from(("s1", "s2"))),
        "content_id": st.just("c1"),
        "offer_id": st.just("o1"),
    },
)
plain_whats = st.fixed_dictionaries(
    {"type": one_or_list(st.sampled_from(TYPES))}, optional={"category": one_or_list(st.sampled_from(PATHS))}
)
either = whats | plain_whats
windows = st.sampled_from((1, 2, 3, 10, 11, 30, 179, 180))


@st.composite
def measures(draw: st.DrawFn) -> Row:
    measure = draw(st.sampled_from(("times", "amount", "days")))
    op = draw(st.sampled_from((*ORDER, "between")))
    value = st.integers(0, 4) if measure != "amount" else st.sampled_from((0, 100, 250, 400))
    asked = sorted((draw(value), draw(value))) if op == "between" else draw(value)
    return {"did": draw(either), measure: {"op": op, "value": asked}, "within_days": draw(windows)}


conditions = st.one_of(
    comparisons(),
    tags,
    st.fixed_dictionaries({"did": either}, optional={"within_days": windows}),
    measures(),
    st.fixed_dictionaries({"first": either, "within_days": windows}),
    st.fixed_dictionaries(
        {"sequence": st.lists(plain_whats, min_size=2, max_size=4), "within_days": windows},
        optional={"gap_days": st.integers(1, 3)},
    ),
    st.fixed_dictionaries({"segment": st.sampled_from(("bought", "nested"))}),
)
SEGMENTS: dict[str, Row] = {
    "bought": {"did": {"type": "purchase"}},
    "nested": {"or": [{"not": {"segment": "bought"}}, {"field": "orders", "op": ">", "value": 1}]},
}
rules = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
).filter(lambda rule: depth(rule) <= 5)


def depth(rule: Row) -> int:
    inner = rule.get("and") or rule.get("or") or ([rule["not"]] if "not" in rule else [])
    return 1 + max(map(depth, inner), default=0)


MINUTES = (0, 0, 1, 31, 24 * 60 - 571, 24 * 60, 3 * 24 * 60, 29 * 24 * 60, 100 * 24 * 60, 180 * 24 * 60, 300 * 24 * 60)
"""How long before NOW something happened, around the edges of days and windows."""


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    minutes = draw(st.sampled_from(MINUTES)) + draw(st.integers(0, 3)) * draw(st.sampled_from((1, 60, 1_440)))
    return NOW - timedelta(minutes=minutes, microseconds=draw(st.sampled_from((0, 0, 17, 18))))


acts = st.lists(
    st.fixed_dictionaries(
        {
            "ts": moments(),
            "type": st.sampled_from(TYPES),
            "item_id": st.none() | st.sampled_from((*ITEMS, "i9")),
            "content_id": st.sampled_from((None, None, "c1")),
            "store_id": st.sampled_from((None, "s1", "s2")),
            "offer_id": st.sampled_from((None, None, "o1")),
            "amount": st.sampled_from((None, 0, 100, 150)),
        }
    ),
    max_size=8,
)
entries = st.fixed_dictionaries(
    {
        "tag": st.sampled_from(PATHS),
        "weight": shares,
        "events": st.integers(0, 3),
        "confidence": shares,
    }
)
portraits = st.fixed_dictionaries(
    {
        **{name: st.none() | strategy for name, strategy in SINGLE.items() if name != "last_seen"},
        "last_seen": st.none() | moments(),
        "categories": st.none() | st.lists(entries, max_size=3),
        "channels": st.none() | st.lists(st.just({"channel": "scan", "visits": 2}), max_size=1),
    }
)
people = st.lists(st.tuples(portraits, acts), min_size=1, max_size=6)
