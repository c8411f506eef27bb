"""Import of a CSV file, beside DuckDB's own CSV-to-Parquet copy of the same file (each in its own process).

    python tests/benchmarks/bench_import.py [events]

Import also checks every value, numbers every row, removes duplicates against the lake, sorts by visitor and day, and
commits; the copy does none of that. Printed: seconds, processor seconds, their ratio, and the peak of resident memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

COPY = """
import duckdb
con = duckdb.connect()
con.execute("SET threads = 2; SET enable_progress_bar = false")
con.execute(f"COPY (FROM read_csv('{path}')) TO '{folder}/copy.parquet' (FORMAT parquet, COMPRESSION zstd)")
"""
IMPORT = """
from pathlib import Path
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.settings import AppSettings
report = import_file(Lake(Path(folder) / "lake"), AppSettings("shop"), "events", Path(path))
assert report.accepted + report.duplicates == report.rows
"""
MEASURE = """
import json, resource, sys, time
path, folder = sys.argv[1:]
started = time.perf_counter()
{body}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(dict(s=time.perf_counter() - started, cpu=used.ru_utime + used.ru_stime, mb=used.ru_maxrss / 1024)))
"""


def write_events(path: Path, events: int) -> None:
    """A CSV of ordinary events over 180 days, in no order."""
    duckdb.connect().execute(
        f"""
        COPY (
            SELECT md5(i::VARCHAR) AS event_id, 'u' || (hash(i) % 50000) AS user_id,
                   strftime(TIMESTAMP '2026-01-01' + to_microseconds((hash(i, 1) % 15552000000000)::BIGINT),
                            '%Y-%m-%dT%H:%M:%S.%fZ') AS ts,
                   CASE WHEN i % 5 = 0 THEN 'purchase' ELSE 'item_view' END AS "type",
                   'i' || (hash(i, 2) % 20000) AS item_id, 'o' || (i // 3) AS order_id, 1 AS quantity,
                   hash(i, 3) % 10000 AS amount, 'wechat' AS platform, '1001' AS scene, 'pages/' || (i % 50) AS page
            FROM range({events}) AS numbers(i)
        ) TO '{path}' (HEADER)
        """
    )


def measure(body: str, path: Path, folder: Path) -> dict[str, float]:
    """Runs a case in a process of its own, with compiled Python kept as an installed program has it."""
    script = MEASURE.format(body=body)
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    out = subprocess.run(
        [sys.executable, "-c", script, str(path), str(folder)], check=True, capture_output=True, text=True, env=env
    )
    return dict(json.loads(out.stdout))


def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "events.csv"
        write_events(path, events)
        few = folder / "few.csv"
        write_events(few, 100)
        measure(IMPORT.replace('"shop"', '"warm-up"'), few, folder)
        cases = {"DuckDB copy": COPY, "import": IMPORT, "import again": IMPORT}
        results = {case: measure(body, path, folder) for case, body in cases.items()}
        base = results["DuckDB copy"]
        print(f"{events} events, {path.stat().st_size / 2**20:.0f} MiB of CSV")
        for case, found in results.items():
            ratio = found["cpu"] / base["cpu"]
            print(
                f"{case:>13}: {found['s']:6.1f} s, {found['cpu']:6.1f} s of processor ({ratio:.1f} x), "
                f"{events / found['s']:10,.0f} events/s, peak {found['mb']:,.0f} MiB"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
