"""A night on planted shops: what is published, that it is the same every time, and that small shops get something."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from planted_blocks import TINY, shop, tiny

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.backtest import refit, replay, splits
from recommender.bundles.bundle import Bundle
from recommender.bundles.layout import ARRAYS
from recommender.candidates import SOURCES
from recommender.fusion.assemble import bundle_arrays
from recommender.fusion.learn import ALWAYS
from recommender.fusion.recipe import Recipe
from recommender.plan import Plan
from recommender.train import STEPS, Trained, served_manifest, train_dataset
from recommender.types import Query

SHOP = shop()
NOW = datetime(2026, 6, 1, tzinfo=UTC)


TOLD: list[tuple[str, float]] = []


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One night, and in TOLD what it told of its steps."""
    told: list[tuple[str, float]] = []
    plan = Plan(manifest={"app_id": "shop", "version": "v1"}, on_step=lambda step, share: told.append((step, share)))
    found = train_dataset(SHOP, tmp_path_factory.mktemp("night"), plan)
    TOLD[:] = told
    return found


def answer(folder: Path, user: str, n: int = 10, allow_seen: bool | None = None) -> list[str]:
    bundle = Bundle.open(folder)
    query = Query(user, n, NOW, allow_seen=allow_seen)
    return [ranked.item_id for ranked in recommend(bundle, Catalogue.from_bundle(bundle), query).items]


def test_a_model_that_knows_taste_is_published(night: Trained) -> None:
    assert night.verdict == "publish"
    assert not night.too_little
    rows = {(row["name"], row["part"]): row for row in night.report["table"]["rows"]}
    assert rows["served", "all"]["ndcg"][0] > rows["popular", "all"]["ndcg"][2]
    shown = {name for name, _ in rows}
    assert {*night.report["recipe"]["sources"], *ALWAYS, "served"} <= shown <= {*SOURCES, "served"}


def test_the_report_is_json(night: Trained) -> None:
    assert json.loads(json.dumps(night.report, allow_nan=False)) == json.loads(json.dumps(night.report))
    assert night.report["gate"]["verdict"] == "publish"


def test_the_shelf_follows_the_taste(night: Trained) -> None:
    """Even visitors like even items."""
    shelf = answer(night.folder, "u0010")
    assert np.mean([int(item[1:]) % 2 == 0 for item in shelf]) >= 0.8


def test_a_shelf_without_what_was_bought_is_full(night: Trained) -> None:
    bought = set(SHOP.items[SHOP.bought[10].indices].tolist())
    shelf = answer(night.folder, "u0010", allow_seen=False)
    assert len(shelf) == 10
    assert not bought & {item.encode() for item in shelf}


def test_half_of_a_row_is_left_for_new_items(night: Trained) -> None:
    arrays = Bundle.open(night.folder).arrays
    taken = SHOP.bought.toarray() > 0
    items = arrays["candidate_items"]
    repeats = np.take_along_axis(taken, np.maximum(items, 0), axis=1) & (items >= 0)
    assert repeats.sum(axis=1).max() <= items.shape[1] // 2
    assert (np.diff(arrays["candidate_scores"], axis=1) <= 0).all()


def test_evidence_is_the_users_own(night: Trained) -> None:
    """What explains a candidate is an item that the user did something with."""
    arrays = Bundle.open(night.folder).arrays
    own = SHOP.matrix().toarray() > 0
    rows, places = np.nonzero(arrays["candidate_evidence"] >= 0)
    assert len(rows) > 0
    assert own[rows, arrays["candidate_evidence"][rows, places]].all()


@pytest.mark.law
def test_the_same_history_and_seed_give_the_same_arrays(night: Trained, tmp_path: Path) -> None:
    again = train_dataset(shop(), tmp_path, Plan(manifest={"app_id": "shop", "version": "v1"}))
    first, second = Bundle.open(night.folder), Bundle.open(again.folder)
    for name in ARRAYS:
        np.testing.assert_array_equal(first.arrays[name], second.arrays[name], err_msg=name)
    assert first.manifest == second.manifest


@pytest.mark.usefixtures("night")
def test_steps_are_told_in_order() -> None:
    assert [step for step, _ in TOLD] == [step for step in STEPS if step != "read"]
    assert [share for _, share in TOLD] == sorted(share for _, share in TOLD)


def test_the_active_recipe_is_judged_on_the_same_users(night: Trained, tmp_path: Path) -> None:
    """The same history again: the recipe is the active one, so nothing is lost and it is published again."""
    active = Bundle.open(night.folder).manifest
    again = train_dataset(SHOP, tmp_path, Plan(active=active))
    assert again.verdict == "publish"
    rivals = {comparison["rival"] for comparison in again.report["gate"]["comparisons"]}
    assert rivals == {"recent_popular", "served"}


def test_a_worse_model_is_held_back(night: Trained, tmp_path: Path) -> None:
    """Repeats are wanted here (two visits in five); a merchant who forbids them loses to the active recipe."""
    active = Bundle.open(night.folder).manifest
    assert active["repeat"] is True
    held = train_dataset(SHOP, tmp_path, Plan(active=active, repeat="no"))
    assert held.verdict == "hold"
    assert "active over all items" in held.report["gate"]["sentence"]
    assert "active" in {row["name"] for row in held.report["table"]["rows"]}


def test_an_active_recipe_that_cannot_be_refitted_is_not_compared(night: Trained, tmp_path: Path) -> None:
    old = {"recipe": {**Bundle.open(night.folder).manifest["recipe"], "sources": ["crystal"]}}
    assert train_dataset(SHOP, tmp_path, Plan(active=old)).verdict == "publish"


@pytest.mark.fault
@pytest.mark.parametrize("edge", ["one user", "one item", "empty"])
def test_too_little_history_publishes_popularity(edge: str, tmp_path: Path) -> None:
    dataset = tiny(edge)
    found = train_dataset(dataset, tmp_path, Plan())
    assert (found.verdict, found.too_little) == ("popular", True)
    assert "fewer than" in found.report["too_little"]
    shelf = answer(found.folder, "whoever", allow_seen=True)
    assert set(shelf) == {item.decode() for item in dataset.items}


@pytest.mark.fault
def test_every_event_in_the_same_second(tmp_path: Path) -> None:
    """Time tells nothing apart, so a draw does: the blocks of the board are still found."""
    found = train_dataset(tiny("one second"), tmp_path, Plan())
    assert found.verdict == "publish"
    assert found.report["table"]["rows"][-1]["ndcg"][0] > 0.6


def test_every_edge_is_tried() -> None:
    assert set(TINY) == {"one user", "one item", "empty", "one second"}


def test_the_sources_named_are_those_that_made_the_table() -> None:
    """What was judged and what is served may use other sources: the table's numbers stand for the served ones."""
    dataset = shop(users=80)
    found = replay(*(splits(dataset, Plan()) or pytest.fail("nothing to judge")), Plan())
    judged = Recipe(("popular",), new="popular", repeat="popular", mix="repeats_first")
    found = replace(found, recipe=judged, final=replace(judged, sources=("popular", "again"), repeat="again"))
    fitted = refit(dataset, found, Plan())
    users = np.arange(dataset.shape[0], dtype=np.int32)
    arrays = bundle_arrays(fitted, users)
    manifest = served_manifest(arrays, dataset, fitted.recipe, found, Plan())
    assert manifest["sources"] == ["popular", "again"]
    assert Recipe.from_json(manifest["recipe"]) == judged
    assert {Bundle.of(arrays, manifest).sources[code] for code in np.unique(arrays["candidate_sources"])} == {
        "popular",
        "again",
    }
