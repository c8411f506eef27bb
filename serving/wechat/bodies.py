"""Reading a body of the platform leaf by leaf, so that what nobody took can be named; and weeks of days and hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from portraits.errors import InvalidValue
from recommender.offers.wording import runs

HOUR, HOURS = 3600, 24
_EVERY_DAY = list(range(7))


class Body:
    """A JSON object by dotted paths. What is read is taken; `left` is what stayed and says something."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        if not isinstance(body, Mapping):
            raise InvalidValue("body", body, "a JSON object")
        self._top = body
        self._leaves = dict(_leaves(body, ""))
        self._taken: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        return name in self._top

    def get(self, path: str) -> Any:
        """The leaf at a path, left there; None where there is none."""
        return self._leaves.get(path, self._taken.get(path))

    def pop(self, path: str) -> Any:
        """The leaf at a path, taken; None where there is none."""
        if path in self._leaves:
            self._taken[path] = self._leaves.pop(path)
        return self._taken.get(path)

    def keep(self, path: str) -> None:
        """Puts a taken leaf back: nobody can say it."""
        self._leaves[path] = self._taken.pop(path)

    def left(self) -> dict[str, Any]:
        """Leaves that nobody took, without nulls, empty ones and False."""
        return {path: value for path, value in self._leaves.items() if value not in (None, "", False, [], {}, 0)}

    def text(self, path: str) -> str | None:
        value = self.pop(path)
        if value is not None and not isinstance(value, str):
            raise InvalidValue(path, value, "text")
        return value or None

    def texts(self, path: str) -> list[str] | None:
        value = self.pop(path)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise InvalidValue(path, value, "a list of texts")
        return value or None

    def maybe(self, path: str) -> int | None:
        """A whole number of 0 or more, or None where there is none."""
        return None if self.pop(path) is None else self.whole(path, 0)

    def whole(self, path: str, least: int) -> int:
        value = self.pop(path)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InvalidValue(path, value, f"a whole number, {least} or more")
        return value

    def time(self, path: str) -> datetime | None:
        """An RFC 3339 time in UTC, or None where there is none."""
        text = self.text(path)
        try:
            found = None if text is None else datetime.fromisoformat(text)
        except ValueError:
            raise InvalidValue(path, text, "a time in RFC 3339") from None
        if found is not None and found.tzinfo is None:
            raise InvalidValue(path, text, "a time with its offset")
        return None if found is None else found.astimezone(UTC)


def week_of(days: Iterable[int], hours: Iterable[int], most: int) -> tuple[dict[str, Any], bool]:
    """ISO weekdays (1 Monday to 7) and hours as the platform's `available_week` (0 Sunday to 6; seconds of a day, the
    last one included; all days or hours are none), and whether the hours are said: at most `most` periods can be."""
    found = sorted(set(days)) if len(set(days)) < len(_EVERY_DAY) else []
    hours = sorted(set(hours)) if len(set(hours)) < HOURS else []
    periods = [{"begin_time": first * HOUR, "end_time": last * HOUR - 1} for first, last in runs(hours)]
    said = len(periods) <= most
    week: dict[str, Any] = {"week_day": [day % 7 for day in found]} if found else {}
    if periods and said:
        week = {"week_day": week.get("week_day", _EVERY_DAY), "available_day_time": periods}
    return week, said


def hours_of(given: Body, path: str) -> tuple[list[str] | None, list[str] | None]:
    """ISO weekdays and hours of an `available_week`; what is not of whole hours is left in the body."""
    days, periods = given.pop(f"{path}.week_day") or [], given.pop(f"{path}.available_day_time") or []
    hours: list[int] = []
    try:
        for period in periods:
            first, last = divmod(period["begin_time"], HOUR), divmod(period["end_time"] + 1, HOUR)
            if first[1] or last[1] or not 0 <= first[0] < last[0] <= 24:
                given.keep(f"{path}.available_day_time")
                hours = []
                break
            hours += range(first[0], last[0])
        found = sorted({day or 7 for day in days})
    except (TypeError, KeyError):
        raise InvalidValue(path, {"week_day": days, "available_day_time": periods}, "days and seconds") from None
    if any(day not in range(1, 8) for day in found):
        raise InvalidValue(f"{path}.week_day", days, "0 (Sunday) to 6")
    every = len(found) == len(_EVERY_DAY)
    return _words([] if every else found), _words(sorted(set(hours)) if len(set(hours)) < HOURS else [])


def _words(values: list[int]) -> list[str] | None:
    return [str(value) for value in values] or None


def _leaves(value: Mapping[str, Any], path: str) -> Iterable[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}", inner
