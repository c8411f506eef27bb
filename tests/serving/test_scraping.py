"""`/metrics` of a real service with two workers: what all of them counted, and how old what is served is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from planted_app import open_shop
from prometheus_client.parser import text_string_to_metric_families
from serving_process import Service

from portraits.settings import AppSettings
from serving.metrics import Metrics
from serving.scraping import OLDEST, Scrape
from serving.stores import Store

PUBLISHED_S = 20.0
"""Longer than a worker of a busy machine takes to tell what it counted; one of a quiet machine does within a second."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    with Service(replace(settings, workers=2)) as started:
        yield started


def count(http: httpx.Client, **labels: str) -> float:
    samples = [
        sample
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if sample.name == "huaxiang_request_seconds_count" and labels.items() <= sample.labels.items()
    ]
    return sum(sample.value for sample in samples)


def wait_for_count(http: httpx.Client, expected: int, **labels: str) -> None:
    until = datetime.now(UTC) + timedelta(seconds=PUBLISHED_S)
    while count(http, **labels) != expected and datetime.now(UTC) < until:
        pass
    assert count(http, **labels) == expected


@pytest.mark.fault
def test_the_sum_of_all_workers_also_of_one_that_was_killed(service: Service) -> None:
    with httpx.Client(base_url=service.url, headers={"connection": "close"}) as http:
        asked = 40
        for _ in range(asked):
            http.post("/v1/trending", json={})
        wait_for_count(http, asked, route="/v1/trending", status="4xx")
        before = service.workers()
        before[0].kill()
        service.new_worker(before)
        wait_for_count(http, asked, route="/v1/trending", status="4xx")
        text = http.get("/metrics").text
    assert 'huaxiang_model_timestamp_seconds{app="shop"}' in text
    assert "bentoml" not in text


def test_ages_are_of_the_store_and_bounded(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('ages') / 'store.sqlite'}")
    first = datetime(2026, 3, 1, tzinfo=UTC)
    for number in range(OLDEST + 5):
        store.add_app(AppSettings(f"app-{number}"))
        store.activate(f"app-{number}", as_of=first + timedelta(days=number), bundle="v1")
    store.add_app(AppSettings("of-today"))
    store.start_run("app-0", "one", first + timedelta(days=9))
    store.finish_run("app-0", "one", "held", {})
    store.start_run("app-0", "two", first + timedelta(days=10))
    store.finish_run("app-0", "two", "failed", {})
    text = Scrape(Metrics(), store, None).text().decode()
    store.close()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert sum(name == "huaxiang_model_timestamp_seconds" for name, *_ in samples) == OLDEST
    assert samples["huaxiang_model_timestamp_seconds", "app-0"] == first.timestamp()
    assert samples["huaxiang_apps", "model"] == OLDEST + 5
    assert samples["huaxiang_apps", "all"] == OLDEST + 6
    assert samples["huaxiang_lake_timestamp_seconds", "app-0"] == (first + timedelta(days=9)).timestamp()
