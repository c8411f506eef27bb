"""Settings of an app: typed, with defaults, changed by `huaxiang app set APP key=value`.

Everything that differs between merchants and that their data cannot tell. Settings of the process (home folder, store
address, signing secret) live in `serving.settings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portraits.errors import InvalidValue, UnknownName

APP_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
OBJECTIVES = ("auto", "margin", "revenue", "clicks")
REPEATS = ("auto", "yes", "no")
MOST_TRIALS = 1_000
MOST_MINUTES = 720
MOST_HOURS = 720
MOST_DAYS = 30
MOST_SHOWN = 1_000
MOST_REQUESTS = 1_000_000


def check_app_id(app_id: str) -> str:
    """`app_id` itself. Raises InvalidValue when it does not match the contract's pattern."""
    if not APP_ID.fullmatch(app_id):
        raise InvalidValue("app_id", app_id, "1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit")
    return app_id


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What one merchant may choose. Shares are between 0 and 1, half-lives in days, limits in rows.

    exploration_share: of the places of the answers that go to new items. If these were worth nothing, the default would
    cost what the control group does; a thousand answers of ten items still show new ones 200 times.
    diversity: of answers that do not ask for another one, 0 (best first) to 1 (as mixed as can be).
    tuning_trials: the most points of the sources' parameters that a night tries beside the defaults; 0 = the defaults.
    tuning_minutes: after so many no new one is begun, and the night says so; the same night may then choose otherwise.
    attribution_hours: how long after a click a purchase of the same item may belong to it.
    offer_control_share: of the visitors who are never given an offer, so that what offers earn can be told. The same
    visitors always; others than those of control_share.
    offer_exploration: of the answers about offers whose choice is drawn and not calculated, so that effects stay known.
    offer_days: how long after an answer what a visitor buys may be an effect of its offer.
    offers_per_day, offers_per_week: most offers, of all kinds together, that a visitor is shown; the days are local.
    offer_budget: for all offers together, in minor units, over the local days from offer_budget_from to
    offer_budget_until (2026-03-01; both inclusive, empty: open); 0: only the offers' own budgets hold.
    messages_per_week: most messages a visitor is sent; quiet_from, quiet_until: local hours between which none is.
    requests_per_second: of the app, of each of its keys, of each visitor with a token; 0: no limit. Each replica allows
    as many.
    """

    app_id: str
    currency: str = "CNY"
    time_zone: str = "Asia/Shanghai"
    objective: str = "auto"
    taste_half_life_days: float = 60.0
    repeat: str = "auto"
    control_share: float = 0.02
    exploration_share: float = 0.02
    diversity: float = 0.0
    quarantine_limit: int = 1_000_000
    seed: int = 0
    tuning_trials: int = 60
    tuning_minutes: float = 60.0
    attribution_hours: float = 24.0
    offer_control_share: float = 0.05
    offer_exploration: float = 0.1
    offer_days: float = 3.0
    offers_per_day: int = 3
    offers_per_week: int = 10
    offer_budget: int = 0
    offer_budget_from: str = ""
    offer_budget_until: str = ""
    messages_per_week: int = 2
    quiet_from: int = 21
    quiet_until: int = 9
    requests_per_second: float = 0.0
    key_requests_per_second: float = 0.0
    visitor_requests_per_second: float = 20.0

    def __post_init__(self) -> None:
        check_app_id(self.app_id)
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise InvalidValue("currency", self.currency, "three capital letters (ISO 4217), e.g. CNY")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidValue("time_zone", self.time_zone, "a name of the IANA database, e.g. Asia/Shanghai") from None
        _one_of("objective", self.objective, OBJECTIVES)
        _one_of("repeat", self.repeat, REPEATS)
        if not 0 < self.taste_half_life_days < float("inf"):
            raise InvalidValue("taste_half_life_days", self.taste_half_life_days, "a number of days above 0")
        for name in ("control_share", "exploration_share", "offer_control_share", "offer_exploration"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise InvalidValue(name, getattr(self, name), "a share between 0 and 0.5")
        if not 0 <= self.diversity <= 1:
            raise InvalidValue("diversity", self.diversity, "a number between 0 and 1")
        if self.quarantine_limit < 0:
            raise InvalidValue("quarantine_limit", self.quarantine_limit, "a number of rows, 0 or more")
        if not 0 <= self.tuning_trials <= MOST_TRIALS:
            raise InvalidValue("tuning_trials", self.tuning_trials, f"a number of trials from 0 to {MOST_TRIALS}")
        if not 0 < self.attribution_hours <= MOST_HOURS:
            raise InvalidValue("attribution_hours", self.attribution_hours, f"hours above 0, at most {MOST_HOURS}")
        for name in ("requests_per_second", "key_requests_per_second", "visitor_requests_per_second"):
            if getattr(self, name) != 0 and not 1 <= getattr(self, name) <= MOST_REQUESTS:
                raise InvalidValue(name, getattr(self, name), f"0 (no limit) or 1 to {MOST_REQUESTS} a second")
        if not 0 <= self.tuning_minutes <= MOST_MINUTES:
            raise InvalidValue("tuning_minutes", self.tuning_minutes, f"minutes from 0 to {MOST_MINUTES}")
        self._check_offers()

    def _check_offers(self) -> None:
        if not 0 < self.offer_days <= MOST_DAYS:
            raise InvalidValue("offer_days", self.offer_days, f"days above 0, at most {MOST_DAYS}")
        for name in ("offers_per_day", "offers_per_week", "messages_per_week"):
            if not 0 <= getattr(self, name) <= MOST_SHOWN:
                raise InvalidValue(name, getattr(self, name), f"a number from 0 to {MOST_SHOWN}")
        if self.offer_budget < 0:
            raise InvalidValue("offer_budget", self.offer_budget, "minor units, 0 (none) or more")
        for name in ("offer_budget_from", "offer_budget_until"):
            _day_or_none(name, getattr(self, name))
        for name in ("quiet_from", "quiet_until"):
            if not 0 <= getattr(self, name) <= 23:
                raise InvalidValue(name, getattr(self, name), "an hour from 0 to 23; the same twice for no quiet hours")

    def with_value(self, key: str, text: str) -> AppSettings:
        """A copy with `key` set from its text. Raises UnknownName or InvalidValue."""
        types = {f.name: f.type for f in fields(self) if f.name != "app_id"}
        if key not in types:
            raise UnknownName("setting", key, types)
        convert = {"str": str, "float": float, "int": int}[str(types[key])]
        try:
            value = convert(text)
        except ValueError:
            raise InvalidValue(key, text, f"a value of type {types[key]}") from None
        return replace(self, **{key: value})


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidValue(field, value, f"one of {', '.join(allowed)}")


def _day_or_none(field: str, value: str) -> None:
    try:
        right = not value or date.fromisoformat(value).isoformat() == value
    except ValueError:
        right = False
    if not right:
        raise InvalidValue(field, value, "a day, e.g. 2026-03-01, or nothing")
