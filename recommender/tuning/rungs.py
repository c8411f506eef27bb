"""Shares of a history on which parameters are tried, and what a source is worth to each visitor of one.

What parameters are worth on a share must hold on the whole. So a share is of visitors, each with all they did, never of
their rows, and not smaller than FEWEST_JUDGED visitors and FEWEST_INTERACTIONS rows can tell apart. A long history is
cut to MOST_INTERACTIONS in the same way, so the cost of a trial does not grow with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.protocol import Source, block_rows, blocks
from recommender.history.dataset import Beside, Int32
from recommender.history.split import Split
from recommender.judging.evaluate import PARTS, K, joined
from recommender.judging.metrics import per_user

KEPT_OF = 3
"""One of so many points goes on to the next rung, which is so many times as large."""
FEWEST_JUDGED = 200
FEWEST_INTERACTIONS = 50_000
MOST_JUDGED = 2_000
SELDOM_AGAIN = 0.05
MOST_INTERACTIONS = 1_000_000

Values = npt.NDArray[np.float64]


class Rung(NamedTuple):
    """A share of the visitors to fit and judge on; so much of the history are its rows."""

    share: float
    split: Split


def rungs(split: Split, seed: int) -> list[Rung]:
    """From the smallest share of the visitors that can tell points apart to all of them, or to the most that count."""
    whole = split.sample(MOST_JUDGED, seed)
    rows, judges = max(len(whole.train.user), 1), len(whole.users)
    most = min(1.0, MOST_INTERACTIONS / rows)
    shares = [most]
    while _enough(shares[0] / KEPT_OF, most, rows, judges):
        shares.insert(0, shares[0] / KEPT_OF)
    return [Rung(share, _share_of(whole, share, round(judges * share / most), seed)) for share in shares]


def _enough(share: float, most: float, rows: int, judges: int) -> bool:
    return rows * share >= FEWEST_INTERACTIONS and judges * share / most >= FEWEST_JUDGED


def _share_of(split: Split, share: float, judges: int, seed: int) -> Split:
    """The split with so many judged visitors and, beside them, others until `share` of all visitors is there."""
    fewer = split.sample(judges, seed)
    if share >= 1.0:
        return fewer
    train = split.train
    drawn = np.random.default_rng(seed).random(train.shape[0]) < share
    drawn[fewer.users] = True
    beside = Beside(train.facts, train.user_features, train.friends, train.worth)
    return replace(fewer, train=train.subset(drawn[train.user], train.until_us, beside))


def ndcg(source: Source, split: Split) -> dict[str, Values]:
    """NDCG@10 of the source alone: float64[E] for each part, NaN for whom there is nothing to find.

    Where hardly anything is taken again, what visitors have is left out of all lists: it will not be shown, and a
    source would look the better the less it says about it.
    """
    train = split.train
    again = split.new_truth.nnz < (1 - SELDOM_AGAIN) * split.truth.nnz
    found: dict[str, list[Int32]] = {part: [] for part in PARTS}
    for users in blocks(split.users, block_rows(train.shape[1], 2)):
        opinions = source.opinions(users)
        own = train.bought[users]
        taken = {"all": sp.csr_matrix(own.shape) if again else own, "new": own}
        for part in PARTS:
            found[part].append(opinions.best(K, train.rankable, taken[part]))
    values = {}
    for part, truth in (("all", split.truth), ("new", split.new_truth)):
        values[part] = np.full(len(split.users), np.nan)
        values[part][np.diff(truth.indptr) > 0] = per_user(joined(found[part], K), truth, K)["ndcg"]
    return values


def mean(values: Values) -> float:
    """Mean over whom there was something to find; 0 for nobody."""
    judged = values[~np.isnan(values)]
    return float(judged.mean()) if len(judged) else 0.0
