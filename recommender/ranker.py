"""The fusion: how likely is it that a user who comes back takes this candidate?

Boosted trees on what every source says and on the signals of user and item, learnt from what people took in the time
after a past moment. Trees, because scores of different sources have different scales and holes (no opinion); they run
at night only, the day reads their result from a table. Repeats and new items have a model each: one for both was worse
than "own frequency" on repeats in some months of a real shop. So were models free to say that a candidate is *less*
likely because a source likes it more: what is evidence by its nature may only raise the likelihood (monotone
constraints). One thread: the library adds gradients up in the order in which threads finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from recommender.dataset import Float32, Mask
from recommender.pool import Pool
from recommender.trees import MOST_LEAVES, Trees

FEWEST_POSITIVES = 50
MOST_EXAMPLES = 1_000_000
RISING_KINDS = ("score_", "share_")
RISING = ("times_taken", "share_of_orders", "interest", "log_recent_buyers", "taken_again")
"""Features that may only raise the likelihood."""


@dataclass(frozen=True)
class Examples:
    """Candidates of the past. features: float32[N, F], NaN = not known; taken, repeat: bool[N]."""

    features: Float32
    taken: Mask
    repeat: Mask

    def __add__(self, other: Examples) -> Examples:
        return Examples(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.taken, other.taken]),
            np.concatenate([self.repeat, other.repeat]),
        )

    def sample(self, most: int, seed: int) -> Examples:
        """At most so many, drawn by `seed`; taken and not taken alike, so that likelihoods keep their level."""
        if len(self.taken) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self.taken), most, replace=False))
        return Examples(self.features[rows], self.taken[rows], self.repeat[rows])

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
        """A feature that is never known is left out."""
        self.trees_: Trees | None = None
        self.base_rate_ = (float(taken.sum()) + 1.0) / (len(taken) + 100.0)
        if not _enough(taken):
            return self
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
            self.trees_ = Trees(model.fit(features[:, self.used_], taken))
        return self

    def predict(self, features: Float32) -> npt.NDArray[np.float64]:
        if self.trees_ is None:
            return np.full(len(features), self.base_rate_)
        return self.trees_.predict(features[:, self.used_])


class Ranker:
    """P(taken in the time after) of candidates. names: of the features, as `Pooler.feature_names`."""

    def __init__(
        self,
        names: Sequence[str],
        seed: int = 0,
        trees: int = 150,
        leaves: int = MOST_LEAVES,
        learning_rate: float = 0.05,
    ) -> None:
        self.names = tuple(names)
        self.seed = seed
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate

    def fit(self, examples: Examples) -> Self:
        """Learn from at most MOST_EXAMPLES of `examples`."""
        examples = examples.sample(MOST_EXAMPLES, self.seed)
        self.parts_ = {
            repeat: PartRanker(self.names, self.seed, self.trees, self.leaves, self.learning_rate).fit(
                *examples.part(repeat)
            )
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


def examples_of(pools: Iterable[Pool], truth: sp.csr_matrix, features: int) -> Examples:
    """Every candidate of `pools` and whether it is in `truth`, whose rows follow the pools' users.

    features: how many there are (for no pools at all).
    """
    parts, row = [], 0
    for pool in pools:
        dense = truth[row : row + len(pool.users)].toarray() > 0
        row += len(pool.users)
        taken = np.take_along_axis(dense, np.maximum(pool.items, 0), axis=1)
        parts.append(Examples(pool.features[pool.real], taken[pool.real], pool.repeat[pool.real]))
    if not parts:
        return Examples(np.empty((0, features), np.float32), np.empty(0, bool), np.empty(0, bool))
    return Examples(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.taken for part in parts]),
        np.concatenate([part.repeat for part in parts]),
    )


def _enough(taken: Mask) -> bool:
    positives = int(taken.sum())
    return positives >= FEWEST_POSITIVES and len(taken) - positives >= FEWEST_POSITIVES
