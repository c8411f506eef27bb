"""Requests a second and latency over HTTP, beside an empty mounted ASGI route of the same running service.

    python tests/benchmarks/bench_http.py [--users 50000 ...] [--items 20000 ...] [--workers 1 ...] [--store URL]
        [--seconds 5] [--rounds 3] [--routes recommend carried ...] [--planned]

Routes: recommend (without offers on items, as of an app that has none), carried (with them, of 30), similar, events,
offers, claim.

Starts `bentoml serve` on a planted app in a temporary home, loads it with wrk (16 connections, one thread, many users)
and alternates empty route and route under test, so that whatever else the machine does meets both. Of each route: rate,
latencies, the processor time of a request, and its profile by stage, as the service's own `/metrics` tell it. Several
sizes: one after the other, which shows how the cost of an answer grows. `--store`: a database that is empty, for
PostgreSQL. `--planned`: a night has planned the offers, in 20 draws, and knows what a score is worth. Without wrk
(Debian package `wrk`) it says so and ends.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from portraits.settings import AppSettings
from recommender.bundles.bundle import write_bundle
from recommender.offers.plan_files import FOLDER, write_plan
from serving.carried import RATE
from serving.publish import publish
from serving.settings import ProcessSettings
from serving.stores import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
from planted_plan import planned
from serving_process import Service

CONNECTIONS = 16
CANDIDATES, NEIGHBOURS, OFFERS = 100, 20, 30
DRAWS, GROUPS = 20, 20
AIMS = {"recommend": 0.4, "carried": 0.3, "similar": 0.4, "events": 0.3, "offers": 0.4, "claim": 0.1}
LUA = """
local key, kind, users, items = "%(key)s", "%(kind)s", %(users)d, %(items)d
local count, salt = 0, "%(salt)s"
math.randomseed(7)
local function user() return string.format("u%%06d", math.random(0, users - 1)) end
local function item() return string.format("i%%06d", math.random(0, items - 1)) end
local bodies = {
  empty = function() return "{}" end,
  recommend = function() return '{"user_id":"' .. user() .. '","n":10,"offers":false}' end,
  carried = function() return '{"user_id":"' .. user() .. '","n":10}' end,
  similar = function() return '{"item_id":"' .. item() .. '","n":10}' end,
  offers = function() return '{"user_id":"' .. user() .. '","n":5}' end,
  claim = function()
    count = count + 1
    return '{"request_id":"' .. salt .. count .. '","user_id":"' .. user() .. '","offer_id":"open"}'
  end,
  events = function()
    local rows = {}
    for place = 1, 20 do
      count = count + 1
      rows[place] = string.format('{"event_id":"%%s%%d","user_id":"%%s","ts":"%(ts)s","type":"item_view",' ..
        '"item_id":"%%s","platform":"wechat","scene":"1001","session_id":"s1"}', salt, count, user(), item())
    end
    return '{"events":[' .. table.concat(rows, ",") .. ']}'
  end,
}
local headers = {["Authorization"] = "Bearer " .. key, ["Content-Type"] = "application/json"}
local paths = {empty = "/empty", carried = "/v1/recommend", claim = "/v1/offers/claim"}
local path = paths[kind] or "/v1/" .. kind
request = function() return wrk.format("POST", path, headers, bodies[kind]()) end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %%f %%f %%f %%f %%d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000,
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Run:
    """What one run of wrk measured. Latencies and `cpu`, the service's processor time a request, in milliseconds;
    `stages`: how long each part of a request took, on average, in microseconds."""

    rate: float
    p50: float
    p99: float
    p999: float
    errors: int
    cpu: float
    stages: dict[str, float]


@dataclass(frozen=True)
class Load:
    """What wrk sends: by which key, about how many visitors and items, for how long."""

    key: str
    users: int
    items: int
    seconds: int


def main() -> None:
    """Prints two lines a route: its medians over the rounds with their ratios to the empty route's, and its profile."""
    asked = _arguments()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (Debian: apt install wrk): nothing was measured")
    for users, items, workers in itertools.product(asked.users, asked.items, asked.workers):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            settings = ProcessSettings(home=home, workers=workers, store_url=asked.store)
            load = Load(plant(settings, users, items, with_plan=asked.planned), users, items, asked.seconds)
            with Service(settings, "http_service:Huaxiang", Path(__file__).parent) as service:
                print(f"{users:,} users x {items:,} items, {workers} worker(s), {CONNECTIONS} connections")
                for kind in asked.routes:
                    _compare(service, load, kind, asked.rounds)


def plant(settings: ProcessSettings, users: int, items: int, *, with_plan: bool = False) -> str:
    """An app with a published bundle of the given size and a full items catalogue; an admin key."""
    store = Store.open(settings.store_url)
    store.add_app(AppSettings("shop", control_share=0.0))
    rows = [{"item_id": f"i{n:06d}", "title": f"Item {n}", "price": 100 + n % 900} for n in range(items)]
    for start in range(0, items, 10_000):
        store.upsert("shop", "items", rows[start : start + 10_000])
    store.mark_changes_drained("shop", items)
    store.upsert("shop", "offers", [_offer(n) for n in range(OFFERS)])
    store.upsert("shop", "offers", [{"offer_id": "open", "kind": "cash", "value": 1, "budget": 10**12}])
    bundle = settings.home / "bundle"
    write_bundle(bundle, _arrays(users, items), {"sources": ["als"], "target": "purchase", "repeat": False})
    portraits = settings.home / "night" if with_plan else None
    if portraits is not None:
        write_plan(portraits / FOLDER, *_plan(users))
    publish(settings, store, "shop", as_of=datetime.now(UTC), bundle=bundle, portraits=portraits)
    key = store.add_key("shop", "admin")
    store.close()
    return key


def _offer(number: int) -> dict[str, Any]:
    off = {"offer_id": f"o{number:03d}", "title": f"Offer {number}", "kind": "cash", "value": 100 + number}
    return off | {"minimum": 1_000, "categories": [], "budget": 1_000_000, "per_user_limit": 1}


def _plan(users: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A plan in which a third of the offers are worth something to a visitor."""
    rng, names = np.random.default_rng(0), [_offer(n)["offer_id"] for n in range(OFFERS)]
    gain, cost = rng.normal(80, 100, (users + 1, OFFERS)), rng.random((users + 1, OFFERS)) * 200
    shift, group = rng.normal(0, 40, (DRAWS, GROUPS, OFFERS)), rng.integers(0, GROUPS, users + 1).tolist()
    ids = [f"u{n:06d}" for n in range(users)]
    return planned(gain, cost, users=ids, offers=names, shift=shift, group=group, **{RATE: 500.0})


def _arrays(users: int, items: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    stride = items // CANDIDATES
    candidates = (rng.integers(0, items, (users, 1)) + np.arange(CANDIDATES) * stride) % items
    neighbours = (np.arange(items)[:, None] + np.arange(1, NEIGHBOURS + 1)) % items
    titles = "".join(f"Item {n}" for n in range(items)).encode()
    lengths = [len(f"Item {n}") for n in range(items)]
    return {
        "users": np.array([f"u{n:06d}" for n in range(users)], "S"),
        "items": np.array([f"i{n:06d}" for n in range(items)], "S"),
        "candidate_items": candidates.astype(np.int32),
        "candidate_scores": np.tile(np.linspace(1, 0.1, CANDIDATES, dtype=np.float32), (users, 1)),
        "candidate_sources": np.zeros((users, CANDIDATES), np.uint8),
        "candidate_evidence": np.full((users, CANDIDATES), -1, np.int32),
        "popular_items": rng.permutation(items).astype(np.int32),
        "popular_scores": np.linspace(1, 0, items, dtype=np.float32),
        "neighbour_items": neighbours.astype(np.int32),
        "neighbour_scores": np.tile(np.linspace(1, 0.1, NEIGHBOURS, dtype=np.float32), (items, 1)),
        "item_price": 100 + np.arange(items) % 900,
        "titles_bytes": np.frombuffer(titles, np.uint8),
        "titles_offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }


def _compare(service: Service, load: Load, kind: str, rounds: int) -> None:
    empty: list[Run] = []
    tested: list[Run] = []
    for number in range(rounds):
        empty.append(_wrk(service, load, "empty", number))
        tested.append(_wrk(service, load, kind, number))
    rate, base = (statistics.median(run.rate for run in runs) for runs in (tested, empty))
    p99, base_p99 = (statistics.median(run.p99 for run in runs) for runs in (tested, empty))
    p50, p999 = statistics.median(run.p50 for run in tested), statistics.median(run.p999 for run in tested)
    cpu, base_cpu = (statistics.median(run.cpu for run in runs) for runs in (tested, empty))
    errors = sum(run.errors for run in tested)
    print(
        f"{kind:10} {rate:8.0f}/s  p50 {p50:6.1f}  p99 {p99:6.1f}  p99.9 {p999:6.1f} ms  errors {errors} | "
        f"empty {base:8.0f}/s  p99 {base_p99:6.1f} ms | "
        f"rate ratio {rate / base:.2f} (aim {AIMS[kind]})  p99 ratio {p99 / base_p99:.2f} (aim 3)  "
        f"cpu {cpu:.3f} / {base_cpu:.3f} ms = {cpu / base_cpu:.2f}"
    )
    print(f"{'':10} stages, us: " + ", ".join(f"{name} {took:.0f}" for name, took in tested[-1].stages.items()))


def _wrk(service: Service, load: Load, kind: str, number: int) -> Run:
    values = {"key": load.key, "kind": kind, "users": load.users, "items": load.items, "salt": f"{kind}{number}-"}
    ts = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % (values | {"ts": ts}))
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{load.seconds}s", "-s", script.name, service.url]
        before, counted = service.cpu_seconds(), _stages(service)
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
        cpu = service.cpu_seconds() - before
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\S+) (\d+)", output)
    if found is None:
        sys.exit(f"wrk said nothing that can be read:\n{output}")
    rate, p50, p99, p999, errors = found.groups()
    took = {
        name: (total - counted[name][0]) / (count - counted[name][1]) * 1e6
        for name, (total, count) in _stages(service).items()
        if count > counted[name][1]
    }
    cpu_ms = cpu * 1000 / (float(rate) * load.seconds)
    return Run(float(rate), float(p50), float(p99), float(p999), int(errors), cpu_ms, took)


def _stages(service: Service) -> dict[str, tuple[float, float]]:
    """stage -> (seconds, how often) so far; a worker tells its numbers each second."""
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:  # noqa: S310 - our own address
        text = answer.read().decode()
    found = dict(re.findall(r"^huaxiang_stage_seconds_(\S+) (\S+)$", text, re.MULTILINE))
    names = [name.removeprefix('sum{stage="').removesuffix('"}') for name in found if name.startswith("sum")]
    return {name: tuple(float(found[f'{what}{{stage="{name}"}}']) for what in ("sum", "count")) for name in names}  # type: ignore[misc]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[50_000])
    parser.add_argument("--items", type=int, nargs="+", default=[20_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--store", default="", help="URL of an empty database; default: SQLite in a temporary folder")
    parser.add_argument("--planned", action="store_true", help="with a night's plan of the offers")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--routes", nargs="+", choices=sorted(AIMS), default=sorted(AIMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
