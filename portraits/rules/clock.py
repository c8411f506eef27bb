"""Local days for rules: where a day begins on the clock of a time zone, in whole microseconds.

A window of N days is today and the N - 1 local days before it; it begins at its first day's midnight (the first one,
where clocks go back over midnight). So night and day compare one whole number with each event's, and need no clock of
each event's own.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, TypeAlias

from portraits.rules.nodes import Compare

DAY_US = 24 * 3_600 * 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()
MICROSECOND = timedelta(microseconds=1)

Range: TypeAlias = tuple[int | None, int | None]
"""From the first (included) to the second (not included); None is open."""


def to_us(moment: datetime) -> int:
    """Microseconds of an aware moment since 1970-01-01 UTC."""
    return (moment - EPOCH) // MICROSECOND


def day_of(us: int, zone: tzinfo) -> int:
    """Local day of a moment, in days since 1970-01-01."""
    return (EPOCH + us * MICROSECOND).astimezone(zone).date().toordinal() - EPOCH_DAY


@lru_cache(4_096)
def start_of(day: int, zone: tzinfo) -> int:
    """First microsecond of a local day."""
    first = date.fromordinal(EPOCH_DAY + day)
    return to_us(datetime(first.year, first.month, first.day, tzinfo=zone))


def day_number(value: Any) -> int:
    """Days since 1970-01-01 of a date or of its ISO text."""
    told = date.fromisoformat(value) if isinstance(value, str) else value
    return int(told.toordinal()) - EPOCH_DAY


def ranges_of(asked: Compare, today: int) -> tuple[Range, ...]:
    """The local days that a comparison of a date or a moment means, as ranges of days since 1970-01-01."""
    if isinstance(asked.value, int):
        first = today - asked.value + 1
        return {
            "within_days": ((first, today + 1),),
            "before_days": ((None, first),),
            "next_days": ((today, today + asked.value),),
        }[asked.op]
    given = asked.value if isinstance(asked.value, tuple) else (asked.value, asked.value)
    low, high = (day_number(one) for one in given)
    return {
        "=": ((low, low + 1),),
        "!=": ((None, low), (low + 1, None)),
        "<": ((None, low),),
        "<=": ((None, low + 1),),
        ">": ((low + 1, None),),
        ">=": ((low, None),),
        "between": ((low, high + 1),),
    }[asked.op]
