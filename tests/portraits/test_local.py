from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import ibis
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.local import Zone, date_of_day, day_number, from_us, hour_of_day, iso_weekday, microseconds, to_us

FIRST, LAST = datetime(1995, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
ZONES = (
    "Asia/Shanghai",
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",  # moves its clocks by half an hour
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out a whole day in 2011
    "Africa/Casablanca",
    "America/Caracas",
)
zone_of = cache(lambda name: Zone.between(name, FIRST, LAST))
moments = st.integers(to_us(FIRST), to_us(LAST) - 1)


def clock(us: pd.Series, zone: str) -> pd.DataFrame:
    """What pandas says."""
    local = pd.to_datetime(us, unit="us", utc=True).dt.tz_convert(zone)
    days = (local.dt.tz_localize(None).dt.normalize() - pd.Timestamp(0)).dt.days
    return pd.DataFrame({"day": days, "hour": local.dt.hour, "weekday": local.dt.weekday + 1}).astype("int64")


@pytest.mark.parametrize("name", ZONES)
def test_columns_agree_with_pandas(name: str) -> None:
    """Every six hours of 32 years, and the seconds around each change of the clocks."""
    zone = zone_of(name)
    step = to_us(FIRST) + pd.Series(range(0, to_us(LAST) - to_us(FIRST), 6 * 3_600_000_000))
    near = [change + offset for change in zone.changes for offset in (-1_000_000, -1, 0, 1, 1_000_000)]
    us = pd.concat([step, pd.Series(near, dtype="int64")], ignore_index=True)
    table = ibis.memtable(pd.DataFrame({"n": us.index, "us": us}))
    local = zone.local_us(table.us)
    day = day_number(local)
    found = table.select("n", day=day, hour=hour_of_day(local), weekday=iso_weekday(day)).order_by("n").execute()
    pd.testing.assert_frame_equal(found.drop(columns="n"), clock(us, name))


@given(us=moments, name=st.sampled_from(ZONES))
def test_whole_numbers_agree_with_pandas(us: int, name: str) -> None:
    local = zone_of(name).local_us(us)
    expected = clock(pd.Series([us]), name).iloc[0]
    day = day_number(local)
    assert (day, hour_of_day(local), iso_weekday(day)) == tuple(expected)


def test_a_zone_without_changes_is_one_offset() -> None:
    zone = Zone.between("Asia/Shanghai", FIRST, LAST)
    assert zone == Zone(changes=(), offsets=(8 * 3_600_000_000,))


def test_an_empty_span_has_an_offset() -> None:
    assert Zone.between("Europe/Berlin", LAST, LAST).offsets == (3_600_000_000,)


@given(us=moments)
def test_microseconds_round_trip(us: int) -> None:
    assert to_us(from_us(us)) == us


def test_a_column_keeps_its_microseconds() -> None:
    rows = [from_us(us) for us in (0, 1, 999_999, 1_763_652_600_123_457)]
    table = ibis.memtable({"ts": rows}, schema={"ts": "timestamp('UTC', 6)"})
    assert sorted(table.select(us=microseconds(table.ts)).execute().us) == [0, 1, 999_999, 1_763_652_600_123_457]


def test_date_of_day() -> None:
    table = ibis.memtable({"day": [0, 20_000]})
    dates = table.select(date=date_of_day(table.day)).to_pyarrow()["date"].to_pylist()
    assert sorted(dates) == [datetime(1970, 1, 1).date(), datetime(1970, 1, 1).date() + timedelta(days=20_000)]
