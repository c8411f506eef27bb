"""What is counted: every label from a closed list, whatever is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import prometheus_client
import pytest
from planted_app import Client, open_shop, purchase
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from serving.app import v1
from serving.context import Context
from serving.observed import CONSOLE, OTHER, Observed
from serving.publish import bundle_folder
from serving.routes import ROUTES
from serving.tally import SECONDS, STAGES, Tally

Numbers = dict[tuple[str, ...], float]


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    process, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    context = Context.open(process)
    yield context
    context.close()


@pytest.fixture
def client(shop: Context) -> Iterator[Client]:
    with Client(Observed(Starlette(routes=[v1(shop)]), shop.metrics)) as opened:
        yield opened


def numbers(context: Context, name: str) -> Numbers:
    """The samples of one name, by the values of their labels in the order of the labels' names."""
    context.metrics.publish(context.writer, context.models)
    found: Numbers = defaultdict(float)
    for family in text_string_to_metric_families(prometheus_client.generate_latest(context.metrics.registry).decode()):
        for sample in family.samples:
            if sample.name == f"huaxiang_{name}":
                found[tuple(sample.labels[label] for label in sorted(sample.labels))] = sample.value
    return found


def test_a_tally_is_a_histogram() -> None:
    tally = Tally(bounds=(1, 2, 5))
    for value in (0.5, 1, 2, 3, 9):
        tally.add(value)
    assert tally.counts == [2, 1, 1, 1]
    assert tally.sum == 0.5 + 1 + 2 + 3 + 9


def test_requests_and_stages_are_timed_by_route(shop: Context, client: Client) -> None:
    headers = {"authorization": f"Bearer {shop.store.add_key('shop', 'admin')}"}
    for _ in range(3):
        client.post("/v1/recommend", json={"user_id": "ann"}, headers=headers)
    client.post("/v1/recommend", json={}, headers=headers)
    client.post("/v1/events", json={"events": [purchase("one", "ann", "mug")]}, headers=headers)
    assert numbers(shop, "request_seconds_count") == {
        ("/v1/recommend", "2xx"): 3,
        ("/v1/recommend", "4xx"): 1,
        ("/v1/events", "2xx"): 1,
    }
    stages = numbers(shop, "stage_seconds_count")
    assert set(stages) == {(stage,) for stage in (*STAGES, "write_wait", "commit")}
    assert {stages[stage,] for stage in ("model", "rank", "record")} == {3}
    assert stages["read",] == stages["accept",] == stages["encode",] == 4
    assert stages["check",] == stages["write",] == stages["write_wait",] == 1
    assert numbers(shop, "refused_total") == {("invalid_value",): 1}


@pytest.mark.law
def test_nobody_can_make_a_label(shop: Context, client: Client) -> None:
    admin = shop.store.add_key("shop", "admin")
    for n in range(30):
        client.post(f"/v1/made-up-{n}", json={})
        client.post(f"/v1/recommend/{n}", json={})
        client.get(f"/made-up-{n}?q={n}")
        client.post("/v1/recommend", json={f"made-up-{n}": 1}, headers={"authorization": f"Bearer {admin}"})
        event = purchase(f"e{n}", "ann", "mug") | {f"made-up-{n}": "x", "type": f"made-up-{n}", "quantity": "none"}
        client.post("/v1/events", json={"events": [event]}, headers={"authorization": f"Bearer {admin}"})
    known = {f"/v1{path}" for path in ROUTES} | {OTHER, CONSOLE}
    assert {route for route, _ in numbers(shop, "request_seconds_count")} <= known
    shop.metrics.publish(shop.writer, shop.models)
    assert "made-up" not in prometheus_client.generate_latest(shop.metrics.registry).decode()


def test_events_by_what_became_of_them(shop: Context, client: Client) -> None:
    headers = {"authorization": f"Bearer {shop.store.add_key('shop', 'events')}"}
    sent = purchase("one", "ann", "mug")
    bad = [{"event_id": "two"}, "no object", sent | {"amount": 5}]
    client.post("/v1/events", json={"events": [sent, *bad]}, headers=headers)
    client.post("/v1/events", json={"events": [sent]}, headers=headers)
    assert numbers(shop, "events_total") == {("accepted",): 1, ("duplicate",): 1, ("rejected",): 3}
    assert numbers(shop, "rejected_events_total") == {
        ("user_id", "invalid"): 1,
        ("other", "invalid"): 1,
        ("event_id", "conflict"): 1,
    }
    assert numbers(shop, "write_group_rows_count")[()] == 2


def test_degraded_answers_by_reason(shop: Context, client: Client) -> None:
    active = shop.store.active("shop").bundle
    assert active is not None
    next(bundle_folder(shop.settings, "shop", active.version).glob("*.npy")).write_bytes(b"")
    key = shop.store.add_key("shop", "recommend")
    client.post("/v1/recommend", json={"user_id": "ann"}, headers={"authorization": f"Bearer {key}"})
    assert numbers(shop, "degraded_total") == {("broken_model",): 1}
    assert numbers(shop, "broken_models")[()] == 1


def test_copying_again_counts_nothing_twice(shop: Context) -> None:
    shop.metrics.request(OTHER, 404, SECONDS[0])
    assert numbers(shop, "request_seconds_count") == numbers(shop, "request_seconds_count") == {(OTHER, "4xx"): 1}
    assert numbers(shop, "request_seconds_sum")[OTHER, "4xx"] == SECONDS[0]
