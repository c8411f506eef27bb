"""How large a shop of n events is, which days it covers, and how its days differ. Seeds are derived here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from portraits.errors import InvalidValue
from portraits.sample.names import LEAVES
from portraits.sample.rows import Array

END = datetime(2026, 6, 1, tzinfo=UTC)
VARIANTS = ("shop", "media")
LEAST, MOST = 1_000, 100_000_000
DAY_US = 86_400_000_000
EVENTS_PER_USER = 25


@dataclass(frozen=True, slots=True)
class Plan:
    """Size and time of a sample shop. Day 0 begins at `end` minus `days` days; all days are UTC days."""

    seed: int
    n: int
    variant: str
    end: datetime
    days: int
    users: int
    items: int
    clusters: int
    brands: int
    stores: int
    contents: int

    @property
    def sells(self) -> bool:
        """False in the `media` variant, which earns by visits and ads."""
        return self.variant == "shop"

    @property
    def start_us(self) -> int:
        """First moment of day 0, microseconds since 1970."""
        return int(self.end.timestamp()) * 1_000_000 - self.days * DAY_US

    @property
    def bots(self) -> int:
        """How many visitors are programs; their codes follow those of the users."""
        return 2 + self.users // 5_000

    @property
    def testers(self) -> int:
        """How many visitors are test traffic; their codes follow those of the bots."""
        return 2

    def date(self, day: int) -> date:
        """The UTC date of a day."""
        return (self.end - timedelta(days=self.days - day)).date()

    def day_us(self, day: int) -> int:
        """First moment of a day, microseconds since 1970."""
        return self.start_us + day * DAY_US

    def rng(self, *key: int) -> np.random.Generator:
        """The generator for one purpose: the same seed and key give the same numbers, other keys independent ones."""
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, *key])))

    def season(self, day: int) -> float:
        """How busy a day is (1: usual): growth, weekends, festivals."""
        when = self.date(day)
        weekend = 1.25 if when.isoweekday() >= 6 else 1.0
        festival = max(_FESTIVALS.get((when + timedelta(days=ahead)).strftime("%m-%d"), 0.0) for ahead in range(3))
        return weekend * (1 + festival) * (1 + 0.3 * day / self.days)


_FESTIVALS = {"01-01": 0.3, "02-14": 0.3, "03-08": 0.5, "05-01": 0.4, "06-18": 0.8, "11-11": 1.0, "12-12": 0.5}


def plan(seed: int, n: int, variant: str = "shop", end: datetime = END) -> Plan:
    """The plan of a shop of about `n` events that end before `end`.

    Raises InvalidValue for a size outside 1,000 to 100,000,000, a negative seed, an unknown variant, or an `end` that
    is not the first moment of a UTC day.
    """
    if seed < 0:
        raise InvalidValue("seed", seed, "0 or more")
    if not LEAST <= n <= MOST:
        raise InvalidValue("n", n, f"{LEAST} to {MOST} events")
    if variant not in VARIANTS:
        raise InvalidValue("variant", variant, f"one of {', '.join(VARIANTS)}")
    if end.tzinfo is None or end.timestamp() % 86_400:
        raise InvalidValue("end", end.isoformat(), "midnight UTC")
    users = n // EVENTS_PER_USER
    items = min(max(4 * math.isqrt(n), 80), 50_000)
    return Plan(
        seed=seed,
        n=n,
        variant=variant,
        end=end.astimezone(UTC),
        days=30 if n < 5_000 else 90 if n < 50_000 else 180,
        users=users,
        items=items,
        clusters=min(max(items // 40, 8), 200),
        brands=min(max(items // 25, 12), 600),
        stores=min(max(math.isqrt(users) // 2, 3), 300),
        contents=max(items // 4, 20),
    )


def leaf_season(day_of_year: int) -> Array:
    """Demand for each leaf category on a day of the year: fashion, beauty and fresh goods have their months."""
    peak = np.array([{"fashion": 100, "beauty": 120, "fresh": 160}.get(leaf.root, 0) for leaf in LEAVES])
    wave = 1 + 0.4 * np.cos(2 * np.pi * (day_of_year - peak) / 365.25)
    return np.where(peak > 0, wave, 1.0)


def uniform(seed: int, *keys: Array | int) -> Array:
    """Numbers in [0, 1) that depend on nothing but seed and keys (SplitMix64's finaliser, Steele et al. 2014)."""
    state: Array = np.atleast_1d(np.asarray(seed, np.uint64))
    with np.errstate(over="ignore"):
        for key in keys:
            state = state * np.uint64(0x9E3779B97F4A7C15) + np.asarray(key).astype(np.uint64) + np.uint64(1)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
