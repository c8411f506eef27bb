from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import planted_history as planted
import pytest

from portraits.build import fields
from portraits.features import REGISTRY
from portraits.past import Past

Row = dict[str, Any]
ORDER: Row = {"user_id": "a", "ts": planted.START, "order_id": "o"}
TEA: Row = {**ORDER, "type": "purchase", "item_id": "tea", "amount": 1_000}
CUP: Row = {**ORDER, "type": "purchase", "item_id": "cup", "amount": 300}
CANCEL: Row = {**ORDER, "type": "order_cancel", "ts": planted.START + timedelta(hours=1)}
REFUND: Row = {**ORDER, "type": "refund", "ts": planted.START + timedelta(hours=2)}


def past(*rows: Row) -> Past:
    return planted.past(planted.numbered(list(rows), "e"), item_rows=[], user_rows=[])


def order(*rows: Row) -> Row:
    found: list[Row] = past(*rows).orders.to_pyarrow().to_pylist()
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("rows", "undone"),
    [
        ([], 0),
        ([CANCEL], 1_000 + 300),
        ([CANCEL | {"item_id": "cup"}], 300),
        ([CANCEL | {"item_id": "unheard of"}], 0),
        ([CANCEL | {"order_id": "another"}], 0),
        ([CANCEL, REFUND | {"amount": 1_300}], 0),
        ([CANCEL, REFUND | {"amount": 500}], 1_300 - 500),
        ([CANCEL, REFUND | {"amount": 9_999}], 0),
        ([CANCEL, CANCEL, REFUND | {"amount": 1_000, "item_id": "tea"}], 300),
        ([CANCEL | {"item_id": "cup"}, REFUND | {"amount": 400, "item_id": "tea"}], 300),
        ([REFUND | {"amount": 400, "item_id": "tea"}], 0),
    ],
)
def test_a_cancellation_gives_back_what_no_refund_has(rows: list[Row], undone: int) -> None:
    found = order(TEA, CUP, *rows)
    assert found["undone"] == undone
    assert (found["spend"], found["lines"], found["items"]) == (1_300, 2, 2)


def test_an_order_keeps_its_lines_when_cancelled() -> None:
    assert order(TEA, CUP, CANCEL)["void"] == 2
    assert order(TEA, CUP, CANCEL | {"item_id": "tea"})["void"] == 1
    assert order(TEA, TEA, CUP)["items"] == 2


def test_a_refund_alone_is_no_order() -> None:
    assert past(REFUND | {"amount": 5}, CANCEL).orders.count().execute() == 0


@pytest.mark.parametrize(
    ("line", "listed", "saved"),
    [
        ({"list_amount": 1_250}, 1_250, 250),
        ({"discount": 250}, 1_250, 250),
        ({"list_amount": 1_250, "discount": 100}, 1_250, 100),
        ({"list_amount": 900}, 900, 0),
        ({"list_amount": 200, "discount": 500}, 200, 200),
        ({}, None, None),
    ],
)
def test_what_a_line_saved(line: Row, listed: int | None, saved: int | None) -> None:
    found = past(TEA | line).lines.to_pyarrow().to_pylist()[0]
    assert (found["listed"], found["saved"]) == (listed, saved)


def test_lines_of_any_price() -> None:
    """Of a currency whose minor unit is worth next to nothing, a billionth of a line is no 64-bit matter."""
    dear = TEA | {"amount": 10**16, "discount": 10**16, "quantity": Decimal(2)}
    shop = planted.past(planted.numbered([dear], "e"), [{"item_id": "tea", "cost": 10**15}], [])
    assert shop.lines.saved_e9.to_pyarrow().to_pylist() == [500_000_000]
    (found,) = fields(shop, [REGISTRY["margin"], REGISTRY["unit_price_median"]]).to_pyarrow().to_pylist()
    assert (found["margin"], found["unit_price_median"]) == (10**16 - 2 * 10**15, 10**16 / 2)


def test_the_payer_is_the_offers() -> None:
    lines = past(TEA | {"offer_id": "o1"}, TEA | {"offer_id": "o5"}, TEA | {"offer_id": "o9"}, TEA).lines
    payers = {row["offer_id"]: row["payer"] for row in lines.to_pyarrow().to_pylist()}
    assert payers == {"o1": "platform", "o5": None, "o9": None, None: None}
