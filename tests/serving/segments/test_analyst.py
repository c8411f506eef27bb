"""The process that counts, as a real process: asked, killed, too slow, asked by several apps."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from published_shop import ALL, EVEN, EVEN_USERS, PATIENT_S
from small_shop import USERS

from portraits.errors import Busy, Interrupted, TookTooLong
from portraits.settings import AppSettings
from serving.segments.analyst import MOST_WAITING, Analyst, Told
from serving.settings import ProcessSettings
from serving.stores import Store


def question(store: Store, ask: str = "preview", **more: Any) -> dict[str, Any]:
    version = store.active("shop").portraits
    assert version is not None
    about = {"app_id": "shop", "version": version.version, "time_zone": "Asia/Shanghai", "segments": {}}
    return {"ask": ask, **about, "left_out": [], **more}


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
        await asyncio.sleep(0)
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
    analyst = Analyst(home, PATIENT_S)

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


def test_only_so_many_questions_wait(store: Store, analyst: Analyst) -> None:
    async def asked() -> None:
        many = [asyncio.create_task(analyst.ask(question(store, rule=ALL))) for _ in range(MOST_WAITING + 3)]
        answers = await asyncio.gather(*many, return_exceptions=True)
        assert sum(isinstance(one, Busy) for one in answers) == 2
        assert sum(isinstance(one, dict) for one in answers) == MOST_WAITING + 1

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
        fields = (await analyst.ask({"ask": "fields"}))["fields"]
        assert "stage" in {field["name"] for field in fields}

    asyncio.run(asked())
