from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import planted_history as planted
import pytest

from portraits.build import fields
from portraits.features import REGISTRY
from portraits.grains.sharing import GENERATIONS

WANTED = [field for field in REGISTRY.values() if field.family == "social" or field.name == "shares"]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def portraits(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The social family of everybody."""
    found = fields(planted.past(planted.numbered(rows, "e"), user_rows=[]), WANTED).to_pyarrow().to_pylist()
    return {row["user_id"]: row for row in found}


def came(user: str, after: timedelta, by: str | None = None) -> dict[str, Any]:
    return {"user_id": user, "ts": planted.START + after, "type": "launch", "referrer_user_id": by}


def paid(user: str, after: timedelta, amount: int = 500) -> dict[str, Any]:
    return {"user_id": user, "ts": planted.START + after, "type": "purchase", "item_id": "i00", "amount": amount}


def test_a_friend_is_brought_once_by_the_first() -> None:
    found = portraits(
        [came("ann", -DAY), came("bob", -DAY), came("cat", HOUR, "bob"), came("cat", HOUR + MINUTE, "ann")]
    )
    assert found["cat"]["brought_by"] == "bob"
    assert (found["bob"]["friends_brought"], found["ann"]["friends_brought"]) == (1, 0)
    assert (found["bob"]["friends_reached"], found["ann"]["friends_reached"]) == (1, 1)


def test_who_was_there_before_is_reached_but_not_brought() -> None:
    found = portraits([came("ann", -DAY), came("bob", -DAY), came("bob", HOUR, "ann")])
    assert (found["ann"]["friends_reached"], found["ann"]["friends_brought"]) == (1, 0)
    assert found["bob"]["brought_by"] is None


def test_own_clicks_and_strangers_do_not_count() -> None:
    found = portraits([came("ann", MINUTE, "ann"), came("bob", MINUTE, "nobody")])
    assert {row["friends_reached"] for row in found.values()} == {0}
    assert {row["brought_by"] for row in found.values()} == {None}


def test_of_two_who_bring_each_other_only_the_first_counts() -> None:
    turns = [came(*pair) for n in range(6) for pair in (("ann", n * DAY, "bob"), ("bob", n * DAY + HOUR, "ann"))]
    found = portraits([came("ann", -DAY), came("bob", -DAY), *turns])
    assert (found["bob"]["friends_reached"], found["ann"]["friends_reached"]) == (1, 0)


def test_depth_is_followed_for_eight_steps() -> None:
    found = portraits([came(f"v{n:02d}", n * DAY, f"v{n - 1:02d}" if n else None) for n in range(12)])
    for n in range(12):
        person = found[f"v{n:02d}"]
        assert person["brought_depth"] == min(n, GENERATIONS)
        assert person["tree_depth"] == person["tree_size"] == min(11 - n, GENERATIONS)


def test_friends_pay_within_a_day() -> None:
    late = {"at once": timedelta(0), "in time": DAY - timedelta(microseconds=1), "late": DAY, "before": -MINUTE}
    rows = [came("ann", -9 * DAY)]
    for friend, later in late.items():
        rows += [came(friend, -9 * DAY), came(friend, HOUR, "ann"), paid(friend, HOUR + later)]
    found = portraits(rows)["ann"]
    assert (found["friends_reached"], found["paying_friends"], found["friends_spend"]) == (4, 2, 2 * 500)


def test_a_purchase_belongs_to_the_last_share() -> None:
    found = portraits(
        [
            *(came(user, -DAY) for user in ("ann", "bob", "cat")),
            came("cat", HOUR, "ann"),
            came("cat", 2 * HOUR, "bob"),
            paid("cat", 3 * HOUR),
        ]
    )
    assert (found["ann"]["paying_friends"], found["bob"]["paying_friends"]) == (0, 1)


def test_many_friends_prove_more_than_one() -> None:
    """One friend of one who paid scores less than seven of ten."""
    rows = [came("few", -DAY), came("many", -DAY), came("a", HOUR, "few"), paid("a", HOUR)]
    for n in range(10):
        rows += [came(f"b{n}", HOUR, "many"), *([paid(f"b{n}", HOUR)] if n < 7 else [])]
    found = portraits(rows)
    assert found["few"]["friends_paid_share"] == 1
    assert found["few"]["friends_paid_low"] == pytest.approx(0.2065, abs=1e-4)  # Wilson's interval of 1 of 1
    assert found["many"]["friends_paid_low"] == pytest.approx(0.3968, abs=1e-4)  # and of 7 of 10
    assert found["many"]["friends_paid_high"] == pytest.approx(0.8922, abs=1e-4)
    assert found["many"]["sharer_score"] > found["few"]["sharer_score"]


def test_nobody_shared() -> None:
    found = portraits([came("ann", DAY), paid("ann", DAY)])["ann"]
    assert (found["friends_reached"], found["tree_size"], found["sharer_score"]) == (0, 0, 0.0)
    assert found["friends_paid_low"] is None


def test_no_ring_survives() -> None:
    """Thirty small worlds in which people bring each other at random: everybody has one parent at most, who was there
    before, and what stands above people stands below others."""
    rng = random.Random(3)
    shares = []
    for world in range(30):
        for _ in range(rng.randint(1, 14)):
            friend, sharer = (f"{world}-{rng.randint(0, 5)}" for _ in range(2))
            shares.append((friend, sharer, rng.randint(0, 90)))
    found = portraits([came(friend, minutes * MINUTE, sharer) for friend, sharer, minutes in shares])
    parents = {user: row["brought_by"] for user, row in found.items() if row["brought_by"]}
    first = {user: min(m for friend, _, m in shares if friend == user) for user in found}
    assert len(parents) > 10
    assert all(first[parent] < first[user] for user, parent in parents.items())
    children = list(parents.values())
    assert {user: row["friends_brought"] for user, row in found.items()} == {u: children.count(u) for u in found}
    assert sum(row["tree_size"] for row in found.values()) == sum(row["brought_depth"] for row in found.values())
