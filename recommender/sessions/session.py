"""What the events of a day are worth, learnt by replaying days that went by (`recommender.sessions.days`).

Cases are asked through the day's own `recommend` on a bundle of their past, so whatever it does is what is judged.
Learnt are: which item-item table speaks for today's items (one source's or the mean of some), and the values of
`recommender.bundles.today`. One value after the other is tried, the better one kept, and only when it is better by
more than one standard error of the paired difference; with too few cases nothing is learnt and the day keeps its
defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.answers.catalogue import Catalogue
from recommender.answers.fold import fold_arrays
from recommender.answers.pipeline import recommend
from recommender.bundles.bundle import Bundle
from recommender.bundles.today import SIGNALS, Today
from recommender.candidates.als import Als
from recommender.candidates.protocol import Source
from recommender.fusion.assemble import Arrays, Fitted, bundle_arrays, manifest_of, neighbour_table, session_weight
from recommender.history.dataset import Float32, Int32
from recommender.history.split import Split
from recommender.judging.metrics import Values, per_user
from recommender.plan import Plan
from recommender.sessions.borrowed import borrowed
from recommender.sessions.days import FEWEST_CASES, Cases, K, cases_of

Learnt = dict[str, Any]
Ranking = tuple[Int32, Float32]

MOST_TABLES = 2
GRIDS: Mapping[str, tuple[float, ...]] = {
    "weight": (0.03, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
    "popular": (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    "fade": (0.5, 0.7, 0.85, 0.95, 1.0),
    "fold": (0.25, 0.5, 1.0, 2.0),
}
"""Values tried of each setting, as the manifest keeps them. Never 0 for what was looked at: its neighbours rise."""
ONLY = {"weight": True, "popular": False, "fold": False}
"""Settings that matter to known visitors only (True), or only to those without a table."""
SIGNAL_FACTORS = (0.25, 0.5, 2.0)


def learn(split: Split, fitted: Fitted, plan: Plan) -> Learnt:
    """What the day shall weigh, for the manifest's `session`: values of `Today`, `tables` (sources whose similarities
    speak for today's items; none = the neighbours) and `judged` (cases, and NDCG@10 of the night's table alone, with
    the defaults, with what was learnt, for known visitors and for strangers); empty where there is too little to judge
    by. fitted: on the split's past.
    """
    cases = cases_of(split, plan.seed)
    if len(cases.asked) < FEWEST_CASES:
        return {}
    users = np.unique(np.searchsorted(split.train.users, cases.known_ids)).astype(np.int32)
    arrays = bundle_arrays(fitted, users)
    replay = Replay(cases, fitted.pooler.sources, arrays, manifest_of(arrays, split.train, fitted.recipe, plan))
    found = search(replay)
    return {**found, "judged": replay.judged(found)}


def session_arrays(learnt: Mapping[str, Any], sources: Iterable[Source], made: Arrays) -> Arrays:
    """The arrays that what was learnt needs, from sources fitted on the history of the bundle; none for a source that
    is not among them. made: the bundle's other arrays."""
    by_name = {source.name: source for source in sources}
    arrays: Arrays = {}
    wanted = [by_name[name] for name in learnt.get("tables", ()) if name in by_name]
    if wanted:
        arrays["session_items"], arrays["session_scores"] = mixed([table_of(source) for source in wanted])
    als = by_name.get(Als.name)
    if learnt.get("fold") and isinstance(als, Als):
        arrays |= folding(als, made)
    return arrays


def folding(als: Als, made: Arrays) -> Arrays:
    """What the day needs to fold visitors in. made: the bundle's other arrays."""
    near = made["neighbour_items"], made["neighbour_scores"]
    return fold_arrays(borrowed(als.item_factors_, als.takers_, *near), als.regularization_)


class Replay:
    """Answers the cases under a setting, by the bundle of the cut. A setting holds values of `Today` and `tables`."""

    def __init__(self, cases: Cases, sources: Sequence[Source], arrays: Arrays, manifest: Mapping[str, Any]) -> None:
        self.cases = cases
        told = (source for source in sources if getattr(source, "similarity_", None) is not None)
        self.tables = {source.name: table_of(source) for source in told}
        als = next((source for source in sources if isinstance(source, Als)), None)
        self.confidence = als.alpha if als else 1.0
        self.folds = als is not None
        self._arrays = arrays
        self._bundle = Bundle.of({**arrays, **(folding(als, arrays) if als else {})}, manifest)
        self._found: dict[str, Values] = {}

    def values(self, setting: Mapping[str, Any], known: bool | None = None) -> Values:
        """NDCG@10 of each case, or of those of known (or unknown) visitors."""
        key = f"{known} {sorted(setting.items())}"
        if key not in self._found:
            rows = np.arange(len(self.cases.known)) if known is None else np.flatnonzero(self.cases.known == known)
            self._found[key] = self._judge(self._set(setting), rows)
        return self._found[key]

    def judged(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Mean NDCG@10 for known visitors and for strangers: of the night's word alone, with the defaults, with what
        was found."""
        known = self.cases.known
        groups = {"known": known, "strangers": ~known}
        record: dict[str, Any] = {name: {"cases": int(who.sum())} for name, who in groups.items() if who.any()}
        silent = {"signals": dict.fromkeys(SIGNALS, 0.0)}
        for way, setting in {"night": silent, "default": {}, "learnt": found}.items():
            values = self.values(setting)
            for name, kept in record.items():
                kept[way] = round(float(values[groups[name]].mean()), 5)
        return record

    def _set(self, setting: Mapping[str, Any]) -> Bundle:
        tables: dict[str, Any] = {}
        if names := setting.get("tables"):
            tables["session_items"], tables["session_scores"] = mixed([self.tables[name] for name in names])
        exchange = session_weight({**self._arrays, **tables})
        manifest = {**self._bundle.manifest, "session_weight": exchange, "session": setting}
        return replace(self._bundle, today=Today.of(manifest), **tables)

    def _judge(self, bundle: Bundle, rows: npt.NDArray[np.intp]) -> Values:
        catalogue = Catalogue.from_bundle(bundle)
        listed = np.full((len(rows), K), -1, np.int32)
        for at, row in enumerate(rows.tolist()):
            items = recommend(bundle, catalogue, *self.cases.asked[row]).items
            listed[at, : len(items)] = catalogue.indices([ranked.item_id for ranked in items])
        return per_user(listed, self.cases.truth[rows], K)["ndcg"]


def search(replay: Replay) -> Learnt:
    """The setting that a coordinate search finds, starting from the defaults: only what differs from them."""
    found = _try(replay, _try(replay, {}, "weight"), "popular")
    for _ in range(MOST_TABLES):
        mine = found.get("tables", [])
        found = _better(replay, found, [{"tables": [*mine, name]} for name in replay.tables if name not in mine])
    if replay.folds:
        found = _try(replay, found, "fold", confidence=replay.confidence)
    found = _try(replay, found, "fade")
    for kind in replay.cases.kinds:
        given, signals = SIGNALS[kind][0], found.get("signals", {})
        found = _better(replay, found, [{"signals": {**signals, kind: given * by}} for by in SIGNAL_FACTORS])
    return _try(replay, _try(replay, found, "popular"), "weight")


def _try(replay: Replay, found: Learnt, name: str, **with_it: float) -> Learnt:
    return _better(replay, found, [{name: value, **with_it} for value in GRIDS[name]], ONLY.get(name))


def _better(replay: Replay, found: Learnt, changes: Sequence[Learnt], known: bool | None = None) -> Learnt:
    """`found` with the best of the changes, or as it is where none is better by more than a standard error."""
    now = replay.values(found, known)
    tried = [{**found, **change} for change in changes]
    if not tried or not len(now):
        return found
    best = max(tried, key=lambda setting: float(replay.values(setting, known).mean()))
    gain = replay.values(best, known) - now
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else found


def table_of(source: Source) -> Ranking:
    """The best neighbours of each item by a source's similarities, scores between 0 and 1."""
    similarity: sp.csr_matrix = source.similarity_  # type: ignore[attr-defined]
    return _scaled(similarity)


def mixed(tables: Sequence[Ranking]) -> Ranking:
    """One table from several: the sum of their scores, each table in units of its mean best score."""
    if len(tables) == 1:
        return tables[0]
    parts = []
    for items, scores in tables:
        best = scores[:, 0][scores[:, 0] > 0]
        row, place = np.nonzero(items >= 0)
        data = scores[row, place] / (best.mean() if len(best) else 1.0)
        parts.append(sp.csr_matrix((data, (row, items[row, place])), shape=(len(items), len(items)), dtype=np.float32))
    return _scaled(sum(parts[1:], parts[0]))


def _scaled(similarity: sp.csr_matrix) -> Ranking:
    largest = float(similarity.data.max(initial=0.0))
    return neighbour_table(similarity / largest if largest > 1 else similarity)
