"""Sanity of a night on planted nights: one thing is wrong in each, and the check that is for it says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_blocks import shop, tiny

from recommender.bundles.bundle import Bundle
from recommender.history.dataset import Beside, Dataset
from recommender.history.facts import CATEGORY_DEPTH, Facts
from recommender.judging import gate
from recommender.judging.evaluate import Judged
from recommender.judging.sanity import Finding, census, look, look_at_lists
from recommender.memory import Census, Memory
from recommender.plan import Plan
from recommender.train import train_dataset

SHOP = shop()
ITEMS = SHOP.shape[1]


def with_facts(dataset: Dataset, hidden: object = False, stock: int = -1, small: int = 0) -> Dataset:
    """The shop with a catalogue: tea (even items) and ware, of which `small` items are a category of their own."""
    category = np.full((ITEMS, CATEGORY_DEPTH), -1, np.int32)
    category[:, 0] = np.arange(ITEMS) % 2
    category[ITEMS - small :, 0] = 2
    facts = replace(
        Facts.none(ITEMS),
        known=np.ones(ITEMS, bool),
        hidden=np.broadcast_to(hidden, ITEMS).astype(bool),
        stock=np.full(ITEMS, stock),
        category=category,
        categories=np.array([b"tea", b"ware", b"rest"]),
    )
    return dataset.subset(np.ones(len(dataset.user), bool), dataset.until_us, Beside(facts))


PLAIN = with_facts(SHOP)
USUAL = [census(PLAIN)] * 7


def found(dataset: Dataset, nights: list[Census]) -> list[Finding]:
    return look(dataset, census(dataset), nights)


def test_a_night_like_the_others_has_nothing_to_say() -> None:
    assert found(PLAIN, USUAL) == []


def test_on_the_first_night_nothing_is_unusual() -> None:
    assert found(with_facts(SHOP.before(SHOP.until_us // 3)), []) == []


def test_a_history_that_shrank_holds_until_it_is_the_usual_one() -> None:
    """Half of the rows are gone: held for as long as most of the last nights had more."""
    half = with_facts(SHOP.subset(np.arange(len(SHOP.user)) % 2 == 0, SHOP.until_us))
    finding = found(half, USUAL)[0]
    assert (finding.check, finding.holds) == ("drift", True)
    assert f"{len(half.user):,} interactions" in finding.sentence
    assert f"{len(SHOP.user):,}" in finding.sentence
    assert found(half, [census(half)] * 3 + USUAL[:4])
    assert found(half, [census(half)] * 4 + USUAL[:3]) == []


def test_a_history_that_grew_at_once_is_only_said() -> None:
    third = replace(census(PLAIN), interactions=len(PLAIN.user) // 4)
    (finding,) = found(PLAIN, [third] * 3)
    assert (finding.check, finding.holds) == ("drift", False)
    assert "import" in finding.sentence


def test_few_rows_change_by_chance() -> None:
    few = Census(interactions=60, users=20, items=30)
    nights = [Census(interactions=99, users=40, items=60)]
    assert [one for one in look(PLAIN, few, nights) if one.check == "drift"] == []


@pytest.mark.parametrize("nobody", [{"hidden": True}, {"stock": 0}])
def test_a_shop_with_nothing_to_show_is_held(nobody: dict[str, object]) -> None:
    (finding,) = found(with_facts(SHOP, **nobody), [])
    assert (finding.check, finding.holds) == ("empty shop", True)


def test_half_of_the_range_gone_at_once_holds_and_names_it() -> None:
    closed = with_facts(SHOP, hidden=np.arange(ITEMS) % 2 == 1)
    (finding,) = found(closed, USUAL)
    assert (finding.check, finding.holds) == ("category", True)
    share = census(PLAIN).categories["ware"]
    assert f"ware ({share:.0%} of the sales)" in finding.sentence


def test_a_small_category_that_goes_is_only_said() -> None:
    """A season ends."""
    many = 10
    before = census(with_facts(SHOP, small=many))
    assert 0.05 <= before.categories["rest"] < 0.2
    (finding,) = found(with_facts(SHOP, hidden=np.arange(ITEMS) >= ITEMS - many, small=many), [before] * 3)
    assert (finding.check, finding.holds) == ("category", False)


def test_a_category_that_stays_away_is_forgotten() -> None:
    closed = with_facts(SHOP, hidden=np.arange(ITEMS) % 2 == 1)
    assert found(closed, [census(closed)] * 4 + USUAL[:3]) == []


def test_visitors_under_new_ids_are_said() -> None:
    """All ids change for the last days: as when a mini program sends another id."""
    changed = SHOP.ts_us >= SHOP.until_us - SHOP.recent_us // 2
    users = np.where(changed, np.char.add(b"new-", SHOP.users[SHOP.user]), SHOP.users[SHOP.user])
    kinds = ["purchase"] * len(users)
    moved = Dataset.from_arrays(users, SHOP.items[SHOP.item], SHOP.ts_us, kinds, until_us=SHOP.until_us)
    strangers = [one for one in found(moved, USUAL) if one.check == "strangers"]
    assert [(one.holds, "ids have changed" in one.sentence) for one in strangers] == [(False, True)]


def lists(shown: int, lead: float) -> Judged:
    """A contestant who shows so many items, all equally often, with a lead in NDCG."""
    rows = (np.arange(200)[:, None] * 10 + np.arange(10)) % shown
    values = {part: {"ndcg": np.random.default_rng(0).random(200) / 2 + lead} for part in ("all", "new")}
    return Judged("x", values, {part: rows.astype(np.int32) for part in ("all", "new")})


@pytest.mark.parametrize(
    ("shown", "lead", "expected"), [(10, 0.0, [True]), (10, 0.1, [False]), (20, 0.0, []), (40, 0.0, [])]
)
def test_the_same_few_items_for_everybody_hold_unless_they_are_better(
    shown: int, lead: float, expected: list[bool]
) -> None:
    findings = look_at_lists(lists(shown, lead), lists(40, 0.0), PLAIN, seed=0)
    assert [finding.holds for finding in findings] == expected
    assert look_at_lists(lists(shown, lead), None, PLAIN, seed=0) == []


@pytest.mark.parametrize(("first_night", "verdict"), [(True, "popular"), (False, "hold")])
def test_the_gate_heeds_what_holds(first_night: bool, verdict: str) -> None:
    good, poor = lists(40, 0.2), lists(40, 0.0)
    findings = [Finding("drift", True, "half of it is lost"), Finding("strangers", False, "who are they")]
    decision = gate.decide(good, poor, None, first_night=first_night, seed=0, findings=findings)
    assert decision.verdict == verdict
    assert "half of it is lost" in decision.sentence
    assert "who are they" not in decision.sentence
    assert [one["check"] for one in json.loads(json.dumps(decision.as_json()))["findings"]] == ["drift", "strangers"]
    assert gate.decide(good, poor, None, first_night=first_night, seed=0, findings=findings[1:]).verdict == "publish"


@pytest.mark.parametrize(("nights", "verdict"), [((), "popular"), (USUAL, "hold")])
def test_a_night_that_lost_its_history_leaves_what_is_active(
    nights: Sequence[Census], verdict: str, tmp_path: Path
) -> None:
    """One visitor is left of a shop: too little for a model, and no reason to publish popularity over one."""
    plan = Plan(active={"recipe": None}, memory=Memory(nights=tuple(nights)))
    trained = train_dataset(tiny("one user"), tmp_path, plan)
    assert (trained.verdict, trained.too_little) == (verdict, verdict == "popular")
    assert Bundle.open(trained.folder).manifest["gate"]["verdict"] == verdict
    assert trained.report["census"]["interactions"] == 5


@pytest.mark.parametrize(("first_night", "verdict"), [(True, "popular"), (False, "hold")])
def test_popularity_does_not_replace_a_model_because_the_history_was_lost(first_night: bool, verdict: str) -> None:
    lost = [Finding("drift", True, "nearly all of it is lost")]
    assert gate.undecided("nobody to judge by", lost, first_night=first_night).verdict == verdict
    assert gate.undecided("nobody to judge by", [], first_night=False).verdict == "popular"
