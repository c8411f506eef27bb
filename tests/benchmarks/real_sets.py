"""The real data sets of the benchmarks as datasets: read with pandas, mapped by hand, split as documented."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from recommender.history import split
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.split import Split


class Task(NamedTuple):
    """A past to learn from and a future to be judged by."""

    past: Dataset
    split: Split


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Arguments of a benchmark with real data: `--data` (HUAXIANG_DATA, else shared/data beside us)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("HUAXIANG_DATA", beside)))
    return parser


def online_retail(data: Path) -> Task:
    """A gift shop: train before 2011-11-09, test after."""
    return _by_time(online_retail_rows(data), pd.Timestamp("2011-11-09"))


def online_retail_rows(data: Path) -> pd.DataFrame:
    """Columns user, item, ts (microseconds), in the file's order; without cancellations, fees and lines without a
    customer."""
    text = {"InvoiceNo": str, "StockCode": str, "CustomerID": str}
    rows = pd.read_csv(data / "online_retail" / "online_retail.csv.gz", dtype=text, parse_dates=["InvoiceDate"])
    kept = rows.CustomerID.notna() & ~rows.InvoiceNo.str.startswith("C") & rows.StockCode.str.match(r"^\d{5}")
    rows = rows[kept & (rows.Quantity > 0) & (rows.UnitPrice > 0)]
    return _rows(rows.CustomerID, rows.StockCode, rows.InvoiceDate)


def complete_journey(data: Path) -> Task:
    """A grocery (a sample of its lines): train before the last 30 days of 2017, test after."""
    return _by_time(complete_journey_rows(data), pd.Timestamp("2017-12-02"))


def complete_journey_rows(data: Path) -> pd.DataFrame:
    """Columns user, item, ts (microseconds)."""
    text = {"household_id": str, "product_id": str}
    path = data / "complete_journey" / "transactions_sample.csv.gz"
    rows = pd.read_csv(path, dtype=text, parse_dates=["transaction_timestamp"])
    return _rows(rows.household_id, rows.product_id, rows.transaction_timestamp)


def beibei(data: Path) -> Task:
    """Group buying without time: train on `tune` (initiators and friends), test on the initiators of `test`."""
    past = beibei_rows(data)
    future = _groups(data / "beibei_groupbuy" / "test.tsv.gz", friends=False)
    train = Dataset.from_arrays(past.user, past.item, extra_users=future.user, extra_items=future.item)
    test = Dataset.from_arrays(future.user, future.item, extra_users=past.user, extra_items=past.item)
    return Task(train, split.given(train, test))


def beibei_rows(data: Path) -> pd.DataFrame:
    """Columns user (initiators and friends) and item, without time."""
    return _groups(data / "beibei_groupbuy" / "tune.tsv.gz", friends=True)


def _rows(user: pd.Series, item: pd.Series, moment: pd.Series) -> pd.DataFrame:
    ts = moment.astype("datetime64[us]").astype("int64")
    return pd.DataFrame({"user": user.to_numpy(str), "item": item.to_numpy(str), "ts": ts.to_numpy()})


def _by_time(rows: pd.DataFrame, cut: pd.Timestamp) -> Task:
    ts = rows.ts.to_numpy()
    whole = Dataset.from_arrays(rows.user.to_numpy(str), rows.item.to_numpy(str), ts, until_us=int(ts.max()) + DAY_US)
    found = split.by_time(whole, cut.value // 1000)
    return Task(found.train, found)


def _groups(path: Path, friends: bool) -> pd.DataFrame:
    rows = pd.read_csv(path, sep="\x01", header=None, names=["line"])["line"].str.split("\t")
    if not friends:
        return pd.DataFrame({"user": rows.str[0], "item": rows.str[1]})
    people = (rows.str[:1] + rows.str[2:]).rename("user")
    return pd.DataFrame({"user": people, "item": rows.str[1]}).explode("user").dropna()


SETS = {"online_retail": online_retail, "complete_journey": complete_journey, "beibei": beibei}
