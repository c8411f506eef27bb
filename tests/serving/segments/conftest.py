"""One published shop for all tests of segments; those that change something work on a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from published_shop import PATIENT_S, open_published_shop

from serving.segments.analyst import Analyst
from serving.settings import ProcessSettings
from serving.stores import Store


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after a night."""
    folder = tmp_path_factory.mktemp("published") / "home"
    _, store, _ = open_published_shop(folder)
    store.close()
    return folder


@pytest.fixture
def home(published: Path, tmp_path: Path) -> ProcessSettings:
    return ProcessSettings(home=Path(shutil.copytree(published, tmp_path / "home")), secret="only for tests")


@pytest.fixture
def store(home: ProcessSettings) -> Iterator[Store]:
    opened = Store.open(home.store_url)
    yield opened
    opened.close()


@pytest.fixture
def analyst(home: ProcessSettings) -> Iterator[Analyst]:
    opened = Analyst(home, PATIENT_S, PATIENT_S)
    yield opened
    opened.close()
