from __future__ import annotations

from typing import Any

import pytest
import random_rules as world
from hypothesis import given, settings
from prose_reader import Reader

from portraits.dictionary import FIELDS
from portraits.errors import InvalidValue
from portraits.rules import in_words, line_in_words, parse
from portraits.rules.phrases import field_words

Row = dict[str, Any]

SAID: list[tuple[Row, str, str]] = [
    (
        {"field": "stage", "op": "in", "value": ["new", "asleep"]},
        'lifecycle stage is one of "new", "asleep"',
        '「生命周期阶段」属于"new"、"asleep"',
    ),
    (
        {"field": "spend", "op": ">=", "value": 123_450},
        "money paid is at least CNY 1,234.50",
        "「消费金额」至少CNY 1,234.50",
    ),
    ({"field": "share", "op": "<", "value": 0.205}, "share is less than 20.5%", "「share」小于20.5%"),
    (
        {"field": "due_date", "op": "next_days", "value": 1},
        "day the next order is due is within the next 1 day",
        "「预计下次下单日」在未来1天内",
    ),
    (
        {"tag": "food > tea", "in": "categories", "weight": 0.2, "events": 3},
        'categories drawn to has "food > tea" with weight at least 20%, events at least 3',
        '「品类偏好」含"food > tea"，权重至少20%，事件至少3',
    ),
    ({"did": {"type": "purchase"}}, "at least 1 purchase ever", "曾经购买至少1次"),
    (
        {
            "did": {"type": ["item_view", "juggle"], "category": "food", "brand": ["a", "b"]},
            "days": {"op": "<=", "value": 2},
            "within_days": 7,
        },
        'items viewed or "juggle" [category "food", brand "a" or "b"] on at most 2 days within the last 7 days',
        '最近7天内浏览商品或"juggle"［品类"food"，品牌"a"或"b"］天数至多2天',
    ),
    (
        {"did": {"type": "purchase"}, "amount": {"op": "between", "value": [0, 5]}, "within_days": 1},
        "from CNY 0.00 to CNY 0.05 in purchases within the last 1 day",
        "最近1天内购买金额在CNY 0.00至CNY 0.05之间",
    ),
    (
        {"first": {"type": "launch"}, "within_days": 7},
        "the first ever of launches is within the last 7 days",
        "首次启动在最近7天内",
    ),
    (
        {"sequence": [{"type": "cart"}, {"type": "purchase"}], "within_days": 30, "gap_days": 3},
        "one after another: item put into the cart, then purchase, each at most 3 days after the one before, "
        "within the last 30 days",
        "最近30天内依次加购→购买，相邻不超过3天",
    ),
    (
        {"and": [{"segment": "bought"}, {"not": {"or": [{"field": "orders", "op": "=", "value": 1}]}}]},
        'all of (in segment "bought"; not (any of (orders is 1)))',
        '同时满足（属于人群"bought"；不满足（满足任一（「订单数」为1）））',
    ),
]


@pytest.mark.parametrize(("rule", "english", "chinese"), SAID)
def test_said(rule: Row, english: str, chinese: str) -> None:
    parsed = parse(rule, world.FIELDS, world.SEGMENTS)
    assert in_words(parsed, "en") == english
    assert in_words(parsed, "zh") == chinese


@pytest.mark.parametrize("lang", ["en", "zh"])
@settings(max_examples=300)
@given(rule=world.rules)
def test_the_words_say_what_the_rule_says(lang: str, rule: Row) -> None:
    """Whoever reads the words can write the rule down again."""
    parsed = parse(rule, world.FIELDS, world.SEGMENTS)
    read = Reader(world.FIELDS, lang).read(in_words(parsed, lang))
    assert parse(read, world.FIELDS, world.SEGMENTS) == parsed


@pytest.mark.parametrize("text", ['"', "a; b", ") or (", "；「", "\\", "a\nb", "§0§", '" is known'])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_text_cannot_be_mistaken_for_words(text: str, lang: str) -> None:
    rule = {
        "and": [{"field": "top_brand", "op": "in", "value": [text, "b"]}, {"did": {"type": "purchase", "brand": text}}]
    }
    parsed = parse(rule, world.FIELDS)
    assert parse(Reader(world.FIELDS, lang).read(in_words(parsed, lang)), world.FIELDS) == parsed


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_two_fields_share_their_words(lang: str) -> None:
    words = [field_words(field, lang) for field in FIELDS.values()]
    assert len(set(words)) == len(words)


def test_lines() -> None:
    rule = {"and": [{"segment": "bought"}, {"not": {"field": "orders", "op": "unknown"}}]}
    lines = parse(rule, world.FIELDS, world.SEGMENTS).lines()
    assert [line_in_words(line) for line in lines] == ["all of", 'in segment "bought"', "not", "orders is unknown"]


def test_money_of_other_currencies() -> None:
    rule = parse({"field": "spend", "op": "=", "value": 1_234}, world.FIELDS)
    assert in_words(rule, "en", "JPY") == "money paid is JPY 1,234"
    assert in_words(rule, "en", "KWD") == "money paid is KWD 1.234"


def test_no_other_language() -> None:
    with pytest.raises(InvalidValue, match="en or zh"):
        in_words(parse({"field": "orders", "op": "known"}, world.FIELDS), "fr")
