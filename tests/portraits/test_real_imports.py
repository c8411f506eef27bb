"""The shipped mappings on the real data sets: exact accounts of their rows, and the figures their sources tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portraits.engine import connect
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings

pytestmark = pytest.mark.real

MAPPINGS = Path(__file__).parents[2] / "notebooks" / "mappings"

RETAIL = "online_retail/online_retail.csv.gz"
JOURNEY = "complete_journey/{}.csv.gz"
FEW_ROWS = 100_000
CASES = {
    # mapping: [(file, rows read, rows taken or known, filtered, new rows in the table)]
    "online_retail": [(RETAIL, 541_909, 404_876, 137_033, 404_876)],
    "online_retail_items": [(RETAIL, 541_909, 396_337, 145_572, 3_659)],
    "online_retail_users": [(RETAIL, 541_909, 406_829, 135_080, 4_372)],
    "complete_journey_events": [(JOURNEY.format("transactions_sample"), 75_000, 75_000, 0, 75_000)],
    "complete_journey_items": [(JOURNEY.format("products"), 92_331, 92_331, 0, 92_331)],
    "complete_journey_users": [(JOURNEY.format("demographics"), 801, 801, 0, 801)],
    "complete_journey_offers": [(JOURNEY.format("campaign_descriptions"), 27, 27, 0, 27)],
    "complete_journey_redemptions": [(JOURNEY.format("coupon_redemptions"), 2_102, 2_102, 0, 2_102)],
    "complete_journey_campaigns": [(JOURNEY.format("campaigns"), 6_589, 6_589, 0, 6_589)],
    "beibei_groups": [("beibei_groupbuy/tune.tsv.gz", 154_184, 154_184, 0, 773_872)],
    "beibei_failed_groups": [("beibei_groupbuy/invalid.tsv.gz", 211_291, 211_291, 0, 2 * 211_291)],
    "open_bandit_events": [
        (f"open_bandit/{name}.csv.gz", 10_000, 10_000, 0, 10_000 + clicks)
        for name, clicks in {"random_men": 46, "random_women": 46, "bts_men": 69, "bts_women": 46}.items()
    ],
    "open_bandit_decisions": [
        (f"open_bandit/{name}.csv.gz", 10_000, 10_000, 0, 10_000) for name in ("random_men", "bts_women")
    ],
    "open_bandit_items": [
        ("open_bandit/random_men_items.csv.gz", 34, 34, 0, 34),
        ("open_bandit/random_women_items.csv.gz", 46, 46, 0, 46),
    ],
}


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lakes")


def test_every_shipped_mapping_is_tested() -> None:
    assert {path.stem for path in MAPPINGS.glob("*.toml")} == set(CASES)


@pytest.mark.parametrize("name", list(CASES))
def test_a_mapping_accounts_for_every_row(real_data: Path, lakes: Path, name: str) -> None:
    lake, mapping = Lake(lakes / name), Mapping.load(MAPPINGS / f"{name}.toml")
    for file, rows, taken, filtered, events in CASES[name]:
        report = import_file(lake, AppSettings("shop"), mapping.table.name, real_data / file, mapping)
        known = report.accepted + report.duplicates
        assert (report.rows, known, report.filtered, report.quarantined) == (rows, taken, filtered, 0)
        assert report.events == events
    if rows > FEW_ROWS:
        return
    again = import_file(lake, AppSettings("shop"), mapping.table.name, real_data / file, mapping)
    assert (again.accepted, again.events, again.duplicates) == (0, 0, taken)


def summary(lakes: Path, name: str, where: str) -> dict[str, Any]:
    """Counts of one mapping's events; imported by the test above (same module, in order)."""
    con = connect()
    events = Lake(lakes / name).snapshot("shop").events(con).filter(lambda t: t.type == where)
    (row,) = (
        events.aggregate(
            lines=events.count(),
            users=events.user_id.nunique(),
            items=events.item_id.nunique(),
            amount=events.amount.sum(),
            orders=events.order_id.nunique(),
            groups=events.group_id.nunique(),
        )
        .to_pyarrow()
        .to_pylist()
    )
    return dict(row)


def test_online_retail_has_exactly_the_reference_lines(real_data: Path, lakes: Path) -> None:
    bought = summary(lakes, "online_retail", "purchase")
    assert (bought["lines"], bought["users"], bought["items"]) == (396_337, 4_334, 3_659)
    assert summary(lakes, "online_retail", "refund")["lines"] == 404_876 - 396_337


def test_complete_journey_keeps_each_lines_amount(real_data: Path, lakes: Path) -> None:
    bought = summary(lakes, "complete_journey_events", "purchase")
    assert (bought["users"], bought["items"]) == (2_377, 20_902)


def test_beibei_has_a_group_a_line_and_no_time(real_data: Path, lakes: Path) -> None:
    assert summary(lakes, "beibei_groups", "group_success")["groups"] == 154_184
    assert Lake(lakes / "beibei_groups").time_kind("shop") == "none"


def test_open_bandit_clicks_are_beside_their_exposures(real_data: Path, lakes: Path) -> None:
    assert summary(lakes, "open_bandit_events", "exposure")["lines"] == 40_000
    assert summary(lakes, "open_bandit_events", "click")["lines"] == 46 + 46 + 69 + 46
    assert summary(lakes, "open_bandit_events", "exposure")["items"] == 34 + 46
