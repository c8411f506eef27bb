"""A real standalone Spark for tests and benchmarks: a master and two workers on this machine, ended for sure."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

READY_S = 120.0
MASTER = re.compile(r"Starting Spark master at (spark://\S+)")
UNTIL_STDIN_ENDS = """
"$@" <&- &
cat <&0 &
wait -n
kill -KILL 0
"""
"""Runs a command for as long as somebody holds the other end of stdin: a test that is killed leaves nothing behind."""
START_FAST = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Small tables: compiling what reads them takes longer than reading them."""
WORKER = "Successfully registered with master"


class Cluster:
    """`with Cluster() as cluster:` - `cluster.url` takes sessions inside the block.

    Every port is one that the system found free, so that two clusters do not meet. Each of the workers gives `cores`
    threads and `memory`; the master and the workers themselves take some 200 MB each.
    """

    def __init__(self, workers: int = 2, cores: int = 1, memory: str = "1g") -> None:
        self._workers = workers
        self._cores = cores
        self._memory = memory
        self._folder = tempfile.TemporaryDirectory(prefix="spark-")
        self._java = f"{START_FAST} -Djava.io.tmpdir={self._folder.name}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = ""

    @property
    def settings(self) -> Mapping[str, str]:
        """What a session of this cluster should say: as much memory as a worker has, few pieces, nothing to the log."""
        return {
            "spark.executor.memory": self._memory,
            "spark.driver.memory": "1g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": str(self._workers * self._cores),
            "spark.default.parallelism": str(self._workers * self._cores),
            **dict.fromkeys(("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"), self._java),
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",
            "spark.local.dir": self._folder.name,
            "spark.sql.warehouse.dir": f"{self._folder.name}/warehouse",
        }

    def __enter__(self) -> Self:
        try:
            self.url = self._start("master", "Master", [], MASTER)
            size = ["--cores", str(self._cores), "--memory", self._memory]
            for n in range(self._workers):
                work = ["--work-dir", f"{self._folder.name}/work-{n}", *size, self.url]
                self._start(f"worker-{n}", "Worker", work, re.compile(f"({WORKER})"))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends all of it, executors too, whatever state it is in."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self._processes.clear()
        self._folder.cleanup()

    def _start(self, name: str, kind: str, arguments: list[str], ready: re.Pattern[str]) -> str:
        """Starts a part in a process group of its own and waits for what it says when it is ready."""
        import pyspark

        from portraits.spark import java_home

        home = Path(pyspark.__file__).parent
        package = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
        log = Path(self._folder.name) / f"{name}.log"
        local = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(home)}
        daemon = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": self._java}
        anywhere = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", UNTIL_STDIN_ENDS, "bash", home / "bin" / "spark-class", package, *anywhere, *arguments],
                stdin=subprocess.PIPE,
                env={**os.environ, **local, **daemon, "JAVA_HOME": str(java_home())},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        deadline = time.monotonic() + READY_S
        while not (found := ready.search(log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Spark's {name} did not start:\n{log.read_text()}")
            time.sleep(0.1)
        return found[1]
