"""The place family read by plain loops over one visitor's own rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import asin, cos, radians, sin, sqrt
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
DIGITS = "0123456789bcdefghjkmnpqrstuvwxyz"


def place(own: list[Row], stores: Sequence[Row], time_zone: str) -> Row:
    """Fields of the family `place`."""
    zone = ZoneInfo(time_zone)
    days: dict[str, dict[Any, list[Row]]] = defaultdict(lambda: defaultdict(list))
    towns: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(own, key=lambda r: r["ts"]):
        if row.get("store_id"):
            days[row["store_id"]][row["ts"].astimezone(zone).date()].append(row)
        if row.get("city"):
            towns[row["city"]].append(row)
    hours = {s: Counter(rows[0]["ts"].astimezone(zone).hour for rows in of.values()) for s, of in days.items()}
    total = sum(map(len, days.values()))
    listed = [
        {
            "store_id": store,
            "visits": len(of),
            "share": len(of) / total,
            "purchases": len(paid := [r for rows in of.values() for r in rows if r["type"] == "purchase"]),
            "spend": sum(row.get("amount") or 0 for row in paid),
            "usual_hour": _usual(hours[store]),
            "last_ts": max(row["ts"] for rows in of.values() for row in rows),
        }
        for store, of in days.items()
    ]
    listed.sort(key=lambda entry: (-entry["visits"], -entry["spend"], entry["store_id"]))
    home = listed[0]["store_id"] if listed else None
    cells = {store["store_id"]: corner(store.get("geohash")) for store in stores}
    far = [(distance_m(cells.get(home), cells.get(entry["store_id"])), entry["visits"]) for entry in listed]
    metres = [(m, visits) for m, visits in far if m is not None]
    lines = [row for row in own if row["type"] == "purchase"]
    paid_all = sum(row.get("amount") or 0 for row in lines)
    cities = [
        {"city": city, "days": len({row["ts"].astimezone(zone).date() for row in rows}), "last_ts": rows[-1]["ts"]}
        for city, rows in towns.items()
    ]
    cities.sort(key=lambda entry: (-entry["days"], entry["city"].encode()))
    return {
        "store_spend_share": sum(row.get("amount") or 0 for row in lines if row.get("store_id")) / paid_all
        if paid_all
        else None,
        "store_visits": total,
        "stores_visited": len(listed),
        "home_store": home,
        "home_store_share": listed[0]["share"] if listed else None,
        "store_radius_km": sum(m * v for m, v in metres) / sum(v for _, v in metres) / 1000 if metres else None,
        "store_reach_km": max(m for m, _ in metres) / 1000 if metres else None,
        "usual_store_hour": _usual(sum(hours.values(), Counter())) if listed else None,
        "usual_city": cities[0]["city"] if cities else None,
        "stores": listed[:10] or None,
        "cities": cities[:10] or None,
    }


def _usual(counted: Counter[int]) -> int:
    return min(counted, key=lambda hour: (-counted[hour], hour))


def corner(geohash: str | None) -> tuple[float, float] | None:
    """Middle of a cell, from its digits as one binary number."""
    if not geohash or set(geohash) - set(DIGITS):
        return None
    bits = "".join(f"{DIGITS.index(digit):05b}" for digit in geohash)
    east, north = bits[0::2], bits[1::2]
    longitude = (int(east, 2) + 0.5) / 2 ** len(east) * 360 - 180
    latitude = (int(north, 2) + 0.5) / 2 ** len(north) * 180 - 90
    return latitude, longitude


def distance_m(one: tuple[float, float] | None, other: tuple[float, float] | None) -> int | None:
    """Whole metres by the haversine formula."""
    if one is None or other is None:
        return None
    a, b, c, d = map(radians, (*one, *other))
    half = sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2
    return round(2 * 6_371_008.8 * asin(sqrt(half)))
