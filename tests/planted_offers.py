"""The planted shop with three offers and a night's plan of them; for the tests of what is given by day."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planted_app import NOTHING_DRAWN, Client, open_shop
from planted_plan import planned
from starlette.applications import Starlette

from portraits.settings import AppSettings
from recommender.offers.plan_files import FOLDER, write_plan
from serving.app import v1
from serving.context import Context
from serving.publish import publish
from serving.tenants import in_control, in_offer_control

OFFERS = ("big", "small", "tea")
GAIN = [[900, 100, 300], [100, 900, 300], [50, 50, 50]]
"""What offers gain: of ann, of bob, of a stranger. Each costs 100."""
CASH = {"kind": "cash", "value": 100}
BARE = dict.fromkeys(("items", "categories", "ends", "starts", "budget", "per_user_limit", "stacking", "tiers"))
OVER = {"ends": "2020-01-01T00:00:00Z"}


@dataclass
class OfferShop:
    """An open shop; every method acts as a client or a night would."""

    context: Context
    client: Client
    home: Path
    key: str
    count: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> None:
        """The three offers are bare and known to the night; nothing is drawn, nobody held out, nobody tires."""
        self.settle()
        store = self.context.store
        rows = [{"offer_id": name, "title": name.title(), **CASH, **BARE} for name in OFFERS]
        others = {row["offer_id"] for row in store.changes("shop", "offers")} - {*OFFERS}
        store.upsert("shop", "offers", [*rows, *({"offer_id": name} | OVER for name in others)])
        self.plan(GAIN)

    def settle(self, **changes: Any) -> None:
        calm = NOTHING_DRAWN | {"offers_per_day": 1_000, "offers_per_week": 1_000}
        self.context.store.save_app(AppSettings("shop", **calm | changes))

    def offer(self, offer_id: str, **columns: Any) -> None:
        self.context.store.upsert("shop", "offers", [{"offer_id": offer_id, **columns}])

    def plan(self, gain: Any, **more: Any) -> Path:
        """Publishes a night's plan beside portraits; its folder."""
        made = self.home / "portraits-made"
        made.mkdir(exist_ok=True)
        arrays, manifest = planned(gain, [[100] * len(OFFERS)] * len(gain), users=("ann", "bob"), offers=OFFERS, **more)
        write_plan(made / FOLDER, arrays, manifest)
        settings, store = self.context.settings, self.context.store
        version = publish(settings, store, "shop", as_of=datetime.now(UTC), portraits=made)
        return settings.home / "portraits" / "shop" / version / FOLDER

    def ask(self, path: str = "/offers", **body: Any) -> Any:
        """The answer of a request that must be taken."""
        answer = self.client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {self.key}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def seen(self, user_id: str, offer_id: str = "big", ts: datetime | None = None, times: int = 1) -> None:
        told = {"user_id": user_id, "ts": (ts or datetime.now(UTC)).isoformat(), "type": "offer_exposure"}
        rows = [{"event_id": f"seen-{next(self.count)}", "offer_id": offer_id, **told} for _ in range(times)]
        self.ask("/events", events=rows)

    def claim(self, offer_id: str, user_id: str, path: str = "claim", **more: Any) -> Any:
        body = {"request_id": f"r{next(self.count)}", "user_id": user_id, "offer_id": offer_id}
        return self.ask(f"/offers/{path}", **body | more)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The decisions so far, with their candidates read."""
        self.seen("nobody")  # a commit takes along what waits
        found = map(json.loads, self.context.store.decisions_to_drain("shop").payloads)
        return {row["decision_id"]: row | {"candidates": json.loads(row["candidates"])} for row in found}

    def held_out(self) -> tuple[str, str]:
        """A visitor who is never given an offer, and one who may be; the items' arms are drawn apart."""
        tenant = self.context.store.tenant("shop")
        names = [f"visitor-{n}" for n in range(40)]
        out = [name for name in names if in_offer_control(tenant, name)]
        assert 0 < len(out) < len(names)
        assert {name for name in names if in_control(tenant, name)} != {*out}
        return out[0], next(name for name in names if name not in out)


@contextmanager
def open_offer_shop(home: Path) -> Iterator[OfferShop]:
    process, store = open_shop(home)
    store.close()
    context = Context.open(process)
    with Client(Starlette(routes=[v1(context)])) as client:
        yield OfferShop(context, client, home, context.store.add_key("shop", "admin"))
    context.close()


def given(answer: Any) -> list[str]:
    """Offers of an answer."""
    return [one["offer_id"] for one in answer["offers"]]
