"""The fields of a portrait that look ahead."""

from __future__ import annotations

from collections.abc import Mapping

from portraits.field import Field

HORIZONS = (7, 30, 90)
VALUE_HORIZONS = (90, 365)
BASES = ("model", "empirical", "pooled", "none")
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
SOURCE = "events, items, fields above"


def _field(
    name: str,
    dtype: str,
    unit: str,
    meaning: str,
    *,
    minimum: float | None = 0,
    maximum: float | None = None,
    values: tuple[str, ...] = (),
    clock: bool = True,
) -> Field:
    return Field(name, "predictions", dtype, unit, minimum, maximum, values, None, clock, SOURCE, meaning)


def _chance(name: str, meaning: str) -> list[Field]:
    bound = "bound of the interval that holds the rate of visitors alike in nine of ten cases"
    return [
        _field(name, "float64", "probability", meaning, maximum=1),
        _field(f"{name}_low", "float64", "probability", f"{name}: lower {bound}.", maximum=1),
        _field(f"{name}_high", "float64", "probability", f"{name}: upper {bound}.", maximum=1),
    ]


def _value(days: int) -> list[Field]:
    name, bound = f"value_{days}d", "bound of what is really spent in eight of ten cases"
    meaning = f"Money to expect from the visitor within {days} days; null where the history is shorter."
    return [
        _field(name, "float64", "minor units", meaning),
        _field(f"{name}_low", "float64", "minor units", f"{name}: lower {bound}."),
        _field(f"{name}_high", "float64", "minor units", f"{name}: upper {bound}."),
    ]


def _buy(days: int) -> list[Field]:
    meaning = f"Probability of an order within {days} days, calibrated; null where the history is too short to tell."
    return _chance(f"buy_{days}d", meaning)


def _next(name: str, share: float) -> Field:
    meaning = (
        f"Local date by which the next order comes with a probability of {share:.0%}, given that none came yet; "
        f"null where that lies beyond {HORIZONS[-1]} days, or beyond what can be told."
    )
    return _field(f"next_order_{name}", "date", "local date", meaning, minimum=None)


_ALL = [
    *(field for days in HORIZONS for field in _buy(days)),
    *_chance("churn", "Probability that a buyer does not order within churn_days."),
    _field(
        "churn_days",
        "int64",
        "days",
        "Within how many days a buyer's next order is expected before it counts as lost: the first of "
        f"{', '.join(map(str, HORIZONS))} that is at least twice the shop's median gap between orders, else the last.",
        minimum=1,
    ),
    *(field for days in VALUE_HORIZONS for field in _value(days)),
    *(_next(name, share) for name, share in QUANTILES.items()),
    _field("next_category", "string", "category", "Root category that a buyer's next order most likely holds.",
           minimum=None),
    _field("next_category_chance", "float64", "probability", "Probability that the next order holds it.", maximum=1),
    _field(
        "prediction_basis",
        "string",
        "basis",
        "What buy_30d stands on, or the longest known horizon where that is null. model: learned from this shop's "
        "earlier months, better than the rule on a later one; empirical: rates of visitors alike in recency and "
        "count; pooled: the whole shop's figures, and a buyer's own rhythm; none: it cannot be told.",
        minimum=None,
        values=BASES,
        clock=False,
    ),
]  # fmt: skip

FIELDS: Mapping[str, Field] = {field.name: field for field in _ALL}
"""Every predicted field by name, in the order of the portrait's columns."""
