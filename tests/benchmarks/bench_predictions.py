"""How good predictions are on two real shops, beside logistic regression on RFM and BG/NBD with gamma-gamma.

    python tests/benchmarks/bench_predictions.py [--data DIR] [--sets online_retail ...] [--splits test] [--rounds 300]

Each split is one night: portraits' predictions as of T, from events before T alone, against what buyers did after. The
rivals see the same events. Logistic regression on RFM (log days since the last order, log orders, log money) learns
from the same earlier moments as ours; "calibrated" is given the same later split for Platt's calibration too. BG/NBD
(Fader, Hardie, Lee 2005) and gamma-gamma (Fader, Hardie 2013) are their published likelihoods, maximised here over all
buyers before T. AUC, average precision, Brier, and ECE over 10 bins of equal size, with 95% bootstrap intervals over
buyers, and the paired difference to the best rival: where it is on the wrong side, we lose. Nothing was chosen on the
test splits: methods and settings come from the tuning splits, earlier nights of the same shops.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
from real_sets import arguments
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from portraits.build import fields, past_of
from portraits.draft import Draft
from portraits.engine import connect
from portraits.features import REGISTRY
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.local import DAY_US, to_us
from portraits.mapping import Mapping as Map
from portraits.predictions.activity import FIELDS as SEEN
from portraits.predictions.orders import Orders
from portraits.predictions.stage import predict
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot

Numbers = np.ndarray[Any, np.dtype[np.float64]]
MAPS = Path(__file__).parents[2] / "notebooks" / "mappings"


class Shop(NamedTuple):
    """A data set: its files by mapping, its time zone, its nights (T, days ahead) for testing and for tuning."""

    files: Mapping[str, str]
    zone: str
    test: tuple[tuple[str, int], ...]
    tuning: tuple[tuple[str, int], ...]


SHOPS = {
    "online_retail": Shop(
        {"online_retail": "online_retail", "online_retail_items": "online_retail"},
        "Europe/London",
        (("2011-11-09", 30), ("2011-09-10", 90)),
        (("2011-08-09", 30), ("2011-09-09", 30), ("2011-06-10", 90)),
    ),
    "complete_journey": Shop(
        {"complete_journey_events": "transactions_sample", "complete_journey_items": "products"},
        "America/New_York",
        (("2017-12-02", 30), ("2017-10-02", 90)),
        (("2017-08-02", 30), ("2017-09-02", 30), ("2017-07-02", 90)),
    ),
}


@dataclass(frozen=True)
class Night:
    """Buyers before T: our columns, their orders before T, what they did after; `earlier` moments in days before T."""

    days: int
    columns: Mapping[str, Numbers]
    orders: Orders
    us: int
    bought: Numbers
    spent: Numbers
    first_us: int


def night(snapshot: Snapshot, zone: str, T: str, days: int) -> Night:
    """One night as it runs, and what came after."""
    con, settings = connect(), AppSettings(snapshot.app_id, time_zone=zone)
    as_of = datetime.fromisoformat(T).replace(tzinfo=ZoneInfo(zone))
    past = past_of(snapshot, settings, as_of, con)
    with tempfile.TemporaryDirectory() as folder:
        features = Path(folder) / "features.parquet"
        fields(past, [REGISTRY[name] for name in SEEN]).order_by("user_id").to_parquet(features)
        table = predict(Draft(snapshot, settings, past, con, features, Path(folder), None))
        users = pq.read_table(features, columns=["user_id"])["user_id"]
    later = past_of(snapshot, settings, as_of + timedelta(days=days), con)
    known, us = Orders.read(later.orders, users), to_us(as_of)
    buyers = np.flatnonzero(known.before(us).count > 0)
    after = known.between(us, us + days * DAY_US)
    columns = {
        name: np.asarray(table[name].to_pandas(), float)[buyers]
        for name in table.column_names
        if table.schema.field(name).type in ("double", "int64")
    }
    return Night(
        days, columns, known.before(us).of(buyers), us, (after.count[buyers] > 0) * 1.0, after.total[buyers],
        int(known.us.min()),
    )  # fmt: skip


# -- rivals ----------------------------------------------------------------------------------------------------------


def rfm(orders: Orders, us: int) -> Numbers:
    """Log days since the last order, log orders, log money; one row a buyer."""
    buyers = orders.count > 0
    idle = (us - orders.last_us) / DAY_US
    return np.column_stack([np.log1p(value[buyers]) for value in (idle, orders.count, orders.total)])


def logistic(now: Night, calibrated: bool) -> Numbers:
    """RFM logistic regression, learned from moments before T whose horizon is over."""

    def rows(times: tuple[float, ...]) -> tuple[Numbers, Numbers]:
        xs, ys = [np.empty((0, 3))], [np.empty(0, bool)]
        for before in (round(t * now.days) for t in times):
            us = now.us - before * DAY_US
            if us - now.first_us < max(14, now.days // 3) * DAY_US:
                continue
            known = now.orders.before(us)
            after = now.orders.between(us, us + now.days * DAY_US)
            xs.append(rfm(known, us))
            ys.append((after.count > 0)[known.count > 0])
        return np.concatenate(xs), np.concatenate(ys)

    def fit(times: tuple[float, ...]) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(*rows(times))

    z = fit((1.0, 1.5, 2.0, 2.5, 3.0, 3.5)).decision_function(rfm(now.orders, now.us))
    X, y = rows((1.0,))
    if calibrated and len(rows((2.0,))[0]):
        early = fit((2.0, 2.5, 3.0, 3.5)).decision_function(X)
        return LogisticRegression(C=1e6).fit(early[:, None], y).predict_proba(z[:, None])[:, 1]
    return 1 / (1 + np.exp(-z))


class BgNbd(NamedTuple):
    """Published BG/NBD: parameters of greatest likelihood, and every buyer's x, t_x, T."""

    p: Numbers
    x: Numbers
    t_x: Numbers
    T: Numbers

    @classmethod
    def fit(cls, now: Night) -> BgNbd:
        day = now.orders.us // DAY_US
        first = np.ones(len(day), bool)
        first[1:] = (np.diff(now.orders.who) > 0) | (np.diff(day) > 0)
        x = np.bincount(now.orders.who[first], minlength=now.orders.visitors) - 1.0
        t_x = np.where(x > 0, (now.orders.last_us - now.orders.first_us) / DAY_US, 0.0)
        T = (now.us - now.orders.first_us) / DAY_US

        def loss(logs: Numbers) -> float:
            r, al, a, b = np.exp(logs)
            stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(al + T)
            left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(al + t_x)
            both = np.where(x > 0, np.logaddexp(stays, left), stays)
            return -float(np.mean(gammaln(r + x) - gammaln(r) + r * np.log(al) + both))

        tried = [  # bounded, since where nobody seems to leave a and b run to infinity and the formulas overflow
            minimize(loss, np.log(start), method="L-BFGS-B", bounds=[(-7, 7)] * 4, options={"ftol": 1e-12})
            for start in ((1.0, 30.0, 0.5, 2.0), (0.5, 20.0, 0.1, 5.0))
        ]
        return cls(np.exp(min(tried, key=lambda one: one.fun).x), x, t_x, T)

    def alive(self) -> Numbers:
        r, al, a, b = self.p
        odds = a / (b + np.maximum(self.x, 1) - 1) * ((al + self.T) / (al + self.t_x)) ** (r + self.x)
        return np.where(self.x > 0, 1 / (1 + odds), 1.0)

    def buys(self, t: float) -> Numbers:
        r, al, _, _ = self.p
        return self.alive() * (1 - ((al + self.T) / (al + self.T + t)) ** (r + self.x))

    def expected(self, t: float) -> Numbers:
        """Equation 10 of the paper."""
        r, al, a, b = self.p
        x, z = self.x, t / (al + self.T + t)
        grown = 1 - ((al + self.T) / (al + self.T + t)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
        return (a + b + x - 1) / (a - 1) * grown * self.alive()


def gamma_gamma(now: Night, x: Numbers) -> Numbers:
    """Money of an order to expect of every buyer; fitted, as usual, on those with a repeat order."""
    n = x + 1
    mean = np.maximum(now.orders.total / n, 1e-6)
    some = (x > 0) & (now.orders.total > 0)
    k, m = n[some], mean[some]

    def loss(logs: Numbers) -> float:
        p, q, g = np.exp(logs)
        told = gammaln(p * k + q) - gammaln(p * k) - gammaln(q) + q * np.log(g)
        return -float(np.mean(told + (p * k - 1) * np.log(m) + p * k * np.log(k) - (p * k + q) * np.log(g + k * m)))

    start = np.log((1.0, 2.0, m.mean()))
    p, q, g = np.exp(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000}).x)
    return p * (g + n * mean) / (p * n + q - 1)


# -- measures --------------------------------------------------------------------------------------------------------

Measure = Callable[[Numbers, Numbers], float]


def ece(y: Numbers, p: Numbers) -> float:
    parts = np.array_split(np.argsort(p, kind="stable"), 10)
    return float(sum(abs(np.sum(y[rows] - p[rows])) for rows in parts) / len(y))


CHANCE: Mapping[str, tuple[Measure, int]] = {
    "AUC": (roc_auc_score, 1),
    "AP": (average_precision_score, 1),
    "Brier": (lambda y, p: float(np.mean((y - p) ** 2)), -1),
    "ECE": (ece, -1),
}
MONEY: Mapping[str, tuple[Measure, int]] = {
    "MAE": (lambda y, p: float(np.mean(np.abs(y - p))), -1),
    "RMSE": (lambda y, p: float(np.sqrt(np.mean((y - p) ** 2))), -1),
    "Spearman": (lambda y, p: float(spearmanr(y, p)[0]), 1),
}


def table(title: str, y: Numbers, told: Mapping[str, Numbers], by: Mapping[str, tuple[Measure, int]], n: int) -> None:
    """Prints a row for each way to tell, and our difference to the best of the others. `told` begins with ours."""
    print(f"\n{title}")
    draws = np.random.default_rng(0).integers(0, len(y), (n, len(y)))
    found = {name: {m: _with_draws(y, p, f, draws) for m, (f, _) in by.items()} for name, p in told.items()}
    print(f"{'':28}" + "".join(f"{name:>26}" for name in by))
    for name, values in found.items():
        cells = (f"{_told(v[0])} [{_told(np.quantile(v[1:], 0.025))}, {_told(np.quantile(v[1:], 0.975))}]"
                 for v in values.values())  # fmt: skip
        print(f"{name:28}" + "".join(f"{cell:>26}" for cell in cells))
    ours, *rivals = told
    for m, (_, sign) in by.items():
        best = max(rivals, key=lambda name: sign * found[name][m][0])
        gain = sign * (found[ours][m] - found[best][m])
        low, high = np.quantile(gain[1:], (0.025, 0.975))
        word = "ahead" if gain[0] > 0 else "BEHIND"
        verdict = word if low > 0 or high < 0 else f"{word}, within noise"
        print(f"  {m}: better than {best} by {_told(gain[0])} [{_told(low)}, {_told(high)}]: {verdict}")


def _with_draws(y: Numbers, p: Numbers, measure: Measure, draws: Numbers) -> Numbers:
    """The measure, then of every resample."""
    return np.array([measure(y, p), *(measure(y[rows], p[rows]) for rows in draws)])


def _told(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.0f}"


# -- runs ------------------------------------------------------------------------------------------------------------


def run(name: str, now: Night, T: str, rounds: int) -> None:
    days, bg = now.days, BgNbd.fit(now)
    title = f"== {name}, T = {T}: {len(now.bought):,} buyers, {now.bought.mean():.1%} order within {days} days"
    rivals = {
        "RFM logistic": logistic(now, calibrated=False),
        "RFM logistic, calibrated": logistic(now, calibrated=True),
        "BG/NBD": bg.buys(days),
    }
    table(title, now.bought, {"portraits": now.columns[f"buy_{days}d"], **rivals}, CHANCE, rounds)
    within = coverage(now.columns, f"buy_{days}d", now.bought)
    print(f"  of 10 bins, the rate lies within the average interval in {within}")
    if days == int(np.nanmax(now.columns["churn_days"])):
        gone = {name: 1 - p for name, p in rivals.items()}
        told = {"portraits": now.columns["churn"], **gone}
        table(f"churn: no order within {days} days", 1 - now.bought, told, CHANCE, rounds)
    if days == 90:
        rival = bg.expected(90) * gamma_gamma(now, bg.x)
        money = {"portraits": now.columns["value_90d"], "BG/NBD + gamma-gamma": rival}
        table("money within 90 days", now.spent, money, MONEY, rounds)
        low, high = now.columns["value_90d_low"], now.columns["value_90d_high"]
        inside = np.mean((now.spent >= low) & (now.spent <= high))
        print(f"  what is spent lies within the interval of {inside:.1%} (meant: 80%)")


def coverage(columns: Mapping[str, Numbers], name: str, came: Numbers) -> int:
    """Of ten bins by probability, in how many the rate is within the bin's average interval."""
    parts = np.array_split(np.argsort(columns[name], kind="stable"), 10)
    return sum(columns[f"{name}_low"][r].mean() <= came[r].mean() <= columns[f"{name}_high"][r].mean() for r in parts)


def load(lake: Lake, data: Path, name: str) -> Snapshot:
    """The set's files through its mappings, as a merchant would import them."""
    app = name.replace("_", "-")
    for mapping, file in SHOPS[name].files.items():
        found = Map.load(MAPS / f"{mapping}.toml")
        import_file(lake, AppSettings(app), found.table.name, data / name / f"{file}.csv.gz", found)
    return lake.snapshot(app)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SHOPS), default=list(SHOPS))
    parser.add_argument("--splits", choices=("test", "tuning"), default="test")
    parser.add_argument("--rounds", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.sets:
            snapshot = load(Lake(Path(folder)), asked.data, name)
            for T, days in getattr(SHOPS[name], asked.splits):
                run(name, night(snapshot, SHOPS[name].zone, T, days), T, asked.rounds)


if __name__ == "__main__":
    main()
