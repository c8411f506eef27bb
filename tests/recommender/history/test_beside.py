"""What stands beside the interactions, read from a lake: who met whom, what was earned, what was shown; and of a past
moment nothing that came after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from portraits.engine import connect
from portraits.history import EVENTS, ITEMS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.history.beside import MOST_IN_GROUP
from recommender.history.dataset import Beside, Dataset
from recommender.history.reading import EPOCH, History

START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=60)
CUT = START + timedelta(days=30)
SETTINGS = AppSettings("shop", objective="margin")


def event(user: str, kind: str, item: str | None, day: float, **more: Any) -> dict[str, Any]:
    ts = START + timedelta(days=day)
    told = "-".join(f"{value}" for value in (user, kind, item, day, *more.values()))
    return {"event_id": told, "user_id": user, "ts": ts, "type": kind, "item_id": item, **more}


def slate(user: str, day: float, decision: str | None, clicked: str | None = None) -> list[dict[str, Any]]:
    """Three items in a row, and perhaps a click on one of them a minute later."""
    shown = [
        event(user, "exposure", item, day, position=place, decision_id=decision)
        for place, item in enumerate(("tea", "cup", "pot"), start=1)
    ]
    return shown + ([event(user, "click", clicked, day + 1 / 1_440, decision_id=decision)] if clicked else [])


PAST = [
    event("ann", "purchase", "tea", 1, amount=500),
    event("bob", "share_open", "tea", 2, referrer_user_id="ann"),
    event("bob", "share_open", "pot", 3, referrer_user_id="ann"),
    event("bob", "share_open", "pot", 3.5, referrer_user_id="bob"),
    event("bob", "purchase", "pot", 4, amount=1_800, quantity=2),
    event("cid", "group_open", "pot", 5, group_id="g1"),
    event("dan", "group_join", "pot", 6, group_id="g1"),
    event("eve", "group_success", "pot", 7, group_id="g1"),
    event("eve", "item_view", "cup", 8, referrer_user_id="nobody"),
    *(event(f"fan{number:02d}", "group_join", "cup", 9, group_id="crowd") for number in range(MOST_IN_GROUP + 1)),
    *slate("ann", 20, "d1", clicked="cup"),
    *slate("ann", 21, "d2"),
    *slate("bob", 22, None, clicked="tea"),
    *slate("eve", 1.5, "d3", clicked="tea"),
]
FUTURE = [
    event("eve", "share_open", "tea", 40, referrer_user_id="ann"),
    event("eve", "group_join", "pot", 41, group_id="g1"),
    event("bob", "purchase", "cup", 42, amount=9_900),
    *slate("bob", 43, "d4", clicked="pot"),
    event("ann", "click", "tea", 44, decision_id="d2"),
]


def history(folder: Path, events: list[dict[str, Any]]) -> History:
    lake = Lake(folder)
    lake.append_events("shop", pa.Table.from_pylist(events, EVENTS.arrow_schema()))
    items = [{"item_id": "tea", "price": 600, "cost": 450}, {"item_id": "never"}]
    lake.upsert("shop", "items", pa.Table.from_pylist(items, ITEMS.arrow_schema()), START)
    return History(lake.snapshot("shop"), SETTINGS, AS_OF, connect())


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return history(tmp_path_factory.mktemp("past"), PAST).dataset()


def pairs(dataset: Dataset) -> dict[tuple[str, str], float]:
    links = dataset.friends
    if links is None:
        return {}
    names = [user.decode() for user in dataset.users]
    found = links.tocoo()
    return {(names[a], names[b]): float(times) for a, b, times in zip(found.row, found.col, found.data, strict=True)}


def test_friends_met_by_shares_and_groups(past: Dataset) -> None:
    """ann and bob twice, cid and dan in a group; not oneself, not a stranger, not by what merely happened to one, and
    not the many of a crowd."""
    assert pairs(past) == {
        ("ann", "bob"): 2.0,
        ("bob", "ann"): 2.0,
        ("cid", "dan"): 1.0,
        ("dan", "cid"): 1.0,
    }


def test_worth_is_the_margin(past: Dataset) -> None:
    """tea: 600 - 450, a share of 1/4. pot: 1,800 for a line. The others: the median of the two."""
    assert past.worth is not None
    told = dict(zip((item.decode() for item in past.items), past.worth.tolist(), strict=True))
    assert told == {"tea": 150, "pot": 1_800 / 4, "cup": 300, "never": 300}


def test_what_was_shown_and_passed_over(past: Dataset) -> None:
    """ann looked at the second place twice and opened it once; eve's shelf of the first day is not of late."""
    shown = past.exposures
    assert shown is not None
    row = {user.decode(): at for at, user in enumerate(past.users)}
    column = {item.decode(): at for at, item in enumerate(past.items)}
    second = shown.examined[1]
    assert shown.looked[row["ann"], column["cup"]] == pytest.approx(2 * second)
    assert shown.passed[row["ann"], column["cup"]] == pytest.approx(1 * second)
    assert shown.passed[row["bob"], column["tea"]] == 0
    assert shown.passed[row["bob"], column["pot"]] == pytest.approx(shown.examined[2])
    assert not shown.looked[row["eve"]].nnz
    assert np.isnan(shown.appeal[column["never"]])
    assert shown.appeal[column["tea"]] > shown.appeal[column["pot"]]


def test_looks_from_one_moment_to_another(tmp_path: Path) -> None:
    """Two slates of ann's and one of bob's, with the clicks that came before the end; eve's is of an earlier day."""
    whole = history(tmp_path, PAST + FUTURE)
    dataset = whole.dataset()
    since, until = ((START + timedelta(days=day) - EPOCH) // timedelta(microseconds=1) for day in (2, 30))
    looks = whole.looks(dataset, since, until)
    names = [
        (dataset.users[user].decode(), dataset.items[item].decode()) for user, item in zip(*looks[:2], strict=True)
    ]
    told = sorted(zip(names, looks.place.tolist(), looks.opened.tolist(), strict=True))
    assert told == [
        (("ann", "cup"), 1, False),
        (("ann", "cup"), 1, True),
        (("ann", "pot"), 2, False),
        (("ann", "pot"), 2, False),
        (("ann", "tea"), 0, False),
        (("ann", "tea"), 0, False),
        (("bob", "cup"), 1, False),
        (("bob", "pot"), 2, False),
        (("bob", "tea"), 0, True),
    ]
    assert not len(whole.looks(replace(dataset, time_kind="order"), since, until).user)


@pytest.mark.parametrize("clicked_in", ["d1", None, "d2"])
def test_a_click_opens_what_its_decision_showed_or_the_last_where_it_names_none(
    clicked_in: str | None, tmp_path: Path
) -> None:
    shown = slate("ann", 20, "d1") + slate("ann", 20.1, "d2")
    click = event("ann", "click", "cup", 20.2, decision_id=clicked_in)
    whole = history(tmp_path, [*shown, click, event("bob", "purchase", "tea", 25, amount=1)])
    dataset = whole.dataset()
    looks = whole.looks(dataset, 0, dataset.until_us)
    assert looks.opened.sum() == 1
    (item,) = looks.item[looks.opened]
    assert dataset.items[item] == b"cup"
    late_first = np.flatnonzero(looks.item == item)
    assert looks.opened[late_first].tolist() == ([False, True] if clicked_in == "d1" else [True, False])


@pytest.mark.law
def test_of_a_past_moment_nothing_that_came_after_it(tmp_path: Path) -> None:
    """Friends who met, money that came and items that were shown and opened after the cut change nothing."""
    whole = history(tmp_path / "whole", PAST + FUTURE)
    dataset = whole.dataset()
    moment = (CUT - EPOCH) // timedelta(microseconds=1)
    known = whole.at(dataset, moment)
    only = history(tmp_path / "only", PAST)
    # The same row numbers: nobody and nothing is new in the future.
    assert dataset.users.tolist() == only.dataset().users.tolist()
    assert dataset.items.tolist() == only.dataset().items.tolist()
    assert same(known, only.at(dataset, moment))
    assert not same(known, Beside(*(getattr(dataset, name) for name in Beside._fields)))


def same(one: Beside, other: Beside) -> bool:
    """Whether friends, worth and exposures are equal."""
    return all(
        left is right or (left is not None and right is not None and np.array_equal(left, right, equal_nan=True))
        for left, right in zip(arrays(one), arrays(other), strict=True)
    )


def arrays(beside: Beside) -> list[Any]:
    shown = beside.exposures
    parts = [beside.friends, *((shown.looked, shown.passed) if shown else (None, None))]
    dense = [None if part is None else part.toarray() for part in parts]
    return [*dense, beside.worth, *((shown.examined, shown.appeal) if shown else (None, None))]


def test_what_sells_nothing_earns_by_visits(tmp_path: Path) -> None:
    """An ad beside an article names the article as its content: it is what a view of it earned."""
    lake = Lake(tmp_path)
    events = [event(f"u{number}", "content_view", "read" if number else "other", number) for number in range(40)]
    events += [event("u1", "ad_click", None, 2, content_id="read", revenue=400)]
    lake.append_events("shop", pa.Table.from_pylist(events, EVENTS.arrow_schema()))
    dataset = History(lake.snapshot("shop"), AppSettings("shop", objective="revenue"), AS_OF, connect()).dataset()
    assert dataset.target == ("click", "item_view", "content_view")
    assert dataset.worth is not None
    other, read = dataset.worth
    assert read == pytest.approx((400 + 20 * 10) / (39 + 20))
    assert other == pytest.approx((20 * 10) / (1 + 20))
