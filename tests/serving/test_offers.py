"""POST /v1/offers: who is given what, what is kept of it, and when there is rightly nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from planted_offers import CASH, GAIN, OfferShop, given, open_offer_shop

from serving.publish import publish
from serving.stores.books import Book


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfferShop]:
    with open_offer_shop(tmp_path_factory.mktemp("home")) as shop:
        yield shop


@pytest.fixture
def shop(opened: OfferShop) -> OfferShop:
    opened.fresh()
    return opened


def test_each_gets_what_is_worth_most_to_them(shop: OfferShop) -> None:
    assert given(shop.ask(user_id="ann", n=2)) == ["big", "tea"]
    assert given(shop.ask(user_id="bob", n=2)) == ["small", "tea"]


def test_nothing_is_given_to_whom_nothing_is_worth_it(shop: OfferShop) -> None:
    answer = shop.ask(user_id="somebody")
    assert (answer["offers"], answer["none_because"]) == ([], "not_worth_it")


def test_whom_a_claim_is_told_to_be_for_is_what_was_promised(shop: OfferShop) -> None:
    """Whatever the offer became for since: a redemption goes by the promise, too."""
    shop.claim("big", "kim")
    shop.offer("big", categories=["tea"])
    assert shop.ask(user_id="kim", n=1, lang="en")["offers"][0]["reason"]["text"] == "yours: ¥1 off"
    shop.offer("small", items=["cup"])
    shop.claim("small", "lee")
    shop.offer("small", items=None, categories=["tea"])
    assert "tea" not in shop.ask(user_id="lee", n=1, lang="en")["offers"][0]["reason"]["text"]
    shop.claim("big", "kim", "return")
    shop.claim("small", "lee", "return")


def test_an_offer_says_what_to_do(shop: OfferShop) -> None:
    answer = shop.ask(user_id="ann", n=1, lang="en")
    (one,) = answer["offers"]
    assert "none_because" not in answer
    assert one["reason"] == {"code": "for_everyone", "text": "¥1 off", "evidence": {}}
    body = {"user_id": "ann", "offer_id": "big", "decision_id": answer["decision_id"]}
    assert one["action"] == {"do": "claim", "path": "/v1/offers/claim", "body": body}
    shop.ask(one["action"]["path"].removeprefix("/v1"), request_id="as said", **one["action"]["body"])
    (mine, *_) = shop.ask(user_id="ann", n=3)["offers"]
    assert (mine["offer_id"], mine["reason"]["code"], mine["action"]["do"]) == ("big", "yours", "redeem")
    assert mine["reason"]["text"] == "yours: ¥1 off"
    order = {"request_id": "as said, too", "order_id": "o1", "amount": 900}
    shop.ask(mine["action"]["path"].removeprefix("/v1"), **mine["action"]["body"], **order)
    assert shop.ask(user_id="ann", n=1)["offers"][0]["action"]["do"] == "claim"


def test_what_was_claimed_is_told_as_it_was_promised(shop: OfferShop) -> None:
    """Whatever became of the offer; and a phone is told to show it, as it may not use it."""
    shop.offer("big", minimum=500)
    made = shop.claim("big", "kim")
    shop.offer("big", value=900, minimum=10, per_user_limit=1)
    (mine, *_) = shop.ask(user_id="kim", lang="en")["offers"]
    assert (mine["title"], mine["value"], mine["minimum"]) == ("Big", 100, 500)
    assert mine["reason"]["text"] == "yours: ¥1 off, on orders from ¥5"
    body = {"user_id": "kim", "offer_id": "big", "claim_id": made["claim_id"]}
    assert mine["action"] == {"do": "redeem", "path": "/v1/offers/redeem", "body": body}
    token = shop.ask("/token", user_id="kim")["token"]
    told = shop.client.post("/v1/offers", json={}, headers={"authorization": f"Bearer {token}"}).json()
    assert told["offers"][0]["action"] == {"do": "show", "claim_id": made["claim_id"]}
    shop.offer("big", kind="no longer known")
    assert shop.ask(user_id="kim")["offers"][0]["value"] == 100
    shop.claim("big", "kim", "return")
    shop.offer("big", **CASH, minimum=None)


def test_what_was_chosen_is_kept_with_its_chances(shop: OfferShop) -> None:
    shop.settle(offer_exploration=0.4)
    answer = shop.ask(user_id="bob", n=3, placement="home")
    row = shop.rows()[answer["decision_id"]]
    assert (row["policy"], row["arm"], row["placement"], row["degraded"]) == ("offers", "treated", "home", False)
    *entries, none = row["candidates"]
    assert none == {"source": "none", "propensity": 0.1, "could": ["big", "small", "tea"]}
    assert [one["offer_id"] for one in entries] == given(answer)
    assert [one["position"] for one in entries] == [*range(1, len(entries) + 1)]
    chances = {"small": 0.7, "big": 0.1, "tea": 0.1}
    worth = {"small": 800.0, "big": 0.0, "tea": 200.0}
    for one in entries:
        assert (one["propensity"], one["score"]) == (chances[one["offer_id"]], worth[one["offer_id"]])
    assert all(one["source"] in ("learned", "explored") for one in entries)


def test_who_is_held_out_is_chosen_for_and_shown_nothing(shop: OfferShop) -> None:
    """The answer is in the words of any other that gives nothing."""
    shop.settle(offer_control_share=0.5)
    out, other = shop.held_out()
    shop.plan([*GAIN[:2], [300, 200, 100]])
    shown, ghost = shop.ask(user_id=other, n=2), shop.ask(user_id=out, n=2)
    assert given(shown) == ["big", "small"]
    assert (ghost["offers"], ghost["none_because"]) == ([], "not_worth_it")
    kept = shop.rows()
    assert kept[ghost["decision_id"]]["candidates"] == kept[shown["decision_id"]]["candidates"]
    assert [kept[one["decision_id"]]["arm"] for one in (ghost, shown)] == ["control", "treated"]


def test_the_books_hold_for_everyone_at_once(shop: OfferShop) -> None:
    """Law 8: after the claim that took the last of it, nobody is shown it any more."""
    spent = shop.context.store.offer_books("shop").get("big", Book()).spent
    shop.offer("big", budget=spent + 150)
    assert given(shop.ask(user_id="ann", n=1)) == ["big"]
    made = shop.claim("big", "carl")
    assert given(shop.ask(user_id="ann", n=1)) == ["tea"]
    shop.claim("big", "carl", "return", claim_id=made["claim_id"])
    assert given(shop.ask(user_id="ann", n=1)) == ["big"]


def test_far_ahead_of_its_course_an_offer_waits_for_whom_no_price_decides(shop: OfferShop) -> None:
    """A quarter of a week's budget went in its first hour: dearer for whom the night knows its worth, and nothing for
    whom the rule alone would decide, be it that nothing personal may be used or that there is no plan."""
    shop.claim("big", "carl")
    spent, now = shop.context.store.offer_books("shop")["big"].spent, datetime.now(UTC)
    shop.offer("big", starts=(now - timedelta(hours=1)).isoformat(), ends=(now + timedelta(days=7)).isoformat())
    shop.offer("big", budget=100 * spent)
    assert given(shop.ask(user_id="ann", n=1, personalized=False)) == ["big"], "it ends first"
    shop.offer("big", budget=4 * spent)
    assert given(shop.ask(user_id="ann", n=1)) == ["big"]
    assert "big" not in given(shop.ask(user_id="ann", personalized=False))
    shop.offer("big", starts=None, ends=None, budget=None)


def test_a_limit_counts_under_every_linked_id(shop: OfferShop) -> None:
    """Law 6 and law 8: claimed and used under one id, gone under the other with the next answer."""
    shop.offer("small", per_user_limit=1)
    shop.ask("/identities", identities=[{"link_id": "b", "user_id": "bob", "anonymous_id": "bobs-phone"}])
    assert given(shop.ask(user_id="bobs-phone", n=1)) == ["small"], "the night knows bob"
    shop.claim("small", "bobs-phone")
    assert shop.ask(user_id="bob", n=1)["offers"][0]["action"]["do"] == "redeem"
    shop.claim("small", "bob", "redeem", order_id="o2", amount=900)
    assert "small" not in given(shop.ask(user_id="bob"))
    answer = shop.ask(user_id="bobs-phone")
    assert "small" not in given(answer)
    assert shop.rows()[answer["decision_id"]]["candidates"][-1]["could"] == ["big", "tea"]
    shop.ask("/identities", identities=[{"link_id": "b", "anonymous_id": None}])


def test_whoever_has_seen_enough_today_sees_no_more(shop: OfferShop) -> None:
    shop.settle(offers_per_day=3)
    assert len(shop.ask(user_id="dora")["offers"]) == 0
    shop.seen("ann", times=2)
    assert given(shop.ask(user_id="ann")) == ["big"], "one more is left"
    shop.seen("ann")
    answer = shop.ask(user_id="ann")
    assert (answer["offers"], answer["none_because"]) == ([], "seen_enough")


def test_who_is_held_out_tires_as_others_do(shop: OfferShop) -> None:
    """What would have been shown counts as seen, with the next answer; not where the app tells of nobody's looks."""
    shop.settle(offer_control_share=0.5, offers_per_day=3)
    out, other = shop.held_out()
    shop.plan([*GAIN[:2], [300, 200, 100]])
    kept = []
    for _ in range(3):
        shop.seen(other, times=len(given(shop.ask(user_id=other, n=2))))
        kept.append(shop.ask(user_id=out, n=2)["decision_id"])
        shop.rows()
    told = shop.ask(user_id=out, n=2)
    assert told["none_because"] == shop.ask(user_id=other, n=2)["none_because"] == "seen_enough"
    rows = shop.rows()
    assert [len(rows[one]["candidates"]) - 1 for one in kept] == [2, 1, 0]
    assert rows[told["decision_id"]]["candidates"][-1]["propensity"] == 1.0
    shop.plan([*GAIN[:2], [300, 200, 100]], exposures_told=False)
    again = [shop.ask(user_id=out, n=2)["decision_id"] for _ in range(3) if shop.rows()]
    rows = shop.rows()
    assert [len(rows[one]["candidates"]) - 1 for one in again] == [2, 2, 2]


def test_the_night_s_count_and_the_day_s_make_a_week(shop: OfferShop) -> None:
    """Six days ago counts, seven days ago does not."""
    shop.settle(offers_per_week=6)
    shop.plan(GAIN, seen={0: [0, 1, 0, 0, 0, 0, 2], 1: [1, 0, 0, 0, 0, 0, 5]})
    shop.seen("ann", times=2)
    assert len(given(shop.ask(user_id="ann"))) == 1
    shop.seen("ann", ts=datetime.now(UTC) + timedelta(hours=1))
    assert shop.ask(user_id="ann")["none_because"] == "seen_enough"
    assert shop.ask(user_id="bob")["none_because"] == "seen_enough"


def test_without_a_plan_offers_go_by_their_rules(shop: OfferShop) -> None:
    """Those that end first come first; nothing is known of anybody, and exposures of a week are counted."""
    shop.offer("tea", ends="2100-01-01T00:00:00Z")
    bare = shop.home / "without-plan"
    bare.mkdir(exist_ok=True)
    as_of = datetime.now(UTC) - timedelta(days=3)
    publish(shop.context.settings, shop.context.store, "shop", as_of=as_of, portraits=bare)
    answer = shop.ask(user_id="ann")
    assert given(answer) == ["tea", "big", "small"]
    shop.seen("ann", ts=datetime.now(UTC) - timedelta(days=2))
    shop.settle(offers_per_week=1)
    row = shop.rows()[answer["decision_id"]]
    assert {one["source"] for one in row["candidates"][:-1]} == {"rule"}
    assert row["candidates"][-1] == {"source": "none", "propensity": 0.0, "could": ["big", "small", "tea"]}


def test_an_offer_of_today_is_shown_behind_what_is_known(shop: OfferShop) -> None:
    shop.offer("new", **CASH, ends="2100-01-01T00:00:00Z")
    assert given(shop.ask(user_id="ann")) == ["big", "tea", "new"]
    assert given(shop.ask(user_id="somebody")) == ["new"], "where nothing known is worth it"


@pytest.mark.law
def test_off_means_that_offers_go_by_their_rules_alone(shop: OfferShop) -> None:
    """Law 11: no portrait, no tier, no draw, no fatigue; limits hold all the same (law 8). A phone's flag is no way out
    of the holdout; who refuses is in no comparison, and not held out."""
    shop.settle(offer_control_share=0.5, offer_exploration=0.5, offers_per_day=0)
    limits = [{"offer_id": "tea", "tiers": ["gold"]}, {"offer_id": "big", "per_user_limit": 1}]
    shop.context.store.upsert("shop", "offers", limits)
    out, other = shop.held_out()
    shop.ask("/users", users=[{"user_id": one, "member_tier": "gold"} for one in ("eve", out, other)])
    answers = [shop.ask(user_id=one, personalized=False) for one in (out, other)]
    assert [given(one) for one in answers] == [[], ["big", "small"]]
    shop.ask("/personalization", user_id="eve", on=False)
    answers.append(shop.ask(user_id="eve"))
    assert given(answers[-1]) == ["big", "small"]
    shop.ask("/personalization", user_id=out, on=False)
    assert given(shop.ask(user_id=out)) == ["big", "small"]
    shop.ask("/personalization", user_id=out, on=True)
    shop.claim("big", "eve")
    shop.claim("big", "eve", "redeem", order_id="o3", amount=900)
    assert given(shop.ask(user_id="eve")) == ["small"]
    shop.ask("/personalization", user_id="eve", on=True)
    kept = shop.rows()
    assert {kept[one["decision_id"]]["arm"] for one in answers} == {None}
    assert not any("none" in one["source"] for row in answers for one in kept[row["decision_id"]]["candidates"])


@pytest.mark.fault
def test_a_broken_plan_leaves_the_rules(shop: OfferShop) -> None:
    array = shop.plan(GAIN) / "gain.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"!")
    assert given(shop.ask(user_id="ann")) == ["big", "small", "tea"]
    assert shop.context.models.broken == 1
    shop.plan(GAIN)
    assert given(shop.ask(user_id="ann", n=1)) == ["big"]
    assert shop.context.models.broken == 0


@pytest.mark.fault
def test_without_its_store_only_offers_without_limits_are_given(shop: OfferShop) -> None:
    limits = [{"offer_id": "big", "budget": 10_000}, {"offer_id": "tea", "per_user_limit": 1}]
    shop.context.store.upsert("shop", "offers", limits)
    shop.ask(user_id="ann")
    path = shop.context.settings.store_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE apps RENAME TO gone")
    try:
        answer = shop.ask(user_id="ann")
    finally:
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE gone RENAME TO apps")
    assert (answer["degraded"], given(answer)) == (True, ["small"])
