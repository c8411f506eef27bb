from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import planted_history as planted
import pytest

from portraits.past import Past

Row = dict[str, Any]
EPOCH = date(1970, 1, 1)


def bought(*days: str, item: str = "i00") -> list[Row]:
    """One order at noon UTC of each day."""
    rows = [{"user_id": "a", "ts": datetime.fromisoformat(f"{day}T12:00:00+00:00")} for day in days]
    return [row | {"type": "purchase", "item_id": item, "amount": 100} for row in rows]


def past(rows: list[Row]) -> Past:
    return planted.past(planted.numbered(rows, "e"), user_rows=[])


def test_an_even_rhythm() -> None:
    rows = past(bought("2025-10-01", "2025-10-11", "2025-10-21", "2025-10-31")).refills.to_pyarrow().to_pylist()
    assert {(row["kind"], row["tag"]) for row in rows} == {("category", "food > tea > green"), ("item", "i00")}
    for row in rows:
        assert (row["gap"], row["orders"]) == (10, 4)
        assert EPOCH + timedelta(days=row["due_day"]) == date(2025, 11, 10)
        assert row["overdue"] == pytest.approx(20 / 10)
        assert row["confidence"] == pytest.approx(3 / (3 + 2))


def test_an_uneven_rhythm_is_less_sure() -> None:
    """Gaps 1 and 19: mean 10, variance 81."""
    row = past(bought("2025-10-01", "2025-10-02", "2025-10-21")).refills.to_pyarrow().to_pylist()[0]
    assert row["gap"] == 10
    assert row["confidence"] == pytest.approx(2 / (2 + 2) / (1 + 81 / 10**2))


def test_once_or_twice_a_day_is_no_rhythm() -> None:
    assert past(bought("2025-10-01", "2025-10-01")).refills.count().execute() == 0


def test_cancelled_lines_do_not_make_a_rhythm() -> None:
    rows = bought("2025-10-01", "2025-10-11")
    rows[1]["order_id"] = "void"
    rows.append({"user_id": "a", "ts": rows[1]["ts"], "type": "order_cancel", "order_id": "void"})
    assert past(rows).refills.count().execute() == 0


def test_paydays() -> None:
    """Three of four orders on the 10th to 12th: z = (3 - 4 q) / sqrt(4 q (1 - q)) with q = 3 / 30.4375."""
    rows = past(bought("2025-03-10", "2025-04-12", "2025-05-11", "2025-06-13")).paydays.to_pyarrow().to_pylist()
    by_day = {row["payday"]: row for row in rows}
    assert set(by_day) == {0, 10}
    q = 3 / 30.4375
    z2 = (3 - 4 * q) ** 2 / (4 * q * (1 - q))
    assert by_day[10]["orders"] == 3
    assert by_day[10]["share"] == pytest.approx(3 / 4)
    assert by_day[10]["confidence"] == pytest.approx(z2 / (1 + z2))


def test_paydays_of_an_id_that_every_guest_of_a_till_has() -> None:
    """A thousand orders, all of them on the 10th: z^2 = n (1 - q) / q."""
    rows = [row | {"order_id": str(number)} for number, row in enumerate(bought(*["2025-03-10"] * 1_000))]
    (found,) = past(rows).paydays.to_pyarrow().to_pylist()
    q = 3 / 30.4375
    z2 = 1_000 * (1 - q) / q
    assert (found["payday"], found["orders"]) == (10, 1_000)
    assert found["confidence"] == pytest.approx(z2 / (1 + z2), rel=1e-12)
