"""Who redeems in a campaign: complete_journey's households x campaigns, with portraits as what is known of a household.

    python tests/benchmarks/bench_campaigns.py [--data DIR] [--rounds 200] [--tuning]

A row is a household that was sent a campaign; it is 1 when it redeemed any of the campaign's coupons. Learned on
campaigns that end before 2017-08-01, judged on those that start after (base rate .137). Everything known of a row is of
the campaign's first day or before: the portrait as of that day, past sends and redemptions, the campaign's type and
length, which of its products the household had bought, demographics. Reference, scikit-learn HistGradientBoosting
of depth 3: campaign type and demographics AUC .713, AP .297; with past redemptions, spend, baskets and discounts
AUC .780, AP .395.

Settings were fixed beforehand; `--tuning` judges on the later of the learning campaigns, for whoever changes them.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from real_sets import arguments
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from portraits.build import fields, past_of
from portraits.engine import connect
from portraits.features import REGISTRY
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot

MAPS = Path(__file__).parents[2] / "notebooks" / "mappings"
FILES = {"events": "transactions_sample", "items": "products", "redemptions": "coupon_redemptions"}
ZONE = "America/New_York"
CUT = "2017-08-01"
TUNING_CUT, TUNING_END = "2017-05-08", "2017-05-30"
FIELDS = (
    "orders orders_30d orders_90d lines items_bought categories_bought spend spend_30d spend_90d order_value "
    "largest_order recency_days order_gap_days order_days discount_share full_price_share deepest_discount price_level "
    "unit_price_median offers_redeemed active_days_30d weekend_share favourite_hour expected_gap_days overdue "
    "last_order"
).split()
"""Fields of the portrait; the last is there because others are made from it."""
LEVELS = {
    "age": ["19-24", "25-34", "35-44", "45-54", "55-64", "65+"],
    "income": ["Under 15K", "15-24K", "25-34K", "35-49K", "50-74K", "75-99K", "100-124K", "125-149K", "150-174K",
               "175-199K", "200-249K", "250K+"],
    "household_size": ["1", "2", "3", "4", "5+"],
    "kids_count": ["0", "1", "2", "3+"],
}  # fmt: skip
REFERENCE = "reference: AUC .780, AP .395 (type and demographics alone .713, .297)"

Frame = pd.DataFrame


def rows(data: Path) -> Frame:
    """household_id, campaign_id, type, start, end, redeemed."""
    sent, told, used = (
        pd.read_csv(data / f"{name}.csv.gz", dtype=str)
        for name in ("campaigns", "campaign_descriptions", "coupon_redemptions")
    )
    both = sent.merge(told, on="campaign_id")
    both["start"], both["end"] = pd.to_datetime(both.start_date), pd.to_datetime(both.end_date)
    hits = used[["household_id", "campaign_id"]].drop_duplicates().assign(redeemed=1)
    both = both.merge(hits, on=["household_id", "campaign_id"], how="left")
    both["redeemed"] = both.redeemed.fillna(0).astype(int)
    return both.sort_values(["start", "campaign_id", "household_id"]).reset_index(drop=True)


def campaign(table: Frame) -> Frame:
    """What the campaign is."""
    kinds = {f"is_{kind[-1]}": (table.campaign_type == kind) * 1.0 for kind in sorted(table.campaign_type.unique())}
    size = table.groupby("campaign_id").household_id.transform("size")
    return Frame({**kinds, "length": (table.end - table.start).dt.days, "sent_to": np.log(size)})


def behaviour(table: Frame, data: Path) -> Frame:
    """Sends, redemptions and redeemed campaigns of the household before the campaign's first day."""
    used = pd.read_csv(data / "coupon_redemptions.csv.gz", dtype=str)
    used["on"] = pd.to_datetime(used.redemption_date)
    by_home = dict(iter(used.groupby("household_id")))
    sends = dict(iter(table.groupby("household_id")))
    found = []
    for row in table.itertuples():
        before = by_home.get(row.household_id, used.iloc[:0])
        before = before[before.on < row.start]
        sent = sends[row.household_id]
        past, over = sent[sent.start < row.start], sent[sent.end < row.start]
        of_kind = past[past.campaign_type == row.campaign_type].campaign_id
        won = before.campaign_id.nunique()
        found.append({
            "past_sends": len(past), "past_used": len(before), "past_won": won,
            "win_rate": (won + 0.15) / (len(past) + 1),
            "won_of_kind": (before[before.campaign_id.isin(of_kind)].campaign_id.nunique() + 0.15) / (len(of_kind) + 1),
            "idle": (row.start - before.on.max()).days if len(before) else 400,
            "used_90d": (before.on >= row.start - pd.Timedelta(days=90)).sum(),
            "open_now": (past.end >= row.start).sum(), "ended": len(over),
        })  # fmt: skip
    return Frame(found)


def demographics(table: Frame, data: Path) -> Frame:
    """What the household declared, as numbers in order; nan where it did not."""
    told = pd.read_csv(data / "demographics.csv.gz", dtype=str).set_index("household_id").reindex(table.household_id)
    found = {name: told[name].map({level: n for n, level in enumerate(levels)}) for name, levels in LEVELS.items()}
    found |= {"known": told.age.notna() * 1.0, "owner": (told.home_ownership == "Homeowner") * 1.0,
              "married": (told.marital_status == "Married") * 1.0}  # fmt: skip
    return Frame({name: np.asarray(values, float) for name, values in found.items()})


def portraits(table: Frame, snapshot: Snapshot) -> Frame:
    """The household's portrait as of the campaign's first day."""
    known = [REGISTRY[name] for name in FIELDS if name in REGISTRY]
    settings, parts = AppSettings(snapshot.app_id, time_zone=ZONE), []
    for start, group in table.groupby("start"):
        as_of = datetime(start.year, start.month, start.day, tzinfo=ZoneInfo(ZONE))
        con = connect()
        told = fields(past_of(snapshot, settings, as_of, con), known).drop("last_order").to_pandas()
        told = told.set_index("user_id")
        parts.append(told.reindex(group.household_id).set_index(group.index).astype(float))
        con.disconnect()
    return pd.concat(parts).sort_index()


def covered(table: Frame, data: Path) -> Frame:
    """How much of what the household had bought before is on the campaign's coupons."""
    bought = pd.read_csv(data / "transactions_sample.csv.gz", dtype=str)
    bought["on"] = pd.to_datetime(bought.transaction_timestamp)
    coupons = pd.read_csv(data / "coupons.csv.gz", dtype=str)
    products = pd.read_csv(data / "products.csv.gz", dtype=str).set_index("product_id").product_category
    on_coupon = {c: set(part.product_id) for c, part in coupons.groupby("campaign_id")}
    kinds = {c: set(products.reindex(list(ids)).dropna()) for c, ids in on_coupon.items()}
    by_home = {home: (part.on.to_numpy(), part.product_id.to_numpy(), products.reindex(part.product_id).to_numpy())
               for home, part in bought.groupby("household_id")}  # fmt: skip
    found = []
    for row in table.itertuples():
        on, ids, groups = by_home.get(row.household_id, (np.empty(0, "datetime64[ns]"), np.empty(0), np.empty(0)))
        before = on < np.datetime64(row.start)
        hit = sum(one in on_coupon.get(row.campaign_id, ()) for one in ids[before])
        near = sum(one in kinds.get(row.campaign_id, ()) for one in groups[before])
        n = before.sum()
        found.append({"covered": hit, "covered_share": (hit + 0.1) / (n + 1), "near": near,
                      "near_share": (near + 0.5) / (n + 1)})  # fmt: skip
    return Frame(found).assign(products=[len(on_coupon.get(c, ())) for c in table.campaign_id])


def scores(X: Frame, y: np.ndarray[Any, Any], learn: np.ndarray[Any, Any], seeds: int = 3) -> np.ndarray[Any, Any]:
    """Shallow trees (several seeds) and a logistic regression, averaged as log odds; of the rows not learned from."""
    values = X.to_numpy(float)
    known = np.nan_to_num(values, nan=-1.0)
    filled = np.sign(known) * np.log1p(np.abs(known))
    told = []
    for seed in range(seeds):
        trees = HistGradientBoostingClassifier(
            max_depth=3, learning_rate=0.05, max_iter=120, min_samples_leaf=30, l2_regularization=10.0,
            max_features=0.4, early_stopping=False, random_state=seed,
        )  # fmt: skip
        told.append(_odds(trees.fit(values[learn], y[learn]).predict_proba(values[~learn])[:, 1]))
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=1000))
    line.fit(filled[learn], y[learn])
    return (np.mean(told, axis=0) + line.decision_function(filled[~learn])) / 2


def _odds(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.log(p / (1 - p))


def reference(X: Frame, y: np.ndarray[Any, Any], learn: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The reference's learner: depth 3, everything else as scikit-learn has it."""
    values = X.to_numpy(float)
    trees = HistGradientBoostingClassifier(max_depth=3, random_state=0)
    return np.asarray(trees.fit(values[learn], y[learn]).predict_proba(values[~learn])[:, 1])


def report(name: str, y: np.ndarray[Any, Any], p: np.ndarray[Any, Any], rounds: int) -> None:
    """One line with 95% bootstrap intervals over rows."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(y), len(y)) for _ in range(rounds)]
    cells = []
    for measure in (roc_auc_score, average_precision_score):
        low, high = np.quantile([measure(y[d], p[d]) for d in draws], (0.025, 0.975))
        cells.append(f"{measure(y, p):.3f} [{low:.3f}, {high:.3f}]")
    print(f"{name:58} AUC {cells[0]}  AP {cells[1]}", flush=True)


def load(lake: Lake, data: Path) -> Snapshot:
    """The set as a merchant would import it."""
    for name, file in FILES.items():
        mapping = Mapping.load(MAPS / f"complete_journey_{name}.toml")
        import_file(lake, AppSettings("grocer"), mapping.table.name, data / f"{file}.csv.gz", mapping)
    return lake.snapshot("grocer")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tuning", action="store_true")
    asked = parser.parse_args()
    data = asked.data / "complete_journey"
    table = rows(data)
    cut = pd.Timestamp(TUNING_CUT if asked.tuning else CUT)
    kept = (table.end < pd.Timestamp(CUT)) if asked.tuning else table.end.notna()
    learn, judge = table.end < cut, (table.start >= cut) & kept
    if asked.tuning:
        learn = (table.end < pd.Timestamp(TUNING_END)) & (table.start < cut)
    with tempfile.TemporaryDirectory() as folder:
        told = portraits(table, load(Lake(Path(folder)), data))
    what, who = campaign(table), demographics(table, data)
    past, own = behaviour(table, data), covered(table, data)
    some = learn | judge
    y, at = table.redeemed.to_numpy()[some], learn.to_numpy()[some]
    print(f"{learn.sum():,} rows to learn from, {judge.sum():,} to judge, base rate {y[~at].mean():.3f}; {REFERENCE}")
    sets = {
        "campaign, demographics": [what, who],
        "campaign, demographics, past campaigns": [what, who, past],
        "campaign, demographics, portrait": [what, who, told],
        "campaign, demographics, past campaigns, portrait": [what, who, past, told],
        "the same and products on coupons": [what, who, past, told, own],
    }
    for name, parts in sets.items():
        X = pd.concat(parts, axis=1)[some.to_numpy()]
        report(name, y[~at], scores(X, y, at), asked.rounds)
        report("  with the reference's learner", y[~at], reference(X, y, at), asked.rounds)


if __name__ == "__main__":
    main()
