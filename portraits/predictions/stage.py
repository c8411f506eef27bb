"""The stage of the build that predicts: it learns from the past before T and writes columns for everyone at T.

What the columns stand on is told in `predictions.json` of the set: for each crowd and target the basis, the moments
and rows it was learned and judged on, and the scores of model, rule and base rate on the later split.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from portraits.draft import Draft
from portraits.local import DAY_US, Zone, day_number, to_us
from portraits.predictions import next_category, value
from portraits.predictions.activity import FIELDS as SEEN_FIELDS
from portraits.predictions.activity import seen_in
from portraits.predictions.buying import CROWDS, NONE, Ground, Study, ground
from portraits.predictions.fields import FIELDS, HORIZONS, QUANTILES, VALUE_HORIZONS
from portraits.predictions.moments import Moment
from portraits.predictions.next_order import days_until
from portraits.predictions.orders import Floats, Ints, Orders, places
from portraits.predictions.samples import Samples

REPORT_FILE = "predictions.json"
BLOCK = 100_000
"""Visitors whose numbers are worked out at one time."""
ARROW = {"float64": pa.float64(), "int64": pa.int64(), "date": pa.date32(), "string": pa.string()}
SCHEMA = pa.schema([pa.field(field.name, ARROW[field.dtype]) for field in FIELDS.values()])


@dataclass(frozen=True, slots=True)
class Learned:
    """All that predictions of one app stand on. values: by horizon, of buyers and the average first spend."""

    grounds: dict[tuple[str, int], Ground]
    values: dict[int, tuple[value.BuyersValue | None, float | None]]
    churn_days: int


def predict(draft: Draft) -> pa.Table:
    """The columns `FIELDS`, one row a visitor of the draft; writes the report.

    One thread does the arithmetic: sums are then always taken in one order, and matrices this small are no faster on
    two.
    """
    with threadpool_limits(1):
        return _predict(draft)


def _predict(draft: Draft) -> pa.Table:
    past, as_of_us = draft.past, to_us(draft.past.as_of)
    file = pq.ParquetFile(draft.features)
    users = file.read(["user_id"])["user_id"]
    report: dict[str, Any] = {"as_of": past.as_of.isoformat(), "rows": len(users), "targets": {}}
    orders = Orders.read(past.orders, users) if past.real_time and len(users) else None
    if orders is None or not len(orders.who):
        report["targets"] = None
        (draft.folder / REPORT_FILE).write_text(json.dumps(report, indent=1))
        return _nothing(len(users))
    samples = Samples.draw(past, orders, users, as_of_us, draft.settings.seed)
    report |= {"sampled": samples.orders.visitors, "days": samples.days}
    learned = learn(samples, draft.settings.seed, report["targets"])
    baskets = next_category.Baskets.read(past, users, as_of_us)
    rule, report["targets"]["next_category"] = next_category.choose(baskets)
    (draft.folder / REPORT_FILE).write_text(json.dumps(report, indent=1))
    cut_us = _cut_us(draft, users)
    orders, baskets = orders.since(cut_us), baskets.since(cut_us, as_of_us)
    blocks, start = [], 0
    for batch in file.iter_batches(BLOCK, columns=list(SEEN_FIELDS)):
        end = start + len(batch)
        seen = seen_in(pa.Table.from_batches([batch]), as_of_us)
        moment = Moment(as_of_us, orders.part(start, end), seen, np.ones(len(batch), bool))
        blocks.append(_columns(learned, moment, past.zone))
        start = end
    category, chance = rule.of(baskets)
    told = {"next_category": baskets.names.take(pa.array(category, mask=category < 0)),
            "next_category_chance": _numbers(np.where(category < 0, np.nan, chance))}  # fmt: skip
    table = pa.concat_tables(blocks).combine_chunks()
    return pa.table({name: told.get(name, table[name]) for name in SCHEMA.names}, schema=SCHEMA)


def _cut_us(draft: Draft, users: pa.ChunkedArray) -> Ints:
    """The moment before which nothing may be said of each visitor; 0 for nearly all."""
    cut = np.zeros(len(users), np.int64)
    if draft.cuts is not None:
        place = places(draft.cuts["user_id"], users)
        known = pc.is_valid(place)
        cut[place.filter(known).to_numpy()] = draft.cuts["us"].filter(known).to_numpy()
    return cut


def learn(samples: Samples, seed: int, account: dict[str, Any]) -> Learned:
    """Everything that is learned; `account` gets an entry for each target."""
    study = Study(samples, seed)
    grounds = {}
    for crowd in CROWDS:
        for days in HORIZONS:
            found, told = ground(study, crowd, days)
            grounds[crowd.name, days], account[f"buy_{days}d of {crowd.name}"] = found, told
    values = {}
    for days in VALUE_HORIZONS:
        of_buyers, account[f"value_{days}d"] = value.of_buyers(study, days)
        values[days] = (of_buyers, value.first_spend(samples, days))
    churn_days = churn_horizon(samples.orders)
    account["churn"] = {"days": churn_days, "as": f"1 - buy_{churn_days}d"}
    return Learned(grounds, values, churn_days)


def churn_horizon(orders: Orders) -> int:
    """The first horizon of at least twice the median gap between orders, else the last."""
    gaps = orders.gaps[1]
    expected = 2 * float(np.median(gaps)) if len(gaps) else np.inf
    return next((days for days in HORIZONS if days >= expected), HORIZONS[-1])


def _columns(learned: Learned, moment: Moment, zone: Zone) -> pa.Table:
    """The columns of some visitors, but for categories."""
    n = moment.orders.visitors
    told: dict[str, pa.Array] = {}
    chances = _chances(learned, moment)
    for k, days in enumerate(HORIZONS):
        for side, name in enumerate(("", "_low", "_high")):
            told[f"buy_{days}d{name}"] = _numbers(chances[side, :, k])
    bought = moment.orders.count > 0
    at = HORIZONS.index(learned.churn_days)
    for side, name in ((0, ""), (2, "_low"), (1, "_high")):
        told[f"churn{name}"] = _numbers(np.where(bought, 1 - chances[side, :, at], np.nan))
    known = bought & ~np.isnan(chances[0, :, at])
    told["churn_days"] = pa.array(np.full(n, learned.churn_days), mask=~known)
    for days, (of_buyers, first) in learned.values.items():
        for name, numbers in _values(days, of_buyers, first, moment, chances[0]).items():
            told[name] = _numbers(numbers)
    for name, share in QUANTILES.items():
        told[f"next_order_{name}"] = _dates(days_until(share, HORIZONS, chances[0], moment), moment.us, zone)
    told["next_category"] = pa.nulls(n, pa.string())
    told["next_category_chance"] = pa.nulls(n, pa.float64())
    told["prediction_basis"] = _basis(learned, moment, chances[0])
    return pa.table({name: told[name] for name in SCHEMA.names}, schema=SCHEMA)


def _chances(learned: Learned, moment: Moment) -> Floats:
    """Probabilities, lower and upper bounds: 3 x visitors x horizons, never falling with the horizon."""
    found = np.full((3, moment.orders.visitors, len(HORIZONS)), np.nan)
    for crowd in CROWDS:
        chosen = crowd.chosen(moment)
        for k, days in enumerate(HORIZONS):
            if len(chosen):
                found[:, chosen, k] = learned.grounds[crowd.name, days].of(moment)
    rising = np.fmax.accumulate(found, axis=2)
    return np.where(np.isnan(found), np.nan, rising)


def _values(
    days: int, of_buyers: value.BuyersValue | None, first: float | None, moment: Moment, chances: Floats
) -> dict[str, Floats]:
    found = np.full((3, moment.orders.visitors), np.nan)
    if of_buyers is not None and len(moment.buyers):
        found[:, moment.buyers] = of_buyers.of(moment)
    if first is not None and days in HORIZONS:
        found[0, moment.others] = chances[moment.others, HORIZONS.index(days)] * first
    return {f"value_{days}d{name}": found[side] for side, name in enumerate(("", "_low", "_high"))}


def _basis(learned: Learned, moment: Moment, chances: Floats) -> pa.Array:
    """The basis of 30 days, else of the longest horizon that is known."""
    names = np.full(moment.orders.visitors, NONE, dtype=object)
    for crowd in CROWDS:
        chosen = crowd.chosen(moment)
        for days in (*HORIZONS, 30):
            known = chosen[~np.isnan(chances[chosen, HORIZONS.index(days)])]
            names[known] = learned.grounds[crowd.name, days].basis
    return pa.array(names, pa.string())


def _numbers(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)


def _dates(days: Floats, us: int, zone: Zone) -> pa.Array:
    """Local dates of moments so many days after `us`; null for nan."""
    unknown = np.isnan(days)
    local_us = zone.local_us(us) + (np.where(unknown, 0.0, days) * DAY_US).astype(np.int64)
    return pa.array(day_number(local_us).astype(np.int32), pa.int32(), mask=unknown).cast(pa.date32())


def _nothing(rows: int) -> pa.Table:
    told = {field.name: pa.nulls(rows, field.type) for field in SCHEMA}
    return pa.table(told | {"prediction_basis": pa.array([NONE] * rows, pa.string())}, schema=SCHEMA)
