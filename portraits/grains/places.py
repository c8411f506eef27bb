"""Places: the stores and cities where visitors are seen, and how far apart stores are.

No location is asked for: a store's place is the cell of its geohash in the stores catalogue, decoded here in plain
Python for the few stores there are, and a visitor's places are the stores that their events name. Distances are
between the middles of cells, so they are as coarse as the geohashes.
"""

from __future__ import annotations

from math import cos, radians, sin

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from portraits.local import Zone, day_number, hour_of_day

ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
"""Geohash digits, five bits each, longitude first (https://en.wikipedia.org/wiki/Geohash)."""
EARTH_M = 6_371_008.8
"""Mean radius of the Earth in metres (IUGG)."""
HOUR_SPACE = 24


def decode(geohash: str | None) -> tuple[float, float] | None:
    """Latitude and longitude, in degrees, of the middle of a cell; None for what is no geohash."""
    if not geohash or any(digit not in ALPHABET for digit in geohash.lower()):
        return None
    bounds = [[-180.0, 180.0], [-90.0, 90.0]]
    bits = (ALPHABET.index(digit) >> place & 1 for digit in geohash.lower() for place in (4, 3, 2, 1, 0))
    for n, bit in enumerate(bits):
        low, high = bounds[n % 2]
        bounds[n % 2][1 - bit] = (low + high) / 2
    longitude, latitude = (sum(pair) / 2 for pair in bounds)
    return latitude, longitude


def points(stores: ir.Table) -> ir.Table:
    """store_id, x, y, z of the stores whose place is known: the middle of the cell on a sphere of radius 1."""
    rows = [
        {"store_id": row["store_id"], "x": cos(lat) * cos(lon), "y": cos(lat) * sin(lon), "z": sin(lat)}
        for row in stores.select("store_id", "geohash").to_pyarrow().to_pylist()
        if (middle := decode(row["geohash"]))
        for lat, lon in [(radians(middle[0]), radians(middle[1]))]
    ]
    fields = [("store_id", pa.string()), *((axis, pa.float64()) for axis in "xyz")]
    return ibis.memtable(pa.Table.from_pylist(rows, pa.schema(fields)))


def store_days(events: ir.Table, zone: Zone) -> ir.Table:
    """One row a visitor, store and local day on which the visitor did something that names the store: user_id,
    store_id, day, hour (local, of the first such event), last_ts, purchases (order lines), spend."""
    there = events.filter(events.own & events.store_id.notnull())
    local = zone.local_us(there.ts_us)
    placed = there.select(
        "user_id", "store_id", "ts", "amount", day=day_number(local), local_us=local, buys=there.type == "purchase"
    )
    grouped = placed.group_by("user_id", "store_id", "day").aggregate(
        first_local_us=placed.local_us.min(),
        last_ts=placed.ts.max(),
        purchases=placed.buys.sum(),
        spend=placed.amount.sum(where=placed.buys).fill_null(0),
    )
    return grouped.mutate(hour=hour_of_day(grouped.first_local_us)).drop("first_local_us")


def stores(days: ir.Table, catalogue: ir.Table) -> ir.Table:
    """One row a visitor and store, of `store_days`: user_id, store_id, visits (days), purchases, spend, last_ts,
    usual_hour, share (of all visits), rank (from 0: most visits, then most spend, then by name), metres (from the
    store of rank 0; null where either place is unknown)."""
    found = days.group_by("user_id", "store_id").aggregate(
        visits=ibis._.count(), purchases=ibis._.purchases.sum(), spend=ibis._.spend.sum(), last_ts=ibis._.last_ts.max()
    )
    hours = days.group_by("user_id", "store_id", "hour").aggregate(n=ibis._.count())
    coded = hours.n * HOUR_SPACE + (HOUR_SPACE - 1 - hours.hour)
    usual = hours.group_by("user_id", "store_id").aggregate(usual_hour=HOUR_SPACE - 1 - coded.max() % HOUR_SPACE)
    joined = found.inner_join(usual, ["user_id", "store_id"]).left_join(points(catalogue), "store_id")
    best_first = ibis.window(
        group_by="user_id", order_by=[joined.visits.desc(), joined.spend.desc(), joined.store_id.asc()]
    )
    all_visits = joined.visits.sum().over(ibis.window(group_by="user_id"))
    ranked = joined.drop("store_id_right").mutate(
        rank=ibis.row_number().over(best_first), share=joined.visits / all_visits
    )
    home = ranked.filter(ranked["rank"] == 0).select("user_id", home_x="x", home_y="y", home_z="z")
    both = ranked.inner_join(home, "user_id")
    gaps = [both[axis] - both[f"home_{axis}"] for axis in "xyz"]
    chord = (gaps[0] * gaps[0] + gaps[1] * gaps[1] + gaps[2] * gaps[2]).sqrt()
    arc = 2 * ibis.ifelse(chord > 2, 1.0, chord / 2).asin()  # `least` would take the 1 where the place is unknown
    return both.mutate(metres=(arc * EARTH_M).round().cast("int64")).drop(*"xyz", "home_x", "home_y", "home_z")


def cities(events: ir.Table, zone: Zone) -> ir.Table:
    """One row a visitor and city that the visitor's own events name: user_id, city, days (local), last_ts, rank (from
    0: most days, then by name)."""
    named = events.filter(events.own & events.city.notnull())
    days = named.group_by("user_id", "city", day=day_number(zone.local_us(named.ts_us))).aggregate(
        last_ts=named.ts.max()
    )
    found = days.group_by("user_id", "city").aggregate(days=ibis._.count(), last_ts=ibis._.last_ts.max())
    best_first = ibis.window(group_by="user_id", order_by=[found.days.desc(), found.city.asc()])
    return found.mutate(rank=ibis.row_number().over(best_first))
