"""A marketer's one budget for all offers: so much from this day to that one, whatever the offers' own budgets are.

It is a setting of the app (`offer_budget`, `offer_budget_from`, `offer_budget_until`: local days, both inclusive), so
that tonight plans with it, the day paces it, and a claim beyond it is refused. What is spent of it is what claims of
those days hold or did cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from portraits.settings import AppSettings
from recommender.offers.pacing import Purse

FIRST_DAY = date(1970, 1, 1).toordinal()
NEVER = 10**6
"""A day (since 1970) after all others."""


@dataclass(frozen=True, slots=True)
class Total:
    """budget: minor units. starts, ends: aware; from and before which claims are of it; None: open. first_day,
    last_day: the same as local days since 1970, both inclusive."""

    budget: int
    starts: datetime | None
    ends: datetime | None
    first_day: int
    last_day: int

    def in_force(self, now: datetime) -> bool:
        """Whether what is claimed now is of it."""
        return (self.starts is None or self.starts <= now) and (self.ends is None or now < self.ends)

    def in_words(self, now: datetime) -> str:
        """Whether it is in force at a moment, and until or since when, by the app's clock."""
        said = f"the app's budget of {self.budget:,} for all offers"
        if self.ends is not None and now >= self.ends:
            return f"{said} ended at {_clock(self.ends)}: no budget over all offers is in force"
        if self.starts is not None and now < self.starts:
            return f"{said} begins at {_clock(self.starts)}: none is in force yet"
        until = "" if self.ends is None else f" until {_clock(self.ends)}"
        return f"{said} is in force{until}: claims keep it"

    def over(self, days: float, spent: float, now: datetime, open_days: float) -> float | None:
        """What of it may be spent in the next `days`, minor units, as its even share of the days left (`open_days`
        where it has no end) and never more than is left; None where it is not in force. spent: so far."""
        if not self.in_force(now):
            return None
        left = open_days if self.ends is None else max((self.ends - now) / timedelta(days=1), 1e-3)
        return max(self.budget - spent, 0.0) * min(days / left, 1.0)

    def purse(self, spent: float) -> Purse:
        """The budget and what was spent of it, as `recommender.offers.pacing` takes it."""
        ends = (None if at is None else at.timestamp() * 1e6 for at in (self.starts, self.ends))
        return Purse(self.budget, None, spent, 0.0, *ends)


def total_of(settings: AppSettings) -> Total | None:
    """The app's budget for all offers; None where none is set."""
    if not settings.offer_budget:
        return None
    zone = ZoneInfo(settings.time_zone)
    first, last = settings.offer_budget_from, settings.offer_budget_until
    since = date.fromisoformat(first) if first else None
    until = date.fromisoformat(last) if last else None
    return Total(
        budget=settings.offer_budget,
        starts=None if since is None else _midnight(since, zone),
        ends=None if until is None else _midnight(until + timedelta(days=1), zone),
        first_day=-NEVER if since is None else since.toordinal() - FIRST_DAY,
        last_day=NEVER if until is None else until.toordinal() - FIRST_DAY,
    )


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} ({at.tzinfo})"


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
