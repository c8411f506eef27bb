"""Place: the stores and cities where the visitor is seen, and how far apart those stores are."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature, most, only

METRES = 1_000
LISTED = 10
"""Stores and cities listed, the most usual first."""

STORES = (
    "array<struct<store_id: string, visits: int64, share: float64, purchases: int64, spend: int64, usual_hour: int64, "
    "last_ts: timestamp('UTC', 6)>>"
)
CITIES = "array<struct<city: string, days: int64, last_ts: timestamp('UTC', 6)>>"


@feature("events", "float64", "share", maximum=1)
def store_spend_share(events: ir.Table) -> ir.Value:
    """Share of the money paid that was paid in stores: on order lines that name one."""
    paid = events.type == "purchase"
    there = events.amount.sum(where=paid & events.store_id.notnull()).fill_null(0)
    return there / events.amount.sum(where=paid).nullif(0)


@feature("stores", "int64", "visits", empty=0)
def store_visits(stores: ir.Table) -> ir.Value:
    """Visits to stores: local days on which the visitor did something that names a store, each store by itself."""
    return stores.visits.sum()


@feature("stores", "int64", "stores", empty=0)
def stores_visited(stores: ir.Table) -> ir.Value:
    """Different stores visited."""
    return stores.count()


@feature("stores", "string", "store", minimum=None)
def home_store(stores: ir.Table) -> ir.Value:
    """Store of most visits; among equals that of most spend, then the first by name."""
    return stores.store_id.argmin(stores["rank"])


@feature("stores", "float64", "share", maximum=1)
def home_store_share(stores: ir.Table) -> ir.Value:
    """Share of the visits to stores that went to the home store."""
    return stores.visits.max() / stores.visits.sum()


@feature("stores", "float64", "km")
def store_radius_km(stores: ir.Table) -> ir.Value:
    """Distance from the home store of a visit to a store, on average: great circles between the middles of the
    stores' geohash cells. Visits to stores of unknown place are left out; null where the home store is one."""
    known = stores.metres.notnull()
    return (stores.metres * stores.visits).sum() / (METRES * stores.visits.sum(where=known).nullif(0))


@feature("stores", "float64", "km")
def store_reach_km(stores: ir.Table) -> ir.Value:
    """Distance from the home store of the farthest store visited, as in store_radius_km."""
    return stores.metres.max() / METRES


@feature("store_hours", "int64", "hour", maximum=23)
def usual_store_hour(store_hours: ir.Table) -> ir.Value:
    """Local hour of the day at which most visits to stores begin; the earliest among equals."""
    return most(store_hours.visits, store_hours.hour, 24)


@feature("cities", "string", "city", minimum=None)
def usual_city(cities: ir.Table) -> ir.Value:
    """City named by the visitor's events on most local days; the first by name among equals."""
    return cities.city.argmin(cities["rank"])


@feature("stores", STORES, "evidence", minimum=None)
def stores(stores: ir.Table) -> ir.Value:
    """Stores visited, the most usual first, at most 10. visits: local days there; share of all visits to stores;
    purchases: order lines paid there, and their spend; usual_hour: local hour at which most visits there begin;
    last_ts: the latest event there."""
    names = ("store_id", "visits", "share", "purchases", "spend", "usual_hour", "last_ts")
    entries = ibis.struct({name: stores[name] for name in ("rank", *names)})
    listed = entries.collect(where=stores["rank"] < LISTED).sort()
    return only(listed, *names)


@feature("cities", CITIES, "evidence", minimum=None)
def cities(cities: ir.Table) -> ir.Value:
    """Cities that the visitor's events name, most local days first, at most 10; last_ts: the latest event."""
    names = ("city", "days", "last_ts")
    entries = ibis.struct({name: cities[name] for name in ("rank", *names)})
    listed = entries.collect(where=cities["rank"] < LISTED).sort()
    return only(listed, *names)
