"""Features of visitors now and then: the same columns, nothing later than the moment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from planted_answers import at, event, lake_of

from portraits.build import build
from portraits.engine import connect
from portraits.local import DAY_US, to_us
from portraits.settings import AppSettings
from recommender.offers.features import KNOWN, cut_up, features_at, features_now

SETTINGS = AppSettings("shop", time_zone="UTC")


def test_cuts_are_where_the_moments_are_and_none_is_later_than_its_own() -> None:
    """A test of a year ago, and answers of each of the last days."""
    days = np.array([0] * 90 + list(range(365, 395)))
    found = cut_up(days * DAY_US)
    assert [cut // DAY_US for cut, _ in found] == [0, 365, 372, 380]
    assert [np.unique(days[rows]).tolist() for _, rows in found][1:3] == [[*range(365, 372)], [*range(372, 380)]]
    assert len(cut_up(np.arange(1_000) * DAY_US)) == 4
    assert [len(rows) for _, rows in cut_up(np.array([7, 7, 9]))] == [3]
    assert cut_up(np.empty(0, np.int64)) == []


EVENTS = [
    *(event("ann", "purchase", "tea", 5 + 24 * day, amount=100 + day, order_id=f"o{day}") for day in range(6)),
    *(event("bob", "item_view", "tea", hours) for hours in (1, 30, 150)),
    event("refuses", "purchase", "tea", 5, amount=1),
]
USERS = [
    {"user_id": "ann", "attributes": json.dumps({"age": 30}), "member_tier": "gold"},
    {"user_id": "new", "attributes": json.dumps({"age": 50}), "member_tier": "basic"},
    {"user_id": "refuses", "attributes": json.dumps({"age": 70}), "consent": False},
]


def test_now_and_then_are_the_same_columns_and_values(tmp_path: Path) -> None:
    """Portraits as of the fourth day, and features at that moment asked for on the ninth day."""
    offers = [{"offer_id": "big", "kind": "cash", "value": 9, "minimum": 102, "items": ["tea"]}]
    snapshot, con = lake_of(tmp_path / "lake", EVENTS, [], users=USERS, offers=offers), connect()
    build(snapshot, SETTINGS, at(96), tmp_path / "out", con)
    ids, now, names = features_now(tmp_path / "out", snapshot, con)
    assert ids == ["ann", "bob", "new"], "who only declared something is there, who refuses is not"
    then, same = features_at(snapshot, SETTINGS, at(216), con, user_ids=pa.array(ids), at_us=np.full(3, to_us(at(96))))
    fits = ("bought in big", "looked in big", "orders from 102")
    assert same == names == (*(one.name for one in KNOWN), "age", "member_tier=gold", *fits)
    np.testing.assert_array_equal(now, then)
    assert now.dtype == then.dtype == np.float32
    column = {name: now[:, place] for place, name in enumerate(names)}
    assert column["orders"][:2].tolist() == [4, 0]
    assert column["first_order"][0] == pytest.approx(4 - 5 / 24)
    assert column["age"].tolist()[::2] == [30, 50]
    assert column["orders from 102"][0] == 2 / 4
    assert np.isnan(now[2, : len(KNOWN)]).all()
    ids, alone, names = features_now(tmp_path / "out")
    assert (ids, names) == (["ann", "bob"], tuple(one.name for one in KNOWN))
    np.testing.assert_array_equal(alone, now[:2, : len(KNOWN)])


def test_nothing_later_than_the_cut_is_known(tmp_path: Path) -> None:
    """The same history, with and without what comes after the first cut."""
    early = [one for one in EVENTS if one["ts"] < at(30)]
    ids, moments = ["ann", "bob", "nobody", "ann"], np.array([to_us(at(hours)) for hours in (30, 31, 31, 200)])
    told = []
    for root, events, count in (("early", early, 3), ("all", EVENTS, 4)):
        snapshot = lake_of(tmp_path / root, events, [], users=USERS)
        asked = {"user_ids": pa.array(ids[:count]), "at_us": moments[:count]}
        told.append(features_at(snapshot, SETTINGS, at(216), connect(), **asked)[0])
    np.testing.assert_array_equal(told[0], told[1][:3])
    orders = [one.name for one in KNOWN].index("orders")
    assert told[1][[0, 1, 3], orders].tolist() == [2, 0, 6]
    assert np.isnan(told[1][2]).all()
