"""Lookalikes: the visitors who are most like the members of a segment, and how far that can be trusted.

A regularised logistic regression tells members from the rest. Everybody is scored by a model that was fitted without
them, in FOLDS parts; so the members' own scores show how well the models find members they have not seen: that is the
held-out quality which comes with every answer. People without a portrait (who refused, or whom nobody has seen) are
never among the answers, since nothing else is read.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from portraits.errors import InvalidValue
from portraits.portrait_set import TABLE_FILE, PortraitSet
from portraits.segments.encoding import Encoder, row_groups

Array = npt.NDArray[Any]

FEWEST = 20
"""Members below which nothing can be learned, or said about how well it was."""
MEMBERS, REST = 20_000, 50_000
"""Visitors that the models are fitted on at most."""
FOLDS = 5
MEMBER = -1
STRENGTH = 0.1
"""Inverse of the penalty (scikit-learn's C)."""
DIGITS = 6
"""Of a score: what a sum in another order could change lies beyond."""
Z = 1.959964
"""Of a 95% interval."""


@dataclass(frozen=True, slots=True)
class Share:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What the models found of members that were hidden from them.

    auc: how often a hidden member scores above another visitor, 0.5 by chance; centroid_auc: the same by cosine
    similarity with the average member, the simplest method. recall: share of hidden members among the n best-scored;
    random: what n visitors drawn at random would hold of them.
    """

    auc: Share
    centroid_auc: float
    recall: Share
    random: float


@dataclass(frozen=True, slots=True)
class Lookalikes:
    """table: user_id and score (0 to 1, best first, ties by user_id). members: how many were learned from; unknown:
    how many of those given have no portrait."""

    table: pa.Table
    quality: Quality
    members: int
    unknown: int


def lookalikes(portraits: PortraitSet | Path, members: Sequence[str], n: int, seed: int = 0) -> Lookalikes:
    """The `n` visitors most like `members` who are not among them (fewer where there are no more).

    Raises InvalidValue for n below 1, for fewer than FEWEST members with a portrait, and where fewer than FEWEST
    visitors are left to choose from.
    """
    if n < 1:
        raise InvalidValue("n", n, "a number of visitors, 1 or more")
    folder = portraits.path if isinstance(portraits, PortraitSet) else portraits
    file = pq.ParquetFile(folder / TABLE_FILE)
    inside = _inside(file, members)
    known, total = int(inside.sum()), len(inside)
    if known < FEWEST:
        raise InvalidValue("members", known, f"at least {FEWEST} visitors with a portrait: make the segment wider")
    if total - known < FEWEST:
        raise InvalidValue("members", known, f"a segment that leaves at least {FEWEST} of the {total} visitors to find")
    chosen = _chosen(inside, np.random.default_rng(seed))
    rows = _gather(file, chosen)
    encoder = Encoder.of(rows)
    folds = _folds(inside)
    numbers, labels, own = encoder.numbers(rows), inside[chosen], folds[chosen]
    with threadpool_limits(limits=1):  # sums of several threads differ in their last digits from run to run
        models = [_fit(numbers[own != fold], labels[own != fold]) for fold in range(FOLDS)]
        table = _best(file, encoder, models, np.where(inside, MEMBER, folds), n)
        scores = [_out_of_fold(models, numbers, own, cosine=cosine) for cosine in (False, True)]
    hidden = known / FOLDS
    candidates = total - known + hidden
    quality = _quality(scores[0], scores[1], labels, min(n / candidates, 1.0), hidden / candidates)
    return Lookalikes(table, quality, known, len(set(members)) - known)


def _inside(file: pq.ParquetFile, members: Sequence[str]) -> Array:
    """Whether each visitor is a member, in the order of the portraits."""
    wanted = pa.array(sorted(set(members)), pa.string())
    users = file.read(["user_id"])["user_id"]
    found: Array = pc.is_in(users, wanted).to_numpy()
    return found


def _folds(inside: Array) -> Array:
    """Members and others dealt out in turn, so that every fold has the same share of members."""
    return np.where(inside, np.cumsum(inside), np.cumsum(~inside)) % FOLDS


def _chosen(inside: Array, rng: np.random.Generator) -> Array:
    """Places of the visitors to learn from, in order."""
    parts = []
    for places, most in ((np.flatnonzero(inside), MEMBERS), (np.flatnonzero(~inside), REST)):
        parts.append(places if len(places) <= most else rng.choice(places, most, replace=False))
    return np.sort(np.concatenate(parts))


def _gather(file: pq.ParquetFile, places: Array) -> pa.Table:
    parts, start = [], 0
    for rows in row_groups(file):
        first, last = np.searchsorted(places, (start, start + len(rows)))
        parts.append(rows.take(pa.array(places[first:last] - start)))
        start += len(rows)
    return pa.concat_tables(parts)


@dataclass(frozen=True, slots=True)
class _Model:
    """A logistic regression and, for comparison, the direction of the average member."""

    weights: Array
    intercept: float
    centroid: Array

    def score(self, numbers: Array) -> Array:
        scores: Array = 1 / (1 + np.exp(-(numbers @ self.weights + self.intercept)))
        return scores

    def cosine(self, numbers: Array) -> Array:
        length = np.linalg.norm(numbers, axis=1)
        near: Array = np.divide(numbers @ self.centroid, length, out=np.zeros(len(numbers)), where=length > 0)
        return near


def _fit(numbers: Array, labels: Array) -> _Model:
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000)
    model.fit(numbers.astype(np.float64), labels)
    return _Model(model.coef_[0], float(model.intercept_[0]), numbers[labels].mean(axis=0))


def _best(file: pq.ParquetFile, encoder: Encoder, models: list[_Model], folds: Array, n: int) -> pa.Table:
    """The n best-scored visitors outside (folds: MEMBER for those inside), each by the model that has not seen them."""
    best: list[tuple[float, str]] = []
    start = 0
    for rows in row_groups(file):
        here = folds[start : start + len(rows)]
        start += len(rows)
        outside = np.flatnonzero(here != MEMBER)
        numbers = encoder.numbers(rows.take(pa.array(outside)))
        scores = _out_of_fold(models, numbers, here[outside])
        users = rows["user_id"].take(pa.array(outside)).to_pylist()
        found = zip((-scores.round(DIGITS)).tolist(), users, strict=True)
        best = heapq.nsmallest(n, [*best, *found])
    return pa.table(
        {
            "user_id": pa.array([user for _, user in best], pa.string()),
            "score": pa.array([-score for score, _ in best], pa.float64()),
        }
    )


def _out_of_fold(models: Sequence[_Model], numbers: Array, folds: Array, *, cosine: bool = False) -> Array:
    scores = np.zeros(len(numbers))
    for fold, model in enumerate(models):
        own = folds == fold
        scores[own] = model.cosine(numbers[own]) if cosine else model.score(numbers[own])
    return scores


def _quality(scores: Array, centroid: Array, labels: Array, part: float, hidden: float) -> Quality:
    """One fold of the members being `hidden` among the candidates (as a share of them), of whom `part` is taken."""
    return Quality(
        auc=_auc(scores, labels),
        centroid_auc=_auc(centroid, labels).value,
        recall=_wilson(_recall(scores, labels, part, hidden), int(labels.sum())),
        random=part,
    )


def _auc(scores: Array, labels: Array) -> Share:
    """Area under the ROC curve with DeLong's interval (in the form of Sun and Xu 2014)."""
    above, below = scores[labels], scores[~labels]
    ranks = rankdata(np.concatenate([above, below]))
    m, n = len(above), len(below)
    of_members = (ranks[:m] - rankdata(above)) / n
    of_others = 1 - (ranks[m:] - rankdata(below)) / m
    auc = float(of_members.mean())
    half = Z * float(np.sqrt(of_members.var(ddof=1) / m + of_others.var(ddof=1) / n))
    return Share(auc, max(auc - half, 0.0), min(auc + half, 1.0))


def _recall(scores: Array, labels: Array, part: float, hidden: float) -> float:
    """Share of the members among the best-scored `part` of all candidates."""
    weight = np.where(labels, hidden / labels.sum(), (1 - hidden) / (~labels).sum())
    order = np.argsort(-scores, kind="stable")
    taken = np.cumsum(weight[order]) <= part + 1e-9
    return float(labels[order][taken].sum() / labels.sum())


def _wilson(share: float, count: int) -> Share:
    """A share of `count` with its Wilson interval."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * float(np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)))
    return Share(share, max(centre - half, 0.0), min(centre + half, 1.0))
