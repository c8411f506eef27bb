"""What the doctor says about offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planted_answers import Row, event, lake_of
from planted_trials import OFFERS, SETTINGS, entry, none, offered

from portraits.settings import AppSettings
from recommender.offers.findings import offer_findings


def said(root: Path, events: list[Row], answers: list[Row], **more: Any) -> dict[str, str]:
    settings: AppSettings = more.pop("settings", SETTINGS)
    snapshot = lake_of(root, events, answers, **more)
    return {finding.subject: finding.sentence for finding in offer_findings(snapshot, settings)}


def test_an_app_without_offers_is_told_nothing_of_them(tmp_path: Path) -> None:
    assert said(tmp_path / "none", [], []) == {}
    assert said(tmp_path / "lake", [event("ann", "item_view", "tea", 1)], []) == {}


def test_trials_holdout_exposures_and_redemptions(tmp_path: Path) -> None:
    answers = [
        offered("d1", "ann", 1, entry("cash", 0.5), none(0.2)),
        offered("d2", "bob", 1, entry("cash", 0.5), none(0.2), arm="control"),
        offered("d3", "cid", 1, entry("tenth", None), none(None)),
    ]
    events = [
        event("ann", "offer_exposure", None, 1, offer_id="cash"),
        event("ann", "offer_redeem", None, 2, offer_id="cash"),
        event("eve", "offer_redeem", None, 2, offer_id="cash"),
    ]
    told = said(tmp_path / "lake", events, answers, offers=OFFERS)
    assert told["offer trials"].startswith(
        "3 trials (a visitor and day), 1 of them of no offer; of cash 1, tenth 1; 2 "
    )
    assert told["offer propensities"].startswith("67% of trials")
    assert told["offer holdout"].startswith("1 trials of visitors who never get an offer")
    assert told["offer exposures"] == "1 events tell that an offer was seen."
    assert told["redemptions"].startswith("2 redemptions; 1 by visitors who had not been shown the offer")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    nothing = AppSettings("shop", offer_control_share=0.0)
    told = said(tmp_path / "lake", [event("ann", "item_view", "tea", 1)], [], offers=OFFERS, settings=nothing)
    assert told["offer trials"].startswith("Nothing tells who was given an offer")
    assert told["offer holdout"].startswith("offer_control_share is 0")
    assert told["redemptions"].startswith("No redemptions")
