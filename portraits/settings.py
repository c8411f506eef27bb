"""Settings of an app: typed, with defaults, changed by `huaxiang app set APP key=value`.

Everything that differs between merchants and that their data cannot tell. Settings of the process (home folder, store
address, signing secret) live in `serving.settings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portraits.errors import InvalidValue, UnknownName

APP_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
OBJECTIVES = ("auto", "margin", "revenue", "clicks")
REPEATS = ("auto", "yes", "no")
MOST_TRIALS = 1_000
MOST_MINUTES = 720
MOST_HOURS = 720
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
        if not 0 <= self.control_share <= 0.5:
            raise InvalidValue("control_share", self.control_share, "a share between 0 and 0.5")
        if not 0 <= self.exploration_share <= 0.5:
            raise InvalidValue("exploration_share", self.exploration_share, "a share between 0 and 0.5")
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
