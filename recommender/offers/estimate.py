"""What each offer is expected to do to each visitor tonight: gain, cost, lift, and what is not known of them.

Effects on the chance to buy are learnt from the trials whose window has ended (`recommender.effects.choice`), beginning
with rules of thumb (`thumb`), without what their season brought; times what a purchase brings they tell money, unless
held-out trials say that money tells itself better (`recommender.offers.worth`). The cost is no effect but an
expectation (`recommender.offers.costs`). While an offer was tried seldom, how it is used counts for more than that
(`recommender.offers.used`). What is common to offers is learnt from all that were tried, planned or not.
An offer of fewer than `FEW` trials goes by one like it (`recommender.offers.likeness`), else by rules of thumb, brought
to the size that the tried ones have. One seed, same trials: equal arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portraits.settings import AppSettings
from recommender.effects.choice import PRIOR, Chosen, Prior, choose
from recommender.effects.means import Mean, fit_mean
from recommender.effects.rows import FEW
from recommender.offers.costs import Costs
from recommender.offers.match import scopes_of
from recommender.offers.material import Material, Offer, Source, material
from recommender.offers.teller import Learnt, Teller, ratio_of, usual_of
from recommender.offers.thumb import Shop, Thumb
from recommender.offers.trials import Trials
from recommender.offers.used import Used
from recommender.offers.worth import held_out

GROUPS = 4
"""Visitors are alike to an offer who are about as likely to buy without one: quarters."""
DRAWS = 20
BLOCK = MOST_EDGES = 1 << 16
"""Visitors looked at together; trials that tell where groups end."""
DOUBT = 1.5
"""How much less is known of an offer that goes by another one."""

Floats = NDArray[np.float64]
Table = NDArray[np.float32]


class Known(NamedTuple):
    """Everybody of tonight, as `features_now` tells: ids, X float32 [U, F], names of the columns."""

    ids: Sequence[str]
    X: Table
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Estimates:
    """Arrays as in `recommender.offers.plan_files`, the stranger last; account: for JSON."""

    gain: Table
    cost: Table
    lift: Table
    group: NDArray[np.uint8]
    shift: Table
    account: dict[str, Any]


def estimate(
    trials: Trials,
    known: Known,
    offers: Sequence[str],
    catalogue: Sequence[Offer],
    settings: AppSettings,
    *,
    newcomer: NDArray[np.bool_],
) -> Estimates:
    """Estimates of `offers` (ids) for everybody in `known`.

    catalogue: rules of offers, also of those that are not planned any more. newcomer: [U], who stands for a stranger
    (everybody, where they are few).
    """
    lesson = material(trials, offers, catalogue, settings.seed)
    own = lesson.trials
    shop = _shop(own, lesson.action, settings.offer_days)
    thumb = Thumb(lesson.rules, own.names, shop, scopes_of(catalogue))
    base = _base(own, lesson.action, settings.seed)
    edges = _edges(base, own.X)
    learnt = _learnt(lesson, thumb, base, _groups(base, edges, own.X), settings.seed)
    costs = _costs(lesson, learnt, thumb, settings.seed)
    sources = lesson.sources()
    used = Used.fit(own, lesson.action, _by_rule(lesson, thumb), own.could_have(lesson.columns))
    usual = usual_of(learnt, lesson)
    teller = Teller(learnt, thumb, costs, sources, usual, ratio_of(usual, thumb, lesson), used)
    arrays = _tables(teller, known.X, len(offers), newcomer)
    group = _groups(base, edges, known.X)
    strangers = group[newcomer] if np.any(newcomer) else group
    stranger = np.bincount(strangers, minlength=1).argmax() if len(strangers) else 0
    return Estimates(
        **arrays,
        group=np.append(group, stranger).astype(np.uint8),
        shift=_shift(learnt, sources, arrays["gain"][:-1], group, settings.seed),
        account=_account(lesson, learnt, sources, offers) | {"extra": None if used is None else used.shares.tolist()},
    )


def _shop(trials: Trials, action: NDArray[np.int64], days: float) -> Shop:
    """What is usual, by the trials of no offer where there are enough."""
    shop = Shop(days)
    orders = trials.bought > 0
    if np.count_nonzero(orders) >= FEW:
        revenue = float(trials.revenue[orders].mean())
        margin = float(trials.margin[orders].mean())
        shop = Shop(days, shop.chance, max(revenue, 1.0), float(np.clip(margin / max(revenue, 1.0), 0.0, 1.0)))
    none = action < 0
    if np.count_nonzero(none) >= FEW:
        chance = (float(trials.bought[none].sum()) + 1) / (np.count_nonzero(none) + 2)
        shop = Shop(days, chance, shop.order_value, shop.margin_share)
    return shop


def _base(trials: Trials, action: NDArray[np.int64], seed: int) -> Mean:
    """The chance to buy without an offer."""
    none = action < 0
    return fit_mean(trials.X[none], trials.bought[none], np.ones(np.count_nonzero(none)), seed)


def _edges(base: Mean, X: Table) -> Floats:
    """Chances to buy that part visitors into `GROUPS`; none where there are too few trials."""
    if len(X) < GROUPS * FEW:
        return np.zeros(0)
    some = X[:: -(-len(X) // MOST_EDGES)]
    return np.unique(np.quantile(base(some), np.arange(1, GROUPS) / GROUPS))


def _groups(base: Mean, edges: Floats, X: Table) -> NDArray[np.int64]:
    """[n]: the group of each."""
    found = np.zeros(len(X), np.int64)
    for start in range(0, len(X), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = np.searchsorted(edges, base(X[part]))
    return found


def _learnt(lesson: Material, thumb: Thumb, base: Mean, group: NDArray[np.int64], seed: int) -> Learnt:
    own = lesson.trials
    unit = lesson.unit
    many, could = len(lesson.columns), own.could_have(lesson.columns)
    rule = thumb.shift if thumb.known else None

    def chosen(outcome: Floats, prior: Prior) -> Chosen:
        logged = (own.X, lesson.action, own.propensity, outcome)
        parts: dict[str, Any] = {"unit": unit, "group": group, "groups": GROUPS, "could": could}
        return choose(*logged, many, seed, prior, **parts, season=outcome - own.settled(outcome), rule=rule)

    lift = chosen(own.bought, thumb.lift)
    judged: dict[str, Any] = {"margin": thumb.margin, "rule": rule, "unit": unit, "offers": many, "seed": seed}
    worth = held_out(own, lesson.action, lift, thumb.lift, could=could, **judged)
    tells = worth.two_part or lift.account["chosen"] == PRIOR
    known = np.count_nonzero(lesson.action < 0) >= FEW
    return Learnt(lift, None if tells else chosen(own.margin, thumb.money), worth, base if known else None)


def _by_rule(lesson: Material, thumb: Thumb) -> Floats:
    """[columns]: what rules say that each offer changes on average, nan where they say nothing of it."""
    X, found = lesson.trials.X, np.zeros(len(lesson.columns))
    for start in range(0, len(X), BLOCK):
        found += thumb.lift(X[start : start + BLOCK]).sum(axis=0) / len(X)
    return np.where(found > 0, found, np.nan)


def _costs(lesson: Material, learnt: Learnt, thumb: Thumb, seed: int) -> Costs:
    """From the offers' own redemptions, where these are told apart."""
    own = lesson.trials
    cost = own.own_cost if len(own.own_cost) else own.cost
    rule = np.zeros(len(own))
    for start in range(0, len(own), BLOCK):
        X, given = own.X[start : start + BLOCK], lesson.action[start : start + BLOCK]
        bought = np.clip(learnt.base(X)[:, None] + learnt.lift.effects(X), 0.0, 1.0) if learnt.base else None
        rule[start : start + BLOCK] = thumb.cost(X, bought)[np.arange(len(X)), given]
    return Costs.fit(own.X, lesson.action, cost, rule, lesson.rules, seed)


def _tables(teller: Teller, X: Table, offers: int, newcomer: NDArray[np.bool_]) -> dict[str, Table]:
    """lift, gain, cost: float32 [U+1, O], a block of visitors at a time; the stranger is the newcomers' mean."""
    found = {name: np.zeros((len(X) + 1, offers), np.float32) for name in ("lift", "gain", "cost")}
    for start in range(0, len(X), BLOCK):
        part = slice(start, start + BLOCK)
        for name, told in zip(found, teller(X[part]), strict=True):
            found[name][part][: len(told)] = told
    alike = newcomer if np.count_nonzero(newcomer) >= FEW else np.ones(len(X), bool)
    if len(X):
        for table in found.values():
            table[-1] = table[:-1].mean(axis=0, dtype=np.float64, where=alike[:, None])
    else:
        unknown = np.full((1, len(teller.thumb.names)), np.nan, np.float32)
        for name, told in zip(found, teller(unknown), strict=True):
            found[name][-1] = told[0]
    return found


def _shift(
    learnt: Learnt, sources: Sequence[tuple[Source, int]], gain: Table, group: NDArray[np.int64], seed: int
) -> Table:
    """float32 [R, G, O]: draws of how far the gain of a group may be off. What goes by a rule is as doubtful as it is
    large: a normal belief whose standard deviation is its mean, no less than that over everybody, so that what was
    never tried is tried as often as it may be the best (Thompson 1933)."""
    columns = [column for _, column in sources]
    spread = learnt.worth.spread(learnt.lift.spread) if learnt.money is None else learnt.money.spread
    spread = spread[:, columns]
    believed = _by_group(gain, group, len(spread))
    for place, (source, _) in enumerate(sources):
        if source == "alike":
            spread[:, place] *= DOUBT
        elif source == "rule":
            spread[:, place] = believed[:, place]
    noise = np.random.default_rng([seed, DRAWS]).standard_normal((DRAWS, *spread.shape))
    return (noise * spread).astype(np.float32)


def _by_group(gain: Table, group: NDArray[np.int64], groups: int) -> Floats:
    """[G, O]: the mean size of gains [U, O] in each group; no less than that of everybody."""
    sums, many = np.zeros((groups, gain.shape[1])), np.bincount(group, minlength=groups)[:, None]
    for start in range(0, len(gain), BLOCK):
        size, of = np.abs(gain[start : start + BLOCK]).astype(np.float64), group[start : start + BLOCK]
        sums += [size[of == one].sum(axis=0) for one in range(groups)]
    everybody = sums.sum(axis=0) / max(len(gain), 1)
    return np.asarray(np.where(many, np.maximum(sums / np.maximum(many, 1), everybody), everybody))


def _account(
    lesson: Material, learnt: Learnt, sources: Sequence[tuple[Source, int]], offers: Sequence[str]
) -> dict[str, Any]:
    """What was learnt, from what, and by offer whether it can be told yet."""
    counts, curves = lesson.counts, learnt.worth.account.get("curves", {})
    means, errors = (learnt.lift.account[name] for name in ("average", "average_sd"))
    told: dict[str, Any] = {}
    for name, (source, column) in zip(offers, sources, strict=True):
        mean, error = means[column], errors[column]
        early = source == "rule" or mean is None or error is None or abs(mean) <= 1.96 * error
        told[name] = {
            "trials": int(counts[offers.index(name)]),
            "by": source,
            "like": lesson.columns[column] if source == "alike" else None,
            "average_lift": None if mean is None or error is None else [mean, mean - 1.96 * error, mean + 1.96 * error],
            "too_early_to_tell": bool(early),
            "held_out": curves.get(column) if source == "learned" else None,
        }
    return {
        "trials": {
            "complete": len(lesson.trials),
            "of_none": int(np.count_nonzero(lesson.action < 0)),
            "propensities": lesson.chances,
        },
        "offers": told,
        "lift": learnt.lift.account,
        "money": None if learnt.money is None else learnt.money.account,
        "worth": {name: one for name, one in learnt.worth.account.items() if name != "curves"},
    }
