"""What one app's flood costs another: its latency beside the same while nobody else asks.

    python tests/benchmarks/bench_fairness.py [--workers 2] [--seconds 5] [--rounds 2]

App `shop` floods over 32 connections, with the largest batches (500 events) or the largest shelves (n = 100); app
`cafe` asks for ten products and sends 20 events, one request after the other. Its p50 and p99 are printed alone and
during each flood, alternating, and the ratio of the p99s. Needs wrk.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from bench_http import plant
from serving_process import Service

from portraits.settings import AppSettings
from serving.settings import ProcessSettings
from serving.stores import Store

CONNECTIONS = 32
LUA = """
local count = 0
local headers = {["Authorization"] = "Bearer %(key)s", ["Content-Type"] = "application/json"}
request = function()
  if "%(kind)s" == "shelves" then
    return wrk.format("POST", "/v1/recommend", headers, '{"user_id":"u' .. math.random(1, 999) .. '","n":100}')
  end
  local rows = {}
  for place = 1, 500 do
    count = count + 1
    rows[place] = string.format('{"event_id":"%(salt)s%%d","user_id":"u%%d","ts":"%(ts)s","type":"item_view",' ..
      '"item_id":"i%%d"}', count, math.random(1, 9999), math.random(1, 9999))
  end
  return wrk.format("POST", "/v1/events", headers, '{"events":[' .. table.concat(rows, ",") .. ']}')
end
"""


def main() -> None:
    """Prints a line for each flood and each kind of request."""
    asked = _arguments()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (Debian: apt install wrk): nothing was measured")
    with tempfile.TemporaryDirectory() as folder:
        settings = ProcessSettings(home=Path(folder) / "home", workers=asked.workers)
        key = plant(settings, 1_000, 10_000)
        store = Store.open(settings.store_url)
        store.add_app(AppSettings("cafe", control_share=0.0))
        store.upsert("cafe", "items", [{"item_id": f"c{n}", "price": n} for n in range(200)])
        other = store.add_key("cafe", "admin")
        store.close()
        with Service(settings) as service:
            _visit(service.url, other, 2.0, "warm")
            for flood in ("batches", "shelves"):
                alone, during = [], []
                for number in range(asked.rounds):
                    alone.append(_visit(service.url, other, asked.seconds, f"{flood}{number}a"))
                    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
                        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
                        script.write(LUA % {"key": key, "kind": flood, "salt": f"{flood}{number}-", "ts": now})
                        script.flush()
                        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{asked.seconds + 1}s", "-s", script.name]
                        with subprocess.Popen([*command, service.url], stdout=subprocess.PIPE, text=True) as wrk:
                            time.sleep(0.5)
                            during.append(_visit(service.url, other, asked.seconds, f"{flood}{number}d"))
                            output = wrk.communicate()[0]
                rate = next((line.split()[-1] for line in output.splitlines() if "Requests/sec" in line), "?")
                for kind in ("recommend", "events"):
                    p50, p99 = (statistics.median(one[kind][place] for one in during) for place in (0, 1))
                    base50, base99 = (statistics.median(one[kind][place] for one in alone) for place in (0, 1))
                    print(
                        f"flood of {flood} ({rate}/s): {kind:9} p50 {base50:6.1f} -> {p50:6.1f}  "
                        f"p99 {base99:6.1f} -> {p99:6.1f} ms, ratio {p99 / base99:.1f}",
                        flush=True,
                    )


def _visit(url: str, key: str, seconds: float, salt: str) -> dict[str, tuple[float, float]]:
    """(p50, p99) in milliseconds of each kind of request, one after the other."""
    waits: dict[str, list[float]] = {"recommend": [], "events": []}
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as http:
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            count += 1
            shared = {"user_id": f"v{count}", "ts": datetime.now(UTC).isoformat(), "type": "item_view", "item_id": "c1"}
            events = [{"event_id": f"{salt}-{count}-{place}", **shared} for place in range(20)]
            bodies = {"recommend": {"user_id": "v1", "n": 10}, "events": {"events": events}}
            for kind, body in bodies.items():
                begun = time.perf_counter()
                http.post(f"/v1/{kind}", json=body).raise_for_status()
                waits[kind].append((time.perf_counter() - begun) * 1000)
    return {kind: tuple(np.percentile(some, [50, 99]).tolist()) for kind, some in waits.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
