"""Pins and boosts from outside: by HTTP and by command, seen by the next answer, written down, of one app alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from planted_app import Client, open_shop, purchase
from starlette.applications import Starlette

from portraits.settings import AppSettings
from serving.app import v1
from serving.context import Context
from serving.stores import Store
from serving.stores.promotions import MOST_RULES
from serving.tenants import in_control

PIN = {"rule_id": "spring", "kind": "pin", "item_id": "white", "position": 1}
Ask = Callable[..., Any]


@pytest.fixture
def shop(tmp_path: Path, store_url: str) -> Iterator[Context]:
    process, store = open_shop(tmp_path, store_url)
    store.close()
    context = Context.open(process)
    yield context
    context.close()


@pytest.fixture
def client(shop: Context) -> Iterator[Client]:
    with Client(Starlette(routes=[v1(shop)])) as opened:
        yield opened


@pytest.fixture
def ask(client: Client, shop: Context) -> Ask:
    key = shop.store.add_key("shop", "admin")

    def post(path: str, status: int = 200, **body: Any) -> Any:
        answer = client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == status, answer.text
        return answer.json()

    return post


def shown(answer: Any) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


def decision(shop: Context, ask: Ask, answer: Any) -> list[dict[str, Any]]:
    """The candidates of an answer as they were written down."""
    ask("/events", events=[purchase(f"after-{answer['decision_id']}", "zoe", "mug")])  # a commit takes along what waits
    rows = {row["decision_id"]: row for row in map(json.loads, shop.store.decisions_to_drain("shop").payloads)}
    return list(json.loads(rows[answer["decision_id"]]["candidates"]))


@pytest.mark.law
def test_the_next_answer_follows_a_rule_and_forgets_it_when_it_goes(ask: Ask, shop: Context) -> None:
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["green", "black"]
    assert ask("/rules", rules=[PIN]) == {"changed": 1, "unchanged": 0}
    answer = ask("/recommend", user_id="ann", n=2)
    assert shown(answer) == ["white", "green"]
    assert answer["items"][0]["reason"] == {"code": "pinned", "text": "Picked by the shop", "evidence": {}}
    pinned = decision(shop, ask, answer)[0]
    assert (pinned["item_id"], pinned["source"], pinned["propensity"]) == ("white", "rule", 1.0)
    assert ask("/rules", rules=[PIN]) == {"changed": 0, "unchanged": 1}
    assert ask("/rules", rules=[PIN | {"position": 2}]) == {"changed": 1, "unchanged": 0}
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["green", "white"]
    assert ask("/rules/delete", rule_ids=["spring", "gone"]) == {"deleted": 1}
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["green", "black"]


@pytest.mark.law
def test_a_sold_out_pin_is_not_shown(ask: Ask) -> None:
    ask("/rules", rules=[PIN])
    ask("/items", items=[{"item_id": "white", "stock": 0}])
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["green", "black"]


def test_rules_that_do_not_hold_are_listed_and_not_followed(ask: Ask) -> None:
    now = datetime.now(UTC)
    later = PIN | {"rule_id": "later", "starts": (now + timedelta(days=1)).isoformat()}
    over = PIN | {"rule_id": "over", "ends": (now - timedelta(days=1)).isoformat()}
    ask("/rules", rules=[later, over, PIN | {"position": 5}])
    assert shown(ask("/recommend", user_id="ann", n=2)) == ["green", "black"]
    listed = {row["rule_id"]: row["when"] for row in ask("/rules/list")["rules"]}
    assert listed == {"later": "later", "over": "over", "spring": "now"}
    assert [row["rule_id"] for row in ask("/rules/list", holding=True)["rules"]] == ["spring"]


def test_a_rule_about_an_unknown_item_is_taken_and_told(ask: Ask) -> None:
    nowhere = PIN | {"rule_id": "nowhere", "item_id": "not yet"}
    assert ask("/rules", rules=[PIN, nowhere]) == {"changed": 2, "unchanged": 0, "unknown": ["nowhere"]}
    assert {row["rule_id"]: row["known"] for row in ask("/rules/list")["rules"]} == {"nowhere": False, "spring": True}
    ask("/items", items=[{"item_id": "not yet"}])
    assert all(row["known"] for row in ask("/rules/list")["rules"])
    assert ask("/rules", 422, rules=[PIN, PIN])["error"]["field"] == "rules[1].rule_id"


def test_one_wrong_row_and_none_is_stored(ask: Ask) -> None:
    answer = ask("/rules", 422, rules=[PIN, PIN | {"rule_id": "b", "position": 0}])
    assert answer["error"]["field"] == "rules[1].position"
    assert ask("/rules/list")["rules"] == []


def test_an_app_has_so_many_rules_and_no_more(ask: Ask) -> None:
    ask("/rules", rules=[PIN | {"rule_id": f"r{number}"} for number in range(MOST_RULES)])
    assert ask("/rules", 413, rules=[PIN])["error"]["code"] == "too_large"


@pytest.mark.law
def test_rules_are_the_app_s_own(ask: Ask, shop: Context, client: Client) -> None:
    """Law 4."""
    ask("/rules", rules=[PIN])
    cafe = {"authorization": f"Bearer {shop.store.add_key('cafe', 'admin')}"}
    assert client.post("/v1/rules/list", json={}, headers=cafe).json() == {"rules": []}
    assert client.post("/v1/rules/delete", json={"rule_ids": ["spring"]}, headers=cafe).json() == {"deleted": 0}
    assert len(ask("/rules/list")["rules"]) == 1


def test_the_control_group_sees_the_shop_s_rules(ask: Ask, shop: Context) -> None:
    shop.store.save_app(AppSettings("shop", control_share=0.5, exploration_share=0.0))
    ask("/rules", rules=[PIN])
    tenant = shop.store.tenant("shop")
    arms = {in_control(tenant, f"v{n}"): ask("/recommend", user_id=f"v{n}", n=1) for n in range(20)}
    assert [shown(answer) for answer in arms.values()] == [["white"]] * 2


def test_new_items_get_their_share_and_what_it_was_is_written_down(ask: Ask, shop: Context) -> None:
    shop.store.save_app(AppSettings("shop", control_share=0.0, exploration_share=0.5))
    ask("/items", items=[{"item_id": f"n{number}", "title": "New"} for number in range(4)])
    answer = ask("/recommend", user_id="ann", n=4)
    kept = decision(shop, ask, answer)
    explored = [one for one in kept if one["source"] == "explore"]
    assert len(explored) == 2
    assert {one["propensity"] for one in explored} == {0.5}
    assert {one["propensity"] for one in kept if one not in explored} == {1.0}
    quiet = ask("/recommend", user_id="ann", n=4, personalized=False)
    assert "explore" not in {one["source"] for one in quiet["items"]}
    shop.store.save_app(AppSettings("shop", control_share=0.0, exploration_share=0.0))
    assert "explore" not in {one["source"] for one in ask("/recommend", user_id="ann", n=4)["items"]}


def test_a_call_may_ask_for_what_was_bought_before(ask: Ask) -> None:
    ask("/events", events=[purchase("b1", "ann", "green")])
    for asked, there in (({}, False), ({"allow_seen": True}, True), ({"allow_seen": False}, False)):
        assert ("green" in shown(ask("/recommend", user_id="ann", n=5, **asked))) == there


def test_the_app_s_diversity_counts_where_a_call_names_none(ask: Ask, shop: Context) -> None:
    settings = replace(shop.store.app("shop"), diversity=1.0)
    best = shown(ask("/recommend", user_id="bob", n=3, diversity=0))
    shop.store.save_app(settings)
    mixed = shown(ask("/recommend", user_id="bob", n=3))
    assert mixed != best
    assert shown(ask("/recommend", user_id="bob", n=3, diversity=0)) == best


@pytest.mark.law
def test_every_worker_knows_a_rule_at_once(ask: Ask, shop: Context, tmp_path: Path) -> None:
    """Law 6: another process wrote it."""
    ask("/recommend", user_id="ann")
    other = Store.open(shop.settings.store_url)
    other.save_rules("shop", {"x": json.dumps(PIN | {"rule_id": "x"})})
    other.close()
    assert shown(ask("/recommend", user_id="ann", n=1)) == ["white"]
