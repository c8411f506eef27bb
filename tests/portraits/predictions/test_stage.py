from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import planted_buyers as planted
import pytest
from planted_buyers import AS_OF, Night, night, order, visit

from portraits.field import Field
from portraits.predictions.fields import BASES, FIELDS, HORIZONS
from portraits.settings import AppSettings


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return night(planted.weekly_and_gone(), tmp_path_factory.mktemp("shop"))


def test_weekly_buyers_come_again_and_the_gone_do_not(shop: Night) -> None:
    """An order every 7 days, the last at most 7 days ago, against none for at least 100."""
    for days in HORIZONS:
        assert shop.column(f"buy_{days}d", "w").min() > 0.85
        assert shop.column(f"buy_{days}d", "g").max() < 0.15
    assert shop.report["targets"]["churn"]["days"] == 30  # 2 x 7 days, among 7, 30 and 90
    assert shop.column("churn", "w").max() < 0.15
    assert shop.column("churn", "g").min() > 0.85


def test_money_to_expect_is_what_a_weekly_buyer_brings(shop: Night) -> None:
    """90 days are 12.9 orders of 1000."""
    assert shop.column("value_90d", "w") == pytest.approx(12_860, rel=0.25)
    assert shop.column("value_90d", "g").max() < 2_000


def test_the_next_order_is_due_on_its_day(shop: Night) -> None:
    """The half way date of a buyer of every 7 days is within 2 days of the last order + 7."""
    for user, row in shop.people.items():
        if user.startswith("w"):
            due = (AS_OF + timedelta(days=7 - (int(user[1:]) % 7 + 0.5))).date()
            assert abs((row["next_order_p50"] - due).days) <= 2
            assert row["next_order_p10"] <= row["next_order_p50"] <= row["next_order_p90"]
        else:
            assert row["next_order_p50"] is None


def test_promises_of_a_known_world_are_kept(tmp_path: Path) -> None:
    """Buyers order at known steady rates. In each of ten bins of 300 the average promise is within 0.09 of the true
    probability 1 - exp(-30 x rate), on average within 0.035; the truth is inside the interval of seven bins or more;
    and the next 30 days come out as promised: calibration error below 0.05, where chance alone makes about 0.02."""
    rows, rates = planted.poisson(np.random.default_rng(3), 3_000, 300, after=30)
    before = [row for row in rows if row["ts"] < AS_OF]
    told = night(rows, tmp_path)
    assert set(told.people) == {row["user_id"] for row in before}
    assert told.report["targets"]["buy_30d of buyers"]["basis"] == "model"
    p, low, high = (told.column(f"buy_30d{side}") for side in ("", "_low", "_high"))
    true = 1 - np.exp(-30 * rates[[int(user[1:]) for user in told.people]])
    came = np.isin(list(told.people), [row["user_id"] for row in rows if row["ts"] >= AS_OF])
    bins = np.array_split(np.argsort(p), 10)
    off = [abs(p[b].mean() - true[b].mean()) for b in bins]
    assert max(off) < 0.09
    assert np.mean(off) < 0.035
    assert sum(low[b].mean() <= true[b].mean() <= high[b].mean() for b in bins) >= 7
    assert np.mean([abs(p[b].mean() - came[b].mean()) for b in bins]) < 0.05


def test_visitors_who_look_buy(tmp_path: Path) -> None:
    """Every day 30 new visitors fill a cart and buy two days later; 15 others pass by and never buy."""
    rows = []
    for ago in range(3, 60):
        for n in range(30):
            rows += [visit(f"keen{ago:03d}-{n}", ago + 0.5, "cart"), order(f"keen{ago:03d}-{n}", ago - 1.5)]
        rows += [visit(f"idle{ago:03d}-{n}", ago + 0.5, "page_view") for n in range(15)]
    rows += [visit(f"keen-now{n}", 0.5, "cart") for n in range(20)]
    rows += [visit(f"idle-now{n}", 0.5, "page_view") for n in range(40)]
    told = night(rows, tmp_path)
    assert told.column("buy_7d", "keen-now").min() > told.column("buy_7d", "idle-now").max()
    assert np.isnan(told.column("churn", "idle")).all()


def test_the_next_category_is_the_usual_one(tmp_path: Path) -> None:
    """Half of the buyers only buy tea, the others only toys."""
    rows = [order(f"{item}{n}", 3 + n % 5 + 10 * k, item_id=item) for item in ("tea", "toy") for n in range(60)
            for k in range(12)]  # fmt: skip
    items = [{"item_id": "tea", "category": ["food", "tea"]}, {"item_id": "toy", "category": ["toys"]}]
    told = night(rows, tmp_path, items=items)
    assert {row["next_category"] for user, row in told.people.items() if user.startswith("tea")} == {"food"}
    assert {row["next_category"] for user, row in told.people.items() if user.startswith("toy")} == {"toys"}
    assert told.column("next_category_chance").min() > 0.9


@pytest.mark.law
def test_the_future_moves_nothing(shop: Night, tmp_path: Path) -> None:
    """Law 1: orders at T and later, of known and new visitors, change no digit of any prediction."""
    later = [order(user, -ago, amount=10**6) for user in ("w001", "g001", "new") for ago in (0.0, 1.0, 20.0, 200.0)]
    again = night(planted.weekly_and_gone() + later, tmp_path)
    assert again.people == shop.people
    assert again.report == shop.report


@pytest.mark.law
def test_the_same_night_twice(shop: Night, tmp_path: Path) -> None:
    """Law 12, also for rows in another order."""
    again = night(planted.weekly_and_gone()[::-1], tmp_path)
    assert again.people == shop.people
    assert again.report == shop.report


def test_every_promise_is_in_its_range(shop: Night) -> None:
    for row in shop.people.values():
        assert list(row) == list(FIELDS)
        assert all(_in_range(field, row[name]) for name, field in FIELDS.items())
        _consistent(row)


def _in_range(field: Field, value: Any) -> bool:
    if value is None:
        return field.name != "prediction_basis"
    if field.values:
        return value in field.values
    return (field.minimum is None or value >= field.minimum) and (field.maximum is None or value <= field.maximum)


def _consistent(row: dict[str, Any]) -> None:
    """Chances do not fall with the horizon, intervals hold what they are about, a basis says whether there is any."""
    for side in ("", "_low", "_high"):
        known = [row[f"buy_{days}d{side}"] for days in HORIZONS if row[f"buy_{days}d{side}"] is not None]
        assert known == sorted(known)
    for name in (*(f"buy_{days}d" for days in HORIZONS), "churn"):
        if row[name] is not None:
            assert 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] <= 1
    for name in ("value_90d", "value_365d"):
        if row[f"{name}_low"] is not None:
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert (row["prediction_basis"] == "none") == all(row[f"buy_{days}d"] is None for days in HORIZONS)


TINY = {
    "nobody": [],
    "one launch": [visit("a", 1, "launch")],
    "0 buyers": [visit(f"v{n}", n % 50 + 0.5) for n in range(200)],
    "1 buyer": [order("a", 20 * k) for k in range(5)] + [visit(f"v{n}", n % 50 + 0.5) for n in range(30)],
    "20 buyers": [order(f"b{n}", n + 11 * k + 0.5) for n in range(20) for k in range(6)],
    "everyone buys daily": [order(f"b{n}", k + 0.5) for n in range(150) for k in range(100)],
    "one second": [order(f"b{n}", 3) for n in range(60)],
    "all once, long ago": [order(f"b{n}", 300 + n % 50) for n in range(200)],
    "free things": [order(f"b{n % 30}", n % 90 + 0.5, amount=0) for n in range(300)],
    "huge orders": [order(f"b{n % 70}", n % 200 + 0.5, amount=10**13) for n in range(900)],
}


@pytest.mark.fault
@pytest.mark.parametrize("name", list(TINY))
def test_odd_shops(name: str, tmp_path: Path) -> None:
    told = night(TINY[name], tmp_path)
    assert set(told.people) == {row["user_id"] for row in TINY[name]}
    for row in told.people.values():
        assert all(_in_range(field, row[column]) for column, field in FIELDS.items())
        _consistent(row)


@pytest.mark.parametrize(
    ("name", "basis"),
    [
        ("0 buyers", {"none"}),
        ("1 buyer", {"none", "pooled"}),
        ("20 buyers", {"pooled"}),
        ("everyone buys daily", {"pooled"}),
        ("one second", {"none"}),
        ("all once, long ago", {"pooled"}),
    ],
)
def test_what_a_small_shop_is_told_by(name: str, basis: set[str], tmp_path: Path) -> None:
    told = night(TINY[name], tmp_path)
    assert {row["prediction_basis"] for row in told.people.values()} == basis <= set(BASES)
    if name == "everyone buys daily":
        assert told.column("buy_7d").min() > 0.95
    if name == "all once, long ago":
        assert told.column("buy_90d").max() < 0.2
    if name == "one second":
        assert all(value is None for row in told.people.values() for key, value in row.items() if "basis" not in key)


def test_too_short_a_history_for_a_horizon_says_nothing(tmp_path: Path) -> None:
    """40 days of history: 7 and 30 days can be told, 90 cannot."""
    told = night([order(f"b{n}", n % 5 + 5 * k + 0.5) for n in range(100) for k in range(8)], tmp_path)
    assert not np.isnan(told.column("buy_7d")).any()
    assert not np.isnan(told.column("buy_30d")).any()
    assert np.isnan(told.column("buy_90d")).all()
    assert np.isnan(told.column("value_90d")).all()
    assert told.report["targets"]["buy_90d of buyers"] == {"basis": "none"}


def test_without_a_clock_nothing_is_told(tmp_path: Path) -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    rows = [order(f"b{n % 9}", 0, ts=start + timedelta(microseconds=n)) for n in range(300)]
    told = night(rows, tmp_path)
    assert {row["prediction_basis"] for row in told.people.values()} == {"none"}
    assert all(value is None for row in told.people.values() for key, value in row.items() if "basis" not in key)


def test_dates_are_local(tmp_path: Path) -> None:
    """AS_OF is midnight in UTC: in Tokyo it is 9 in the morning of the same day, in New York the evening before."""
    rows = [order(f"b{n}", k + 0.95) for n in range(60) for k in range(100)]
    for zone, day in (("Asia/Tokyo", 1), ("America/New_York", 31)):
        folder = tmp_path / zone.replace("/", "-")
        folder.mkdir()
        told = night(rows, folder, AppSettings("planted", time_zone=zone))
        assert {row["next_order_p10"].day for row in told.people.values()} == {day}
