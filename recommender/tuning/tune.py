"""Parameters of the sources, found at night within a budget.

For each source with a space: its defaults, the winner of earlier nights, and points that were not tried lately, drawn
by the seed. Points are dropped by successive halving (Jamieson & Talwalkar 2016, "Non-stochastic best arm
identification and hyperparameter optimization"): all are judged on a share of the visitors, the best third on three
times as many, and so on; whoever reaches the whole meets the defaults and the last winner there. Sources are halved
too: a third of the trials goes to all of them alike, the rest to those that are then not far behind the best. Not their
defaults decide that: they may be far from what suits.

The shares are those of `recommender.tuning.rungs`. Gradient steps (a parameter `samples`) shrink with the history, so
that a trial makes as many passes as the fit on everything will: fewer passes would ask for a higher learning rate.

The value of a point: the mean of NDCG@10 over all items and over those new to the visitor, each divided by what the
best source reaches there with its defaults. So both count the same, though one is often several times the other: a
source cannot pay for repeats, which others bring anyway, with the new items that it is needed for.

The best of many is partly luck (the winner's curse), the more so the fewer visitors judge. So few visitors bring few
trials, and a point replaces the last winner, or the defaults, only when it is better by more than NOISE standard errors
of the difference on the same visitors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, product, zip_longest
from typing import Any

import numpy as np

from recommender.candidates import SOURCES, Params, Source
from recommender.candidates.protocol import AGEING, Fit, fit_here
from recommender.history.split import Split
from recommender.judging.evaluate import PARTS
from recommender.memory import MOST_TRIALS, NOTHING_REMEMBERED, Memory, Trial, key_of
from recommender.tuning.rungs import KEPT_OF, Rung, Values, mean, ndcg, rungs

JUDGES_A_TRIAL = 25
PROMISING = 0.5
NOISE = 1.0

Registry = Mapping[str, type[Source]]
Point = Mapping[str, Any]


@dataclass(frozen=True)
class Budget:
    """trials: the most new points that a night tries, over all sources; 0 = the defaults stay.
    minutes: after so many no new trial begins."""

    trials: int = 60
    minutes: float = 60.0


NO_TRIALS = Budget(0)


@dataclass(frozen=True)
class Tuned:
    """params: what differs from the defaults, by source. trials: what was tried. stopped: why the search ended before
    its budget did, "" when it did not. rungs: shares of the history that trials were judged on."""

    params: Params = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    stopped: str = ""
    rungs: tuple[float, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """For the night's report: JSON's own types only."""
        return {
            "params": {name: dict(params) for name, params in self.params.items()},
            "trials": [trial.as_json() for trial in self.trials],
            "rungs": [round(share, 4) for share in self.rungs],
            "stopped": self.stopped,
        }


def tune(
    split: Split,
    seed: int,
    budget: Budget = NO_TRIALS,
    memory: Memory = NOTHING_REMEMBERED,
    sources: Registry = SOURCES,
    *,
    fit: Fit = fit_here,
) -> Tuned:
    """Parameters for the sources with a space, judged on what followed the past of `split`.

    fit: where sources are fitted. The same split, seed, number of trials and memory give the same parameters; only
    `budget.minutes` may end the search early, which `Tuned.stopped` says. A source that it did not reach keeps its
    last winner.
    """
    open_to = {name: source for name, source in sources.items() if source.space and source.suits(split.train)}
    if budget.trials <= 0 or not open_to or not len(split.users):
        return Tuned()
    winners = {name: _known(source, memory.winner(name)) for name, source in open_to.items()}
    search = _Search(split, seed, time.monotonic() + 60.0 * budget.minutes, open_to, fit)
    stopped = ""
    try:
        timeless = split.train.time_kind == "none"
        queues = {name: _queue(source, memory, seed, timeless) for name, source in open_to.items()}
        search.run(budget.trials, queues, winners)
    except _TimeIsOver:
        tried = sum(1 for one in search.trials if one.params)
        stopped = f"the {budget.minutes:g} minutes were over after {tried} trials"
    taken = winners | {one.source: one.params for one in search.trials if one.chosen}
    params = {name: dict(point) for name, point in taken.items() if point}
    return Tuned(params, tuple(search.trials), stopped, tuple(rung.share for rung in search.rungs))


class _TimeIsOver(Exception):
    """The minutes of the budget have passed."""


class _Search:
    """Fits and judges points until the time is over."""

    def __init__(self, split: Split, seed: int, until: float, sources: Registry, fit: Fit) -> None:
        self.seed = seed
        self.until = until
        self.sources = sources
        self.fit = fit
        self.rungs = rungs(split, seed)
        self.trials: list[Trial] = []
        self._best: Mapping[str, float] = {}
        self._judged: dict[tuple[str, float], Mapping[str, Values]] = {}

    def run(self, trials: int, queues: Mapping[str, Sequence[Point]], winners: Mapping[str, Point]) -> None:
        """Tries so many points from the queues, each source at most as many as its judges can tell apart."""
        defaults = [self._judge(name, {}, self.rungs[-1]) for name in self.sources]
        self._best = {part: max(mean(one[part]) for one in defaults) for part in PARTS}
        each = len(self.rungs[-1].split.users) // JUDGES_A_TRIAL
        first = _deal({name: queue[:each] for name, queue in queues.items()}, trials // KEPT_OF)
        standing = {name: self._standing(name, points) for name, points in first.items()}
        names = sorted(self.sources, key=lambda name: -standing[name])
        near = [name for name in names if standing[name] >= PROMISING * standing[names[0]]]
        rest = {name: queues[name][len(first[name]) : each] for name in near}
        more = _deal(rest, trials - sum(map(len, first.values())))
        for name in names:
            self._halve(name, [*first[name], *more.get(name, ())], winners[name])

    def _standing(self, name: str, points: Sequence[Point]) -> float:
        """The best that is known of a source, on the part that it is better at, beside the best source with its
        defaults."""
        found = [self._judge(name, {}, self.rungs[-1]), *(self._judge(name, point, self.rungs[0]) for point in points)]
        return max((mean(one[part]) / best for one in found for part, best in self._best.items() if best), default=0.0)

    def _halve(self, name: str, points: Sequence[Point], winner: Point) -> None:
        """Tries `points` of a source beside its defaults and its last winner, and takes one of them all."""
        left, dropped = self._finalists(name, points)
        whole = self.rungs[-1]
        default = self._value(self._judge(name, {}, whole))
        met: dict[str, tuple[Point, Values]] = {key_of(name, {}): ({}, default)}
        for point in [*([winner] if winner else []), *left]:
            met[key_of(name, point)] = (point, self._value(self._judge(name, point, whole)))
        taken = _best_beyond_noise(met, key_of(name, winner), key_of(name, {}))
        for key, (point, value) in met.items():
            gain = float((value - default).mean())
            trial = self._trial(name, point, float(value.mean()), gain, whole)
            self.trials.append(replace(trial, chosen=key == taken))
        self.trials += dropped

    def _finalists(self, name: str, points: Sequence[Point]) -> tuple[list[Point], list[Trial]]:
        """The points that reach the last rung, and the trials of those that did not."""
        left = list(points)
        dropped: list[Trial] = []
        for rung in self.rungs[:-1]:
            kept = -(-len(left) // KEPT_OF)
            if kept < len(left):
                values = [float(self._value(self._judge(name, point, rung)).mean()) for point in left]
                order = sorted(range(len(left)), key=lambda place: -values[place])
                dropped += [self._trial(name, left[place], values[place], None, rung) for place in order[kept:]]
                left = [left[place] for place in order[:kept]]
        return left, dropped

    def _judge(self, name: str, point: Point, rung: Rung) -> Mapping[str, Values]:
        """NDCG@10 of each judged visitor by part, NaN where there is nothing new to find. Raises _TimeIsOver."""
        known = key_of(name, point), rung.share
        if known not in self._judged:
            self._judged[known] = self._fit_and_judge(name, point, rung)
        return self._judged[known]

    def _fit_and_judge(self, name: str, point: Point, rung: Rung) -> Mapping[str, Values]:
        if time.monotonic() >= self.until:
            raise _TimeIsOver
        made: Any = self.sources[name](**point)
        if hasattr(made, "samples"):
            made = replace(made, samples=max(1, round(made.samples * rung.share)))
        return ndcg(self.fit(made, rung.split.train, self.seed), rung.split)

    def _value(self, found: Mapping[str, Values]) -> Values:
        """What a point is worth to each visitor; its mean is the mean of the parts' ratios to the best source."""
        shares = []
        for part in PARTS:
            judged = ~np.isnan(found[part])
            if self._best[part] > 0 and judged.any():
                per_visitor = np.where(judged, found[part], 0.0) / self._best[part]
                shares.append(per_visitor * (len(judged) / judged.sum()))
        return np.mean(shares, axis=0) if shares else np.zeros(len(found[PARTS[0]]))

    def _trial(self, name: str, point: Point, value: float, gain: float | None, rung: Rung) -> Trial:
        return Trial(name, dict(point), value, gain, rung.share, len(rung.split.users))


def _best_beyond_noise(met: Mapping[str, tuple[Any, Values]], winner: str, default: str) -> str:
    """The key of the point to take: the best that beats the last winner (or the defaults, where those are better
    tonight) by more than noise, else that one."""
    held = winner if winner in met and met[winner][1].mean() >= met[default][1].mean() else default
    lead = {key: _lead(value - met[held][1]) for key, (_, value) in met.items() if key != held}
    best = max(lead, key=lambda key: lead[key], default=held)
    return best if best != held and lead[best] > 0 else held


def _lead(difference: Values) -> float:
    """The mean less NOISE standard errors."""
    if len(difference) < 2:
        return 0.0
    return float(difference.mean() - NOISE * difference.std(ddof=1) / np.sqrt(len(difference)))


def _deal(queues: Mapping[str, Sequence[Point]], trials: int) -> dict[str, list[Point]]:
    """The first points of each queue, one of each in turn, until there are so many."""
    turns = chain.from_iterable(zip_longest(*([(name, point) for point in queue] for name, queue in queues.items())))
    drawn: dict[str, list[Point]] = {name: [] for name in queues}
    for name, point in islice(filter(None, turns), trials):
        drawn[name].append(point)
    return drawn


def _queue(source: type[Source], memory: Memory, seed: int, timeless: bool) -> list[Point]:
    """All points but the defaults and the last winner: those not tried lately in an order of the seed's, then those
    tried longest ago. timeless: nothing ages, so that what differs in that alone is the same point."""
    tried = memory.tried()
    winner = key_of(source.name, _known(source, memory.winner(source.name)))
    points = [point for point in _points(source) if point and key_of(source.name, point) != winner]
    if timeless:
        points = [point for point in points if not AGEING & point.keys()]
    order = np.random.default_rng([seed, *source.name.encode()]).permutation(len(points))
    age = [tried.get(key_of(source.name, points[number]), MOST_TRIALS) for number in order]
    return [points[order[place]] for place in np.argsort(np.negative(age), kind="stable")]


def _points(source: type[Source]) -> Iterator[Point]:
    """Every point of the space, as what differs from the defaults."""
    usual = source()
    for values in product(*source.space.values()):
        point = dict(zip(source.space, values, strict=True))
        yield {name: value for name, value in point.items() if value != getattr(usual, name)}


def _known(source: type[Source], params: Point) -> Point:
    """`params` if all of them are in the space, which a later version of the program may have changed, else none."""
    return params if all(value in source.space.get(name, ()) for name, value in params.items()) else {}
