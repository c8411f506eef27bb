"""An offer on an item of /v1/recommend: one shelf, chosen together, by the rules of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from planted_offers import GAIN, OVER, OfferShop, given, open_offer_shop

from serving.carried import RATE
from serving.stores.books import Books


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfferShop]:
    with open_offer_shop(tmp_path_factory.mktemp("home")) as shop:
        yield shop


@pytest.fixture
def shop(opened: OfferShop) -> OfferShop:
    opened.fresh()
    return opened


def shelf(answer: Any) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


def offered(answer: Any) -> dict[str, str]:
    """item -> its offer."""
    return {one["item_id"]: one["offer"]["offer_id"] for one in answer["items"] if "offer" in one}


def test_the_best_offer_stands_on_the_item_that_is_looked_at_most(shop: OfferShop) -> None:
    answer = shop.ask("/recommend", user_id="ann", n=3)
    assert (shelf(answer), offered(answer)) == (["green", "black", "white"], {"green": "big"})
    assert offered(shop.ask("/recommend", user_id="nobody in particular", n=3)) == {}, "not worth it"
    assert offered(shop.ask("/recommend", user_id="ann", n=3, offers=False)) == {}


def test_an_offer_stands_on_what_it_is_for(shop: OfferShop) -> None:
    """Of ann's shelf: big is for white (third: 0.5 x 800), tea for all teas (first: 200)."""
    shop.offer("big", items=["white", "mug"])
    shop.offer("tea", categories=["tea"])
    shop.offer("small", items=["cup"])
    assert offered(shop.ask("/recommend", user_id="ann", n=3)) == {"white": "big"}
    assert offered(shop.ask("/recommend", user_id="ann", n=2)) == {"green": "tea"}, "white is not on it"
    only_ware = {"n": 2, "filters": {"category": ["ware"]}}
    assert offered(shop.ask("/recommend", user_id="bob", **only_ware)) == {"cup": "small"}
    on_a_page = {"n": 2, "item_id": "white", "context": {"cart": ["mug"]}}
    assert "big" not in offered(shop.ask("/recommend", user_id="ann", **on_a_page)).values(), "it must be on the shelf"


def test_an_offer_of_a_store_stands_on_no_shelf_of_another(shop: OfferShop) -> None:
    shop.offer("big", stores=["s1"])
    for where in ({"store_id": "s2"}, {"filters": {"store_id": "s2"}}):
        assert "big" not in offered(shop.ask("/recommend", user_id="ann", n=3, **where)).values()
    assert "big" in offered(shop.ask("/recommend", user_id="ann", n=3, filters={"store_id": "s1"})).values()
    shop.offer("big", stores=None)


def test_an_item_rises_with_its_offer_where_scores_are_money(shop: OfferShop) -> None:
    """Ann's shelf is worth 9, 8 and 7 at the rate of 10; 800 for white are worth the first place."""
    shop.offer("big", items=["white"])
    shop.plan(GAIN, **{RATE: 10.0})
    answer = shop.ask("/recommend", user_id="ann", n=3)
    assert (shelf(answer), offered(answer)) == (["white", "green", "black"], {"white": "big"})
    shop.plan(GAIN, **{RATE: 10.0**6})
    answer = shop.ask("/recommend", user_id="ann", n=3)
    assert (shelf(answer), offered(answer)) == (["green", "black", "white"], {"white": "big"}), "too dear a move"


def test_the_choice_is_a_decision_of_its_own(shop: OfferShop) -> None:
    """The offer's row is of the offers' policy and arm; the shelf's is what it would be without."""
    shop.settle(offer_exploration=0.4)
    answer = shop.ask("/recommend", user_id="bob", n=2, placement="home")
    while not offered(answer):  # none was drawn
        answer = shop.ask("/recommend", user_id="bob", n=2, placement="home")
    kept = shop.rows()
    ((item, offer),) = offered(answer).items()
    (told,) = (one["offer"] for one in answer["items"] if "offer" in one)
    row, of_shelf = kept[told["decision_id"]], kept[answer["decision_id"]]
    assert (row["policy"], row["arm"], row["placement"], row["user_id"]) == ("offers", "treated", "home", "bob")
    first, none = row["candidates"]
    assert (first["offer_id"], first["on_item"], first["position"]) == (offer, item, 1)
    assert first["propensity"] == {"small": 0.7, "big": 0.1, "tea": 0.1}[offer]
    assert none == {"source": "none", "propensity": 0.1, "could": ["big", "small", "tea"]}
    assert [one["item_id"] for one in of_shelf["candidates"]] == shelf(answer)
    assert told["action"]["body"] == {"user_id": "bob", "offer_id": offer, "decision_id": told["decision_id"]}


def test_the_held_out_and_the_tired_see_the_same_shelf_without(shop: OfferShop) -> None:
    shop.settle(offer_control_share=0.5, offers_per_day=1)
    out, other = shop.held_out()
    shop.plan([*GAIN[:2], [300, 200, 100]])
    answers = [shop.ask("/recommend", user_id=one, n=3) for one in (out, other)]
    assert [offered(one) for one in answers] == [{}, {"cup": "big"}]
    assert shelf(answers[0]) == shelf(answers[1])
    shop.seen(other)
    assert offered(shop.ask("/recommend", user_id=other, n=3)) == {}
    ghosts = [row for row in shop.rows().values() if row["user_id"] == out and row["policy"] == "offers"]
    assert [(row["arm"], row["candidates"][0]["offer_id"]) for row in ghosts] == [("control", "big")]
    assert offered(shop.ask("/recommend", user_id=out, n=3, personalized=False)) == {}, "no way out of it"


def test_an_offer_that_is_mine_already_is_not_given_again(shop: OfferShop) -> None:
    shop.claim("big", "ann")
    assert offered(shop.ask("/recommend", user_id="ann", n=3)) == {"green": "tea"}
    assert given(shop.ask(user_id="ann", n=1)) == ["big"], "but shown where offers are asked for"


@pytest.mark.law
def test_off_means_that_an_offer_goes_by_its_rule_alone(shop: OfferShop) -> None:
    """Law 11."""
    shop.offer("tea", ends="2100-01-01T00:00:00Z")
    impersonal = shop.ask("/recommend", user_id="ann", n=3, personalized=False)
    assert list(offered(impersonal).values()) == ["tea"]
    shop.ask("/personalization", user_id="erin", on=False)
    assert list(offered(shop.ask("/recommend", user_id="erin", n=3)).values()) == ["tea"]
    arms = {row["arm"] for row in shop.rows().values() if row["user_id"] == "erin"}
    assert arms == {None}


def test_without_offers_nothing_is_read_for_them(shop: OfferShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement more than before there were any."""
    asked: list[str] = []
    read = Books.offer_facts

    def counting(store: Any, app_id: str, *rest: Any) -> Any:
        asked.append(app_id)
        return read(store, app_id, *rest)

    monkeypatch.setattr(Books, "offer_facts", counting)
    shop.ask("/recommend", user_id="ann", n=3)
    assert asked == ["shop"]
    key = shop.context.store.add_key("cafe", "recommend")
    headers = {"authorization": f"Bearer {key}"}
    assert shop.client.post("/v1/recommend", json={"user_id": "ann"}, headers=headers).status_code == 200
    for name in ("big", "small", "tea"):
        shop.offer(name, **OVER)
    assert offered(shop.ask("/recommend", user_id="ann", n=3)) == {}
    assert asked == ["shop"], "nor where all of them are over"
