"""The sample shop's answer to what is shown: the law of rewards, the oracle, the effect of offers, what nobody sees."""

from __future__ import annotations

import copy
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from portraits.checking import Rejection, check
from portraits.errors import InvalidValue, UnknownName
from portraits.history import TABLES
from portraits.sample import World, history, records
from portraits.sample.plan import END
from portraits.sample.response import REWARDS

SEED, N = 5, 60_000
SLATE = 8


@pytest.fixture(scope="module")
def opened() -> World:
    return World(SEED, N)


@pytest.fixture
def world(opened: World) -> World:
    """The shop at the end of its history; each test has its own."""
    return copy.deepcopy(opened)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The catalogue of the same shop, as a merchant would have it."""
    folder = tmp_path_factory.mktemp("world")
    history(SEED, N, folder)
    return pq.read_table(folder / "items.parquet")


def shown(visitors: pa.Table, slates: list[list[str]], day: int = 0) -> list[dict[str, Any]]:
    """Answers that show each visit its slate."""
    return [
        {
            "decision_id": f"D{day}-{row}",
            "user_id": visit["user_id"],
            "ts": visit["ts"],
            "item_id": item,
            "position": at,
        }
        for row, (visit, slate) in enumerate(zip(visitors.to_pylist(), slates, strict=True))
        for at, item in enumerate(slate, start=1)
    ]


def counts(events: pa.Table) -> Counter[str]:
    return Counter(events.column("type").to_pylist())


def test_the_world_goes_on_where_the_history_ends(world: World, tmp_path: Path) -> None:
    """Same visitors, same items, event ids that follow those of the files, and time from `end` on."""
    history(SEED, N, tmp_path)
    written = pq.read_table(tmp_path / "events" / "part-0000.parquet", columns=["event_id", "session_id"])
    assert world.now == END
    events = world.day()
    assert world.now == END + timedelta(days=1)
    assert pc.min(events.column("event_id")).as_py() > pc.max(written.column("event_id")).as_py()
    assert pc.min(events.column("session_id")).as_py() > pc.max(written.column("session_id")).as_py()
    assert pc.min(events.column("ts")).as_py() >= END


def test_a_day_is_ready_for_http(world: World, items: pa.Table) -> None:
    visitors = world.visitors()
    some = items.column("item_id").to_pylist()[:SLATE]
    events = world.day(shown(visitors, [some] * len(visitors)))
    assert events.schema.names == TABLES["events"].arrow_schema().names
    refused = [row for row in records(events) if isinstance(check(TABLES["events"], row), Rejection)]
    assert refused == []


def test_visitors_are_those_who_come(world: World) -> None:
    visitors = world.visitors()
    assert visitors.equals(world.visitors())
    events = world.day()
    launches = events.filter(pc.and_(pc.equal(events["type"], "launch"), pc.is_valid(events["session_id"])))
    assert sorted(launches["user_id"].to_pylist()) == sorted(visitors["user_id"].to_pylist())


def test_same_answers_same_events(world: World, items: pa.Table) -> None:
    twin = copy.deepcopy(world)
    slate = items.column("item_id").to_pylist()[:SLATE]
    for day in range(2):
        visitors = world.visitors()
        answers = shown(visitors, [slate] * len(visitors), day)
        assert world.day(answers).equals(twin.day(pa.Table.from_pylist(answers)))


def test_an_answer_for_someone_who_does_not_come_is_not_seen(world: World, items: pa.Table) -> None:
    here = set(world.visitors()["user_id"].to_pylist())
    absent = next(user for user in (f"u{code:08d}" for code in range(2_400)) if user not in here)
    item = items.column("item_id")[0].as_py()
    events = world.day([{"decision_id": "D", "user_id": absent, "item_id": item, "position": 1, "ts": END}])
    assert counts(events)["exposure"] == 0
    assert absent not in events["user_id"].to_pylist()


def test_exposures_clicks_and_purchases_name_their_decision(world: World) -> None:
    visitors = world.visitors()
    best, _ = world.best(visitors["user_id"].to_pylist(), SLATE)
    answers = shown(visitors, best)
    events = world.day(answers).to_pylist()
    known = {(row["decision_id"], row["item_id"], row["position"]) for row in answers}
    told = [event for event in events if event["decision_id"] is not None]
    assert {event["type"] for event in told} == {"exposure", "click", "item_view", "purchase"}
    assert {(event["decision_id"], event["item_id"], event["position"]) for event in told} <= known
    assert sum(event["type"] == "exposure" for event in told) == len(answers)


@pytest.mark.parametrize(("kind", "event"), [("clicks", "click"), ("purchases", "purchase")])
def test_rewards_are_what_happens_on_average(world: World, kind: str, event: str) -> None:
    """Over four days of the oracle's slates, the count is within four standard deviations of the sum of chances."""
    happened, expected = 0, 0.0
    for day in range(4):
        visitors = world.visitors()
        users = visitors["user_id"].to_pylist()
        first = [row for row, user in enumerate(users) if user not in users[:row]]
        visitors, users = visitors.take(first), [users[row] for row in first]
        best, gains = world.best(users, SLATE, kind)
        expected += float(world.slate_reward(gains).sum())
        events = world.day(shown(visitors, best, day))
        happened += pc.sum(pc.and_(pc.equal(events["type"], event), pc.is_valid(events["decision_id"]))).as_py()
    assert expected > 50
    assert abs(happened - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize("kind", REWARDS)
def test_best_is_the_top_of_the_rewards(world: World, items: pa.Table, kind: str) -> None:
    users, ids = world.visitors()["user_id"].to_pylist()[:5], items.column("item_id").to_pylist()
    best, gains = world.best(users, SLATE, kind)
    rewards = world.reward(users, ids, kind)
    np.testing.assert_allclose(gains, -np.sort(-rewards, axis=1)[:, :SLATE])
    for row, slate in enumerate(best):
        np.testing.assert_allclose(rewards[row, [ids.index(item) for item in slate]], gains[row])


def test_what_cannot_be_had_brings_nothing(world: World, items: pa.Table) -> None:
    users = world.visitors()["user_id"].to_pylist()[:20]
    gone = items.filter(pc.or_(items["hidden"], pc.equal(items["stock"], 0)))["item_id"].to_pylist()
    assert gone
    tomorrow_back = world.reward(users, gone, "clicks").max(axis=0) > 0  # stock may return on the first new day
    assert tomorrow_back.mean() < 0.2


def test_better_policies_earn_more(opened: World, items: pa.Table) -> None:
    """Closed loop over three days: the oracle's slates sell more than popular ones, those more than random ones."""
    rng = np.random.default_rng(0)
    ids = items.column("item_id").to_pylist()
    average = opened.reward(opened.visitors()["user_id"].to_pylist(), ids).mean(axis=0)
    popular = [ids[code] for code in np.argsort(-average)[:SLATE]]
    sold = {}
    for policy in ("oracle", "popular", "random"):
        world, sold[policy] = copy.deepcopy(opened), 0
        for day in range(3):
            visitors = world.visitors()
            slates = {
                "oracle": lambda w=world, v=visitors: w.best(v["user_id"].to_pylist(), SLATE)[0],
                "popular": lambda v=visitors: [popular] * len(v),
                "random": lambda v=visitors: [list(rng.choice(ids, SLATE, replace=False)) for _ in range(len(v))],
            }[policy]()
            sold[policy] += counts(world.day(shown(visitors, slates, day)))["purchase"]
    assert sold["oracle"] > sold["popular"] > sold["random"]


def test_a_need_that_is_due_is_the_best_to_show_until_it_is_met(world: World) -> None:
    """Somebody's due item has a reward of 0.9 x 0.8; bought from the shelf, it is not due and tires."""
    visitors = world.visitors()
    users = visitors["user_id"].to_pylist()
    best, gains = world.best(users, 1)
    due = np.flatnonzero(np.isclose(gains[:, 0], 0.9 * 0.8))
    assert len(due) > 5
    events = world.day(shown(visitors, best))
    bought = {
        (e["user_id"], e["item_id"])
        for e in events.to_pylist()
        if e["type"] == "purchase" and e["position"] is not None
    }
    row = next(row for row in due if (users[row], best[row][0]) in bought)
    assert world.reward([users[row]], best[row])[0, 0] < 0.1


def test_offers_change_as_many_decisions_as_the_truth_says(opened: World) -> None:
    """The same days with and without a coupon for everyone: visits that buy differ by the sum of planted effects."""
    with_, without, effect = copy.deepcopy(opened), copy.deepcopy(opened), 0.0
    extra = 0
    for day in range(3):
        visitors = with_.visitors()
        rows = [
            {"decision_id": f"D{day}-{k}", "offer_id": "offer-8", "position": 1, "user_id": v["user_id"], "ts": v["ts"]}
            for k, v in enumerate(visitors.to_pylist())
        ]
        p_without, p_with = with_.uplift(visitors["user_id"].to_pylist(), ["offer-8"])
        effect += float((p_with - p_without).sum())
        extra += counts(with_.day(rows))["purchase"] - counts(without.day())["purchase"]
    assert effect > 5
    assert 0.3 * effect < extra < 3 * effect  # purchases are lines (1.2 a visit), and worlds drift apart a little


def test_a_coupon_is_redeemed_once(world: World) -> None:
    redeemed: Counter[tuple[str, str]] = Counter()
    for day in range(6):
        rows = [
            {"decision_id": f"D{day}-{k}", "offer_id": "offer-6", "position": 1, "user_id": v["user_id"], "ts": v["ts"]}
            for k, v in enumerate(world.visitors().to_pylist())
        ]
        for event in world.day(rows).to_pylist():
            if event["type"] == "offer_redeem":
                redeemed[event["user_id"], event["offer_id"]] += 1
    assert len(redeemed) > 10
    assert max(redeemed.values()) == 1


def test_members_coupons_are_for_members(world: World) -> None:
    users = world.visitors()["user_id"].to_pylist()
    without, with_ = world.uplift(users, ["offer-5", "offer-8"])
    assert 0.3 < (without[:, 0] == with_[:, 0]).mean() < 0.9
    assert (without[:, 1] == with_[:, 1]).mean() < 0.3  # only those who have redeemed it before


def test_media_earns_by_ads_beside_what_is_opened() -> None:
    world = World(1, 20_000, variant="media")
    visitors = world.visitors()
    best, gains = world.best(visitors["user_id"].to_pylist(), SLATE, "revenue")
    assert gains.min() > 0
    quiet = copy.deepcopy(world)
    revenue = pc.sum(world.day(shown(visitors, best))["revenue"]).as_py()
    assert revenue > pc.sum(quiet.day()["revenue"]).as_py()


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"user_id": "nobody", "item_id": None}, InvalidValue),
        ({"user_id": "u99999999", "item_id": None}, InvalidValue),
        ({"user_id": "u00000001", "item_id": "i99999999"}, UnknownName),
        ({"user_id": "u00000001", "offer_id": "offer-99"}, UnknownName),
    ],
)
def test_answers_about_strangers_are_refused(world: World, row: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        world.day([{"decision_id": "D", "position": 1, "ts": END, **row}])


def test_unknown_reward_is_refused(world: World) -> None:
    with pytest.raises(UnknownName):
        world.reward(["u00000001"], [], "fame")
