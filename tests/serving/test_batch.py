"""A batch answers every visitor as the day would, whichever of its ways it takes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted_app import night, open_shop, publish_night
from planted_links import link
from planted_shelf import Candidate, item

from recommender.answers.pipeline import recommend
from recommender.types import Query, State
from serving.batch import Batch, answer_file, open_batch
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.events import EventRow

ITEMS = [item(f"i{n:02d}", title=f"Item {n}", category=[f"c{n % 4}"], stock=n % 9 or None) for n in range(30)]
NAMES = [row["item_id"] for row in ITEMS]
VISITORS = [f"v{n:03d}" for n in range(200)]
WAYS = {
    "as learnt": {},
    "without what was had": {"allow_seen": False},
    "with it": {"allow_seen": True},
    "mixed": {"diversity": 0.7},
    "a short shelf": {"n": 2},
    "longer than any table": {"n": 25},
}


def event(number: int, user_id: str, kind: str, item_id: str, ts: datetime) -> EventRow:
    return EventRow(f"e{number}", 0, user_id, round(ts.timestamp() * 1e6), kind, item_id, "{}", "")


def planted(home: Path) -> tuple[ProcessSettings, Store]:
    """A night of 200 visitors, and a day in which some came back, some were linked, some refused or were forgotten."""
    rng = random.Random(0)
    settings, store = open_shop(home)
    tables = {
        user: [
            Candidate(one, 1 - place / 32, rng.choice(["again", "als", "similar"]), rng.choice([None, *NAMES]))
            for place, one in enumerate(rng.sample(NAMES, rng.randrange(25)))
        ]
        for user in VISITORS[:150]
    }
    bought = {user: rng.sample(NAMES, rng.randrange(8)) for user in VISITORS[:170]}
    popular = [(one, 1 - place / 40) for place, one in enumerate(rng.sample(NAMES, 20))]
    made = night(items=ITEMS, table=tables, bought=bought, popular=popular)
    publish_night(settings, store, made)
    later = datetime.now(UTC) + timedelta(seconds=1)
    kinds = ("purchase", "item_view", "exposure", "cart")
    rows = [
        event(n, rng.choice(VISITORS), rng.choice(kinds), rng.choice(NAMES), later + timedelta(seconds=n))
        for n in range(40)
    ]
    store.append_events("shop", rows)
    store.upsert("shop", "users", [{"user_id": user, "consent": False} for user in VISITORS[3:60:11]])
    pairs = zip(VISITORS[100:120], VISITORS[148:168], strict=True)
    store.upsert("shop", "identities", [link(n, user_id=one, anonymous_id=two) for n, (one, two) in enumerate(pairs)])
    store.upsert("shop", "items", [item("i05", hidden=True), item("fresh", title="Fresh")])
    store.forget("shop", VISITORS[7])
    return settings, store


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ProcessSettings, Store]]:
    settings, store = planted(tmp_path_factory.mktemp("shop"))
    yield settings, store
    store.close()


def one_by_one(batch: Batch, users: list[str]) -> list[dict[str, Any]]:
    """The day's way: the state of each visitor, and the one function that makes an answer."""
    rows = []
    for user in users:
        state = batch.store.state(batch.app_id, user)
        query = Query(
            batch.model.known_as(state), batch.n, batch.now, personalized=state.consent,
            allow_seen=batch.allow_seen, diversity=batch.diversity,
        )  # fmt: skip
        answer = recommend(
            batch.model.bundle, batch.model.catalogue, query, State(state.recent), batch.model.promotions
        )
        for rank, one in enumerate(answer.items, 1):
            rows.append(
                {"user_id": user, "rank": rank, "item_id": one.item_id, "score": float(one.score),
                 "source": one.source, "reason": one.reason.text}
            )  # fmt: skip
    return rows


@pytest.mark.law
@pytest.mark.parametrize("way", WAYS)
def test_it_is_what_each_would_be_answered(shop: tuple[ProcessSettings, Store], way: str) -> None:
    settings, store = shop
    batch = replace(open_batch(settings, store, "shop", 6, None), **WAYS[way])
    users = [*reversed(VISITORS), "nobody", "v001 ", "陌生人"]
    assert batch.answers(users).to_pylist() == one_by_one(batch, users)


@pytest.mark.law
def test_pins_and_boosts_hold_in_a_batch_too(tmp_path: Path) -> None:
    settings, store = planted(tmp_path)
    store.save_rules("shop", {"p": json.dumps({"rule_id": "p", "kind": "pin", "item_id": "i03", "position": 1})})
    batch = open_batch(settings, store, "shop", 4, None)
    assert batch.answers(VISITORS[:50]).to_pylist() == one_by_one(batch, VISITORS[:50])
    store.close()


def test_without_a_model_everybody_gets_the_catalogue(tmp_path: Path) -> None:
    settings, store = open_shop(tmp_path)
    store.upsert("cafe", "items", ITEMS)
    batch = open_batch(settings, store, "cafe", 3, None)
    assert batch.answers(["ann", "bob"]).to_pylist() == one_by_one(batch, ["ann", "bob"])
    store.close()


def test_news_are_events_that_the_version_does_not_hold(shop: tuple[ProcessSettings, Store]) -> None:
    _, store = shop
    alone = [user for user in VISITORS if not store.linked("shop", [user]) and user != VISITORS[7]]
    told = {user for user in alone if store.state("shop", user).recent}
    news = store.with_news("shop", store.active("shop"))
    assert 0 < len(told) < len(alone)
    assert news & set(alone) == told
    assert store.with_news("cafe", store.active("cafe")) == set()


def test_a_file_is_written_whole_in_blocks_of_visitors(shop: tuple[ProcessSettings, Store], tmp_path: Path) -> None:
    settings, store = shop
    users, out = tmp_path / "users.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"user_id": [*VISITORS, VISITORS[0], None, ""]}), users)
    shares: list[float] = []
    batch = open_batch(settings, store, "shop", 5, None)
    visitors, rows = answer_file(batch, users, out, shares.append)
    written = pq.read_table(out)
    assert (visitors, rows) == (len(VISITORS), written.num_rows)
    assert written.to_pylist() == one_by_one(batch, VISITORS)
    assert shares[-1] == 1.0
