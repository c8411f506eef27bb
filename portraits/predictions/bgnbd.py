"""BG/NBD: buyers order at their own steady rate until, after some order, they quietly leave for good.

Fader, Hardie, Lee 2005, "Counting your customers the easy way": rates are gamma(r, alpha) among buyers, the chance to
leave after an order is beta(a, b). Four numbers describe a shop, so they can be found from few buyers, and what follows
for one buyer are closed formulas of x repeat orders, the last of them t_x days after the first, T days ago.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

from portraits.local import DAY_US
from portraits.predictions.orders import Floats, Orders

USUAL = np.log((0.5, 20.0, 0.8, 2.5))
"""A usual shop: r, alpha (days), a, b."""
PULL = 0.5
"""How hard the logarithms are pulled to a usual shop's, against one buyer's likelihood: felt by tiny shops only."""
ENOUGH = 3_000
"""Buyers that four numbers are found from; more change nothing but the time it takes."""


@dataclass(frozen=True, slots=True)
class Buyers:
    """x repeat order days, t_x days from the first order to the last, T days since the first; one entry a buyer."""

    x: Floats
    t_x: Floats
    T: Floats

    @classmethod
    def of(cls, orders: Orders, us: int) -> Buyers:
        """Of the visitors with an order, as of `us`."""
        bought = orders.count > 0
        x = orders.repeats[bought].astype(np.float64)
        first, last = orders.first_us[bought], orders.last_us[bought]
        t_x = np.where(x > 0, (last - first) / DAY_US, 0.0)
        return cls(x, t_x, np.maximum((us - first) / DAY_US, t_x))

    def some(self, n: int) -> Buyers:
        """At most `n` of them, spread evenly."""
        step = -(-len(self.x) // n) if len(self.x) else 1
        return Buyers(self.x[::step], self.t_x[::step], self.T[::step])


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A shop's four numbers: rates gamma(r, alpha) a day, leaving beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, buyers: Buyers) -> BgNbd:
        """Greatest likelihood, with a slight pull to a usual shop; a usual shop where there are no buyers."""
        some = buyers.some(ENOUGH)
        n = max(len(some.x), 1)

        def loss(logs: Floats) -> float:
            r, alpha, a, b = np.exp(logs)
            told = float(np.sum(log_likelihood(some, r, alpha, a, b)))
            return (PULL * float(np.sum((logs - USUAL) ** 2)) - told) / n

        found = minimize(loss, USUAL, method="L-BFGS-B", bounds=[(-7.0, 9.0)] * 4)
        return cls(*(float(number) for number in np.exp(found.x)))

    def alive(self, buyers: Buyers) -> Floats:
        """Probability that a buyer has not left."""
        x = buyers.x
        odds = np.log(self.a) - np.log(self.b + np.maximum(x, 1) - 1)
        odds = odds + (self.r + x) * (np.log(self.alpha + buyers.T) - np.log(self.alpha + buyers.t_x))
        return np.where(x > 0, 1 / (1 + np.exp(np.minimum(odds, 50.0))), 1.0)

    def buys(self, buyers: Buyers, days: float) -> Floats:
        """Probability of an order within the next `days`."""
        idle = (self.r + buyers.x) * (np.log(self.alpha + buyers.T) - np.log(self.alpha + buyers.T + days))
        return np.asarray(self.alive(buyers) * -np.expm1(idle))

    def orders(self, buyers: Buyers, days: float) -> Floats:
        """Orders to expect within the next `days`, with the buyer's average rate and chance to leave put for their
        distributions: the paper's expectation without its hypergeometric function, which has poles."""
        rate = (self.r + buyers.x) / (self.alpha + buyers.T)
        leaves = self.a / (self.a + self.b + buyers.x)
        return np.asarray(self.alive(buyers) * -np.expm1(-rate * leaves * days) / leaves)


def log_likelihood(buyers: Buyers, r: float, alpha: float, a: float, b: float) -> Floats:
    """Of each buyer (equation 6 of the paper)."""
    x, t_x, T = buyers.x, buyers.t_x, buyers.T
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + T)
    leaves = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return np.asarray(rate + np.where(x > 0, np.logaddexp(stays, leaves), stays))
