"""Microseconds of one request inside the process, without HTTP, by case and by stage.

    python tests/benchmarks/bench_request.py [--items 1000 20000 100000] [--users 5000] [--requests 2000]

The reference is the least that NumPy could do for an answer: take 100 scores of the items, sort them, take ten ids.
Every figure is the median of the requests, each for another visitor.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recommender.answers.catalogue import Catalogue
from recommender.answers.occasions import Listed, pack
from recommender.answers.pipeline import recommend, rules_of, similar, together, trending
from recommender.answers.promotions import Boost, Pin, Promotion, Promotions
from recommender.answers.proposals import proposed, seeds_of, table_of, who
from recommender.answers.slate import Rules
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.types import Filters, Query, Recent, State

CANDIDATES, NEIGHBOURS, CATEGORIES, TAGS, LISTED = 100, 30, 500, 1000, 200
NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)


def arrays(items: int, users: int, rng: np.random.Generator) -> dict[str, Any]:
    """A bundle of random candidates, neighbours, purchases and catalogue."""
    start = rng.integers(0, items, (users, 1))
    steps = np.cumsum(rng.integers(1, max(2, items // (CANDIDATES + 1)), (users, CANDIDATES)), axis=1)
    near = np.sort(rng.choice(min(items - 1, 500), NEIGHBOURS, replace=False)) + 1
    bought = np.sort((start + np.arange(0, 20 * (items // 50), items // 50)) % items, axis=1)
    titles = [f"Item number {n} 号".encode() for n in range(items)]
    return {
        "users": np.array([f"user-{n:08d}".encode() for n in range(users)]),
        "items": np.array([f"item-{n:08d}".encode() for n in range(items)]),
        "candidate_items": ((start + steps) % items).astype(np.int32),
        "candidate_scores": -np.sort(-rng.random((users, CANDIDATES), dtype=np.float32), axis=1),
        "candidate_sources": rng.integers(0, 3, (users, CANDIDATES), dtype=np.uint8),
        "candidate_evidence": rng.integers(-1, items, (users, CANDIDATES), dtype=np.int32),
        "bought_indptr": np.arange(0, 20 * users + 1, 20, dtype=np.int64),
        "bought_items": bought.astype(np.int32).ravel(),
        "popular_items": rng.permutation(items).astype(np.int32),
        "popular_scores": np.linspace(1, 0.001, items, dtype=np.float32),
        "neighbour_items": ((np.arange(items)[:, None] + near) % items).astype(np.int32),
        "neighbour_scores": -np.sort(-rng.random((items, NEIGHBOURS), dtype=np.float32), axis=1),
        "together_items": ((np.arange(items)[:, None] + 7 * near) % items).astype(np.int32),
        "together_scores": -np.sort(-rng.random((items, NEIGHBOURS), dtype=np.float32), axis=1),
        "together_lift": np.full((items, NEIGHBOURS), 2, np.float32),
        "together_orders": np.full((items, NEIGHBOURS), 5, np.int32),
        **occasions(items, rng),
        "new_items": rng.permutation(items)[:500].astype(np.int32),
        "item_price": rng.integers(100, 100_000, items),
        "categories": np.array([f"category-{n:04d}".encode() for n in range(CATEGORIES)]),
        "item_category": rng.integers(0, CATEGORIES, (items, 3), dtype=np.int32),
        "tags": np.array([f"tag-{n:04d}".encode() for n in range(TAGS)]),
        "item_tags_indptr": np.arange(items + 1, dtype=np.int64),
        "item_tags": rng.integers(0, TAGS, items, dtype=np.int32),
        "titles_bytes": np.frombuffer(b"".join(titles), np.uint8),
        "titles_offsets": np.cumsum([0, *map(len, titles)]),
    }


def occasions(items: int, rng: np.random.Generator) -> dict[str, Any]:
    """Lists of 24 hours, 500 stores, 20 entrances, 500 articles, and of what rises."""
    hours, stores = [f"hour:{n}" for n in range(24)], [f"store:s{n}" for n in range(500)]
    scenes, articles = [f"scene:wechat:{1000 + n}" for n in range(20)], [f"article:c{n}" for n in range(500)]
    return pack(
        Listed(
            key,
            rng.permutation(items)[:LISTED].astype(np.int32),
            np.linspace(1, 0.1, LISTED, dtype=np.float32),
            rng.integers(0, 9, LISTED).astype(np.float32),
        )
        for key in [*hours, *stores, *scenes, *articles, "now"]
    )


def median_us(call: Callable[[Any], object], inputs: Iterator[Any], requests: int) -> float:
    """Median microseconds of `call` over `requests` inputs, after a tenth as many to warm up."""
    for one in itertools.islice(inputs, requests // 10):
        call(one)
    times = []
    for one in itertools.islice(inputs, requests):
        began = time.perf_counter()
        call(one)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def baseline(bundle: Bundle) -> Callable[[int], object]:
    def least(row: int) -> object:
        items = bundle.candidate_items[row]
        best = np.argsort(-bundle.candidate_scores[row])[:10]
        return bundle.items.array[items[best]].tolist()

    return least


def cases(items: int, users: int, rng: np.random.Generator) -> dict[str, Iterator[tuple[Any, ...]]]:
    """Endless requests of each kind: query, state and, where the shop has rules, these."""

    def user() -> str:
        return f"user-{rng.integers(users):08d}"

    def one() -> str:
        return f"item-{rng.integers(items):08d}"

    def views(n: int) -> State:
        return State([Recent("item_view", one(), at) for at in range(n)])

    def endless(make: Callable[[], tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        while True:
            yield make()

    def ask(user_id: str, **asked: Any) -> Query:
        return Query(user_id, 10, NOW, **asked)

    rare = Filters(tags=("tag-0007",), price_max=2_000)
    two = [Promotion(f"pin {place}", Pin(one(), place)) for place in (1, 4)]
    pins = Promotions(two)
    lifted = ("category-0007", "category-0008")
    boosts = Promotions([*two, *(Promotion(name, Boost("category", name, 2.0)) for name in lifted)])
    return {
        "known visitor": endless(lambda: (ask(user()), State())),
        "known visitor, 8 views today": endless(lambda: (ask(user()), views(8))),
        "known visitor, 50 events today": endless(lambda: (ask(user()), views(50))),
        "stranger": endless(lambda: (ask("nobody"), State())),
        "stranger at an hour": endless(lambda: (ask("nobody", hour=8), State())),
        "stranger: store, entrance, hour": endless(
            lambda: (ask("nobody", store_id="s7", scene="1011", hour=8), State())
        ),
        "known visitor in a store": endless(lambda: (ask(user(), store_id="s7", hour=8), State())),
        "known visitor at an hour": endless(lambda: (ask(user(), hour=8), State())),
        "known visitor, an article": endless(lambda: (ask(user(), content_id="c7"), State())),
        "product page": endless(lambda: (ask(user(), item_id=one()), State())),
        "50 excluded, 5 in the cart": endless(
            lambda: (ask(user(), exclude=tuple(one() for _ in range(50)), cart=tuple(one() for _ in range(5))), State())
        ),
        "one category": endless(lambda: (ask(user(), filters=Filters(category=("category-0007",))), State())),
        "a price and a rare tag": endless(lambda: (ask(user(), filters=rare), State())),
        "diversity 0.3": endless(lambda: (ask(user(), diversity=0.3), State())),
        "2 pins": endless(lambda: (ask(user()), State(), pins)),
        "2 pins, 2 boosts of a category": endless(lambda: (ask(user()), State(), boosts)),
        "2% for new items": endless(lambda: (ask(user(), exploration=0.02, draw=int(rng.integers(2**63))), State())),
        "a price nothing has: walks all": endless(lambda: (ask(user(), filters=Filters(price_max=1)), State())),
        "Chinese": endless(lambda: (ask(user(), lang="zh"), State())),
    }


def stages(bundle: Bundle, catalogue: Catalogue, requests: Iterator[tuple[Any, ...]], count: int) -> dict[str, float]:
    """Median microseconds of each step of `recommend`, one after the other on the same requests."""
    clocks: dict[str, list[float]] = {"visitor": [], "rules made": [], "proposed": [], "rules asked": [], "all": []}
    for query, state in itertools.islice(requests, count):
        t = [time.perf_counter()]
        visitor, acts = who(bundle, catalogue, query, state)
        t.append(time.perf_counter())
        rules: Rules = rules_of(bundle, catalogue, query, -1, visitor)
        t.append(time.perf_counter())
        seeds = seeds_of(bundle, catalogue, query, -1, acts, weight=bundle.today.weight)
        pool = proposed(bundle, table_of(bundle, visitor.row, 1.0), seeds)
        t.append(time.perf_counter())
        rules.proposals(pool.items)
        t.append(time.perf_counter())
        recommend(bundle, catalogue, query, state)
        t.append(time.perf_counter())
        for clock, (before, after) in zip(clocks.values(), itertools.pairwise(t), strict=True):
            clock.append(after - before)
    medians = {name: statistics.median(clock) * 1e6 for name, clock in clocks.items()}
    whole = medians.pop("all")
    return {**medians, "reasons and ids": whole - sum(medians.values()), "whole": whole}


def bench(items: int, users: int, requests: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    write_bundle(
        folder,
        arrays(items, users, rng),
        {"sources": ["again", "als", "popular"], "target": "purchase", "repeat": False},
    )
    began = time.perf_counter()
    bundle = Bundle.open(folder)
    verified = time.perf_counter() - began
    began = time.perf_counter()
    bundle = Bundle.open(folder, verify=False)
    catalogue = Catalogue.from_bundle(bundle)
    opened = time.perf_counter() - began
    rows = iter(lambda: int(rng.integers(users)), -1)
    least = median_us(baseline(bundle), rows, requests)
    print(f"\n{items:,} items, {users:,} users: opened in {opened * 1e3:.1f} ms, verified in {verified * 1e3:.1f} ms")
    print(f"  {'reference: NumPy alone':34}{least:10.1f} us")
    for name, asked in cases(items, users, rng).items():
        took = median_us(lambda one: recommend(bundle, catalogue, *one), asked, requests)
        print(f"  {name:34}{took:10.1f} us {took / least:7.1f} x")
    pages = iter(lambda: Query("", 10, NOW, item_id=f"item-{rng.integers(items):08d}"), None)
    took = median_us(lambda query: similar(bundle, catalogue, query), pages, requests)
    print(f"  {'similar':34}{took:10.1f} us {took / least:7.1f} x")
    took = median_us(lambda query: together(bundle, catalogue, query), pages, requests)
    print(f"  {'bought together':34}{took:10.1f} us {took / least:7.1f} x")
    took = median_us(lambda query: trending(bundle, catalogue, query), pages, requests)
    print(f"  {'trending':34}{took:10.1f} us {took / least:7.1f} x")
    for name in ("known visitor", "known visitor, 8 views today"):
        steps = stages(bundle, catalogue, cases(items, users, rng)[name], requests)
        print(f"  stages of {name!r}: " + ", ".join(f"{step} {took:.1f}" for step, took in steps.items()))
    changes = iter(lambda: [{"item_id": f"item-{rng.integers(items):08d}", "price": 5, "stock": 7}], None)
    print(f"  {'one catalogue change':34}{median_us(catalogue.apply, changes, requests):10.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 20_000, 100_000])
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--requests", type=int, default=2_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for items in given.items:
            bench(items, given.users, given.requests, Path(folder) / "bundle")


if __name__ == "__main__":
    main()
