"""Whether a night's history and model look as a night's should, beside the last nights and the active model.

The backtest cannot tell: it judges a model learnt from half of a history by the same half. So each night leaves a
census (`recommender.memory.Census`), and the usual is the median over the last nights: a level that lasts becomes the
usual one after some nights, whether or not anybody looked.

What holds the model back is what publishing would make worse and waiting may repair: a history that shrank, a shop with
nothing to show, categories with a large part of the sales gone at once, a model that shows almost nothing of the
range. What the old model cannot answer better is only said: a history that grew, a small category gone (a
season ends), visitors that nobody knows any more (the old model knows them even less).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from recommender.history.dataset import Dataset, Mask
from recommender.judging.evaluate import Judged, K
from recommender.judging.metrics import coverage, paired_bootstrap
from recommender.memory import Census

SHRUNK = 0.8
GREW = 3.0
SHOWN_LESS = 1 / 3
LARGE_CATEGORY = 0.05
LARGE_LOSS = 0.2
STRANGER_RISE = 0.25
FEWEST_EVENTS = 100
"""Below so many of what is counted, a change is chance."""


@dataclass(frozen=True)
class Finding:
    """Something unusual. holds: it keeps the new model from being published."""

    check: str
    holds: bool
    sentence: str

    def as_json(self) -> dict[str, object]:
        return {"check": self.check, "holds": self.holds, "sentence": self.sentence}


def census(dataset: Dataset) -> Census:
    """What the history of a night is like, for the nights after it."""
    return Census(
        interactions=len(dataset.user),
        users=len(np.unique(dataset.user)),
        items=len(np.unique(dataset.item)),
        strangers=_strangers(dataset),
        categories=_categories(dataset),
    )


def look(dataset: Dataset, tonight: Census, nights: Sequence[Census]) -> list[Finding]:
    """What is unusual about a history. nights: the censuses of the last nights, the latest first."""
    found = [*_empty(dataset)]
    if nights:
        found += [*_drift(tonight, nights), *_gone(tonight, nights), *_unknown(tonight, nights)]
    return found


def look_at_lists(ours: Judged, active: Judged | None, dataset: Dataset, seed: int) -> list[Finding]:
    """Whether the new model shows far less of the range than the active one, without being better for it."""
    if active is None or not len(ours.lists["all"]):
        return []
    rankable = int(dataset.rankable.sum())
    shown, before = (coverage(judged.lists["all"], K, rankable) for judged in (ours, active))
    if shown >= before * SHOWN_LESS:
        return []
    difference = paired_bootstrap(ours.values["all"]["ndcg"], active.values["all"]["ndcg"], seed)
    said = f"its lists show {shown:.1%} of the items, those of the active model {before:.1%}"
    if difference.low > 0:
        return [Finding("coverage", False, f"{said}; it is better for it beyond noise")]
    return [Finding("coverage", True, said)]


def _empty(dataset: Dataset) -> Iterator[Finding]:
    if not _eligible(dataset).any():
        yield Finding("empty shop", True, "no item can be shown: all are hidden or out of stock")


def _drift(tonight: Census, nights: Sequence[Census]) -> Iterator[Finding]:
    """A history only grows, and slowly: less of it means that something was lost."""
    for name in ("interactions", "users", "items"):
        now, usual = getattr(tonight, name), median(getattr(night, name) for night in nights)
        if usual < FEWEST_EVENTS:
            continue
        said = f"the history has {now:,} {name}, the last nights had {usual:,.0f}"
        if now < usual * SHRUNK:
            yield Finding("drift", True, f"{said}: some of it is lost, see the last import")
        elif now > usual * GREW:
            yield Finding("drift", False, f"{said}: see whether an import repeats what was there")


def _gone(tonight: Census, nights: Sequence[Census]) -> Iterator[Finding]:
    """Categories that used to carry much and of which nothing can be shown tonight."""
    names = {name for night in nights for name in night.categories}
    usual = {name: median(night.categories.get(name, 0.0) for night in nights) for name in names}
    gone = {name: share for name, share in usual.items() if share and not tonight.categories.get(name)}
    if gone:
        lost = ", ".join(f"{name} ({gone[name]:.0%} of the sales)" for name in sorted(gone, key=lambda n: -gone[n]))
        holds = sum(gone.values()) >= LARGE_LOSS
        yield Finding("category", holds, f"no item can be shown any more of {lost}")


def _unknown(tonight: Census, nights: Sequence[Census]) -> Iterator[Finding]:
    usual = median(night.strangers for night in nights)
    if tonight.users >= FEWEST_EVENTS and tonight.strangers > usual + STRANGER_RISE:
        yield Finding(
            "strangers",
            False,
            f"{tonight.strangers:.0%} of the recent visitors were never seen before, usually {usual:.0%}: "
            "see whether ids have changed",
        )


def _eligible(dataset: Dataset) -> Mask:
    """bool[I]: items that could be shown tonight."""
    eligible: Mask = dataset.rankable & (dataset.facts.stock != 0)
    return eligible


def _strangers(dataset: Dataset) -> float:
    """Share of the visitors of the recent window who were not seen before it."""
    recent = dataset.ts_us >= dataset.until_us - dataset.recent_us
    now, before = np.unique(dataset.user[recent]), np.unique(dataset.user[~recent])
    return float(np.mean(~np.isin(now, before))) if len(now) else 0.0


def _categories(dataset: Dataset) -> Mapping[str, float]:
    """Of each first category of which something can be shown: its share of the recent successes, if it is large."""
    first = dataset.facts.category[:, 0]
    recent = dataset.is_target & (dataset.ts_us >= dataset.until_us - dataset.recent_us)
    codes = first[dataset.item[recent]]
    if len(codes) < FEWEST_EVENTS:
        return {}
    share = np.bincount(codes[codes >= 0], minlength=len(dataset.facts.categories)) / len(codes)
    shown = np.unique(first[_eligible(dataset) & (first >= 0)])
    return {dataset.facts.categories[code].decode(): round(float(share[code]), 4)
            for code in shown if share[code] >= LARGE_CATEGORY}  # fmt: skip
