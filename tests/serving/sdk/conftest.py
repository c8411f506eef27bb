"""A running service with two tenants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from marked_apps import open_marked
from serving_process import Service

from serving.stores import Store


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    context = open_marked(tmp_path_factory.mktemp("service") / "home")
    context.close()
    with Service(context.settings) as started:
        yield started


@pytest.fixture(scope="session")
def store(service: Service) -> Iterator[Store]:
    opened = Store.open(service.settings.store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def key(store: Store) -> str:
    return store.add_key("shop", "admin")
