"""Who orders within a horizon: which ground a probability stands on, and the probability itself.

Buyers and those who have not bought yet are two crowds with a chain of grounds each, the first that holds:

- model: `blend`, where there are enough rows of both outcomes on an earlier and a later split and it beats the
  empirical rule on the later one;
- empirical: the rates of those alike (`cells`) at the latest moment whose horizon is over;
- pooled: a buyer's own rhythm within BG/NBD, whose four numbers are the shop's: where there is too little for the
  rule, or where it would have foretold the latest horizon better than the rule; of all others, the shop's rate;
- none: nothing can be said, and nothing is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from portraits.local import DAY_US
from portraits.predictions import calibration
from portraits.predictions.bgnbd import BgNbd
from portraits.predictions.blend import Blend
from portraits.predictions.calibration import BINS, Calibrator, Chances, chances
from portraits.predictions.cells import Cells
from portraits.predictions.moments import Moment, logit
from portraits.predictions.orders import Floats, Ints
from portraits.predictions.samples import BETWEEN, Samples, stacked

MODEL, EMPIRICAL, POOLED, NONE = "model", "empirical", "pooled", "none"
BASES = (MODEL, EMPIRICAL, POOLED, NONE)
ENOUGH_TO_LEARN = 50
"""Rows of either outcome that a model needs on the earlier split, and on the later one."""
ENOUGH_FOR_CELLS = 10
"""Rows of either outcome at the later moment that the empirical rule needs, and ten times as many in all."""
ENOUGH_TO_POOL = 10
"""Visitors that a rate of the shop needs."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Visitors for whom the same numbers are known. `chosen`: their places in a moment; `columns` of them for a
    model; recency and count for the rule; `prior`: probabilities without learning."""

    name: str
    chosen: Callable[[Moment], Ints]
    columns: Callable[[Moment, BgNbd, int], Floats]
    alike: Callable[[Moment], tuple[Floats, Floats]]
    prior: Callable[[Moment, BgNbd, int], Floats | None]

    def odds(self, moment: Moment, shop: BgNbd, days: int) -> Floats | None:
        """The prior as log odds."""
        p = self.prior(moment, shop, days)
        return None if p is None else logit(p)


def _order_recency(moment: Moment) -> tuple[Floats, Floats]:
    chosen, orders = moment.buyers, moment.orders
    return (moment.us - orders.last_us[chosen]) / DAY_US, orders.count[chosen].astype(np.float64)


def _visit_recency(moment: Moment) -> tuple[Floats, Floats]:
    return moment.seen.idle[moment.others], moment.seen.actions_30d[moment.others]


BUYERS = Crowd(
    "buyers",
    lambda moment: moment.buyers,
    lambda moment, shop, days: moment.known_of_buyers(shop, days),
    _order_recency,
    lambda moment, shop, days: shop.buys(moment.rhythm, days),
)
OTHERS = Crowd(
    "others",
    lambda moment: moment.others,
    lambda moment, _shop, _days: moment.known_of_others,
    _visit_recency,
    lambda _moment, _shop, _days: None,
)
CROWDS = (BUYERS, OTHERS)


class Ground(Protocol):
    """What probabilities of a crowd and a horizon stand on."""

    @property
    def basis(self) -> str:
        """One of `BASES`."""

    def of(self, moment: Moment) -> Chances:
        """Of the crowd's visitors at a moment."""


@dataclass(frozen=True, slots=True)
class Learned:
    crowd: Crowd
    days: int
    shop: BgNbd
    blend: Blend
    calibrator: Calibrator
    basis: str = MODEL

    def of(self, moment: Moment) -> Chances:
        return self.calibrator.of(_odds(self.blend, self.crowd, moment, self.shop, self.days))


@dataclass(frozen=True, slots=True)
class Counted:
    crowd: Crowd
    cells: Cells
    basis: str = EMPIRICAL

    def of(self, moment: Moment) -> Chances:
        return self.cells.of(*self.crowd.alike(moment))


@dataclass(frozen=True, slots=True)
class Rhythm:
    days: int
    shop: BgNbd
    calibrator: Calibrator
    basis: str = POOLED

    def of(self, moment: Moment) -> Chances:
        return self.calibrator.of(logit(self.shop.buys(moment.rhythm, self.days)))


@dataclass(frozen=True, slots=True)
class Rate:
    rate: float
    rows: int
    basis: str = POOLED

    def of(self, moment: Moment) -> Chances:
        return chances(np.full(len(moment.others), self.rate), self.rows)


@dataclass(frozen=True, slots=True)
class Nothing:
    crowd: Crowd
    basis: str = NONE

    def of(self, moment: Moment) -> Chances:
        unknown = np.full(len(self.crowd.chosen(moment)), np.nan)
        return Chances(unknown, unknown, unknown)


@dataclass(frozen=True)
class Study:
    """Samples of one app and the seed of everything that is drawn from them."""

    samples: Samples
    seed: int
    _shops: dict[int, BgNbd] = field(default_factory=dict)

    def shop(self, before: int) -> BgNbd:
        """What BG/NBD found of the shop so many days before T, from what was known then."""
        if before not in self._shops:
            self._shops[before] = BgNbd.fit(self.samples.moment(before).rhythm)
        return self._shops[before]

    def came(self, crowd: Crowd, before: int, days: int) -> Floats:
        """1.0 for each of the crowd who ordered within the horizon after a moment, else 0.0."""
        bought = self.samples.after(before, days).count > 0
        return bought[crowd.chosen(self.samples.moment(before))].astype(np.float64)

    def rows(self, crowd: Crowd, shop: BgNbd, moments: list[int], days: int) -> tuple[Floats, Floats]:
        """Columns of the crowd at several moments, one below the other, and what came."""
        X = [crowd.columns(self.samples.moment(before), shop, days) for before in moments]
        return stacked(X), stacked([self.came(crowd, before, days) for before in moments])

    def rule(self, crowd: Crowd, moments: list[int], days: int) -> Cells:
        """The empirical rule from several moments."""
        alike = [crowd.alike(self.samples.moment(before)) for before in moments]
        recency, count = (stacked([pair[n] for pair in alike]) for n in (0, 1))
        return Cells.fit(recency, count, stacked([self.came(crowd, before, days) for before in moments]))


def ground(study: Study, crowd: Crowd, days: int) -> tuple[Ground, dict[str, Any]]:
    """What the crowd's probabilities of an order within `days` stand on, and the account of how that was decided."""
    account: dict[str, Any] = {}
    found: Ground | None = _learned_or_counted(study, crowd, days, account) if study.samples.later(days) else None
    buyers = len(study.samples.moment(0).buyers)
    if found is None and crowd is BUYERS and buyers >= ENOUGH_TO_POOL and study.samples.days >= days:
        found = Rhythm(days, study.shop(0), Calibrator(0.0, 1.0, max(buyers / BINS, 1.0), account.pop("drift", 0.0)))
    settled = found or Nothing(crowd)
    return settled, account | {"basis": settled.basis}


def _learned_or_counted(study: Study, crowd: Crowd, days: int, account: dict[str, Any]) -> Ground | None:
    """The first of model, empirical rule and rate that holds; None where a buyer's rhythm is better, or all there
    is."""
    moment, happened = study.samples.moment(days), study.came(crowd, days, days)
    account |= {"later_days": days, "rows": len(happened), "positives": int(happened.sum())}
    if _both(happened, ENOUGH_TO_LEARN):
        learned = _learned(study, crowd, days, account)
        if learned is not None:
            return learned
    if _both(happened, ENOUGH_FOR_CELLS) and len(happened) >= 10 * ENOUGH_FOR_CELLS:
        prior = crowd.odds(moment, study.shop(days), days)
        if prior is None or not _better(prior, _crossed_cells(crowd, moment, happened), happened):
            return Counted(crowd, Cells.fit(*crowd.alike(moment), happened))
        account["drift"] = abs(calibration.missed_by(prior, happened))
    elif crowd is OTHERS and len(happened) >= ENOUGH_TO_POOL:
        return Rate(float(happened.sum() + 0.5) / (len(happened) + 1), len(happened))
    return None


def _learned(study: Study, crowd: Crowd, days: int, account: dict[str, Any]) -> Learned | None:
    """The model, if the earlier split is enough to learn from and it beats the rule on the later one."""
    samples, then = study.samples, study.shop(days)
    earlier = samples.earlier(days)
    if not earlier:
        return None
    X, happened = study.rows(crowd, then, earlier, days)
    if not _both(happened, ENOUGH_TO_LEARN):
        return None
    early, later, came = Blend.fit(X, happened, study.seed), samples.moment(days), study.came(crowd, days, days)
    odds = _odds(early, crowd, later, then, days)
    rule = logit(study.rule(crowd, earlier, days).of(*crowd.alike(later)).p)
    told = {
        name: calibration.scores(calibration.crossed(z, came), came) for name, z in (("model", odds), ("rule", rule))
    }
    base = calibration.scores(np.full(len(came), happened.mean()), came)
    account |= {"earlier_days": earlier, "earlier_rows": len(X), "scores": {**told, "base rate": base}}
    if told["model"]["log_loss"] >= told["rule"]["log_loss"]:
        return None
    shifts = [
        calibration.missed_by(_odds(early, crowd, samples.moment(before), then, days), study.came(crowd, before, days))
        for before in earlier
    ]
    X, happened = study.rows(crowd, study.shop(0), [days, *samples.earlier(days, BETWEEN), *earlier], days)
    blend, calibrator = Blend.fit(X, happened, study.seed), Calibrator.fit(odds, came, shifts)
    return Learned(crowd, days, study.shop(0), blend, calibrator)


def _odds(blend: Blend, crowd: Crowd, moment: Moment, shop: BgNbd, days: int) -> Floats:
    return blend.odds(crowd.columns(moment, shop, days), crowd.odds(moment, shop, days))


def _crossed_cells(crowd: Crowd, moment: Moment, happened: Floats) -> Floats:
    """Log odds by the rule, each half of the visitors judged by the other."""
    recency, count = crowd.alike(moment)
    half, odds = np.arange(len(happened)) % 2 == 0, np.empty(len(happened))
    for rows in (half, ~half):
        cells = Cells.fit(recency[~rows], count[~rows], happened[~rows])
        odds[rows] = logit(cells.of(recency[rows], count[rows]).p)
    return odds


def _better(odds: Floats, rival: Floats, happened: Floats) -> bool:
    """Whether scores tell more than their rival, both calibrated on the other half of the rows."""
    told, rivals = (calibration.scores(calibration.crossed(z, happened), happened) for z in (odds, rival))
    return told["log_loss"] < rivals["log_loss"]


def _both(happened: Floats, enough: int) -> bool:
    return bool(min(happened.sum(), len(happened) - happened.sum()) >= enough)
