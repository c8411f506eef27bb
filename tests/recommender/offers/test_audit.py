"""An offer's audit: its rule, every change of its row, who may have it, what redemptions cost beside the rule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from planted_plan import plan

from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.history import OFFERS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.offers.audit import NO_TIER, Change, audit, changes

DAYS = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 8, 15)]
ROW = {"offer_id": "ten", "kind": "cash", "value": 1_000, "minimum": 5_000}
GOLD = ROW | {"minimum": 8_000, "tiers": ["gold"]}
VERSIONS = [ROW, GOLD, GOLD | {"value": 1_200}]
COSTS = {"redeemed": 3, "least": 1_000.0, "most": 1_200.0}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[Change]:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for day, row in zip(DAYS, VERSIONS, strict=True):
        rows = [dict.fromkeys(OFFERS.names) | row, dict.fromkeys(OFFERS.names) | {"offer_id": "other", "kind": "cash"}]
        lake.upsert("shop", "offers", pa.Table.from_pylist(rows, OFFERS.arrow_schema()), day)
    return changes(lake.snapshot("shop"), AppSettings("shop"), "ten", connect(threads=1))


def test_every_change_of_the_row_is_told_with_its_moment(history: list[Change]) -> None:
    assert [one.since for one in history] == DAYS
    assert [dict(one.changed) for one in history] == [
        {},
        {"minimum": (5_000, 8_000), "tiers": (None, ["gold"])},
        {"value": (1_000, 1_200)},
    ]
    assert history[0].rule == "¥10 off, on orders from ¥50"
    assert history[-1].rule == "¥12 off, on orders from ¥80, for members of tier gold"
    assert not any(one.gone for one in history)


def test_who_may_have_it_is_counted_by_tier_and_segment(history: list[Change]) -> None:
    night = plan([[1.0]] * 5, [[1.0]] * 5, users=["ann", "bob", "cid", "dan"], offers=["ten"])
    night.eligible[:] = np.array([True, False, True, False, False])[:, None]
    inside = {"loyal": np.array([True, True, False, False])}
    found = audit("ten", history, plan=night, tiers={"ann": "gold", "cid": "gold", "dan": "tin"}, segments=inside)
    assert (found.known, found.eligible) == (4, 2)
    assert found.by_tier == {"gold": (2, 2), NO_TIER: (1, 0), "tin": (1, 0)}
    assert found.by_segment == {"loyal": (2, 1)}
    assert "3 versions" in found.notes[0]
    body = found.as_json()
    assert body["by_tier"]["gold"] == {"visitors": 2, "eligible": 2}
    assert body["changes"][1]["changed"]["minimum"] == [5_000, 8_000]


def test_an_offer_outside_the_plan_is_said(history: list[Change]) -> None:
    found = audit("ten", history, plan=plan([[1.0]], [[1.0]], offers=["other"]))
    assert (found.known, found.eligible, found.by_tier) == (0, 0, {})
    assert any("does not hold it" in note for note in found.notes)


def test_redemptions_are_held_against_the_rule(history: list[Change]) -> None:
    assert audit("ten", history, funnel=COSTS).notes[1:] == ["a redemption cost 1,000 to 1,200"]
    odd = audit("ten", history, funnel=COSTS | {"most": 5_000.0}).notes[-1]
    assert odd == "the rule gives 1,000 or 1,200: ask what took off another amount"
    assert len(audit("ten", history, funnel={"redeemed": 0}).notes) == 1


def test_an_offer_that_never_was_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="never"):
        changes(Lake(tmp_path).snapshot("shop"), AppSettings("shop"), "never", connect(threads=1))
