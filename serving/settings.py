"""Settings of the process: the only place that reads the environment.

What one merchant chooses is `portraits.settings.AppSettings`; this is what the operator of the machine chooses.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from portraits.errors import InvalidValue
from serving.private import private_folder
from serving.stores.dialect import sqlite_url

DEFAULT_HOME = ".huaxiang"
DEFAULT_PORT = 3000
DEFAULT_ENGINE = "duckdb"
SPARKS = ("spark://", "local", "yarn", "k8s://")
"""How the address of a Spark master begins."""
METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""Where `prometheus_client` counts across processes; BentoML sets it for its workers."""
QUIET = {"BENTOML_DO_NOT_TRACK": "true", "OTEL_SDK_DISABLED": "true", "OMP_NUM_THREADS": "1"}
"""For a process that serves: nothing reported to BentoML's makers, no traces that nobody collects, and one thread of
numeric code a worker (limiting threads call by call costs milliseconds)."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Where things live and how the process runs. `secret` signs cookies and tokens; it and `store_url`, which may hold
    a password, are never printed. `engine` makes the features of portraits and trains: `duckdb`, or the address of a
    Spark master."""

    home: Path = Path(DEFAULT_HOME)
    store_url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    port: int = DEFAULT_PORT
    workers: int = 1
    engine: str = DEFAULT_ENGINE

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", Path(self.home).absolute())
        if not self.store_url:
            object.__setattr__(self, "store_url", sqlite_url(self.home / "store.sqlite"))
        if not 0 <= self.port <= 65535:
            raise InvalidValue("HUAXIANG_PORT", self.port, "a port, 0 to 65535")
        if not 1 <= self.workers <= 256:
            raise InvalidValue("HUAXIANG_WORKERS", self.workers, "a number of processes, 1 to 256")
        if self.engine != DEFAULT_ENGINE and not self.engine.startswith(SPARKS):
            raise InvalidValue("HUAXIANG_ENGINE", self.engine, "duckdb or a Spark master, as spark://HOST:PORT")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ProcessSettings:
        """Settings from HUAXIANG_HOME, HUAXIANG_STORE, HUAXIANG_SECRET, HUAXIANG_PORT, HUAXIANG_WORKERS and
        HUAXIANG_ENGINE.

        Raises:
            InvalidValue: a value that cannot be taken, naming the variable.
        """
        return cls(
            home=Path(environ.get("HUAXIANG_HOME") or DEFAULT_HOME),
            store_url=environ.get("HUAXIANG_STORE", ""),
            secret=environ.get("HUAXIANG_SECRET", ""),
            port=_whole(environ, "HUAXIANG_PORT", DEFAULT_PORT),
            workers=_whole(environ, "HUAXIANG_WORKERS", 1),
            engine=environ.get("HUAXIANG_ENGINE") or DEFAULT_ENGINE,
        )

    def environment(self) -> dict[str, str]:
        """What the serving process must find in its environment, beside what is there."""
        return {
            **QUIET,
            "BENTOML_HOME": str(self.bentoml),
            "HUAXIANG_HOME": str(self.home),
            "HUAXIANG_STORE": self.store_url,
            "HUAXIANG_SECRET": self.secret,
            "HUAXIANG_PORT": str(self.port),
            "HUAXIANG_WORKERS": str(self.workers),
            "HUAXIANG_ENGINE": self.engine,
        }

    def make_home(self) -> None:
        """Makes the home folder where it is not there yet, for this user only: all within it is personal."""
        private_folder(self.home)

    @property
    def lake(self) -> Path:
        """Root of the history lake."""
        return self.home / "lake"

    @property
    def bentoml(self) -> Path:
        """BENTOML_HOME: the model store with the published bundles."""
        return self.home / "bentoml"

    @property
    def runs(self) -> Path:
        """Working folders of the nights: `runs/<app>/<run_id>/`."""
        return self.home / "runs"

    @property
    def portraits(self) -> Path:
        """Published portraits: `portraits/<app>/<version>/`."""
        return self.home / "portraits"

    @property
    def locks(self) -> Path:
        """Lock files, held only while their process lives."""
        return self.home / "locks"


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidValue(name, text, "a whole number") from None


def metrics_folder() -> Path | None:
    """Where the workers of this service count, and nobody else; None outside of `bentoml serve`.

    BentoML would have all services of one BENTOML_HOME count in one folder, which each one empties when it starts. This
    one is named by the supervisor that started the worker; those of this user's supervisors that are gone are removed.
    Of whom another container started, nothing can be known here: the name says within which the process had its number.
    """
    if METRICS not in os.environ:
        return None
    supervisor = psutil.Process().parent() or psutil.Process()
    began, within = f"{supervisor.create_time():.0f}", _pid_namespace()
    folder = Path(tempfile.gettempdir(), f"huaxiang-metrics-{within}-{supervisor.pid}-{began}")
    for old in folder.parent.glob(f"huaxiang-metrics-{within}-*"):
        named = re.fullmatch(r"huaxiang-metrics-\d+-(\d{1,9})-\d+", old.name)
        if named is None or old == folder or old.lstat().st_uid != os.getuid():
            continue
        if int(named[1]) == supervisor.pid or not psutil.pid_exists(int(named[1])):
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ[METRICS] = str(folder)
    return folder


def _pid_namespace() -> int:
    """Within which processes are numbered (`man 7 pid_namespaces`); 0 where there is but one."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def no_tracking() -> None:
    """Keeps BentoML, imported from here on, from reporting its use to its makers."""
    os.environ["BENTOML_DO_NOT_TRACK"] = QUIET["BENTOML_DO_NOT_TRACK"]
