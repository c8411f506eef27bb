"""Local time, computed in one place and with whole numbers only.

Engines disagree on time-zone casts without saying so, so none is used: the zone's UTC offset comes from Python's IANA
database as a short list of change moments, and becomes a search over whole microseconds that every engine does alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """Microseconds of an aware `moment` since 1970-01-01 UTC, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """The UTC moment `us` microseconds after 1970-01-01."""
    return EPOCH + timedelta(microseconds=us)


@ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
    name="epoch_us", signature=((dt.Timestamp(timezone="UTC"),), dt.int64)
)
def microseconds(moment: Any) -> Any:
    """Microseconds of a timestamp column since 1970: DuckDB's exact function, as Ibis' epoch_seconds rounds."""


@dataclass(frozen=True, slots=True)
class Now:
    """The moment T as features see it. `us`: microseconds since 1970; `day`: local day number; half-life in days,
    None where the history has no real time and nothing decays."""

    us: int
    day: int
    half_life_days: float | None

    def days_ago(self, days: int) -> int:
        """Microseconds since 1970 of the moment `days` x 24 hours before T."""
        return self.us - days * DAY_US


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone's UTC offsets between two moments.

    `changes[i]` is the moment (microseconds UTC) from which `offsets[i + 1]` holds; `offsets[0]` holds before the
    first change. Offsets are microseconds to add to UTC.
    """

    changes: tuple[int, ...]
    offsets: tuple[int, ...]

    @classmethod
    def between(cls, name: str, first: datetime, last: datetime) -> Zone:
        """Offsets of the IANA zone `name` for moments from `first` to `last`."""
        zone = ZoneInfo(name)
        day, end = int(first.timestamp()), int(last.timestamp())
        changes: list[int] = []
        offsets = [_offset_s(zone, day)]
        while day < end:
            following = min(day + 86_400, end)
            if _offset_s(zone, following) != offsets[-1]:
                changes.append(_change(zone, day, following))
                offsets.append(_offset_s(zone, following))
            day = following
        return cls(tuple(s * SECOND_US for s in changes), tuple(s * SECOND_US for s in offsets))

    def local_us(self, us: Any) -> Any:
        """Microseconds on the local clock of `us`, a whole number or an Ibis column of them."""
        return us + self._offset(us, 0, len(self.offsets))

    def _offset(self, us: Any, low: int, high: int) -> Any:
        """Offset of `us` among `offsets[low:high]`: a balanced search, so that a long history costs few steps."""
        if high - low == 1:
            return self.offsets[low]
        middle = (low + high) // 2
        before, after = self._offset(us, low, middle), self._offset(us, middle, high)
        if isinstance(us, int):
            return before if us < self.changes[middle - 1] else after
        return ibis.ifelse(us < self.changes[middle - 1], before, after)


def day_number(local_us: Any) -> Any:
    """Days since 1970-01-01 on the local clock."""
    return local_us // DAY_US


def hour_of_day(local_us: Any) -> Any:
    """Local hour, 0 to 23."""
    return local_us % DAY_US // HOUR_US


def iso_weekday(day: Any) -> Any:
    """ISO weekday of a day number, 1 (Monday) to 7; 1970-01-01 was a Thursday."""
    return (day + 3) % 7 + 1


def date_of_day(day: Any) -> Any:
    """Date column of a column of day numbers."""
    return ibis.date("1970-01-01") + day.cast("int32").as_interval("D")


def _offset_s(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """First second in (before, after] with the offset of `after`."""
    late = _offset_s(zone, after)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_s(zone, middle) == late:
            after = middle
        else:
            before = middle
    return after
