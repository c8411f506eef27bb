"""`/v1/segments` on a published shop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import CodeType
from typing import Any

import pytest
from planted_app import Client
from published_shop import ALL, EVEN, EVEN_USERS, PATIENT_S
from small_shop import END, USERS
from starlette.applications import Starlette
from starlette.types import Message

from portraits.rules import match
from portraits.settings import AppSettings
from serving.app import Api, v1
from serving.context import Context
from serving.observed import HUNG_UP
from serving.segments.analyst import MOST_WAITING, Analyst
from serving.segments.handlers import post_match
from serving.segments.published import Published
from serving.settings import ProcessSettings

Ask = Callable[..., Any]
CARTED = {"did": {"type": "cart", "item_id": "i03"}, "within_days": 3}
TEA = {"did": {"type": "cart", "category": "tea"}, "within_days": 3}


@pytest.fixture
def context(home: ProcessSettings) -> Iterator[Context]:
    opened = Context.open(home)
    opened.analyst.close()
    patient = Analyst(home, PATIENT_S, PATIENT_S)
    context = replace(opened, analyst=patient, published=Published(home, patient))
    yield context
    context.close()


@pytest.fixture
def ask(context: Context) -> Iterator[Ask]:
    """Posts a body with a key of the shop (or of `app`) and gives the answer, which must have `status`."""
    context.store.add_app(AppSettings("cafe"))
    keys = {app: context.store.add_key(app, "admin") for app in ("shop", "cafe")}
    with Client(Starlette(routes=[v1(context)])) as client:

        def post(path: str, app: str = "shop", status: int = 200, **body: Any) -> Any:
            answer = client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {keys[app]}"})
            assert answer.status_code == status, answer.text
            return answer.json()

        yield post


def happened(event_id: str, user_id: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": user_id, "ts": datetime.now(UTC).isoformat(), "type": kind, **more}


def test_a_segment_is_saved_listed_previewed_and_deleted(ask: Ask) -> None:
    saved = ask("/segments", name="even", title="Even", rule=EVEN, lang="zh")
    assert (saved["version"], saved["title"]) == (1, "Even")
    assert "ware" in saved["words"]
    listed = {one["name"]: one for one in ask("/segments/list", lang="en")["segments"]}
    assert listed["even"]["ready_made"] is False
    assert listed["even"]["members"] is None, "there was no night since"
    assert listed["loyal"]["members"] == USERS
    counted = ask("/segments/preview", rule={"or": [{"segment": "even"}, ALL]})
    assert (counted["total"], counted["base"], counted["as_of"]) == (USERS, USERS, END.isoformat())
    assert [line["own"] for line in counted["lines"]] == [USERS, USERS // 2, USERS]
    assert [line["adds"] for line in counted["lines"]] == [None, USERS // 2, USERS // 2]
    assert counted["lines"][1]["words"] == 'in segment "even"'
    assert ask("/segments/preview", name="even")["total"] == USERS // 2
    assert ask("/segments/delete", name="even") == {"name": "even", "deleted": True}
    assert ask("/segments/delete", name="even")["deleted"] is False
    assert ask("/segments/preview", status=404, name="even")["error"]["code"] == "not_found"


def test_segments_are_compared_and_profiled(ask: Ask) -> None:
    shared = ask("/segments/compare", one={"rule": EVEN}, other={"name": "loyal"})
    assert (shared["one"], shared["other"], shared["both"], shared["jaccard"]) == (USERS // 2, USERS, USERS // 2, 0.5)
    told = ask("/segments/profile", segment={"rule": EVEN}, fields=["categories"])
    ware = next(cell for cell in told["cells"] if cell["value"] == "ware")
    assert (told["members"], told["base"], ware["share"]) == (USERS // 2, USERS, 1)
    against = ask("/segments/profile", segment={"rule": EVEN}, base={"rule": {"not": EVEN}}, fields=["categories"])
    assert against["base"] == USERS // 2


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/segments", {"name": "Bad Name", "rule": ALL}, 422, "name"),
        ("/segments", {"name": "loyal", "rule": ALL}, 422, "name"),
        ("/segments", {"name": "a", "rule": {"field": "colour", "op": "known"}}, 422, "rule/field"),
        ("/segments", {"name": "a", "rule": {"segment": "a"}}, 422, "rule/segment"),
        ("/segments/preview", {}, 422, "name"),
        ("/segments/preview", {"name": "loyal", "rule": ALL}, 422, "name"),
        (
            "/segments/preview",
            {"rule": {"and": [ALL, {"field": "orders", "op": "~", "value": 1}]}},
            422,
            "rule/and/1/op",
        ),
        ("/segments/compare", {"one": {"name": "loyal"}, "other": {}}, 422, "other.name"),
        ("/segments/compare", {"one": {"name": "loyal"}, "other": {"name": "nobody"}}, 404, "segment"),
        ("/segments/profile", {"segment": {"rule": ALL}, "fields": ["colour"]}, 422, "field"),
        ("/segments/match", {"user_id": "u000", "names": ["nobody"]}, 404, "segment"),
    ],
)
def test_what_cannot_be_asked_is_named(ask: Ask, path: str, body: dict[str, Any], status: int, field: str) -> None:
    assert ask(path, status=status, **body)["error"]["field"] == field


def test_a_segment_in_use_stays(ask: Ask) -> None:
    ask("/segments", name="a", rule=ALL)
    ask("/segments", name="b", rule={"not": {"segment": "a"}})
    assert ask("/segments/delete", status=409, name="a")["error"]["code"] == "in_use"


@pytest.mark.law
def test_a_match_reflects_what_was_just_acknowledged(ask: Ask) -> None:
    """Law 6: the event is in the next answer, an item's new category, too."""
    ask("/items", items=[{"item_id": "i03", "category": ["tea", "green"]}])
    assert ask("/segments/match", user_id="u000", rule=CARTED)["rule"] is False
    sent = [happened("c1", "u000", "cart", item_id="i03"), happened("c2", "new", "launch", scene="1011")]
    assert ask("/events", events=sent)["accepted"] == 2
    assert ask("/segments/match", user_id="u000", rule=CARTED)["rule"] is True
    assert ask("/segments/match", user_id="u000", rule=TEA)["rule"] is True
    ask("/items", items=[{"item_id": "i03", "category": ["ware"]}])
    assert ask("/segments/match", user_id="u000", rule=TEA)["rule"] is False
    launched = {"did": {"type": "launch"}, "within_days": 1}
    assert ask("/segments/match", user_id="new", rule=launched)["rule"] is True, "also what concerns no item"
    assert ask("/segments/match", user_id="u001", rule=launched)["rule"] is False


@pytest.mark.law
def test_match_says_of_everyone_what_the_preview_counts(ask: Ask) -> None:
    """Law 3: behaviour without a window, portrait fields: the day in between changes nothing."""
    rule = {"and": [ALL, {"tag": "ware", "in": "categories", "weight": 0.5}]}
    found = [
        user for user in (f"u{n:03}" for n in range(USERS)) if ask("/segments/match", user_id=user, rule=rule)["rule"]
    ]
    assert found == EVEN_USERS
    assert ask("/segments/preview", rule=rule)["total"] == len(found)


def test_without_a_wish_all_segments_are_matched(ask: Ask) -> None:
    ask("/segments", name="everyone", rule=ALL)
    held = ask("/segments/match", user_id="u000")["segments"]
    assert (held["everyone"], held["loyal"], held["key-sharers"]) == (True, True, False)
    assert ask("/segments/match", user_id="u000", names=["loyal"])["segments"] == {"loyal": True}
    assert ask("/segments/match", user_id="stranger", names=["loyal", "everyone"])["segments"] == {
        "loyal": False,
        "everyone": False,
    }


def test_a_saved_segment_is_known_at_once_and_a_deleted_one_no_more(ask: Ask) -> None:
    """Definitions are kept parsed, as long as none has changed."""
    held = [ask("/segments/match", user_id="u000")["segments"].get("mine")]
    for rule in (ALL, {"not": ALL}):
        ask("/segments", name="mine", rule=rule)
        held.append(ask("/segments/match", user_id="u000")["segments"]["mine"])
    ask("/segments/delete", name="mine")
    held.append(ask("/segments/match", user_id="u000")["segments"].get("mine"))
    assert held == [None, True, False, None]


def test_rules_are_not_asked_on_the_event_loop(ask: Ask) -> None:
    called: set[CodeType] = set()
    sys.setprofile(lambda frame, *_: called.add(frame.f_code))
    try:
        assert ask("/segments/match", user_id="u000", rule=ALL)["rule"] is True
    finally:
        sys.setprofile(None)
    assert post_match.__code__ in called
    assert match.__code__ not in called


def test_a_ready_made_segment_is_not_deleted_and_says_why(ask: Ask) -> None:
    told = ask("/segments/delete", status=422, name="loyal")["error"]
    assert told["field"] == "name"
    assert "ready-made" in told["message"]


@pytest.mark.law
def test_who_refuses_is_counted_and_matched_nowhere(ask: Ask) -> None:
    """Law 11: at once, and whatever the night knows."""
    ask("/users", users=[{"user_id": "u000", "consent": False}])
    answer = ask("/segments/match", user_id="u000", names=["loyal"], rule=ALL)
    assert (answer["consent"], answer["segments"], answer["rule"]) == (False, {"loyal": False}, False)
    assert ask("/segments/match", user_id="u000", rule={"not": ALL})["rule"] is False
    counted = ask("/segments/preview", rule=ALL)
    assert (counted["total"], counted["base"]) == (USERS - 1, USERS - 1)


@pytest.mark.law
@pytest.mark.parametrize("first", ["refusal", "link"])
def test_who_refuses_under_another_id_is_counted_nowhere(ask: Ask, first: str) -> None:
    """Law 11: under whichever id it was said, before the ids were linked or after."""
    said = {
        "link": lambda: ask("/identities", identities=[{"link_id": "l", "user_id": "u000", "anonymous_id": "phone"}]),
        "refusal": lambda: ask("/users", users=[{"user_id": "phone", "consent": False}]),
    }
    said.pop(first)()
    assert ask("/segments/preview", rule=ALL)["base"] == USERS
    for say in said.values():
        say()
    counted = ask("/segments/preview", rule=ALL)
    assert (counted["total"], counted["base"]) == (USERS - 1, USERS - 1)
    shared = ask("/segments/compare", one={"name": "loyal"}, other={"rule": EVEN})
    assert (shared["base"], shared["other"]) == (USERS - 1, USERS // 2 - 1)
    assert ask("/segments/match", user_id="u000", rule=ALL)["rule"] is False


@pytest.mark.law
def test_one_app_sees_nothing_of_another(ask: Ask) -> None:
    """Law 4."""
    ask("/segments", name="mine", rule=ALL)
    assert "mine" not in {one["name"] for one in ask("/segments/list", app="cafe")["segments"]}
    assert ask("/segments/preview", app="cafe", status=404, name="mine")["error"]["code"] == "not_found"
    assert ask("/segments/preview", app="cafe", rule=ALL)["base"] == 0
    assert ask("/segments/match", app="cafe", user_id="u000", rule=ALL)["rule"] is False
    assert ask("/segments/delete", app="cafe", name="mine")["deleted"] is False
    assert ask("/segments/preview", name="mine")["total"] == USERS


def test_linked_ids_are_one_visitor(ask: Ask) -> None:
    ask("/identities", identities=[{"link_id": "l1", "user_id": "u000", "anonymous_id": "anon"}])
    ask("/events", events=[happened("c1", "anon", "cart", item_id="i03")])
    answer = ask("/segments/match", user_id="anon", rule={"and": [CARTED, ALL]})
    assert (answer["user_id"], answer["rule"]) == ("u000", True)


@pytest.mark.fault
def test_who_closes_the_connection_is_not_counted_for(context: Context) -> None:
    """With a place in the queue taken as long as somebody waits; the running question is left to its deadline."""
    key = context.store.add_key("shop", "admin")
    body = json.dumps({"rule": ALL}).encode()
    headers = [(b"authorization", f"Bearer {key}".encode())]
    scope = {"type": "http", "path": "/segments/preview", "method": "POST", "headers": headers}

    async def asked() -> None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        def request(gone: asyncio.Event) -> Coroutine[Any, Any, None]:
            parts = [{"type": "http.request", "body": body}]

            async def receive() -> Message:
                if parts:
                    return parts.pop()
                await gone.wait()
                return {"type": "http.disconnect"}

            return Api(context)(scope, receive, send)

        stays, goes = asyncio.Event(), asyncio.Event()
        await request(stays)
        assert (sent[0]["status"], json.loads(sent[1]["body"])["total"]) == (200, USERS)
        sent.clear()
        counting = context.analyst.pid or 0
        os.kill(counting, signal.SIGSTOP)
        leaving = [asyncio.create_task(request(goes)) for _ in range(MOST_WAITING + 1)]
        goes.set()
        await asyncio.gather(*leaving)
        assert {message.get("status", HUNG_UP) for message in sent} == {HUNG_UP}
        sent.clear()
        staying = [asyncio.create_task(request(stays)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        os.kill(counting, signal.SIGCONT)
        await asyncio.gather(*staying)
        assert [one["status"] for one in sent if "status" in one] == [200] * MOST_WAITING
        assert context.analyst.pid == counting

    asyncio.run(asked())
