"""The planted world as one value: what there is, who comes, what is under way. `open_shop` makes it for day 0."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from portraits.sample.campaigns import Campaign, make_campaigns
from portraits.sample.goods import (
    Clusters,
    Contents,
    Goods,
    Places,
    make_clusters,
    make_contents,
    make_goods,
    make_places,
)
from portraits.sample.people import People, make_people
from portraits.sample.plan import Plan
from portraits.sample.rows import Array, Columns

FIRST_GUESS_EVENTS_PER_VISIT = 9.0


@dataclass
class Shop:
    """State of the world. `agenda` holds what was arranged for later days: kind -> day -> column blocks."""

    plan: Plan
    clusters: Clusters
    goods: Goods
    places: Places
    contents: Contents
    people: People
    campaigns: tuple[Campaign, ...]
    numbers: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    agenda: dict[str, dict[int, list[Columns]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    events_per_visit: float = FIRST_GUESS_EVENTS_PER_VISIT

    def new_numbers(self, kind: str, count: int) -> Array:
        """The next `count` numbers for ids of one kind: order, session, group, decision."""
        first = self.numbers[kind]
        self.numbers[kind] += count
        return np.arange(first, first + count)

    def arrange(self, kind: str, days: Array, columns: Columns) -> None:
        """Puts each row of `columns` on the agenda of its day."""
        for day in np.unique(days):
            here = days == day
            self.agenda[kind][int(day)].append({name: values[here] for name, values in columns.items()})

    def due(self, kind: str, day: int, *names: str) -> Columns:
        """What was arranged for a day, taken off the agenda; empty columns where there is nothing."""
        blocks = self.agenda[kind].pop(day, [])
        return {
            name: np.concatenate([block[name] for block in blocks]) if blocks else np.empty(0, np.int64)
            for name in names
        }


def open_shop(plan: Plan) -> Shop:
    """The world before its first day."""
    clusters = make_clusters(plan)
    goods = make_goods(plan, clusters)
    return Shop(
        plan=plan,
        clusters=clusters,
        goods=goods,
        places=make_places(plan),
        contents=make_contents(plan, goods),
        people=make_people(plan, clusters, goods),
        campaigns=make_campaigns(plan),
    )
