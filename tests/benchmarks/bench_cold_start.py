"""Who and what the night does not know: quality by the number of events of a visitor, and of an item.

    python tests/benchmarks/bench_cold_start.py [--events 300000] [--seed 0] [--held 0.2] [--asked 400] [--trials 20]

A sample shop whose past is imported without a share of its visitors (`--held`) and with most events of some items taken
away; one night; then questions through the day's own `recommend`.

Visitors. Those left out are strangers to the night. Each is asked as who did their last 0, 1, 2, 5, 10, 20 things with
items (`State.recent`), the same visitors in every column:
    taken    NDCG@10 of what they bought in a later visit and had not touched in the 20 events before it
    clicks, purchases, margin    share of the reachable reward (oracle = 1): the planted expectation of the ten answers
             over that of the best ten, at the end of the history
Below, visitors whom the night knows, asked by name, by the number of their events in the past.

Items. Groups of equally popular items keep their last 0, 1, 5 events, and all; the catalogue says that those came three
days ago. Cases are purchases of them by left-out visitors, asked as who did the ten things before; recall@10 and @50 of
the item. `explored` is the service with a tenth of the places for new items.

Beside the service: popular (buyers ever), recent popular (of 30 days), and content only (`Text` on the same events,
then popular).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from living_shop import APP, END, App, ask, events_of, past_of, person, ratio, there, world_of

from portraits.engine import connect
from portraits.sample import World
from portraits.sample.plan import plan
from portraits.settings import AppSettings
from recommender.bundles.today import SIGNALS, Today
from recommender.candidates.text import Text
from recommender.history.dataset import Dataset
from recommender.history.reading import History
from recommender.judging.metrics import bootstrap
from recommender.types import Recent

LENGTHS = (0, 1, 2, 5, 10, 20)
KEPT = (0, 1, 5, None)
"""Events that cold items keep; None: all."""
GROUP_SHARE = 0.06
"""Of the items, in each group."""
FEWEST_BUYERS = 5
CONTEXT = 10
EXPLORED = 0.1
REWARDS = ("clicks", "purchases", "margin")
KNOWN_BY = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 10_000))


@dataclass
class Shop:
    """The shop that was prepared. histories: what left-out visitors did with items, oldest first, with the visit of
    each event. groups: number of events kept -> items."""

    app: App
    world: World
    histories: Mapping[str, Sequence[tuple[Recent, str]]]
    groups: Mapping[int | None, frozenset[str]]
    rivals: Mapping[str, Rival]
    known: Mapping[str, int]


class Rival:
    """A plain way to answer: a score an item, by what somebody did."""

    def __init__(self, items: Sequence[str], popular: np.ndarray, alive: np.ndarray, similarity: Any = None) -> None:
        self._items, self._alive, self._similarity = items, alive, similarity
        self._row = {item: row for row, item in enumerate(items)}
        self._popular = popular / max(popular.max(), 1)

    def answer(self, recent: Iterable[Recent], n: int = 10) -> list[str]:
        """The n best, in stock."""
        scores = self._popular * 1e-6
        if self._similarity is not None:
            newest = sorted(recent, key=lambda event: -event.ts_us)
            for age, event in enumerate(newest):
                if event.type in SIGNALS and event.item_id in self._row:
                    weight = SIGNALS[event.type][0] * Today().fade ** age
                    scores = scores + weight * self._similarity[self._row[event.item_id]].toarray()[0]
        order = np.argsort(-np.where(self._alive, scores, -np.inf), kind="stable")
        return [self._items[row] for row in order[:n]]


def prepare(given: argparse.Namespace, folder: Path) -> Shop:
    """History -> the past with visitors and events left out -> one night."""
    past = past_of(folder / "whole", given.seed, given.events)
    rng = np.random.default_rng(given.seed)
    names = ["user_id", "ts", "type", "item_id", "session_id"]
    rows = sorted(events_of(past, names), key=lambda e: (e["ts"], e["event_id"]))
    real = plan(given.seed, given.events).users  # greater numbers are programs and tests
    rows = [e for e in rows if int(person(e["user_id"])) < real]
    people = sorted({person(e["user_id"]) for e in rows})
    held = {who for who, draw in zip(people, rng.random(len(people)), strict=True) if draw < given.held}
    histories: dict[str, list[tuple[Recent, str]]] = {}
    left: dict[str, list[str]] = {}
    buyers: dict[str, set[str]] = {}
    doers: dict[str, str] = {}
    for e in rows:
        who, item = person(e["user_id"]), e["item_id"]
        if item is None or e["type"] == "exposure":
            continue
        if who in held:
            event = Recent(e["type"], item, round(e["ts"].timestamp() * 1e6))
            histories.setdefault(who, []).append((event, e["session_id"] or ""))
            continue
        left.setdefault(item, []).append(e["event_id"])
        doers[e["event_id"]] = e["user_id"]
        if e["type"] == "purchase":
            buyers.setdefault(item, set()).add(who)
    groups = grouped(buyers, rng)
    gone = {
        one
        for kept, items in groups.items()
        if kept is not None
        for item in items
        for one in left[item][: len(left[item]) - kept]
    }
    known = Counter(user for event, user in doers.items() if event not in gone)
    known.update(dict.fromkeys(doers.values(), 0))
    cold = frozenset().union(*(items for kept, items in groups.items() if kept is not None))
    rewrite(past, folder / "past", held, gone, cold)
    app = App.imported(
        folder / "home", folder / "past", AppSettings(APP, tuning_trials=given.trials, control_share=0.0)
    )
    summary = app.night(END)
    print(f"night: {summary.status}, {sum(summary.seconds.values()):.0f} s; {summary.reason}", flush=True)
    world = world_of(given.seed, given.events)
    app.restock(there(world, list(app.rows)), END)
    dataset = History(app.doors()[1].snapshot(APP), app.settings, END, connect()).dataset()
    return Shop(app, world, histories, groups, rivals_of(dataset, there(world, list(app.rows))), known)


def grouped(buyers: Mapping[str, set[str]], rng: np.random.Generator) -> dict[int | None, frozenset[str]]:
    """Items that enough bought, dealt out so that all groups are equally popular."""
    chosen = sorted((item for item, who in buyers.items() if len(who) >= FEWEST_BUYERS), key=lambda i: -len(buyers[i]))
    size = int(GROUP_SHARE * len(buyers))
    step = max(len(chosen) // size, len(KEPT))
    dealt: dict[int | None, list[str]] = {kept: [] for kept in KEPT}
    for start in range(0, len(chosen) - step + 1, step):
        drawn = rng.permutation(chosen[start : start + step])[: len(KEPT)]
        for kept, item in zip(KEPT, drawn.tolist(), strict=True):
            dealt[kept].append(item)
    return {kept: frozenset(items) for kept, items in dealt.items()}


def rewrite(past: Path, out: Path, held: set[str], gone: set[str], cold: frozenset[str]) -> None:
    """The files of the past without those visitors and events, cold items newly made."""
    shutil.copytree(past, out)
    for part in sorted((out / "events").glob("*.parquet")):
        table = pq.read_table(part)
        who = pc.utf8_slice_codeunits(table["user_id"], 1)
        out_of = pc.or_(
            pc.is_in(who, pa.array(sorted(held), pa.string())),
            pc.is_in(table["event_id"], pa.array(sorted(gone), pa.string())),
        )
        pq.write_table(table.filter(pc.invert(out_of)), part)
    items = pq.read_table(out / "items.parquet")
    fresh = [
        END - timedelta(days=3) if item in cold else created
        for item, created in zip(items["item_id"].to_pylist(), items["created_at"].to_pylist(), strict=True)
    ]
    at = items.schema.get_field_index("created_at")
    pq.write_table(
        items.set_column(at, items.schema.field(at), pa.array(fresh, items.schema.field(at).type)),
        out / "items.parquet",
    )


def rivals_of(dataset: Dataset, available: Mapping[str, bool]) -> dict[str, Rival]:
    items = [item.decode() for item in dataset.items]
    alive = np.array([available.get(item, False) for item in items])
    return {
        "popular": Rival(items, dataset.popularity, alive),
        "recent popular": Rival(items, dataset.recent_popularity, alive),
        "content only": Rival(items, dataset.popularity, alive, Text().fit(dataset, 0).similarity_),
    }


def answers(shop: Shop, way: str, visit: Mapping[str, Any], recent: Sequence[Recent], n: int = 10) -> list[str]:
    """What a way answers to somebody who did `recent`."""
    if way in shop.rivals:
        return shop.rivals[way].answer(recent, n)
    if shop.app.model is None:
        raise SystemExit("no night was run")
    share = EXPLORED if way == "explored" else 0.0
    draw = int(visit["user_id"][1:])
    return [one.item_id for one in ask(*shop.app.model, visit, recent, n=n, exploration=share, draw=draw)]


def longest(shop: Shop, most: int, rng: np.random.Generator) -> list[tuple[str, list[Recent]]]:
    """Left-out visitors who did enough, with the last things that they did."""
    ready = [who for who, past in sorted(shop.histories.items()) if len(past) >= LENGTHS[-1]]
    drawn = rng.permutation(ready)[:most].tolist()
    return [(f"u{who}", [event for event, _ in shop.histories[who][-LENGTHS[-1] :]]) for who in drawn]


def buyers(shop: Shop, most: int, rng: np.random.Generator) -> list[tuple[str, list[Recent], frozenset[str]]]:
    """Left-out visitors who bought something that was new to them after they did enough: id, what they did before that
    visit, what was new in it. The last such visit of each."""
    found = []
    for who in rng.permutation(sorted(shop.histories)).tolist():
        past = shop.histories[who]
        visits = list(dict.fromkeys(visit for event, visit in past if event.type == "purchase"))
        for visit in reversed(visits):
            start = next(at for at, (_, session) in enumerate(past) if session == visit)
            before = [event for event, _ in past[:start]][-LENGTHS[-1] :]
            bought = {event.item_id for event, session in past if session == visit and event.type == "purchase"}
            new = frozenset(bought - {event.item_id for event in before})
            if len(before) == LENGTHS[-1] and new:
                found.append((f"u{who}", before, new))
                break
        if len(found) == most:
            break
    return found


def ndcg(listed: Sequence[str], truth: frozenset[str]) -> float:
    gains = sum(1 / np.log2(place + 2) for place, item in enumerate(listed) if item in truth)
    return gains / sum(1 / np.log2(place + 2) for place in range(min(len(truth), len(listed) or 1)))


def rewards(world: World, user: str, listed: Sequence[str]) -> dict[str, float]:
    return {kind: float(world.slate_reward(world.reward([user], listed, kind))[0]) for kind in REWARDS}


def best(world: World, user: str) -> dict[str, float]:
    return {kind: float(world.slate_reward(world.best([user], 10, kind)[1])[0]) for kind in REWARDS}


def show_strangers(shop: Shop, given: argparse.Namespace) -> None:
    who = longest(shop, given.asked, np.random.default_rng(given.seed))
    most = {kind: np.array([best(shop.world, user)[kind] for user, _ in who]) for kind in REWARDS}
    cases = buyers(shop, given.asked, np.random.default_rng(given.seed))
    told = f"taken: {len(cases)} visitors, rewards: {len(who)}; the same in each column"
    print(f"\nVisitors unknown to the night, by their events since ({told}):")
    print(f"{'':12}{'':16}" + "".join(f"{length:>24}" for length in LENGTHS))
    found = {way: strangers(shop, way, who, cases) for way in ("service", *shop.rivals)}
    for name in ("taken", *REWARDS):
        for way, values in found.items():
            cells = [middle(one[name], most.get(name), given.seed) for one in values]
            print(f"{name:12}{way:16}" + "".join(f"{cell:>24}" for cell in cells))
        less = zip(found["service"], found["content only"], strict=True)
        cells = [middle(ours[name] - theirs[name], most.get(name), given.seed, "+") for ours, theirs in less]
        print(f"{'':12}{'more than content':16}".ljust(28) + "".join(f"{cell:>24}" for cell in cells), flush=True)


def strangers(
    shop: Shop,
    way: str,
    who: Sequence[tuple[str, list[Recent]]],
    cases: Sequence[tuple[str, list[Recent], frozenset[str]]],
) -> list[dict[str, np.ndarray]]:
    """For each of LENGTHS the NDCG of what was taken (an entry a case) and the rewards (an entry a visitor)."""
    values = []
    for length in LENGTHS:
        got = []
        for user, before in who:
            listed = answers(shop, way, {"user_id": user, "ts": END}, before[len(before) - length :])
            got.append(rewards(shop.world, user, listed))
        taken = [
            ndcg(answers(shop, way, {"user_id": user, "ts": END}, before[len(before) - length :]), truth)
            for user, before, truth in cases
        ]
        values.append({"taken": np.array(taken), **{kind: np.array([one[kind] for one in got]) for kind in REWARDS}})
    return values


def middle(values: np.ndarray, most: np.ndarray | None, seed: int, sign: str = "") -> str:
    """Mean, or with `most` the share of it, with its interval."""
    if not len(values):
        return "-"
    if most is None:
        found = bootstrap(values, seed)
        middle, low, high = found.mean, found.low, found.high
    else:
        middle, low, high = ratio(values, most, seed)
    return f"{middle:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def show_known(shop: Shop, given: argparse.Namespace) -> None:
    rng = np.random.default_rng(given.seed)
    print("\nVisitors known to the night, by their events in the past:")
    print(f"{'':12}{'':16}" + "".join(f"{f'{low}-{high}':>24}" for low, high in KNOWN_BY))
    real = {
        (low, high): [one for one in rng.permutation(sorted(shop.known)).tolist() if low <= shop.known[one] <= high]
        for low, high in KNOWN_BY
    }
    real = {group: who[: given.asked] for group, who in real.items()}
    most = {group: [best(shop.world, user) for user in who] for group, who in real.items()}
    for way in ("service", "popular", "recent popular"):
        lines: dict[str, list[str]] = {kind: [] for kind in REWARDS}
        for group, who in real.items():
            got = [rewards(shop.world, user, answers(shop, way, {"user_id": user, "ts": END}, ())) for user in who]
            for kind in REWARDS:
                mine, whole = (np.array([one[kind] for one in part]) for part in (got, most[group]))
                lines[kind].append("{:.3f} [{:.3f}, {:.3f}]".format(*ratio(mine, whole, given.seed)))
        for name, cells in lines.items():
            print(f"{name:12}{way:16}" + "".join(f"{cell:>24}" for cell in cells), flush=True)
    print(f"{'visitors':28}" + "".join(f"{len(who):>24}" for who in real.values()))


def show_items(shop: Shop, given: argparse.Namespace) -> None:
    """Recall of the item that is bought, by how many events the night has of it."""
    in_stock = there(shop.world, list(shop.app.rows))
    cases: dict[int | None, list[tuple[str, list[Recent], str]]] = {kept: [] for kept in KEPT}
    for who, past in shop.histories.items():
        for at, (event, visit) in enumerate(past):
            group = next((kept for kept, items in shop.groups.items() if event.item_id in items), -1)
            if event.type != "purchase" or group == -1 or not in_stock[event.item_id]:
                continue
            before = [one for one, session in past[:at] if session != visit and one.item_id != event.item_id]
            if before:
                cases[group].append((f"u{who}", before[-CONTEXT:], event.item_id))
    print("\nItems by the events that the night has of them: recall of what is bought next")
    head = [f"{'all' if kept is None else kept} events ({len(found)})" for kept, found in cases.items()]
    print(f"{'':12}{'':16}" + "".join(f"{one:>24}" for one in head))
    for n in (10, 50):
        for way in ("service", "explored", *shop.rivals):
            cells = []
            for found in cases.values():
                hit = [
                    float(item in answers(shop, way, {"user_id": user, "ts": END}, recent, n))
                    for user, recent, item in found
                ]
                mean = bootstrap(np.array(hit), given.seed)
                cells.append(f"{mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]")
            print(f"{f'recall@{n}':12}{way:16}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held", type=float, default=0.2, help="share of visitors that the night does not know")
    parser.add_argument("--asked", type=int, default=400, help="most visitors in a row")
    parser.add_argument("--trials", type=int, default=20)
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        shop = prepare(given, Path(folder))
        show_strangers(shop, given)
        show_known(shop, given)
        show_items(shop, given)
    print(f"\n{given.events:,} events, seed {given.seed}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
