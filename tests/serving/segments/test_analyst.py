"""The process that counts, as a real process: asked, killed, too slow, asked by several apps."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
from typing import Any

import pytest
from published_shop import ALL, EVEN, EVEN_USERS, PATIENT_S
from small_shop import USERS

from portraits.errors import Busy, Interrupted, TookTooLong
from portraits.settings import AppSettings
from serving.segments.analyst import ANSWER_S, MOST_WAITING, WAIT_S, Analyst, Told
from serving.settings import ProcessSettings
from serving.stores import Store


def question(store: Store, ask: str = "preview", **more: Any) -> dict[str, Any]:
    version = store.active("shop").portraits
    assert version is not None
    about = {"app_id": "shop", "version": version.version, "time_zone": "Asia/Shanghai", "segments": {}}
    return {"ask": ask, **about, "left_out": [], "deleted": {}, **more}


def asked_something(pid: int) -> None:
    """Returns once a question waits in the process's standard input."""
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0) as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        assert selector.select(PATIENT_S), "no question came"


def test_it_counts_what_was_planted(store: Store, analyst: Analyst) -> None:
    async def asked() -> None:
        counted = await analyst.ask(question(store, rule={"and": [ALL, {"or": [EVEN, ALL]}]}))
        assert (counted["total"], counted["base"]) == (USERS, USERS)
        assert [line["own"] for line in counted["lines"]] == [USERS, USERS, USERS, USERS // 2, USERS]
        assert [line["adds"] for line in counted["lines"]] == [None, None, None, USERS // 2, USERS // 2]
        assert [line["leaves"] for line in counted["lines"]] == [None, USERS, USERS, None, None]
        shared = await analyst.ask(question(store, "compare", one=ALL, other=EVEN))
        assert (shared["both"], shared["jaccard"]) == (USERS // 2, 0.5)
        told = await analyst.ask(question(store, "profile", rule=EVEN, base=None, fields=["categories"]))
        cells = {cell["value"]: cell for cell in told["cells"]}
        assert (told["members"], cells["ware"]["share"]) == (USERS // 2, 1)
        left = await analyst.ask(question(store, rule=EVEN, left_out=EVEN_USERS[:3]))
        assert (left["total"], left["base"]) == (USERS // 2 - 3, USERS - 3)

    asyncio.run(asked())


@pytest.mark.fault
def test_killed_midway_it_says_so_and_the_next_question_is_answered(store: Store, analyst: Analyst) -> None:
    async def asked() -> None:
        await analyst.ask(question(store, rule=ALL))
        first = analyst.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        waiting = asyncio.create_task(analyst.ask(question(store, rule=ALL)))
        await asyncio.to_thread(asked_something, first)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(Interrupted, match="ask again"):
            await waiting
        assert (await analyst.ask(question(store, rule=ALL)))["total"] == USERS
        assert analyst.pid not in (None, first)

    asyncio.run(asked())


@pytest.mark.fault
def test_killed_between_questions_it_is_simply_started_again(store: Store, analyst: Analyst) -> None:
    async def asked() -> None:
        await analyst.ask(question(store, rule=ALL))
        first = analyst.pid or 0
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert (await analyst.ask(question(store, rule=ALL)))["total"] == USERS

    asyncio.run(asked())


@pytest.mark.fault
def test_a_question_that_takes_too_long_is_ended(store: Store, home: ProcessSettings) -> None:
    analyst = Analyst(home, PATIENT_S, PATIENT_S)

    async def asked() -> None:
        await analyst.ask(question(store, rule=ALL))
        stuck = analyst.pid
        os.kill(stuck or 0, signal.SIGSTOP)
        analyst.answer_within(0.05)
        with pytest.raises(TookTooLong, match=r"0\.05 s"):
            await analyst.ask(question(store, rule=ALL))
        assert analyst.pid is None
        analyst.answer_within(PATIENT_S)
        assert (await analyst.ask(question(store, rule=ALL)))["total"] == USERS

    asyncio.run(asked())
    analyst.close()


def test_only_so_many_questions_of_an_app_wait(store: Store, analyst: Analyst) -> None:
    async def asked() -> None:
        many = [asyncio.create_task(analyst.ask(question(store, rule=ALL))) for _ in range(MOST_WAITING + 3)]
        other = asyncio.create_task(analyst.ask({"ask": "fields", "app_id": "cafe"}))
        answers = await asyncio.gather(*many, return_exceptions=True)
        assert sum(isinstance(one, Busy) for one in answers) == 2
        assert sum(isinstance(one, dict) for one in answers) == MOST_WAITING + 1
        assert (await other)["fields"]

    asyncio.run(asked())


def test_exports_take_no_place_of_a_marketer_and_a_visitor_has_one_at_a_time(store: Store, analyst: Analyst) -> None:
    def export(user_id: str) -> asyncio.Task[dict[str, Any]]:
        about = {"ask": "everything", "app_id": "shop", "user_id": user_id, "after": 0, "n": 5}
        return asyncio.create_task(analyst.export(about))

    async def asked() -> None:
        exports = [export(user_id) for user_id in ("u1", "u1", "u2", "u3", "u4", "u5")]
        await asyncio.sleep(0)
        counting = [asyncio.create_task(analyst.ask(question(store, rule=ALL))) for _ in range(MOST_WAITING + 1)]
        made = await asyncio.gather(*exports, return_exceptions=True)
        assert [isinstance(one, Busy) for one in made] == [False, True, False, False, True, True]
        assert [one["total"] for one in await asyncio.gather(*counting)] == [USERS] * (MOST_WAITING + 1)
        assert "rows" in await export("u1"), "and later again"

    asyncio.run(asked())


@pytest.mark.fault
def test_another_app_waits_for_no_more_than_the_question_that_is_running(store: Store, analyst: Analyst) -> None:
    """One app's marketer may ask as often as they like."""

    async def asked() -> None:
        await analyst.ask(question(store, rule=ALL))
        stuck = analyst.pid or 0
        os.kill(stuck, signal.SIGSTOP)
        order: list[str] = []

        async def ask(name: str, app_id: str) -> None:
            await analyst.ask({"ask": "fields", "app_id": app_id})
            order.append(name)

        names = [("first", "shop"), ("second", "shop"), ("third", "shop"), ("other", "cafe"), ("other's next", "cafe")]
        asking = [asyncio.create_task(ask(*one)) for one in names]
        await asyncio.sleep(0)
        os.kill(stuck, signal.SIGCONT)
        await asyncio.gather(*asking)
        assert order == ["first", "other", "second", "other's next", "third"]

    asyncio.run(asked())


@pytest.mark.fault
def test_a_question_that_nobody_waits_for_is_never_begun(store: Store, analyst: Analyst) -> None:
    """Neither is its place in the queue taken; the running one ends, and then the next is answered."""

    async def asked() -> None:
        await analyst.ask(question(store, rule=ALL))
        stuck = analyst.pid or 0
        os.kill(stuck, signal.SIGSTOP)
        ask = [asyncio.create_task(analyst.ask(question(store, rule=ALL))) for _ in range(MOST_WAITING + 1)]
        await asyncio.sleep(0)
        for one in ask:
            one.cancel()
        answers = await asyncio.gather(*ask, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in answers)
        again = [asyncio.create_task(analyst.ask(question(store, rule=EVEN))) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        os.kill(stuck, signal.SIGCONT)
        assert [one["total"] for one in await asyncio.gather(*again)] == [USERS // 2] * MOST_WAITING
        assert analyst.pid == stuck

    asyncio.run(asked())


@pytest.mark.fault
def test_who_has_waited_too_long_is_told_so_and_harms_nobody(store: Store, home: ProcessSettings) -> None:
    analyst = Analyst(home, PATIENT_S, 0.05)

    async def asked() -> None:
        await analyst.ask(question(store, rule=ALL))
        stuck = analyst.pid or 0
        os.kill(stuck, signal.SIGSTOP)
        ask = [asyncio.create_task(analyst.ask(question(store, rule=ALL))) for _ in range(MOST_WAITING + 1)]
        late = await asyncio.gather(*ask[1:], return_exceptions=True)
        assert [str(one) for one in late if isinstance(one, Busy)] == [str(late[0])] * MOST_WAITING
        os.kill(stuck, signal.SIGCONT)
        assert (await ask[0])["total"] == USERS
        assert analyst.pid == stuck

    asyncio.run(asked())
    analyst.close()


def test_a_request_ends_before_its_service_gives_it_up() -> None:
    """Which it does after 30 s, in a shape of its own."""
    assert ANSWER_S + WAIT_S < 25


@pytest.mark.fault
def test_a_process_that_starts_slowly_is_not_given_up_by_one_question(store: Store, home: ProcessSettings) -> None:
    analyst = Analyst(home, 0.01)

    async def asked() -> None:
        with pytest.raises(TookTooLong):
            await analyst.ask(question(store, rule=ALL))
        starting = analyst.pid
        assert starting is not None
        analyst.answer_within(PATIENT_S)
        assert (await analyst.ask(question(store, rule=ALL)))["total"] == USERS
        assert analyst.pid == starting

    asyncio.run(asked())
    analyst.close()


def test_a_changed_time_zone_counts_at_once(store: Store, analyst: Analyst) -> None:
    """The events of the day are just before the moment of the set, 04:00 UTC, which is midnight at UTC-4."""
    today = {"did": {"type": "item_view"}, "within_days": 1}

    async def asked() -> None:
        totals = [
            (await analyst.ask(question(store, rule=today, time_zone=zone)))["total"]
            for zone in ("Etc/GMT-8", "Etc/GMT+4", "Etc/GMT-8")
        ]
        assert totals == [40, 0, 40]

    asyncio.run(asked())


@pytest.mark.law
def test_an_app_cannot_be_asked_about_another_ones_portraits(store: Store, analyst: Analyst) -> None:
    store.add_app(AppSettings("cafe"))

    async def asked() -> None:
        for app_id in ("cafe", "cafe/../shop"):
            with pytest.raises(Told):
                await analyst.ask(question(store, rule=ALL, app_id=app_id))

    asyncio.run(asked())


def test_what_cannot_be_asked_is_told(store: Store, analyst: Analyst) -> None:
    async def asked() -> None:
        with pytest.raises(Told, match="colour") as refused:
            await analyst.ask(question(store, "profile", rule=ALL, base=None, fields=["colour"]))
        assert (refused.value.status, refused.value.code) == (422, "unknown_name")
        fields = (await analyst.ask({"ask": "fields", "app_id": "shop"}))["fields"]
        assert "stage" in {field["name"] for field in fields}

    asyncio.run(asked())
