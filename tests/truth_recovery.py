"""How well portraits recover what was planted in the sample shop, by the length of a visitor's history.

A check compares a field with the truth, visitor by visitor: `found` has a row a visitor (or need) with `told` and
`true`, and a `metric` makes a number of any part of those rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from portraits.build import fields, past_of
from portraits.engine import connect
from portraits.lake import Lake
from portraits.past import Past
from portraits.sample.history import history
from portraits.sample.plan import END
from portraits.settings import AppSettings

APP = "truth"
LENGTHS = {"1-2": (1, 2), "3-5": (3, 5), "6-10": (6, 10), "11+": (11, 10**9), "all": (1, 10**9)}
"""Visits of a visitor."""
SURE_SHARER = 0.1
"""Chance of a share in a visit above which the plan made somebody a sharer (0.35, others 0.02)."""

KEY_FRIENDS = 2
"""Different friends who paid in a visit that a visitor's share brought: a key sharer."""

Frame = pd.DataFrame
Metric = Callable[[Frame], float]


@dataclass(frozen=True)
class Shop:
    """Portraits at the end of a sample shop's history, and its truth by table."""

    people: Frame
    truth: dict[str, Frame]


def live(seed: int, events: int, folder: Path) -> Shop:
    """A shop of about so many events, through the lake, and everybody's portrait."""
    past = lived_past(seed, events, folder)
    people = fields(past).to_pyarrow().to_pandas().set_index("user_id")
    names = ("users", "tastes", "needs", "brought")
    return Shop(people, {name: pd.read_parquet(folder / "truth" / f"{name}.parquet") for name in names})


def lived_past(seed: int, events: int, folder: Path) -> Past:
    """The history of a sample shop as of its end."""
    history(seed, events, folder / "files", folder / "truth")
    lake = Lake(folder / "lake")
    for path in sorted((folder / "files" / "events").glob("*.parquet")):
        lake.append_events(APP, pq.read_table(path))
    for name in ("items", "users", "stores", "contents", "offers", "identities"):
        lake.upsert(APP, name, pq.read_table(folder / "files" / f"{name}.parquet"), END)
    return past_of(lake.snapshot(APP), AppSettings(APP), END, connect())


def table(shop: Shop) -> Iterator[dict[str, Any]]:
    """check, metric, and for each of LENGTHS the value and n of those it is about."""
    visits = shop.people.visits
    for name, (find, metric) in CHECKS.items():
        found = find(shop).assign(visits=lambda rows: rows.index.map(visits)).dropna(subset=["visits"])
        row: dict[str, Any] = {"check": name, "metric": metric.__name__}
        for length, (low, high) in LENGTHS.items():
            part = found[found.visits.between(low, high)]
            row[length], row[f"n {length}"] = metric(part) if len(part) else float("nan"), len(part)
        yield row


# -- metrics --------------------------------------------------------------------------------------------------------


def accuracy(rows: Frame) -> float:
    """Share of right answers; what is unknown counts as wrong."""
    return float((rows.told == rows.true).mean())


def member(rows: Frame) -> float:
    """Share of answers that are among the true ones."""
    return float(np.mean([told in true for told, true in zip(rows.told, rows.true, strict=True)]))


def f1(rows: Frame) -> float:
    """Twice the right answers over answers and truths together, of sets."""
    right = sum(len(told & true) for told, true in zip(rows.told, rows.true, strict=True))
    return 2 * right / max(sum(map(len, rows.told)) + sum(map(len, rows.true)), 1)


def rank(rows: Frame) -> float:
    """Spearman's rank correlation among those with an answer."""
    known = rows.dropna(subset=["told", "true"])
    if known.told.nunique() < 2 or known.true.nunique() < 2:
        return float("nan")
    return float(spearmanr(known.told.astype(float), known.true.astype(float)).statistic)


def auc(rows: Frame) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(rows.true, rows.told)) if rows.true.nunique() == 2 else float("nan")


def near(rows: Frame) -> float:
    """Share of answers within a quarter of the truth; what is unknown counts as wrong."""
    return float(((rows.told / rows.true - 1).abs() <= 0.25).mean())


def top_f1(rows: Frame) -> float:
    """F1 of naming as many as there are, the highest first."""
    most = int(rows.true.sum())
    return float(rows.sort_values("told", ascending=False, kind="stable").true.head(most).mean()) if most else np.nan


# -- checks ---------------------------------------------------------------------------------------------------------


def _users(shop: Shop) -> Frame:
    """Truth of visitors with a portrait, and their portraits."""
    return shop.truth["users"].set_index("user_id").add_prefix("true_").join(shop.people, how="inner")


def _pair(rows: Frame, told: Any, true: Any) -> Frame:
    return pd.DataFrame({"told": told, "true": true}, index=rows.index)


def _true_leaves(shop: Shop) -> Frame:
    """Each visitor's leaf categories as a dict of weights."""
    tastes = shop.truth["tastes"]
    weights = tastes.groupby(["user_id", "category"]).weight.sum().reset_index()
    return weights.sort_values("weight", ascending=False)


def _leaf(path: Any) -> Any:
    return path.rpartition(" > ")[2] if isinstance(path, str) else None


def top_leaf(shop: Shop, field: str = "top_subcategory") -> Frame:
    rows = _users(shop)
    best = _true_leaves(shop).groupby("user_id").category.first()
    return _pair(rows, rows[field].map(_leaf), best.reindex(rows.index))


def popular_leaf(shop: Shop) -> Frame:
    """What guessing the shop's favourite for everybody would give."""
    rows = top_leaf(shop)
    return rows.assign(told=rows.true.mode()[0])


def top_leaf_of_the_needless(shop: Shop) -> Frame:
    """Visitors who need nothing again and again: what one needs says little of what one likes."""
    return top_leaf(shop).drop(index=shop.truth["needs"].user_id, errors="ignore")


def brand_of_the_needless(shop: Shop) -> Frame:
    return brand(shop).drop(index=shop.truth["needs"].user_id, errors="ignore")


def liked_or_needed(shop: Shop) -> Frame:
    rows = _users(shop)
    both = pd.concat([_true_leaves(shop), shop.truth["needs"]]).groupby("user_id").category.agg(set)
    return _pair(rows, rows.top_subcategory.map(_leaf), both.reindex(rows.index))


def three_leaves(shop: Shop) -> Frame:
    rows = _users(shop)
    true = _true_leaves(shop).groupby("user_id").category.agg(set).reindex(rows.index)
    return _pair(rows, rows.categories.map(lambda entries: _leaves(entries, 3)), true)


def read_leaf(shop: Shop) -> Frame:
    rows = top_leaf(shop)
    read = shop.people.content_categories.reindex(rows.index).map(lambda entries: _leaves(entries, 1))
    some = rows.assign(told=read.map(lambda leaves: next(iter(leaves), None)))
    return some[some.told.notna()]


def _leaves(entries: Any, most: int) -> set[str]:
    if entries is None:
        return set()
    return {_leaf(entry["tag"]) for entry in [e for e in entries if " > " in e["tag"]][:most]}


def brand(shop: Shop) -> Frame:
    rows = _users(shop)
    liked = shop.truth["tastes"].groupby("user_id").brands.agg(lambda lists: set(np.concatenate(list(lists))))
    return _pair(rows, rows.top_brand, liked.reindex(rows.index))


def budget(shop: Shop) -> Frame:
    rows = _users(shop)
    return _pair(rows, rows.price_level, rows.true_budget)


def discount(shop: Shop) -> Frame:
    rows = _users(shop)
    return _pair(rows, rows.discount_sensitivity, rows.true_sense)


def hour(shop: Shop) -> Frame:
    """Told and true agree where they are at most two hours apart."""
    rows = _users(shop)
    apart = (rows.favourite_hour - rows.true_local_hour).abs()
    return _pair(rows, np.minimum(apart, 24 - apart) <= 2, True)


def weekend(shop: Shop) -> Frame:
    rows = _users(shop)
    return _pair(rows, rows.weekend_share, rows.true_weekend.map({1: -1, 0: 0, 2: 1}))


def payday(shop: Shop) -> Frame:
    rows = _users(shop)

    def as_sets(days: pd.Series) -> pd.Series:
        return days.map(lambda day: {int(day)} if pd.notna(day) and day > 0 else set())

    return _pair(rows, as_sets(rows.payday), as_sets(rows.true_payday))


def payday_spend(shop: Shop) -> Frame:
    """The share of spend after paydays, of those who paid, against having one."""
    rows = _users(shop)
    rows = rows[rows.payday_share.notna()]
    return _pair(rows, rows.payday_share, rows.true_payday > 0)


def need(shop: Shop) -> Frame:
    """One row a need: the gap told for its item, and the planted days."""
    needs = shop.truth["needs"].set_index("user_id")
    entries = shop.people.item_rhythm.reindex(needs.index)
    told = [
        next((entry["gap_days"] for entry in (() if isinstance(of, float) else of) if entry["tag"] == item), np.nan)
        for of, item in zip(entries.fillna(np.nan), needs.item_id, strict=True)
    ]
    return _pair(needs, told, needs.every_days)


def repeated_need(shop: Shop) -> Frame:
    """The same, of items bought often enough for a gap to be told."""
    return need(shop).dropna(subset=["told"])


def home_store(shop: Shop) -> Frame:
    rows = _users(shop)
    rows = rows[rows.store_visits > 0]
    return _pair(rows, rows.home_store, rows.true_home_store)


def entrance(shop: Shop) -> Frame:
    rows = _users(shop)
    return _pair(rows, rows.usual_channel, rows.true_channel)


def sharer(shop: Shop) -> Frame:
    rows = _users(shop)
    return _pair(rows, rows.friends_reached, rows.true_shares > SURE_SHARER)


def sharing_habit(shop: Shop) -> Frame:
    """Shares a visit, of the planted sharers and the others."""
    rows = _users(shop)
    return _pair(rows, rows.shares / rows.visits.clip(lower=1), rows.true_shares > SURE_SHARER)


def key_sharer(shop: Shop) -> Frame:
    """The score in friends who pay, of those who truly brought so many and the others; of group buys too."""
    rows = _users(shop)
    brought = shop.truth["brought"]
    paid = brought[brought.paid].groupby("sharer").friend.nunique()
    return _pair(rows, rows.sharer_score, paid.reindex(rows.index).fillna(0) >= KEY_FRIENDS)


def pull(shop: Shop) -> Frame:
    """Friends reached a visit, against the planted friends of a visit, of the planted sharers."""
    rows = _users(shop)
    rows = rows[rows.true_shares > SURE_SHARER]
    return _pair(rows, rows.friends_reached / rows.visits, rows.true_shares * rows.true_pull)


def friends(shop: Shop) -> Frame:
    rows = _users(shop)
    brought = shop.truth["brought"].groupby("sharer").friend.nunique()
    return _pair(rows, rows.friends_reached, brought.reindex(rows.index).fillna(0))


def paying(shop: Shop) -> Frame:
    rows = _users(shop)
    brought = shop.truth["brought"]
    paid = brought[brought.paid].groupby("sharer").friend.nunique()
    return _pair(rows, rows.paying_friends, paid.reindex(rows.index).fillna(0))


def reads(shop: Shop) -> Frame:
    rows = _users(shop)
    return _pair(rows, rows.content_views / rows.visits.clip(lower=1), rows.true_reads)


CHECKS: dict[str, tuple[Callable[[Shop], Frame], Metric]] = {
    "top leaf category": (top_leaf, accuracy),
    "  guessing the most liked": (popular_leaf, accuracy),
    "  without needs (leaf)": (top_leaf_of_the_needless, accuracy),
    "top leaf liked or needed": (liked_or_needed, member),
    "three leaf categories": (three_leaves, f1),
    "top leaf by contents": (read_leaf, accuracy),
    "top brand is liked": (brand, member),
    "  without needs (brand)": (brand_of_the_needless, member),
    "budget": (budget, rank),
    "discount sensitivity": (discount, rank),
    "usual hour": (hour, accuracy),
    "weekend habit": (weekend, rank),
    "payday": (payday, f1),
    "  has a payday, by spend": (payday_spend, auc),
    "rhythm of needs": (need, near),
    "  of those with a gap": (repeated_need, near),
    "home store": (home_store, accuracy),
    "usual entrance": (entrance, accuracy),
    "sharers": (sharer, auc),
    "sharers by habit": (sharing_habit, auc),
    "key sharers": (key_sharer, top_f1),
    "friends a visit": (pull, rank),
    "friends reached": (friends, rank),
    "paying friends": (paying, rank),
    "reading habit": (reads, rank),
}


def as_arrow(past: Past) -> pa.Table:
    """All portraits, sorted."""
    return fields(past).order_by("user_id").to_pyarrow()
