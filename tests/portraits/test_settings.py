"""Settings of an app: what may be set, and the errors that say what else may."""

from __future__ import annotations

import pytest

from portraits.errors import HuaxiangError, InvalidValue, UnknownName
from portraits.settings import AppSettings


def test_values_come_from_text_with_their_type() -> None:
    settings = AppSettings("shop").with_value("taste_half_life_days", "14").with_value("time_zone", "Europe/London")
    assert (settings.taste_half_life_days, settings.time_zone) == (14.0, "Europe/London")
    assert settings.with_value("quarantine_limit", "5").quarantine_limit == 5


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("currency", "yuan"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", ""),
        ("objective", "fame"),
        ("repeat", "maybe"),
        ("taste_half_life_days", "nan"),
        ("taste_half_life_days", "0"),
        ("control_share", "0.9"),
        ("exploration_share", "0.6"),
        ("exploration_share", "-0.1"),
        ("diversity", "1.1"),
        ("diversity", "nan"),
        ("quarantine_limit", "-1"),
        ("quarantine_limit", "many"),
        ("tuning_trials", "-1"),
        ("tuning_trials", "1001"),
        ("attribution_hours", "0"),
        ("tuning_minutes", "nan"),
        ("tuning_minutes", "721"),
    ],
)
def test_a_bad_value_names_itself(key: str, text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        AppSettings("shop").with_value(key, text)
    assert caught.value.field == key


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="time_zone"):
        AppSettings("shop").with_value("colour", "red")
    with pytest.raises(UnknownName):
        AppSettings("shop").with_value("app_id", "other")


@pytest.mark.parametrize("app_id", ["", "Shop", "-shop", "a" * 41, "shop\n", "../x", "店"])
def test_an_app_id_is_a_safe_name(app_id: str) -> None:
    with pytest.raises(InvalidValue):
        AppSettings(app_id)


@pytest.mark.law
def test_every_error_says_what_machines_and_people_need() -> None:
    for error in HuaxiangError.__subclasses__():
        assert error.code != HuaxiangError.code
        assert error.__doc__
        assert 400 <= error.status <= 504
        assert error.exit_code in (1, 2, 4)
