"""complete_journey's campaigns from its files to trials: sends, who was left out, redemptions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from portraits.engine import connect
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings
from recommender.offers.trials import SOURCES, trials

pytestmark = pytest.mark.real

MAPPINGS = Path(__file__).parents[3] / "notebooks" / "mappings"
FILES = {
    "events": "transactions_sample",
    "users": "demographics",
    "offers": "campaign_descriptions",
    "campaigns": "campaigns",
    "redemptions": "coupon_redemptions",
}
DAYS = 30


def test_campaigns_are_trials(real_data: Path, tmp_path: Path) -> None:
    """Every send is one, what was redeemed within 30 days of it is that of the files, and as many as twice were left
    out at those moments are compared, where there are so many."""
    data, lake = real_data / "complete_journey", Lake(tmp_path)
    settings = AppSettings("grocer", time_zone="America/New_York", offer_days=DAYS)
    for name, file in FILES.items():
        mapping = Mapping.load(MAPPINGS / f"complete_journey_{name}.toml")
        import_file(lake, settings, mapping.table.name, data / f"{file}.csv.gz", mapping)
    found = trials(lake.snapshot("grocer"), settings, datetime(2018, 3, 1, tzinfo=UTC), connect(), known=False)
    sent = pd.read_csv(data / "campaigns.csv.gz", dtype=str)
    given, names = found.action >= 0, np.array(found.offers)
    users = np.array(found.user_id)
    assert {SOURCES[place] for place in found.source} == {"sends"}
    pairs = sorted(zip(users[given], names[found.action[given]], strict=True))
    assert pairs == sorted(zip(sent.household_id, sent.campaign_id, strict=True))
    used = pd.read_csv(data / "coupon_redemptions.csv.gz", dtype=str)
    told = pd.read_csv(data / "campaign_descriptions.csv.gz", dtype=str)
    first = pd.to_datetime(used.merge(told, on="campaign_id").start_date)
    at = pd.to_datetime(used.merge(told, on="campaign_id").redemption_date)
    within = used.merge(told, on="campaign_id")[(at >= first) & (at < first + pd.Timedelta(days=DAYS))]
    redeemed = set(zip(within.household_id, within.campaign_id, strict=True)) & set(pairs)
    assert len(redeemed) > 0.1 * len(pairs)
    assert found.redeemed[given].sum() >= len(redeemed)
    by_pair = dict(zip(zip(users[given], names[found.action[given]], strict=True), found.redeemed[given], strict=True))
    assert all(by_pair[pair] for pair in redeemed)
    assert 1.0 < (~given).sum() / given.sum() <= 2.1
    assert np.isnan(found.propensity).all()
    assert found.complete.all()
