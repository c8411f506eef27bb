"""Rules through the real files: a set is built, everyone is asked at once, and each visitor by day from the same set
with the events since; test traffic, sessions that go on over the night and late arrivals among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import plain_portraits
import plain_rules
import planted_history as planted
import pytest

from portraits.behaviour import acts_by_now, acts_of
from portraits.behaviour_files import behaviour
from portraits.build import build
from portraits.engine import connect
from portraits.history import EVENTS, ITEMS, USERS
from portraits.lake import Lake
from portraits.local import to_us
from portraits.portrait_set import PortraitSet
from portraits.rules import ItemFacts, Moment, Person, Rule, match, parse
from portraits.rules.traffic import Happened
from portraits.segments.evaluate import Tables, evaluate
from portraits.segments.tables import NUMBER, laid_out_tables

pytestmark = pytest.mark.law

Row = dict[str, Any]
ZONE = ZoneInfo(planted.SETTINGS.time_zone)
NIGHT = planted.AS_OF - timedelta(days=30)
CATALOGUE = {row["item_id"]: {"tags": None, **row} for row in planted.items()}

BOUGHT = {"type": "purchase"}
RULES: dict[str, Row] = {
    "ever": {"did": BOUGHT},
    "never": {"not": {"did": {"type": ["purchase", "cart"], "category": "food > tea"}}},
    "often": {"did": {"type": "item_view"}, "times": {"op": ">=", "value": 2}, "within_days": 60},
    "spent": {"did": BOUGHT, "amount": {"op": "between", "value": [600, 2_000]}, "within_days": 180},
    "days": {"did": {"type": "page_view"}, "days": {"op": ">", "value": 1}, "within_days": 180},
    "today": {"did": {"type": ["launch", "page_view", "item_view", "search"]}, "within_days": 1},
    "tea": {
        "did": {"type": ["item_view", "purchase"], "category": "food > tea", "brand": ["b0", "b1"]},
        "within_days": 90,
    },
    "newly": {"first": BOUGHT, "within_days": 40},
    "first_tea": {"first": {"type": "item_view", "category": "food > tea"}, "within_days": 90},
    "path": {"sequence": [{"type": "item_view"}, {"type": "cart"}, BOUGHT], "within_days": 180},
    "quick": {"sequence": [{"type": "item_view"}, {"type": "item_view"}], "within_days": 180, "gap_days": 1},
    "offer": {"did": {"type": "offer_claim", "offer_id": "o1"}},
    "loyal": {
        "and": [{"field": "orders", "op": ">", "value": 1}, {"field": "last_seen", "op": "within_days", "value": 100}]
    },
    "drawn": {
        "or": [
            {"tag": "food > tea", "in": "categories", "weight": 0.3},
            {"field": "stage", "op": "=", "value": "asleep"},
        ]
    },
    "due": {"field": "due_date", "op": "before_days", "value": 10},
}


def straddling() -> list[Row]:
    """Sessions that are open at NIGHT: what comes after it tells of what was before, and the other way round."""
    rows: list[Row] = []
    for user, before, after in (
        ("told_later", None, "1129"),
        ("told_before", "1129", None),
        ("clean", "1047", None),
        ("other_door", "1129", "1089"),
    ):
        early, late = NIGHT - timedelta(minutes=5), NIGHT + timedelta(minutes=5)
        rows.append({"user_id": user, "ts": NIGHT - timedelta(days=3), "type": "item_view", "item_id": "i00"})
        rows.append({"user_id": user, "ts": early, "type": "launch", "platform": "wechat", "scene": before})
        rows.append({"user_id": user, "ts": early, "type": "item_view", "item_id": "i01"})
        rows.append({"user_id": user, "ts": late, "type": "launch", "platform": "wechat", "scene": after})
        rows.append({"user_id": user, "ts": late, "type": "purchase", "item_id": "i01", "amount": 700})
    return planted.numbered(rows, "straddling")


def events() -> list[Row]:
    return planted.events() + straddling()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> PortraitSet:
    """The set of NIGHT, from a lake that already holds what came after it."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.append_events("planted", planted.arrow(EVENTS, events()))
    lake.upsert("planted", "items", planted.arrow(ITEMS, planted.items()), planted.START)
    lake.upsert("planted", "users", planted.arrow(USERS, planted.users()), planted.START)
    out = tmp_path_factory.mktemp("portraits") / "v1"
    return build(lake.snapshot("planted"), planted.SETTINGS, NIGHT, out)


def moment(at: datetime) -> Moment:
    facts = {
        item: ItemFacts(" > ".join((row["category"] or ())[:4]), row["brand"], row["tags"] or ())
        for item, row in CATALOGUE.items()
    }
    return Moment(to_us(at), ZONE, facts.get)


def rules(people: PortraitSet) -> dict[str, Rule]:
    return {name: parse(rule, people.fields) for name, rule in RULES.items()}


@cache
def clean(until: datetime) -> dict[str, list[Row]]:
    """Everyone's events before a moment without test traffic, by the plain reading of portraits."""
    names = dict.fromkeys(EVENTS.names)
    rows = [{**names, **row} for row in events() if row["ts"] < until]
    users = {row["user_id"] for row in rows}
    return {user: plain_portraits._without_tests([row for row in rows if row["user_id"] == user]) for user in users}


def asked(people: PortraitSet, at: datetime) -> dict[str, dict[str, bool]]:
    """Everyone of the night's set asked at once: its portraits, and the behaviour of `at`."""
    con = connect(memory_limit="1GB")
    past = replace(planted.past(events()), as_of=at)
    items = ibis.memtable(planted.arrow(ITEMS, planted.items()))
    tables = Tables(people.table(con), con.create_table("behaviour", behaviour(past).to_pyarrow()), items)
    rows = con.to_pyarrow(evaluate(rules(people), tables, moment(at))).to_pylist()
    return {row.pop("user_id"): row for row in rows}


def test_of_the_night_itself(night: PortraitSet) -> None:
    everyone = asked(night, NIGHT)
    assert len(everyone) == night.rows
    for user, said in everyone.items():
        person = Person(night.get(user), acts_of(night, user))
        assert {name: match(rule, person, moment(NIGHT)) for name, rule in rules(night).items()} == said, user
        assert Counter(acts_by_now(night, user, [])) == Counter(person.acts)


def test_of_the_night_as_it_is_laid_out(night: PortraitSet) -> None:
    """What a preview counts is what the night says of everyone."""
    tables = laid_out_tables(connect(memory_limit="1GB"), night.path)
    answers = evaluate(rules(night), tables, moment(NIGHT))
    named = tables.portraits.select(NUMBER, "user_id").inner_join(answers, NUMBER).drop(NUMBER)
    assert {row.pop("user_id"): row for row in named.to_pyarrow().to_pylist()} == asked(night, NIGHT)


def test_of_a_later_day(night: PortraitSet) -> None:
    """The night's set and the events since say what a night of that later moment would, of the same portraits."""
    everyone = asked(night, planted.AS_OF)
    since = [row for row in events() if NIGHT <= row["ts"] < planted.AS_OF]
    for user, said in everyone.items():
        own = [Happened.of(to_us(row["ts"]), row) for row in since if row["user_id"] == user]
        person = Person(night.get(user), acts_by_now(night, user, own[::-1]))
        now = moment(planted.AS_OF)
        assert {name: match(rule, person, now) for name, rule in rules(night).items()} == said, user


@pytest.mark.parametrize("at", [NIGHT, planted.AS_OF], ids=["night", "later"])
def test_plainly(night: PortraitSet, at: datetime) -> None:
    """... and both say what the grammar says when it is read plainly."""
    held: set[str] = set()
    for user, said in asked(night, at).items():
        portrait = night.get(user)
        assert portrait is not None
        shop = {"items": CATALOGUE, "segments": {}}
        plainly = {
            name: plain_rules.holds(rule, portrait, clean(at).get(user, []), at, ZONE, shop)
            for name, rule in RULES.items()
        }
        assert plainly == said, user
        held |= {name for name, holds in said.items() if holds}
    assert held == set(RULES), "every rule finds someone"


def test_a_visitor_of_today(night: PortraitSet) -> None:
    """Who came after the night has no portrait; what they did counts all the same."""
    seen = Happened.of(to_us(NIGHT) + 9, {"type": "purchase", "item_id": "i00", "amount": 700})
    person = Person(night.get("nobody"), acts_by_now(night, "nobody", [seen]))
    said = {name for name, rule in rules(night).items() if match(rule, person, moment(NIGHT + timedelta(minutes=1)))}
    assert said == {"ever", "spent", "newly", "tea"}
