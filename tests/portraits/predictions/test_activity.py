from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import planted_history as planted
import pyarrow as pa
import pytest

from portraits.build import fields
from portraits.features import REGISTRY
from portraits.local import DAY_US, to_us
from portraits.predictions.activity import Activity
from portraits.predictions.orders import Orders

FIELDS = ("actions", "actions_30d", "item_views", "item_views_30d", "carts", "favorites", "orders", "spend")


@pytest.mark.law
@pytest.mark.parametrize("days", [0, 1, 30, 100])
def test_an_earlier_moment_is_the_portrait_of_that_moment(days: int) -> None:
    """What a sample knows of a visitor so many days before T is what the portrait built then would have said."""
    rows = [row for row in planted.events() if row.get("scene") not in ("1129", "1017", "1030")]
    past = planted.past(rows)
    then = replace(past, as_of=planted.AS_OF - timedelta(days=days))
    told = {row["user_id"]: row for row in fields(then, [REGISTRY[name] for name in FIELDS]).to_pyarrow().to_pylist()}
    users = pa.chunked_array([sorted(past.events.user_id.to_pyarrow().unique().to_pylist())])
    as_of_us = to_us(planted.AS_OF)
    seen = Activity.read(past.events, users, as_of_us).before(days)
    orders = Orders.read(past.orders, users).before(as_of_us - days * DAY_US)
    for n, user in enumerate(users.to_pylist()):
        row = told.get(user, dict.fromkeys(FIELDS, 0))
        known = (seen.actions, seen.actions_30d, seen.views, seen.views_30d, seen.wants, orders.count, orders.total)
        expected = [row[name] for name in FIELDS[:4]] + [row["carts"] + row["favorites"], row["orders"], row["spend"]]
        assert [value[n] for value in known] == expected
    assert np.array_equal(seen.actions > 0, [bool(told.get(user, {}).get("actions")) for user in users.to_pylist()])
