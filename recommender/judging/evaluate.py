"""The backtest: every source, the baselines and the served pipeline on the same users and the same future.

Two questions, always both: over all items the user took afterwards, and over those the user had not taken before
(lists then without what was taken). Where the future has users whom the past does not know, a third: what they took,
over the list that every stranger gets. Full catalogue, never sampled negatives, bootstrap intervals over users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import scipy.sparse as sp

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.bundles.bundle import Bundle
from recommender.candidates.opinions import SharedOpinions, top
from recommender.candidates.protocol import Source, block_rows, blocks
from recommender.history.dataset import Int32
from recommender.history.split import Split
from recommender.judging import metrics
from recommender.judging.lists import NATURE, Nature
from recommender.judging.metrics import Estimate, Values
from recommender.judging.visitors import segments
from recommender.types import Query

K = 10
PARTS = ("all", "new")
UNKNOWN = "unknown"
"""The part of users whom the past does not know."""
SERVED = "served"
"""The contestant that visitors would have been answered by."""
RIVALS = 3
"""How many of the others a table by segment shows to people."""


@dataclass(frozen=True)
class Judged:
    """One contestant's value at K for each user, by part (PARTS, perhaps UNKNOWN) and metric. `lists` by part:
    int32[E, k], of UNKNOWN int32[X, k]."""

    name: str
    values: Mapping[str, Mapping[str, Values]]
    lists: Mapping[str, Int32]

    def ndcg(self, part: str) -> float:
        """Mean NDCG; -1 where nobody can be judged."""
        of_users = self.values[part]["ndcg"]
        return float(of_users.mean()) if len(of_users) else -1.0


@dataclass(frozen=True)
class Row:
    """One line of the table: a contestant on one part at one length of list, each metric with its interval, and
    coverage. among: of a line of one segment of the users, which (`recommender.judging.visitors`)."""

    name: str
    part: str
    users: int
    estimates: Mapping[str, Estimate]
    coverage: float
    k: int = K
    among: str | None = None

    def as_json(self) -> dict[str, Any]:
        shown = {metric: estimate.as_json() for metric, estimate in self.estimates.items()}
        named = {"name": self.name, "part": self.part, "k": self.k, "users": self.users}
        named |= {} if self.among is None else {"among": self.among}
        return {**named, "coverage": round(self.coverage, 4), **shown}


@dataclass(frozen=True)
class Table:
    """The backtest's table. k: the first length of list. about: what was judged, in figures and words. segments: the
    rows again by segment of the users, at the first length; `among`: who is in each."""

    k: int
    rows: Sequence[Row] = field(default_factory=tuple)
    about: Mapping[str, Any] = field(default_factory=dict)
    segments: Sequence[Row] = field(default_factory=tuple)
    among: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        known = {"about": dict(self.about)} if self.about else {}
        rows = {"rows": [row.as_json() for row in self.rows]}
        by = {"among": dict(self.among), "segments": [row.as_json() for row in self.segments]} if self.segments else {}
        return {"k": self.k, **known, **rows, **by}

    def as_text(self) -> str:
        """Lines for people: what was judged; for each length name, part, users, then recall, NDCG, hit and, where worth
        is known, value with their intervals; what the lists are like; and the served one and its best rivals by
        segment."""
        valued = any(metrics.VALUE in row.estimates for row in self.rows)
        shown = ("recall", "ndcg", "hit", *([metrics.VALUE] if valued else []))
        lines = [f"{name}: {value}" for name, value in self.about.items()]
        for k in dict.fromkeys(row.k for row in self.rows):
            lines += _lines([row for row in self.rows if row.k == k], shown, k)
        first = [row for row in self.rows if row.k == self.k and row.part == PARTS[0]]
        if any(name in row.estimates for row in first for name in NATURE):
            lines += ["", "what the lists are like", *_lines(first, NATURE, self.k, coverage=True)]
        if self.segments:
            best = sorted(first, key=lambda row: row.estimates["ndcg"].mean, reverse=True)
            names = {SERVED, *[row.name for row in best if row.name != SERVED][:RIVALS]}
            told = ", ".join(f"{name}: {words}" for name, words in self.among.items())
            some = [row for row in self.segments if row.name in names and row.part == PARTS[0]]
            lines += ["", f"by segment of visitors ({told})", *_lines(some, shown, self.k)]
        return "\n".join(lines)


def _lines(rows: Sequence[Row], shown: Sequence[str], k: int, *, coverage: bool = False) -> list[str]:
    """Rows as text under a line of headers."""
    covered = f"{f'coverage@{k}':>14}" if coverage else ""
    second = "among" if any(row.among for row in rows) else "part"
    lines = [f"{'':24}{second:8}{'users':>7}{covered}" + "".join(f"{f'{name}@{k}':>27}" for name in shown)]
    for row in rows:
        covered = f"{row.coverage:14.4f}" if coverage else ""
        text = "".join(f"{_interval(row.estimates.get(name, metrics.UNKNOWN)):>27}" for name in shown)
        lines.append(f"{row.name:24}{row.among or row.part:8}{row.users:7d}{covered}{text}")
    return lines


def _interval(one: Estimate) -> str:
    return "-" if np.isnan(one.mean) else f"{one.mean:.4f} [{one.low:.4f} {one.high:.4f}]"


def judge(name: str, split: Split, listed: Mapping[str, Int32]) -> Judged:
    """Score the lists of one contestant, by part: rows as `split.users` (of UNKNOWN as the strangers'), K or longer."""
    return Judged(name, {part: _values(split, part, lists, K) for part, lists in listed.items()}, listed)


def _values(split: Split, part: str, lists: Int32, k: int) -> Mapping[str, Values]:
    return metrics.per_user(lists, _truth(split, part), k, split.train.worth)


def _truth(split: Split, part: str) -> sp.csr_matrix:
    if part == UNKNOWN and split.strangers is not None:
        return split.strangers.truth
    return split.truth if part == "all" else split.new_truth


def judge_sources(split: Split, sources: Sequence[Source], k: int = K) -> list[Judged]:
    """Lists of k items of each fitted source alone, over all rankable items and over those that the user did not take
    before."""
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
    judged = {name: {part: joined(parts[part], k) for part in PARTS} for name, parts in found.items()}
    if split.strangers is not None:
        asked = split.strangers.users
        for source in sources:
            opinions = source.opinions(asked[:1])
            if isinstance(opinions, SharedOpinions):  # the same for everybody, so for strangers as well
                nothing = sp.csr_matrix((1, train.shape[1]), dtype=np.float32)
                best = opinions.best(k, train.rankable, nothing)
                judged[source.name][UNKNOWN] = np.repeat(best, len(asked), axis=0)
    return [judge(name, split, listed) for name, listed in judged.items()]


def joined(blocks: Sequence[Int32], k: int) -> Int32:
    """Lists of consecutive blocks of users as one array."""
    return np.concatenate(blocks) if blocks else np.empty((0, k), np.int32)


def judge_served(name: str, split: Split, bundle: Bundle, k: int = K) -> Judged:
    """What visitors would be answered: the day's own `recommend` on a bundle of the split's past.

    "all" follows the bundle's repeat policy; "new" asks without what was taken. Of strangers one is asked for all.
    """
    catalogue = Catalogue.from_bundle(bundle)
    now = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=split.train.until_us)
    vocabulary = split.train.items

    def answered(users: Int32, allow_seen: bool | None) -> Int32:
        listed = np.full((len(users), k), -1, np.int32)
        for row, user in enumerate(split.train.users[users]):
            query = Query(user_id=user.decode(), n=k, now=now, allow_seen=allow_seen)
            ids = np.array([ranked.item_id.encode() for ranked in recommend(bundle, catalogue, query).items], "S")
            if len(ids):
                listed[row, : len(ids)] = np.searchsorted(vocabulary, ids)
        return listed

    answers = {"all": answered(split.users, None), "new": answered(split.users, False)}
    if split.strangers is not None:
        answers[UNKNOWN] = np.repeat(answered(split.strangers.users[:1], None), len(split.strangers.users), axis=0)
    return judge(name, split, answers)


def table(split: Split, contestants: Iterable[Judged], seed: int, ks: Sequence[int] = (K,)) -> Table:
    """The table of all contestants, all parts, with 95% intervals, at lengths `ks`, and by segment at the first."""
    rankable = int(split.train.rankable.sum())
    nature, groups = Nature(split.train), segments(split.train, split.users)
    rows, by_segment = [], []
    for judged in contestants:
        for k in ks:
            for part, lists in judged.lists.items():
                accuracy = judged.values[part] if k == K else _values(split, part, lists, k)
                judgeable = np.diff(_truth(split, part).indptr) > 0
                users = split.users if part != UNKNOWN or split.strangers is None else split.strangers.users
                values = {**accuracy, **nature.per_user(lists[judgeable], users[judgeable], k)}
                covered = metrics.coverage(lists, k, rankable)
                rows.append(Row(judged.name, part, int(judgeable.sum()), metrics.summary(values, seed), covered, k))
                for name, mask in (groups.masks if k == ks[0] and part != UNKNOWN else {}).items():
                    found = metrics.summary(values, seed, among=mask[judgeable])
                    covered = metrics.coverage(lists[mask], k, rankable)
                    by_segment.append(Row(judged.name, part, int(mask[judgeable].sum()), found, covered, k, name))
    return Table(ks[0], tuple(rows), segments=tuple(by_segment), among=groups.words)
