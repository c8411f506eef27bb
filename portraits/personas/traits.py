"""Traits: the few sides of a portrait by which visitors are grouped, as columns of numbers that can be compared.

Every app with visitors has them. A count is taken as its logarithm. A share is drawn towards the app's average, the
more the less there is to go by (as if the visitor had had five average visits, or lines, besides the own): one visit on
a Sunday makes nobody a weekend visitor, and the many who came once do not fall apart by their single visit. What is
unknown is average. A `Space` puts each trait on one scale, standard deviations from the app's mean, and stops at three:
one visitor with a million orders pulls nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]

PRIOR = 5.0
"""How many average visits or order lines a visitor's own share is mixed with."""
LIMIT = 3.0
"""Standard deviations at which a trait stops."""


@dataclass(frozen=True, slots=True)
class Trait:
    """One side of a portrait, named after its field.

    log: compared by its logarithm. evidence: the field that counts what the value stands on, None where it stands for
    itself. per: the field that it is counted by, as item views by visits.
    """

    field: str
    log: bool = False
    evidence: str | None = None
    per: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the portrait that it reads."""
        return tuple(name for name in (self.field, self.evidence, self.per) if name)


TRAITS = (
    Trait("visits", log=True),
    Trait("days_since_seen", log=True),
    Trait("orders", log=True),
    Trait("order_value", log=True, evidence="orders"),
    Trait("item_views", log=True, evidence="visits", per="visits"),
    Trait("content_views", log=True, evidence="visits", per="visits"),
    Trait("discount_share", evidence="lines"),
    Trait("offers_redeemed", log=True),
    Trait("price_level", evidence="lines"),
    Trait("refund_share", evidence="lines"),
    Trait("weekend_share", evidence="visits"),
    Trait("scan_share", evidence="visits"),
    Trait("share_share", evidence="visits"),
    Trait("shares", log=True),
)
FIELDS = tuple(dict.fromkeys(name for trait in TRAITS for name in trait.fields))
"""Every field of the portrait that the traits read."""


def column(rows: pa.Table, field: str) -> Array:
    """A field as floats, NaN where it is unknown."""
    values: Array = rows[field].to_numpy().astype(np.float64)
    return values


def told(rows: pa.Table, trait: Trait) -> Array:
    """A trait as people say it: the field, counted by `per` where it is; NaN where unknown."""
    values = column(rows, trait.field)
    if trait.per is None:
        return values
    by = column(rows, trait.per)
    counted: Array = np.divide(values, by, out=np.full(len(values), np.nan), where=by > 0)
    return counted


@dataclass(frozen=True, slots=True)
class Space:
    """One app's scale. prior: the average of each trait among those of whom it is known; mean and scale: of the
    trait as compared. A trait that is the same for everyone has scale 0 and separates nobody."""

    prior: Array
    mean: Array
    scale: Array

    @classmethod
    def of(cls, rows: pa.Table) -> Space:
        """The scale of these visitors (columns FIELDS; some thousands stand for all)."""
        known = [_compared(rows, trait) for trait in TRAITS]
        prior = np.array([values[seen].mean() if (seen := ~np.isnan(values)).any() else 0.0 for values in known])
        mixed = np.column_stack([_mixed(rows, *one) for one in zip(TRAITS, known, prior, strict=True)])
        if not len(mixed):
            return cls(prior, np.zeros(len(TRAITS)), np.zeros(len(TRAITS)))
        spread = mixed.std(axis=0)
        return cls(prior, mixed.mean(axis=0), np.where(spread > 1e-9, spread, 0.0))

    def place(self, rows: pa.Table) -> Array:
        """Visitors as points, rows x traits: standard deviations from the mean, between -LIMIT and LIMIT."""
        mixed = np.column_stack(
            [
                _mixed(rows, trait, _compared(rows, trait), prior)
                for trait, prior in zip(TRAITS, self.prior, strict=True)
            ]
        )
        return self.scaled(mixed)

    def scaled(self, mixed: Array) -> Array:
        """Points from traits as compared; `unscaled` is the way back."""
        away = np.divide(mixed - self.mean, self.scale, out=np.zeros_like(mixed), where=self.scale > 0)
        points: Array = np.clip(away, -LIMIT, LIMIT)
        return points

    def unscaled(self, points: Array) -> Array:
        """Traits as compared, from points: where a centre lies whatever the scale of another night."""
        raw: Array = points * self.scale + self.mean
        return raw


def read(rows: Sequence[pa.Table]) -> pa.Table:
    """Row groups as one table of the fields that traits need."""
    return pa.concat_tables([part.select(FIELDS) for part in rows])


def _compared(rows: pa.Table, trait: Trait) -> Array:
    values = told(rows, trait)
    return np.log1p(np.maximum(values, 0)) if trait.log else values


def _mixed(rows: pa.Table, trait: Trait, values: Array, prior: float) -> Array:
    known = ~np.isnan(values)
    own = np.where(known, values, prior)
    if trait.evidence is None:
        return own
    counted = np.nan_to_num(column(rows, trait.evidence))
    weight = np.where(known, counted / (counted + PRIOR), 0.0)
    return prior + weight * (own - prior)
