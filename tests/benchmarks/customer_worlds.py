"""Customer files of two forms with planted effects, as CSV that `notebooks/mappings/forms` reads.

A: one row a customer: what is known, which of two offers was sent at random (or none), visited, bought, spent. Bought
is rare (about one in a hundred) or, in the worlds "often ...", not. The worlds "... costs" have a column more: whether
an offer of 20 off was used, and who buys anyway uses it.
B: a log of thirty days: ten offers (buy one get one, discount, mere messages) sent in six waves, a fourth of the people
left out of each by lot, viewed or not; who spends enough while one is valid completes it, viewed or not; purchases.
Only who viewed an offer buys more often while it is valid.

Truth is of the change of the chance to buy and of what is spent within the window (in A of that one moment, in B within
7 days of a send), and of what redemptions cost. Units: yuan.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARMS = ("Mens E-Mail", "Womens E-Mail")
ORDER, SPREAD, OFF = 116.0, 0.7, 20.0
"""Form A: a usual order, the deviation of its logarithm, and what an offer takes off."""
WORLDS_A = ("same", "two features", "sleeping dogs", "some", "zero", "often two features", "often dogs", "often costs",
            "strong")  # fmt: skip
WORLDS_B = ("alike", "by income", "sure things", "zero", "dogs")
WAVES, DAYS, WINDOW = (0, 7, 14, 17, 21, 24), 30, 7.0
PORTFOLIO = [("bogo", 10, 10, 7), ("bogo", 10, 10, 5), ("bogo", 5, 5, 7), ("bogo", 5, 5, 5), ("discount", 5, 20, 10),
             ("discount", 3, 7, 7), ("discount", 2, 10, 10), ("discount", 2, 10, 7), ("informational", 0, 0, 4),
             ("informational", 0, 0, 3)]  # fmt: skip
"""Kind, reward, difficulty, days."""
DRAWN = 48
"""Weeks that are drawn of each person and offer to know what it costs."""


@dataclass(frozen=True)
class World:
    """ids [n] and offers [O] as imported; lift, gain, cost: the truth, [n, O]. For references, rows as a data scientist
    would make them: X [r, F], action [r] (-1: none), bought, spent, paid [r]; X_now [n, F]."""

    ids: list[str]
    offers: tuple[str, ...]
    lift: Array
    gain: Array
    cost: Array
    X: Array
    action: Array
    bought: Array
    spent: Array
    paid: Array
    X_now: Array

    @property
    def profit(self) -> Array:
        """[n, O]"""
        return self.gain - self.cost


def one_row(world: str, n: int, seed: int, path: Path) -> World:
    """Form A, written to `path`."""
    rng = np.random.default_rng([seed, n])
    known = _customers(n, rng)
    base, shift = _odds(world, known)
    chance = _chance(base)
    treated = _chance(base[:, None] + shift)
    action = rng.integers(-1, 2, n)
    p = np.where(action < 0, chance, treated[np.arange(n), action])
    bought = rng.random(n) < p
    visit = bought | (rng.random(n) < 0.1 + 0.05 * (action >= 0))
    order = np.round(ORDER * np.exp(SPREAD * rng.standard_normal(n) - SPREAD**2 / 2), 2)
    used = bought & (action >= 0) & (rng.random(n) < 0.8) & ("costs" in world)
    sent = np.array([*ARMS, "No E-Mail"])[action]
    columns = known | {"segment": sent, "visit": visit * 1, "conversion": bought * 1}
    columns |= {"spend": [f"{one:.2f}" if hit else "0" for one, hit in zip(order, bought, strict=True)]}
    columns |= {"used": used * 1}
    _write(path, list(columns), zip(*columns.values(), strict=True))
    gives = 0.8 * OFF * ("costs" in world)
    X = _table(known)
    return World(
        [f"c{place + 2}" for place in range(n)], ARMS, treated - chance[:, None], (treated - chance[:, None]) * ORDER,
        treated * gives, X, action, bought * 1.0, order * bought, OFF * used, X,
    )  # fmt: skip


def _customers(n: int, rng: np.random.Generator) -> dict[str, Array]:
    history = np.round(np.exp(5.0 + 0.9 * rng.standard_normal(n)) + 29.99, 2)
    mens = rng.random(n) < 0.55
    edges = [100, 200, 350, 500, 750, 1000]
    names = np.array(["1) $0 - $100", "2) $100 - $200", "3) $200 - $350", "4) $350 - $500", "5) $500 - $750",
                      "6) $750 - $1,000", "7) $1,000 +"])  # fmt: skip
    return {
        "recency": rng.integers(1, 13, n),
        "history_segment": names[np.searchsorted(edges, history)],
        "history": history,
        "mens": mens * 1,
        "womens": (~mens | (rng.random(n) < 0.1)) * 1,
        "zip_code": rng.choice(["Urban", "Rural", "Surburban"], n, p=[0.4, 0.15, 0.45]),
        "newbie": rng.integers(0, 2, n),
        "channel": rng.choice(["Web", "Phone", "Multichannel"], n, p=[0.44, 0.44, 0.12]),
    }


def _odds(world: str, known: dict[str, Array]) -> tuple[Array, Array]:
    """Log odds to buy without an offer [n], and what each offer adds to them [n, 2]."""
    rich = np.clip(np.log(known["history"]) - 5.1, -2, 2)
    often = world.startswith("often") or world == "strong"
    base = (-2.0 if often else -5.4) + 0.5 * rich - 0.08 * (known["recency"] - 6.0) + 0.5 * (known["channel"] == "Web")
    men, new = known["mens"] == 1, known["newbie"] == 1
    kind = world.removeprefix("often ")
    if kind == "same":
        shift = np.tile([0.75, 0.4], (len(base), 1))
    elif kind == "two features":
        shift = np.stack([1.2 * men + 0.4 * rich, np.where(men, 0.0, 0.9) + 0.4 * new], axis=1)
    elif kind in ("sleeping dogs", "dogs"):
        stale = known["recency"] > 7
        shift = np.stack([np.where(stale, -1.0, 1.0), np.where(men, -0.5, 0.8)], axis=1)
    elif kind == "some":
        shift = np.stack([0.0 * rich, np.where(known["zip_code"] == "Rural", 1.8, 0.0)], axis=1)
    elif kind == "costs":
        shift = np.stack([np.where(men, 0.9, 0.1) - 0.4 * rich, np.where(new, 0.7, 0.1) - 0.4 * rich], axis=1)
    elif kind == "strong":
        shift = np.stack([2.0 + 0.5 * rich, np.where(men, 0.5, 2.5)], axis=1)
    else:
        shift = np.zeros((len(base), 2))
    return base, shift


def _chance(odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _table(known: dict[str, Array]) -> Array:
    columns = [known[name] for name in ("recency", "history", "mens", "womens", "newbie")]
    columns += [known["zip_code"] == one for one in ("Urban", "Rural")]
    columns += [known["channel"] == one for one in ("Web", "Phone")]
    return np.stack(columns, axis=1).astype(np.float64)


def log_of(world: str, n: int, seed: int, folder: Path) -> World:
    """Form B: profile.csv, portfolio.csv and transcript.csv in `folder`."""
    rng = np.random.default_rng([seed, n, 2])
    people = _people(n, rng)
    rate, amount, shift = _habits(world, people)
    views = 0.75
    sent = np.where(rng.random((n, len(WAVES))) < 0.75, rng.integers(0, len(PORTFOLIO), (n, len(WAVES))), -1)
    seen_at = np.where(rng.random(sent.shape) < views, np.array(WAVES) + rng.uniform(0, 2, sent.shape), np.inf)
    who, when, paid = _purchases(rate, amount, shift, sent, seen_at, rng)
    done = _completed(sent, who, when, paid)
    _write_log(folder, people, sent, seen_at, (who, when, paid), done)
    lift, gain, cost = _truth(rate, amount, shift, views, rng)
    X, rest = _rows(people, sent, (who, when, paid), done)
    names = tuple(f"o{one}" for one in range(len(PORTFOLIO)))
    now = _features(people, (who, when, paid), float(DAYS))
    return World([f"p{one}" for one in range(n)], names, lift, gain, cost, X, *rest, now)


def _people(n: int, rng: np.random.Generator) -> dict[str, Array]:
    unknown = rng.random(n) < 0.13
    return {
        "age": np.where(unknown, 118, np.clip(rng.normal(54, 17, n), 18, 101).round()).astype(int),
        "income": np.where(unknown, np.nan, (np.clip(rng.normal(65, 21, n), 30, 120) * 1000).round(-3)),
        "gender": np.where(unknown, "", rng.choice(["M", "F", "O"], n, p=[0.57, 0.415, 0.015])),
        "joined": rng.integers(0, 1800, n),
    }


def _habits(world: str, people: dict[str, Array]) -> tuple[Array, Array, Array]:
    """Purchases a day without an offer [n], what one brings [n], and what a viewed offer adds to the logarithm of the
    first [n, O]."""
    income = np.nan_to_num((people["income"] - 65_000) / 21_000)
    long = people["joined"] / 900 - 1
    rate = 0.2 * np.exp(0.4 * long - 0.25 * income)
    amount = 11.0 * np.exp(0.5 * income)
    size = np.array([0.6, 0.55, 0.5, 0.45, 0.4, 0.7, 0.6, 0.5, 0.35, 0.3])
    bogo = np.array([kind == "bogo" for kind, *_ in PORTFOLIO])
    if world == "alike":
        shift = np.tile(size, (len(rate), 1))
    elif world == "by income":
        shift = size * np.where(bogo, 1 + 0.9 * income[:, None], 1 - 0.9 * income[:, None]).clip(-0.5, 2.5)
    elif world == "sure things":  # who comes often completes all and is moved by nothing
        shift = size * np.where(rate > np.quantile(rate, 0.5), 0.0, 1.6)[:, None]
    elif world == "dogs":
        shift = size * np.where((people["gender"] == "F")[:, None] == bogo, 1.5, -0.6)
    else:
        shift = np.zeros((len(rate), len(PORTFOLIO)))
    return rate, amount, shift


def _purchases(  # noqa: PLR0917
    rate: Array, amount: Array, shift: Array, sent: Array, seen_at: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Who, when (days), how much; thinned from the highest rate that anybody could have."""
    highest = rate * np.exp(2 * np.maximum(shift.max(axis=1), 0))
    many = rng.poisson(highest * DAYS)
    who = np.repeat(np.arange(len(rate)), many)
    when = rng.uniform(0, DAYS, len(who))
    extra = np.zeros(len(who))
    for wave, start in enumerate(WAVES):
        offer, seen = sent[who, wave], seen_at[who, wave]
        ends = start + np.array([days for *_, days in PORTFOLIO])[offer]
        extra += np.where((offer >= 0) & (when > seen) & (when < ends), shift[who, offer], 0.0)
    kept = rng.random(len(who)) < rate[who] * np.exp(np.minimum(extra, np.log(highest / rate)[who])) / highest[who]
    who, when = who[kept], when[kept]
    order = np.lexsort((when, who))
    who, when = who[order], when[order]
    return who, when, np.round(amount[who] * np.exp(0.5 * rng.standard_normal(len(who)) - 0.125), 2)


def _completed(sent: Array, who: Array, when: Array, paid: Array) -> Array:
    """When each send was completed, [n, waves]; inf: not."""
    done = np.full(sent.shape, np.inf)
    for wave, start in enumerate(WAVES):
        offer = sent[who, wave]
        ends = start + np.array([days for *_, days in PORTFOLIO])[offer]
        least = np.array([least for _, _, least, _ in PORTFOLIO], float)[offer]
        counts = (offer >= 0) & (least > 0) & (when >= start) & (when < ends)
        total = np.cumsum(np.where(counts, paid, 0.0))
        first = np.searchsorted(who, np.arange(len(sent)))
        before = np.append(0.0, total)[first][who]
        hits = np.flatnonzero(counts & (total - before >= least))
        np.minimum.at(done[:, wave], who[hits], when[hits])
    return done


def _truth(
    rate: Array, amount: Array, shift: Array, views: float, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """lift, gain (of WINDOW days), cost [n, O]: chance and sum by formula, the cost by draws."""
    many = shift.shape[1]
    lift, gain, cost = (np.zeros((len(rate), many)) for _ in range(3))
    delays = np.linspace(0.05, 1.95, 8)
    without = np.exp(-rate * WINDOW)
    for offer, (_, reward, least, days) in enumerate(PORTFOLIO):
        active = np.maximum(min(days, WINDOW) - delays, 0)
        more = rate[:, None] * np.expm1(shift[:, [offer]]) * active
        lift[:, offer] = views * (without - (without[:, None] * np.exp(-more)).mean(axis=1))
        gain[:, offer] = views * more.mean(axis=1) * amount
        if not least:
            continue
        span = min(days, WINDOW)
        for _ in range(DRAWN):
            seen = np.where(rng.random(len(rate)) < views, span - rng.uniform(0, 2, len(rate)), 0.0)
            count = rng.poisson(rate * (span + np.expm1(shift[:, offer]) * seen))
            spread = np.sqrt(np.log1p(np.expm1(0.25) / np.maximum(count, 1)))  # the sum as log-normal, too
            total = count * amount * np.exp(spread * rng.standard_normal(len(rate)) - spread**2 / 2)
            cost[:, offer] += reward * (total >= least) / DRAWN
    return lift, gain, cost


def _rows(
    people: dict[str, Array], sent: Array, log: tuple[Array, Array, Array], done: Array
) -> tuple[Array, tuple[Array, ...]]:
    """A row a person and wave for references."""
    who, when, paid = log
    X, rest = [], []
    reward = np.array([one[1] for one in PORTFOLIO], float)
    for wave, start in enumerate(WAVES):
        within = (when >= start) & (when < start + WINDOW)
        spent = np.bincount(who[within], paid[within], minlength=len(sent))
        X.append(_features(people, log, float(start)))
        paid_out = np.where(done[:, wave] < start + WINDOW, reward[sent[:, wave]], 0.0)
        rest.append((sent[:, wave], (spent > 0) * 1.0, spent, paid_out))
    return np.vstack(X), tuple(np.concatenate(column) for column in zip(*rest, strict=True))


def _features(people: dict[str, Array], log: tuple[Array, Array, Array], until: float) -> Array:
    """Profile, and how often and for how much was bought before."""
    who, when, paid = log
    before, n = when < until, len(people["age"])
    count = np.bincount(who[before], minlength=n)
    spent = np.bincount(who[before], paid[before], minlength=n)
    age = np.where(people["age"] == 118, np.nan, people["age"])
    columns = [age, people["income"], people["gender"] == "F", people["gender"] == "M", people["joined"]]
    usual = np.where(count > 0, spent / np.maximum(count, 1), np.nan)
    columns += [count / until if until else np.full(n, np.nan), usual]
    return np.stack(columns, axis=1).astype(np.float64)


def _write_log(  # noqa: PLR0917
    folder: Path, people: dict[str, Array], sent: Array, seen_at: Array, log: tuple[Array, Array, Array], done: Array
) -> None:
    reward = [one[1] for one in PORTFOLIO]
    days = np.array([one[3] for one in PORTFOLIO])
    joined = np.datetime64("2017-07-24") - people["joined"].astype("timedelta64[D]")
    rows = zip([f"p{one}" for one in range(len(sent))], people["gender"], people["age"],
               [str(day).replace("-", "") for day in joined],
               ["" if np.isnan(one) else one for one in people["income"]], strict=True)  # fmt: skip
    _write(folder / "profile.csv", ["id", "gender", "age", "became_member_on", "income"], rows)
    offers = [(f"o{place}", kind, gives, least, lasts) for place, (kind, gives, least, lasts) in enumerate(PORTFOLIO)]
    _write(folder / "portfolio.csv", ["id", "offer_type", "reward", "difficulty", "duration"], offers)
    told: list[tuple[Any, ...]] = []
    for person, wave in zip(*np.nonzero(sent >= 0), strict=True):
        offer = sent[person, wave]
        told.append((f"p{person}", "offer received", f"{{'offer id': 'o{offer}'}}", WAVES[wave] * 24))
        if seen_at[person, wave] < min(WAVES[wave] + days[offer], DAYS):
            at = round(seen_at[person, wave] * 24, 2)
            told.append((f"p{person}", "offer viewed", f"{{'offer id': 'o{offer}'}}", at))
        if done[person, wave] < DAYS:
            value = f"{{'offer_id': 'o{offer}', 'reward': {reward[offer]}}}"
            told.append((f"p{person}", "offer completed", value, round(done[person, wave] * 24, 3)))
    told += [
        (f"p{person}", "transaction", f"{{'amount': {amount}}}", round(at * 24, 3))
        for person, at, amount in zip(*log, strict=True)
    ]
    _write(folder / "transcript.csv", ["person", "event", "value", "time"], sorted(told, key=lambda row: row[3]))


def _write(path: Path, header: Sequence[str], rows: Any) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
