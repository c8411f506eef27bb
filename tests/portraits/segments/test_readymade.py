"""Ready-made segments: each is in the grammar, and each finds somebody in the sample shop."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from portraits.build import build
from portraits.dictionary import FIELDS
from portraits.engine import connect
from portraits.history import CATALOGUES
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.rules import Moment, Person, match, parse
from portraits.rules.clock import DAY_US
from portraits.rules.match import Act
from portraits.sample import history
from portraits.sample.plan import END
from portraits.segments.evaluate import evaluate
from portraits.segments.readymade import READY_MADE, rules
from portraits.segments.tables import moment_of, tables_of
from portraits.settings import AppSettings
from portraits.words import LANGUAGES

EVENTS = 60_000


@pytest.mark.parametrize("name", READY_MADE)
def test_each_is_a_rule_over_the_fields_of_the_house(name: str) -> None:
    one = READY_MADE[name]
    parsed = parse(one.rule, FIELDS, rules())
    assert parse(parsed.to_json(), FIELDS, rules()) == parsed
    for told in (one.titles, one.use):
        assert all(told[lang] for lang in LANGUAGES)


def test_a_first_purchase_ends_window_shopping_before_the_next_night() -> None:
    rule = parse(READY_MADE["window-shoppers"].rule, FIELDS, rules())
    now = Moment(20_000 * DAY_US, UTC)
    looks = [Act(now.us - 60 + second, "item_view", "tea") for second in range(5)]
    assert match(rule, Person(None, looks), now)
    assert not match(rule, Person(None, [*looks, Act(now.us - 1, "purchase", "tea")]), now)


def test_who_came_a_second_ago_is_a_newcomer() -> None:
    rule = parse(READY_MADE["newcomers"].rule, FIELDS, rules())
    now = Moment(20_000 * DAY_US, UTC)
    assert match(rule, Person(None, [Act(now.us - 1_000_000, "launch")]), now)
    assert not match(rule, Person(None, []), now), "nobody has come"
    timeless = dict.fromkeys(FIELDS) | {"actions": 3}
    assert not match(rule, Person(timeless, [Act(now.us - 1, "launch")]), now), "the night knows them, but no dates"


@pytest.mark.parametrize("name", ["slipping", "about-to-churn", "asleep-high-value", "lapsed", "due-now"])
def test_a_purchase_ends_at_once_what_the_night_said_of_not_buying(name: str) -> None:
    rule = parse(READY_MADE[name].rule, FIELDS, rules())
    now = Moment(20_000 * DAY_US, UTC)
    stage = "slipping" if name == "slipping" else "loyal" if name == "about-to-churn" else "asleep"
    due = datetime.fromtimestamp(20_002 * DAY_US / 1e6, UTC).date()
    told = {"stage": stage, "churn": 0.9, "orders": 5, "money_class": 5, "due_date": due}
    portrait = dict.fromkeys(FIELDS) | told
    assert match(rule, Person(portrait, []), now)
    bought = Person(portrait, [Act(now.us, "purchase", "tea")])
    assert not match(rule, bought, Moment(now.us + 1, UTC))
    assert match(rule, bought, Moment(now.us + DAY_US, UTC)) == (name == "due-now"), "before the night has run, too"


def test_each_finds_somebody_in_the_sample_shop_and_none_finds_all(tmp_path: Path) -> None:
    history(0, EVENTS, tmp_path / "files")
    lake, app = Lake(tmp_path / "lake"), AppSettings("shop")
    for name in CATALOGUES:
        import_file(lake, app, name, tmp_path / "files" / f"{name}.parquet", None)
    for path in sorted((tmp_path / "files" / "events").glob("*.parquet")):
        import_file(lake, app, "events", path, None)
    people = build(lake.snapshot("shop"), app, END, tmp_path / "out")
    asked = {name: parse(one.rule, people.fields, rules()) for name, one in READY_MADE.items()}
    tables = tables_of(connect(), people, lake.snapshot("shop"))
    found = evaluate(asked, tables, moment_of(people, app.time_zone))
    counts = found.aggregate(**{name: found[name].sum() for name in asked}).to_pyarrow().to_pylist()[0]
    assert [name for name, count in counts.items() if not 0 < count < people.rows / 2] == []
