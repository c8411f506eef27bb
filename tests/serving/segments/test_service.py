"""A real `bentoml serve` with two workers: what was acknowledged is matched, and counting holds nobody up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from published_shop import ALL
from serving_process import Service
from small_shop import USERS

from serving.settings import ProcessSettings
from serving.stores import Store

CARTED = {"and": [ALL, {"did": {"type": "cart"}, "within_days": 2}]}
BEGUN = {"did": {"type": "launch"}, "within_days": 2}


def ask(http: httpx.Client, path: str, **body: Any) -> Any:
    answer = http.post(f"/v1{path}", json=body)
    while answer.status_code == 429:  # a busy machine is still opening the night's portraits
        answer = http.post(f"/v1{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.law
def test_any_worker_matches_an_acknowledged_event_at_once(home: ProcessSettings, store: Store, tmp_path: Path) -> None:
    """Law 6."""
    headers = {"authorization": f"Bearer {store.add_key('shop', 'admin')}", "connection": "close"}
    with (
        Service(replace(home, workers=2)) as service,
        httpx.Client(base_url=service.url, headers=headers, timeout=60) as http,
    ):

        def visit(number: int) -> bool:
            user, moment = f"u{number:03}", datetime.now(UTC).isoformat()
            before = ask(http, "/segments/match", user_id=user, rule=CARTED)["rule"]
            about = {"user_id": user, "ts": moment}
            events = [
                {"event_id": f"c{number}", "type": "cart", "item_id": "i01", **about},
                {"event_id": f"l{number}", "type": "launch", "scene": "1011", **about},
            ]
            assert ask(http, "/events", events=events)["accepted"] == 2
            rules = (CARTED, BEGUN, CARTED, BEGUN)
            after = [ask(http, "/segments/match", user_id=user, rule=rule)["rule"] for rule in rules]
            return before is False and all(after)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(visit, range(20)))
        assert ask(http, "/segments/preview", rule=ALL)["total"] == USERS
        counting = [
            child
            for child in psutil.Process(service.pid).children(recursive=True)
            if "serving.segments.counter" in " ".join(child.cmdline())
        ]
        assert counting, "the counting process belongs to its worker"
        assert all(child.nice() > 0 for child in counting)
    psutil.wait_procs(counting, timeout=60)
    assert not any(child.is_running() for child in counting), "and ends with it"
