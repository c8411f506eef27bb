"""What an offer changes as told by how it is used and what its rule says: redeemed more, and deeper, changes more.

    lift_o(x) = e_o s(x),    e_o ~ N(m_o, tau^2),    m_o = kappa r_o + lambda h_o, or mu r_o without a rule

r_o: the share of an offer's trials in which it was redeemed, which few trials tell well; h_o: what rules of thumb say
that it changes on average (`recommender.offers.thumb`): a small coupon for anything is used by many who would have
bought anyway, a deep one by few, and changes more. kappa, lambda, mu are common to all offers, normal around `BELIEFS`,
and learnt from all comparisons together (a regression of effects on what is known of the offers: Gelman & Hill 2007,
ch. 12). e_o is the change of the chance to buy, drawn to m_o as far as the offer's own comparison with no offer is
noise (tau by moments, and no more than `OWN` m_o). s: how much more than others the visitor takes discounts, 1 on
average, at most `MOST_TASTE`. The gain is the lift times the margin of orders in which the offer was redeemed.

What is known well, redemptions and rules, stands in for what is known badly, the effect of each offer: of a few hundred
trials an offer it tells more than these trials do. It cannot tell sleeping dogs, nor an offer that only sure things
redeem, nor what is never redeemed (a mere message), so the more an offer's trials can tell, the less this counts:
`weight` is SURE / (SURE + z^2), with z how many standard errors of its own comparison e_o is large, or off what that
comparison says. Where nobody's taste is known it tells e_o alone, and trials whom that is of
(`recommender.offers.teller`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.offers.trials import Trials

EXTRA = 0.3
"""Part of the redemptions that are purchases not made otherwise, where nothing else is known of an offer."""
BELIEFS = ((0.1, 0.05), (0.7, 0.3), (EXTRA, 0.1))
"""Of kappa, lambda, mu: what each is held to be, a judgement, and how far off that may be (standard deviation)."""
OWN = 0.5
"""How far one offer may be from what is expected of it, as a part of that."""
SURE = 16.0
"""Of an effect of four standard errors the trials tell as much as this does."""
PULL = 20.0
"""Redemptions of an offer at whose number its orders count as much as everybody's."""
MOST_TASTE = 3.0
LEAST_ERROR = 1e-3
"""Of a comparison in which nobody, or everybody, bought."""
TASTE = "discount_sensitivity"

Floats = NDArray[np.float64]
Table = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Used:
    """Of O offers. mean: e; margin: of an order that redeems the offer, minor units; cost: of a trial, minor units;
    weight: what this counts beside what is learnt otherwise, 0 to 1; shares: kappa, lambda, mu. taste: the column of X
    that s is read from (-1: none), usual: its mean."""

    mean: Floats
    margin: Floats
    cost: Floats
    weight: Floats
    shares: Floats
    taste: int
    usual: float

    @classmethod
    def fit(
        cls, trials: Trials, action: NDArray[np.int64], by_rule: Floats, could: NDArray[np.bool_] | None = None
    ) -> Used | None:
        """action: [N], a place among O offers or -1 for none; by_rule: [O], their h, nan where no rule is known; could:
        [N, O], the offers that could have been given, all by default: with a trial of none in which an offer could not
        be had it is not compared (`recommender.effects.rows`). None where no redemption was ever told, or everybody or
        nobody was given something."""
        offers = len(by_rule)
        given = [action == place for place in range(offers)]
        counts = np.array([np.count_nonzero(one) for one in given])
        spent = trials.own_cost if len(trials.own_cost) else trials.cost
        redeemed, bought = spent > 0, trials.bought > 0
        if not (redeemed.any() and bought.any()) or not counts.any() or counts.sum() == len(action):
            return None
        difference, error = _differences(trials.settled(trials.bought), trials.propensity, action, offers, could)
        rate = np.array([redeemed[one].sum() for one in given]) / np.maximum(counts, 1)
        shares, mean = _pooled(difference, error, rate, by_rule)
        order = trials.margin[bought].mean()
        margin = [
            (trials.margin[one & redeemed].sum() + PULL * order) / (np.sum(one & redeemed) + PULL) for one in given
        ]
        cost = np.array([spent[one].sum() for one in given]) / np.maximum(counts, 1)
        taste = trials.names.index(TASTE) if TASTE in trials.names else -1
        known = _taste(trials.X, taste)
        usual = float(np.nanmean(known)) if np.isfinite(known).any() else 0.0
        large = np.maximum(np.abs(mean), np.abs(difference - mean)) / error
        weight = np.where(counts > 0, SURE / (SURE + large**2), 0.0)
        return cls(mean, np.array(margin), cost, weight, shares, taste if usual > 0 else -1, usual)

    @property
    def personal(self) -> bool:
        """Whether it tells visitors apart."""
        return self.taste >= 0

    def __call__(self, X: Table) -> tuple[Floats, Floats]:
        """[n, O] each: lift, gain."""
        taste = _taste(X, self.taste)
        size = np.where(np.isnan(taste), 1.0, taste / self.usual) if self.personal else np.ones(len(X))
        lift = np.minimum(np.minimum(size, MOST_TASTE)[:, None] * self.mean, 1.0)
        return lift, lift * self.margin


def _taste(X: Table, column: int) -> Floats:
    return np.maximum(X[:, column].astype(np.float64), 0.0) if column >= 0 else np.full(len(X), np.nan)


def _differences(
    outcome: Floats, propensity: Floats, action: NDArray[np.int64], offers: int, could: NDArray[np.bool_] | None
) -> tuple[Floats, Floats]:
    """Of each offer to none where it could be had, by weights 1 / propensity (1 where that is not known), and the
    standard error; 0 and inf for an offer without trials, or without any of none beside it."""
    weight = np.where(np.isnan(propensity), 1.0, 1 / np.maximum(propensity, 1e-3))
    none, found = action < 0, []
    without = _mean(outcome[none], weight[none])
    for offer in range(offers):
        given = action == offer
        if could is not None:
            beside = none & could[:, offer]
            without = _mean(outcome[beside], weight[beside])
        found.append((*_mean(outcome[given], weight[given]), *without))
    told = np.array(found).reshape(offers, 4)
    error = np.sqrt(np.maximum(told[:, 1] + told[:, 3], LEAST_ERROR**2))
    return np.where(np.isfinite(error), told[:, 0] - told[:, 2], 0.0), error


def _mean(outcome: Floats, weight: Floats) -> tuple[float, float]:
    """And its variance."""
    if len(outcome) < 2:
        return 0.0, np.inf
    mean = float(np.average(outcome, weights=weight))
    return mean, float(np.sum((weight * (outcome - mean)) ** 2) / weight.sum() ** 2)


def _pooled(difference: Floats, error: Floats, rate: Floats, by_rule: Floats) -> tuple[Floats, Floats]:
    """kappa, lambda, mu; and e."""
    precision = 1 / error**2
    told = np.where(precision > 0, difference, 0.0)
    ruled = ~np.isnan(by_rule)
    known = np.stack([np.where(ruled, rate, 0.0), np.where(ruled, by_rule, 0.0), np.where(ruled, 0.0, rate)], axis=1)
    belief, doubt = np.array(BELIEFS).T
    gram = known.T @ (known * precision[:, None]) + np.diag(doubt**-2)
    shares = np.maximum(np.linalg.solve(gram, known.T @ (precision * told) + belief / doubt**2), 0.0)
    mean = known @ shares
    left = told - mean
    beyond = max(float(np.sum(precision * left**2) - np.count_nonzero(precision)), 0.0) / max(precision.sum(), 1e-12)
    own = np.minimum(beyond, (OWN * mean) ** 2)
    return shares, mean + left * own / np.where(precision > 0, own + 1 / np.maximum(precision, 1e-12), 1.0)
