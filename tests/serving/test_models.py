"""The models of a worker: the version that the state calls for, opened once, with the day's catalogue over it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from planted_app import night, open_shop, publish_night

from serving.models import Models
from serving.publish import bundle_folder, publish, rollback
from serving.reads import Reads


@pytest.mark.law
def test_a_slow_request_does_not_bring_an_old_version_back(tmp_path: Path) -> None:
    process, store = open_shop(tmp_path)
    models = Models(process, store, Reads(store))
    before = store.state("shop", "ann")
    first = asyncio.run(models.model("shop", before))
    version = publish_night(process, store, night())
    after = store.state("shop", "ann")
    second = asyncio.run(models.model("shop", after))
    assert (second.name, first.name) == (version, before.active.bundle.version if before.active.bundle else None)
    assert asyncio.run(models.model("shop", before)) is second
    store.close()


def test_requests_that_come_together_open_a_version_once(tmp_path: Path) -> None:
    process, store = open_shop(tmp_path)
    models = Models(process, store, Reads(store))
    state = store.state("shop", "ann")

    async def many() -> set[int]:
        return {id(model) for model in await asyncio.gather(*(models.model("shop", state) for _ in range(20)))}

    assert len(asyncio.run(many())) == 1
    store.close()


def test_changes_since_the_version_are_applied_and_older_ones_are_not_repeated(tmp_path: Path) -> None:
    process, store = open_shop(tmp_path)
    models = Models(process, store, Reads(store))
    store.upsert("shop", "items", [{"item_id": "pot", "price": 700}])
    model = asyncio.run(models.model("shop", store.state("shop")))
    assert model.catalogue.price(model.catalogue.index("pot")) == 700
    store.upsert("shop", "items", [{"item_id": "pot", "price": 800}])
    same = asyncio.run(models.model("shop", store.state("shop")))
    assert same is model
    assert model.catalogue.price(model.catalogue.index("pot")) == 800
    store.close()


def test_before_the_first_night_the_catalogue_alone_answers(tmp_path: Path) -> None:
    process, store = open_shop(tmp_path)
    store.upsert("cafe", "items", [{"item_id": "espresso"}])
    model = asyncio.run(Models(process, store, Reads(store)).model("cafe", store.state("cafe")))
    assert (model.name, model.problem, len(model.catalogue)) == (None, None, 1)
    store.close()


@pytest.mark.law
@pytest.mark.fault
def test_without_the_store_a_worker_that_never_answered_opens_what_is_active(tmp_path: Path) -> None:
    """Law 7: also after a rollback, beside a bundle that was held back, and where the files of the active one broke."""
    process, store = open_shop(tmp_path)
    first = store.active("shop").bundle
    assert first is not None
    second = publish_night(process, store, night())
    publish(process, store, "shop", as_of=first.as_of, bundle=tmp_path / "made", portraits=tmp_path / "made", held=True)
    asyncio.run(_answers_with(second, Models(process, store, Reads(store))))
    rollback(process, store, "shop")
    models = Models(process, store, Reads(store))
    asyncio.run(_answers_with(first.version, models))
    for path in bundle_folder(process, "shop", first.version).glob("*.npy"):
        path.unlink()
    asyncio.run(_answers_with(first.version, models))
    other = asyncio.run(Models(process, store, Reads(store)).last("shop"))
    assert other is not None
    assert other.name not in (None, first.version)
    assert asyncio.run(Models(process, store, Reads(store)).last("cafe")) is None
    store.close()


async def _answers_with(version: str, models: Models) -> None:
    model, again = await asyncio.gather(models.last("shop"), models.last("shop"))
    assert model is not None
    assert again is model
    assert (model.name, len(model.catalogue)) == (version, 5)
