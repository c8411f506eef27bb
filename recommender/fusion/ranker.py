"""The fusion: how likely is it that a user who comes back takes this candidate?

Boosted trees on what every source says and on the signals of user and item, learnt from what people took in the time
after a past moment. Trees, because scores of different sources have different scales and holes (no opinion); they run
at night only, the day reads their result from a table. Repeats and new items have a model each: one for both was worse
than "own frequency" on repeats in some months of a real shop. So were models free to say that a candidate is *less*
likely because a source likes it more: what is evidence by its nature may only raise the likelihood (monotone
constraints). One thread: the library adds gradients up in the order in which threads finish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from recommender.fusion.blend import Blend
from recommender.fusion.pool import Pool, Pooler
from recommender.fusion.trees import MOST_LEAVES, Trees
from recommender.history.dataset import Float32, Mask

FEWEST_POSITIVES = 50
MOST_EXAMPLES = 200_000
TREES = 150
RATE = 0.05
RISING_KINDS = ("score_", "z_", "blend_")
BLEND_FEATURES = ("blend_part", "blend_all")
RISING = ("times_taken", "share_of_orders", "interest", "log_recent_buyers", "taken_again")
"""Features that may only raise the likelihood."""


@dataclass(frozen=True)
class Examples:
    """Candidates of the past. features: float32[N, F], NaN = not known; taken, repeat: bool[N]."""

    features: Float32
    taken: Mask
    repeat: Mask

    @classmethod
    def together(cls, parts: Sequence[Examples], features: int) -> Examples:
        """All `parts` as one; features: how many there are (for no parts at all)."""
        if not parts:
            return cls(np.empty((0, features), np.float32), np.empty(0, bool), np.empty(0, bool))
        columns = ("features", "taken", "repeat")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def with_blends(self, pools: Sequence[Pool], names: Sequence[str], blends: Mapping[str, Blend]) -> Examples:
        """The same examples, all candidates of `pools` (by sources of these names), with other blends."""
        columns = np.concatenate([blended(pool, names, blends) for pool in pools])
        return replace(self, features=np.column_stack([self.features[:, : -len(BLEND_FEATURES)], columns]))

    def part(self, repeat: bool) -> tuple[Float32, Mask]:
        """Features and labels of the repeats, or of the new items."""
        chosen = self.repeat == repeat
        return self.features[chosen], self.taken[chosen]

    @property
    def enough(self) -> bool:
        """Whether at least one of the parts can be learnt from."""
        return any(_enough(self.part(repeat)[1]) for repeat in (True, False))


class PartRanker:
    """P(taken) of the candidates of one part; their base rate where there is too little to learn from."""

    def __init__(self, names: Sequence[str], seed: int, trees: int, leaves: int, learning_rate: float) -> None:
        self.names = tuple(names)
        self.seed = seed
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate

    def fit(self, features: Float32, taken: Mask) -> Self:
        """A feature that is never known is left out. Of many candidates that were not taken a draw stands for all: what
        was taken is rare, and it is that which teaches. The odds are corrected for the draw afterwards (King & Zeng
        2001, "Logistic regression in rare events data"), which the library's sample weights would do ten times slower.
        """
        self.trees_: Trees | None = None
        self.base_rate_ = (float(taken.sum()) + 1.0) / (len(taken) + 100.0)
        if not _enough(taken):
            return self
        features, taken, shift = _thinned(features, taken, self.seed)
        self.used_ = np.flatnonzero(np.isfinite(features).any(axis=0))
        model = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.trees,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=int(np.clip(len(taken) // 500, 10, 100)),
            l2_regularization=10.0,
            monotonic_cst=[int(rises(self.names[index])) for index in self.used_],
            early_stopping=False,
            random_state=self.seed,
        )
        with threadpool_limits(1):
            self.trees_ = Trees(model.fit(features[:, self.used_], taken), shift)
        return self

    def predict(self, features: Float32) -> npt.NDArray[np.float64]:
        if self.trees_ is None:
            return np.full(len(features), self.base_rate_)
        return self.trees_.predict(features[:, self.used_])


class Ranker:
    """P(taken in the time after) of candidates. names: of the features, as `feature_names`."""

    def __init__(
        self,
        names: Sequence[str],
        seed: int = 0,
        trees: int = TREES,
    ) -> None:
        self.names = tuple(names)
        self.seed = seed
        self.trees = trees

    def fit(self, examples: Examples) -> Self:
        """Learn from `examples`, at most MOST_EXAMPLES of a part."""
        self.parts_ = {
            repeat: PartRanker(self.names, self.seed, self.trees, MOST_LEAVES, RATE).fit(*examples.part(repeat))
            for repeat in (True, False)
        }
        return self

    def predict(self, features: Float32, repeat: Mask) -> npt.NDArray[np.float64]:
        """float64[N] between 0 and 1."""
        likely = np.empty(len(features))
        for part, ranker in self.parts_.items():
            chosen = repeat == part
            likely[chosen] = ranker.predict(features[chosen])
        return likely


def rises(name: str) -> bool:
    """Whether more of this feature is evidence for the candidate by its nature."""
    return name.startswith(RISING_KINDS) or name in RISING


def feature_names(pooler: Pooler) -> tuple[str, ...]:
    """What `features_of` holds."""
    return (*pooler.feature_names, *BLEND_FEATURES)


def features_of(pooler: Pooler, pool: Pool, blends: Mapping[str, Blend]) -> Float32:
    """float32[N, F] of the real candidates of a pool: sources, signals, and the blends of its part and of all."""
    return np.column_stack([pooler.features(pool), blended(pool, pooler.names, blends)])


def blended(pool: Pool, names: Sequence[str], blends: Mapping[str, Blend]) -> Float32:
    """float32[N, 2] of the real candidates of a pool: the blends of their part and of all, NaN where there is none."""
    part, whole = (np.full(pool.items.shape, np.nan, np.float32) for _ in BLEND_FEATURES)
    for name, repeats in (("new", False), ("repeat", True)):
        if blends.get(name):
            part = np.where(pool.repeat == repeats, blends[name].score(pool, names), part)
    if blends.get("all"):
        whole = blends["all"].score(pool, names)
    return np.column_stack([part[pool.real], whole[pool.real]])


def examples_of(pool: Pool, features: Float32, truth: sp.csr_matrix) -> Examples:
    """The real candidates of a pool, their features row by row, and whether each is in `truth` ([B, I])."""
    real = pool.real
    return Examples(features, pool.among(truth)[real], pool.repeat[real])


def _enough(taken: Mask) -> bool:
    positives = int(taken.sum())
    return positives >= FEWEST_POSITIVES and len(taken) - positives >= FEWEST_POSITIVES


def _thinned(features: Float32, taken: Mask, seed: int) -> tuple[Float32, Mask, float]:
    """At most MOST_EXAMPLES rows, of both kinds at least half as many as that, if there are; and by how much the
    log-odds of all rows lie above those of the drawn ones."""
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(taken), np.flatnonzero(~taken)]
    fewer = min(len(kinds[0]), len(kinds[1]), MOST_EXAMPLES // 2)
    drawn = [rng.permutation(rows)[: MOST_EXAMPLES - fewer] for rows in kinds]
    positive, negative = (len(some) / len(rows) for some, rows in zip(drawn, kinds, strict=True))
    chosen = np.sort(np.concatenate(drawn))
    return features[chosen], taken[chosen], float(np.log(negative / positive))
