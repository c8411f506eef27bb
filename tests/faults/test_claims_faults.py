"""Law 10 with real processes: offers are claimed and used while the service is killed.

Whoever has no answer sends the same request again. Nothing that was acknowledged is lost, nothing is done twice, and
what nobody uses in time comes back.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from planted_app import open_shop
from serving_process import Service

from serving.stores import Store
from serving.stores.claim_steps import claim

pytestmark = [pytest.mark.fault, pytest.mark.law]

VALUE = 500
SENDERS = 8
COUPONS = 400
ENOUGH = 60
"""Answers before the service is killed."""
PATIENT_S = 60.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    offer = {"offer_id": "last", "kind": "cash", "value": VALUE, "budget": COUPONS * VALUE, "per_user_limit": 1}
    store.upsert("shop", "offers", [offer, {"offer_id": "short", "kind": "cash", "value": VALUE, "valid_hours": 1}])
    yesterday = int((datetime.now(UTC) - timedelta(days=1)).timestamp() * 1e6)
    for number in range(3):
        with store.write() as connection:
            wish = {"request_id": f"old-{number}", "user_id": "zoe", "offer_id": "short"}
            claim(connection, "shop", wish, yesterday)
    store.close()
    with Service(replace(settings, workers=2)) as started:
        yield started


@pytest.fixture
def store(service: Service) -> Iterator[Store]:
    opened = Store.open(service.settings.store_url)
    yield opened
    opened.close()


@dataclass
class Crowd:
    """Visitors who each claim once and use what they got, several at a time; each request until it is answered."""

    url: str
    key: str
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, sender: int) -> None:
        number = 0
        while not self.over.is_set():
            user_id = f"v{sender}-{number}"
            made = self._ask("claim", request_id=f"{user_id}-claim", user_id=user_id, offer_id="last")
            if made is not None and number % 2:
                self._ask("redeem", request_id=f"{user_id}-redeem", claim_id=made["claim_id"], discount=number % VALUE)
            number += 1

    def _ask(self, what: str, **body: str | int) -> dict[str, Any] | None:
        headers = {"authorization": f"Bearer {self.key}", "connection": "close"}
        deadline = time.monotonic() + PATIENT_S
        while True:
            try:
                answer = httpx.post(f"{self.url}/v1/offers/{what}", json=body, headers=headers, timeout=10)
            except httpx.TransportError:
                self.broken += 1
            else:
                if answer.status_code == 200:
                    self.answered[str(body["request_id"])] = answer.json()
                    return dict(answer.json())
                if answer.status_code != 503:
                    self.refused[answer.json()["error"]["code"]] += 1
                    return None
            if time.monotonic() > deadline:
                raise TimeoutError(str(body))

    def wait_for(self, answers: int) -> None:
        until, deadline = len(self.answered) + answers, time.monotonic() + PATIENT_S
        while len(self.answered) < until and "budget_spent" not in self.refused:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.answered)} answers")
            time.sleep(0.01)


def test_a_service_killed_in_the_middle_loses_nothing_and_does_nothing_twice(service: Service, store: Store) -> None:
    crowd = Crowd(service.url, store.add_key("shop", "events"))
    senders = [threading.Thread(target=crowd.run, args=(number,)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    crowd.wait_for(ENOUGH)
    service.kill()
    service.start()
    crowd.wait_for(ENOUGH)
    crowd.over.set()
    for sender in senders:
        sender.join(PATIENT_S)
        assert not sender.is_alive()
    assert crowd.broken > 0
    with store.write() as connection:
        columns = "claim_id, user_id, state, reserved, cost FROM claims WHERE app_id = 'shop' AND offer_id = 'last'"
        kept = {row[0]: row[1:] for row in connection.exec_driver_sql(f"SELECT {columns}")}
    claimed = {one["claim_id"]: one for name, one in crowd.answered.items() if name.endswith("-claim")}
    used = {one["claim_id"]: one for name, one in crowd.answered.items() if name.endswith("-redeem")}
    assert kept.keys() == claimed.keys(), "every request was answered in the end"
    assert len({row[0] for row in kept.values()}) == len(kept) <= COUPONS
    assert {claim_id for claim_id, row in kept.items() if row[1] == "redeemed"} == used.keys()
    assert all(kept[claim_id][3] == one["cost"] for claim_id, one in used.items())
    book = store.offer_books("shop")["last"]
    assert book.settled == sum(one["cost"] for one in used.values())
    assert (book.claims, book.reserved) == (len(kept), VALUE * (len(kept) - len(used)))
    assert book.spent <= COUPONS * VALUE
    told = Counter(text.partition('"type":"offer_')[2].partition('"')[0] for text in events(store))
    assert (told["claim"], told["redeem"]) == (len(kept) + 3, len(used))


def test_what_nobody_used_in_time_has_come_back_by_itself(service: Service, store: Store) -> None:
    deadline = time.monotonic() + PATIENT_S
    while store.offer_books("shop")["short"].reserved:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    told = [text for text in events(store) if '"type":"offer_expire"' in text]
    assert len(told) == 3, "by one of two workers, once"


def events(store: Store) -> list[str]:
    return [text for text in store.events_to_drain("shop", 0).payloads if '"type":"offer_' in text]
