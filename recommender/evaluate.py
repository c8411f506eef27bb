"""The backtest: every source, the baselines and the served pipeline on the same users and the same future.

Two questions, always both: over all items the user took afterwards, and over those the user had not taken before
(lists then without what was taken). Full catalogue, never sampled negatives, bootstrap intervals over users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from recommender import metrics
from recommender.bundle import Bundle
from recommender.candidates.opinions import top
from recommender.candidates.protocol import Source, block_rows, blocks
from recommender.catalogue import Catalogue
from recommender.dataset import Int32
from recommender.metrics import Estimate, Values
from recommender.pipeline import recommend
from recommender.split import Split
from recommender.types import Query

K = 10
PARTS = ("all", "new")
SHOWN = ("recall", "ndcg", "hit", "map", "mrr")


@dataclass(frozen=True)
class Judged:
    """One contestant's value for each user, by part ("all", "new") and metric. `lists` by part: int32[E, k]."""

    name: str
    values: Mapping[str, Mapping[str, Values]]
    lists: Mapping[str, Int32]

    def ndcg(self, part: str) -> float:
        """Mean NDCG; -1 where nobody can be judged."""
        of_users = self.values[part]["ndcg"]
        return float(of_users.mean()) if len(of_users) else -1.0


@dataclass(frozen=True)
class Row:
    """One line of the table: a contestant on one part, each metric with its interval, and coverage."""

    name: str
    part: str
    users: int
    estimates: Mapping[str, Estimate]
    coverage: float

    def as_json(self) -> dict[str, Any]:
        shown = {metric: estimate.as_json() for metric, estimate in self.estimates.items()}
        return {"name": self.name, "part": self.part, "users": self.users, "coverage": round(self.coverage, 4), **shown}


@dataclass(frozen=True)
class Table:
    """The backtest's table."""

    k: int
    rows: Sequence[Row] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {"k": self.k, "rows": [row.as_json() for row in self.rows]}

    def as_text(self) -> str:
        """Lines for people: name, part, users, then recall, NDCG and hit with their intervals."""
        shown = ("recall", "ndcg", "hit")
        lines = [f"{'':24}{'part':6}{'users':>7}" + "".join(f"{f'{name}@{self.k}':>24}" for name in shown)]
        for row in self.rows:
            cells = (row.estimates[name] for name in shown)
            text = "".join(f"{f'{c.mean:.4f} [{c.low:.4f} {c.high:.4f}]':>24}" for c in cells)
            lines.append(f"{row.name:24}{row.part:6}{row.users:7d}{text}")
        return "\n".join(lines)


def judge(name: str, split: Split, listed: Mapping[str, Int32], k: int = K) -> Judged:
    """Score the lists of one contestant: `listed["all"]` and `listed["new"]`, rows as `split.users`."""
    truth = {"all": split.truth, "new": split.new_truth}
    values = {part: metrics.per_user(listed[part], truth[part], k) for part in PARTS}
    return Judged(name, values, dict(listed))


def judge_sources(split: Split, sources: Sequence[Source], k: int = K) -> list[Judged]:
    """Each fitted source alone, over all rankable items and over those that the user did not take before."""
    train = split.train
    found: dict[str, dict[str, list[Int32]]] = {source.name: {part: [] for part in PARTS} for source in sources}
    for users in blocks(split.users, block_rows(train.shape[1], 4)):
        taken = train.bought[users].nonzero()
        for source in sources:
            scores = source.scores(users)
            scores[:, ~train.rankable] = -np.inf
            found[source.name]["all"].append(top(scores, k)[0])
            scores[taken] = -np.inf
            found[source.name]["new"].append(top(scores, k)[0])
    return [judge(name, split, {part: joined(parts[part], k) for part in PARTS}, k) for name, parts in found.items()]


def joined(blocks: Sequence[Int32], k: int) -> Int32:
    """Lists of consecutive blocks of users as one array."""
    return np.concatenate(blocks) if blocks else np.empty((0, k), np.int32)


def judge_served(name: str, split: Split, bundle: Bundle, k: int = K) -> Judged:
    """What visitors would be answered: the day's own `recommend` on a bundle of the split's past.

    "all" follows the bundle's repeat policy; "new" asks without what was taken.
    """
    catalogue = Catalogue.from_bundle(bundle)
    now = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=split.train.until_us)
    items = split.train.items
    answers = {}
    for part, allow_seen in (("all", None), ("new", False)):
        listed = np.full((len(split.users), k), -1, np.int32)
        for row, user in enumerate(split.train.users[split.users]):
            query = Query(user_id=user.decode(), n=k, now=now, allow_seen=allow_seen)
            ids = np.array([ranked.item_id.encode() for ranked in recommend(bundle, catalogue, query).items], "S")
            if len(ids):
                listed[row, : len(ids)] = np.searchsorted(items, ids)
        answers[part] = listed
    return judge(name, split, answers, k)


def table(split: Split, contestants: Iterable[Judged], seed: int, k: int = K) -> Table:
    """The table of all contestants, both parts, with 95% intervals."""
    rankable = int(split.train.rankable.sum())
    rows = []
    for judged in contestants:
        for part in PARTS:
            estimates = metrics.summary(judged.values[part], seed)
            users = len(judged.values[part]["ndcg"])
            covered = metrics.coverage(judged.lists[part], k, rankable)
            rows.append(Row(judged.name, part, users, estimates, covered))
    return Table(k, tuple(rows))
