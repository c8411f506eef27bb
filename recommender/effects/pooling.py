"""Several noisy means that know of each other: what few rows say is drawn to what the others say.

    mean_k ~ N(theta_k, error_k^2),   theta_k ~ N(mu, tau^2),   mu ~ N(0, scale^2),   tau ~ half-normal(scale)

The hierarchical normal model (Rubin 1981, "Estimation in parallel randomized experiments"; Gelman et al., "Bayesian
Data Analysis", 5.4), with tau integrated over a grid: a few means neither collapse into one nor stand alone, and one
that is not known (error inf) gets what is known of its like.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recommender.effects.rows import Floats

GRID = np.linspace(0.0, 3.0, 31)
"""tau, in `scale`s of the prior; finer near 0 by its square."""


class Pooled(NamedTuple):
    """mean, sd: [K], of theta. centre, spread: of mu and of tau, on average."""

    mean: Floats
    sd: Floats
    centre: float
    spread: float


def pooled(mean: Floats, error: Floats, scale: float) -> Pooled:
    """The posterior. `scale`: how large such effects may well be, above 0."""
    tau = scale * GRID**2 / 3.0
    known = np.isfinite(error)
    told = np.where(known, mean, 0.0)
    variance = np.where(known, error, 1.0)[:, None] ** 2 + tau**2
    precision = np.where(known[:, None], 1 / np.maximum(variance, 1e-300), 0.0)
    total = precision.sum(axis=0) + 1 / scale**2
    centre = (precision * told[:, None]).sum(axis=0) / total
    fit = -0.5 * (tau / scale) ** 2 - 0.5 * np.log(total) + 0.5 * np.log(np.where(precision > 0, precision, 1)).sum(0)
    fit += -0.5 * ((precision * (told[:, None] - centre) ** 2).sum(axis=0) + centre**2 / scale**2)
    fit += np.log(np.gradient(tau))
    belief = np.exp(fit - fit.max())
    belief /= belief.sum()
    own = np.where(known[:, None], tau**2 / np.maximum(variance, 1e-300), 0.0)
    means = own * told[:, None] + (1 - own) * centre
    variances = (1 - own) * tau**2 + (1 - own) ** 2 / total
    found = means @ belief
    spread = variances @ belief + ((means - found[:, None]) ** 2) @ belief
    return Pooled(found, np.sqrt(spread), float(centre @ belief), float(tau @ belief))
