"""Fourteen days in which the sample shop lives with what it is shown: what each way of answering earns.

    python tests/benchmarks/bench_closed_loop.py [--events 49000] [--days 14] [--seed 0] [--policies huaxiang ...]

Every policy has a world of its own that begins at the same moment. Each day says who comes; the policy answers each
visit (later visits of a day know what the visitor did in the earlier ones); the day passes with these answers, and its
events and decisions are imported like any others. The luck of a visitor, an item and a day is the same in all worlds.

Policies:
    huaxiang    a night before every day (`--every`), the day's own `recommend`; with settings of the app after a colon,
                `huaxiang:objective=margin,exploration_share=0`
    frozen      the same without any night after the first; the day's events since then are known
    popular     items with most buyers of the last 30 days, in stock
    random      items in stock
    oracle      the best by planted reward; `oracle:margin` for another than purchases

Two tables. What the answers to each visitor's first visit of a day were worth by the planted law (clicks, orders,
margin, revenue of looked-at items), and the share of the best possible answer in the same world; no luck is in it. Then
what happened: by luck, and with all that visitors buy unasked. `orders` and `margin` count everything that was bought,
`from shelf` only what an answer led to: a due need is bought whatever is shown. Intervals are bootstraps over visitors.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from living_shop import (
    App,
    K,
    catalogue_of,
    decision,
    decisions,
    events_of,
    past_of,
    person,
    ratio,
    there,
    world_of,
)

from portraits.sample import World
from portraits.sample.response import BUYS_NEED, OPENS_NEED, REWARDS
from portraits.settings import AppSettings
from recommender.answers.reasons import reason
from recommender.judging.metrics import bootstrap
from recommender.types import Ranked, Recent

POPULAR_DAYS = 30
NEW_DAYS = 30
TIRED_DAYS = 30
DUE = OPENS_NEED * BUYS_NEED
"""Planted chance of an order of a need that is due."""
HAPPENED = ("clicks", "orders from shelf", "orders", "margin from shelf", "margin", "revenue")
Visit = Mapping[str, Any]


class Policy:
    """Answers visits. `listens`: what a visitor did earlier in the day changes the answer."""

    listens = False

    def morning(self, world: World, day: int, available: Mapping[str, bool]) -> None:
        """Before the first visit of a day."""
        raise NotImplementedError

    def answer(self, visit: Visit, recent: Sequence[Recent], draw: int) -> tuple[Ranked, ...]:
        """Up to K items for a visit."""
        raise NotImplementedError

    def evening(self, events: pa.Table, written: list[dict[str, Any]]) -> None:
        """What the day was."""


class Huaxiang(Policy):
    """The service: `app`, after its first night, with further ones every so many days (0: none)."""

    listens = True

    def __init__(self, app: App, every: int, later_trials: int) -> None:
        self._app, self._every, self._later = app, every, later_trials
        self._since: dict[str, list[Recent]] = defaultdict(list)

    def morning(self, world: World, day: int, available: Mapping[str, bool]) -> None:
        if day == 0:
            self._app.model = self._app.published()
        elif self._every and day % self._every == 0:
            self._app.change(tuning_trials=str(self._later))
            told_of(self._app, world, day)
            self._since.clear()
        self._app.restock(available, world.now)

    def answer(self, visit: Visit, recent: Sequence[Recent], draw: int) -> tuple[Ranked, ...]:
        known = [*self._since[person(visit["user_id"])], *recent]
        return self._app.answer(visit, known, exploration=self._app.settings.exploration_share, draw=draw)

    def evening(self, events: pa.Table, written: list[dict[str, Any]]) -> None:
        self._app.take("events", events)
        self._app.take("decisions", decisions(written))
        for user, told in told_by(events).items():
            self._since[user] += told


class Listed(Policy):
    """The same list for everybody, made each morning: popular items, or random ones for each visit."""

    def __init__(self, bought: Mapping[datetime, Sequence[tuple[str, str]]]) -> None:
        self._bought = dict(bought)
        self._items: list[str] = []

    def morning(self, world: World, day: int, available: Mapping[str, bool]) -> None:  # noqa: ARG002
        since = world.now - timedelta(days=POPULAR_DAYS)
        recent = {pair for when, pairs in self._bought.items() if when >= since for pair in pairs}
        buyers = Counter(item for _, item in recent)
        self._today = world.now
        ranked = (item for item in sorted(buyers, key=lambda one: (-buyers[one], one)) if available.get(item))
        self._items = list(islice(ranked, K))

    def answer(self, visit: Visit, recent: Sequence[Recent], draw: int) -> tuple[Ranked, ...]:  # noqa: ARG002
        return listed(self._items)

    def evening(self, events: pa.Table, written: list[dict[str, Any]]) -> None:  # noqa: ARG002
        rows = events.select(["user_id", "type", "item_id"]).to_pylist()
        self._bought[self._today] = [(person(e["user_id"]), e["item_id"]) for e in rows if e["type"] == "purchase"]


class Chance(Policy):
    """Items in stock, drawn for each visit."""

    def morning(self, world: World, day: int, available: Mapping[str, bool]) -> None:  # noqa: ARG002
        self._items = [item for item, is_there in available.items() if is_there]

    def answer(self, visit: Visit, recent: Sequence[Recent], draw: int) -> tuple[Ranked, ...]:  # noqa: ARG002
        return listed(np.random.default_rng(draw).choice(self._items, K, replace=False).tolist())


class Oracle(Policy):
    """The best by the planted law, as of the morning."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def morning(self, world: World, day: int, available: Mapping[str, bool]) -> None:  # noqa: ARG002
        self._world = world

    def answer(self, visit: Visit, recent: Sequence[Recent], draw: int) -> tuple[Ranked, ...]:  # noqa: ARG002
        return listed(self._world.best([visit["user_id"]], K, self._kind)[0][0])


@dataclass
class Diary:
    """What became of one policy, by visitor. worth, best: by reward, of first visits; happened: by HAPPENED."""

    worth: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: defaultdict(float) for kind in REWARDS})
    best: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: defaultdict(float) for kind in REWARDS})
    happened: dict[str, dict[str, float]] = field(
        default_factory=lambda: {name: defaultdict(float) for name in HAPPENED}
    )
    days: Counter[str] = field(default_factory=Counter)
    by_day: list[dict[str, float]] = field(default_factory=list)
    shown: Counter[str] = field(default_factory=Counter)


@dataclass
class Facts:
    """What the measuring knows of the shop: cost and age of items, who bought what when."""

    rows: Mapping[str, Mapping[str, Any]]
    bought: dict[tuple[str, str], datetime]


def told_of(app: App, world: World, day: int) -> None:
    """A night, and a line about it."""
    began = time.perf_counter()
    summary = app.night(world.now)
    took = time.perf_counter() - began
    print(f"    night before day {day}: {summary.status} ({took:.0f} s)", file=sys.stderr, flush=True)


def listed(items: Iterable[str]) -> tuple[Ranked, ...]:
    return tuple(Ranked(item, 0.0, "", reason("popular", "en")) for item in items)


def told_by(events: pa.Table) -> dict[str, list[Recent]]:
    """What each visitor did with items, as the service would know it."""
    told: dict[str, list[Recent]] = defaultdict(list)
    for e in events.select(["user_id", "type", "item_id", "ts"]).to_pylist():
        if e["item_id"] is not None and e["type"] != "exposure":
            at = round(e["ts"].timestamp() * 1e6)
            told[person(e["user_id"])].append(Recent(e["type"], e["item_id"], at))
    return told


def placed(day: int, visitors: Sequence[Visit], answers: Mapping[int, Sequence[Ranked]]) -> list[dict[str, Any]]:
    """Answers as the world takes them."""
    return [
        {
            "decision_id": f"D{day}-{row}",
            "user_id": visitors[row]["user_id"],
            "ts": visitors[row]["ts"],
            "item_id": one.item_id,
            "position": place,
        }
        for row, items in answers.items()
        for place, one in enumerate(items, 1)
    ]


def answered(world: World, policy: Policy, day: int, visitors: Sequence[Visit], turns: Sequence[int]) -> dict[int, Any]:
    """An answer for each visit; those to second visits know the first, as a twin of the world lived it."""
    answers: dict[int, Any] = {}
    for turn in range(max(turns, default=-1) + 1):
        told: Mapping[str, list[Recent]] = {}
        if turn and policy.listens:
            told = told_by(copy.deepcopy(world).day(placed(day, visitors, answers)))
        for row, visit in enumerate(visitors):
            if turns[row] == turn:
                now = round(visit["ts"].timestamp() * 1e6)
                recent = [event for event in told.get(person(visit["user_id"]), ()) if event.ts_us < now]
                answers[row] = policy.answer(visit, recent, draw=day * 1_000_003 + row)
    return answers


def turns_of(visitors: Sequence[Visit]) -> list[int]:
    """How many visits of the same visitor the day had before each."""
    seen: Counter[str] = Counter()
    turns = []
    for visit in visitors:
        turns.append(seen[person(visit["user_id"])])
        seen[person(visit["user_id"])] += 1
    return turns


def live(world: World, policy: Policy, days: int, facts: Facts) -> Diary:
    """So many days with one policy."""
    diary, items = Diary(), list(facts.rows)
    facts.bought = dict(facts.bought)
    for day in range(days):
        visitors = world.visitors().to_pylist()
        policy.morning(world, day, there(world, items))
        turns = turns_of(visitors)
        answers = answered(world, policy, day, visitors, turns)
        first = [(visit, [one.item_id for one in answers[row]]) for row, visit in enumerate(visitors) if not turns[row]]
        note_worth(diary, world, first, facts)
        events = world.day(placed(day, visitors, answers))
        note_events(diary, events, {person(visit["user_id"]) for visit in visitors}, facts)
        written = [decision(f"D{day}-{row}", visitors[row], answers[row]) for row in answers]
        policy.evening(events, written)
    return diary


def note_worth(diary: Diary, world: World, first: Iterable[tuple[Visit, Sequence[str]]], facts: Facts) -> None:
    """Planted worth of the answers to first visits beside the best, and what kinds of items they hold."""
    today: dict[str, float] = defaultdict(float)
    for visit, ids in first:
        user, who = visit["user_id"], person(visit["user_id"])
        for kind in REWARDS:
            gained = world.reward([user], ids, kind)
            _, best = world.best([user], K, kind)
            mine, most = float(world.slate_reward(gained)[0]), float(world.slate_reward(best)[0])
            diary.worth[kind][who] += mine
            diary.best[kind][who] += most
            today[kind] += mine
            today[f"best {kind}"] += most
            if kind == "purchases":
                today["needs"] += int(np.isclose(best, DUE).sum())
                today["needs shown"] += int(np.isclose(gained, DUE).sum())
        diary.shown.update(ids)
        today["places"] += K
        for item in ids:
            created, last = facts.rows[item]["created_at"], facts.bought.get((who, item))
            today["new"] += created is not None and created >= world.now - timedelta(days=NEW_DAYS)
            today["just bought"] += last is not None and last >= world.now - timedelta(days=TIRED_DAYS)
    diary.by_day.append(dict(today))


def note_events(diary: Diary, events: pa.Table, came: set[str], facts: Facts) -> None:
    """What the visitors of a day did."""
    names = ["user_id", "ts", "type", "item_id", "decision_id", "amount", "quantity"]
    diary.days.update(came)
    for e in events.select(names).to_pylist():
        who = person(e["user_id"])
        if who not in came:
            continue
        if e["type"] == "click":
            diary.happened["clicks"][who] += 1
        elif e["type"] == "purchase":
            margin = e["amount"] - float(e["quantity"]) * facts.rows[e["item_id"]]["cost"]
            diary.happened["orders"][who] += 1
            diary.happened["margin"][who] += margin
            diary.happened["revenue"][who] += e["amount"]
            if e["decision_id"] is not None:
                diary.happened["orders from shelf"][who] += 1
                diary.happened["margin from shelf"][who] += margin
            facts.bought[who, e["item_id"]] = e["ts"]


def vector(values: Mapping[str, float], who: Sequence[str]) -> np.ndarray:
    return np.array([values.get(one, 0.0) for one in who], np.float64)


def money(kind: str) -> float:
    """Fen become yuan."""
    return 100.0 if kind.startswith(("margin", "revenue")) else 1.0


def show_worth(diaries: Mapping[str, Diary], seed: int) -> None:
    print(
        "\nWhat answers to first visits of a day are worth (planted; money in yuan), and the share of the best answer:"
    )
    print(f"{'':42}" + "".join(f"{kind:>28}" for kind in REWARDS))
    for name, diary in diaries.items():
        who = sorted(diary.days)
        line = f"{name:42}"
        for kind in REWARDS:
            mine, best = vector(diary.worth[kind], who), vector(diary.best[kind], who)
            share, low, high = ratio(mine, best, seed)
            each = mine.sum() / sum(diary.days.values()) / money(kind)
            line += f"{each:>9.3f} {share:>5.3f} [{low:.3f},{high:.3f}]"
        print(line)


def show_happened(diaries: Mapping[str, Diary], seed: int) -> None:
    who = sorted(set().union(*(diary.days for diary in diaries.values())))
    print(f"\nWhat happened, for each day of a visitor ({len(who)} visitors; money in yuan):")
    print(f"{'':42}{'visitor-days':>14}" + "".join(f"{name:>20}" for name in HAPPENED))
    for name, diary in diaries.items():
        days = sum(diary.days.values())
        cells = (sum(diary.happened[one].values()) / days / money(one) for one in HAPPENED)
        print(f"{name:42}{days:>14,}" + "".join(f"{cell:>20.3f}" for cell in cells))
    for rival in ("popular", "frozen"):
        if rival not in diaries:
            continue
        print(f"\nMore than {rival}, for each visitor over all days:")
        for name, diary in diaries.items():
            if name == rival:
                continue
            line = f"{name:42}{'':14}"
            for one in HAPPENED:
                more = vector(diary.happened[one], who) - vector(diaries[rival].happened[one], who)
                found = bootstrap(more / money(one), seed)
                line += f"{f'{found.mean:+.2f} [{found.low:+.2f},{found.high:+.2f}]':>20}"
            print(line)


def show_days(diaries: Mapping[str, Diary]) -> None:
    """How it went on: share of the best answer in the first and second half, and what was shown."""
    print("\nFirst and second half of the days (share of the best margin, of the best purchases), and of places shown:")
    head = ("margin 1st", "2nd", "purchases 1st", "2nd", "needs shown", "new items", "just bought", "items shown")
    print(f"{'':42}" + "".join(f"{one:>14}" for one in head))
    for name, diary in diaries.items():
        half = len(diary.by_day) // 2
        line = f"{name:42}"
        for kind in ("margin", "purchases"):
            for part in (diary.by_day[:half], diary.by_day[half:]):
                line += f"{total(part, kind) / max(total(part, f'best {kind}'), 1e-9):>14.3f}"
        line += f"{total(diary.by_day, 'needs shown') / max(total(diary.by_day, 'needs'), 1):>14.3f}"
        for one in ("new", "just bought"):
            line += f"{total(diary.by_day, one) / total(diary.by_day, 'places'):>14.3f}"
        print(line + f"{len(diary.shown):>14,}")


def share_of(diary: Diary, kind: str) -> float:
    """Planted worth of all answers over that of the best."""
    return sum(diary.worth[kind].values()) / sum(diary.best[kind].values())


def total(days: Iterable[Mapping[str, float]], name: str) -> float:
    return sum(day.get(name, 0.0) for day in days)


def policy_of(name: str, app: Callable[[str], App], facts: Facts, given: argparse.Namespace) -> Policy:
    kind, _, rest = name.partition(":")
    if kind == "oracle":
        return Oracle(rest or "purchases")
    if kind == "random":
        return Chance()
    if kind == "popular":
        by_day: dict[datetime, list[tuple[str, str]]] = defaultdict(list)
        for pair, when in facts.bought.items():
            by_day[when].append(pair)
        return Listed(by_day)
    if kind not in ("huaxiang", "frozen"):
        raise SystemExit(f"no policy is called {kind}")
    return Huaxiang(app(rest), given.every if kind == "huaxiang" else 0, given.later_trials)


def run(given: argparse.Namespace, folder: Path) -> None:
    began = time.perf_counter()
    past, opened = past_of(folder / "past", given.seed, given.events), world_of(given.seed, given.events)
    columns = ["user_id", "ts", "type", "item_id"]
    bought = {
        (person(e["user_id"]), e["item_id"]): e["ts"] for e in events_of(past, columns) if e["type"] == "purchase"
    }
    facts = Facts(catalogue_of(past), bought)
    settings = AppSettings("sample", tuning_trials=given.trials, control_share=0.0)
    first = App.imported(folder / "first", past, settings)
    visits = len(opened.visitors())
    print(f"{given.events:,} events, {len(facts.rows):,} items, about {visits} visits a day, {given.days} days")
    nights: dict[str, App] = {}
    diaries = {}
    for number, name in enumerate(given.policies):

        def app(rest: str, number: int = number) -> App:
            if rest not in nights:
                changes = dict(pair.split("=") for pair in rest.split(",") if pair)
                nights[rest] = first.moved(folder / f"first-{len(nights)}", **changes)
                told_of(nights[rest], opened, 0)
            return nights[rest].moved(folder / f"app-{number}")

        policy = policy_of(name, app, facts, given)
        diaries[name] = live(copy.deepcopy(opened), policy, given.days, Facts(facts.rows, facts.bought))
        shares = ", ".join(f"{kind} {share_of(diaries[name], kind):.3f}" for kind in REWARDS)
        print(f"  {name}: {shares} of the best ({time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)
    show_worth(diaries, given.seed)
    show_happened(diaries, given.seed)
    show_days(diaries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=49_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--every", type=int, default=1, help="days from one night to the next")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=20, help="of the first night")
    parser.add_argument("--later-trials", type=int, default=2, help="of the nights after it, which remember")
    usual = ["oracle", "oracle:margin", "huaxiang", "huaxiang:objective=margin", "frozen", "popular", "random"]
    parser.add_argument("--policies", nargs="+", default=usual)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(given, Path(folder))


if __name__ == "__main__":
    main()
