"""Portrait build beside hand-written DuckDB SQL for the same families: seconds, ratio, peak memory, growth exponent.

    python tests/benchmarks/bench_portraits.py [--sizes 1e6 1e7 1e8] [--families all taste ...] [--folder FOLDER]
        [--rounds 1] [--memory 8GB] [--spark URL]

Histories come from the sample shop (kept in FOLDER for the next run, if given). Every measurement is a process of its
own, ours and theirs in turn, on the same Parquet files; CPU seconds are shown beside seconds, since they do not feel
what else the machine does. `all` is one portrait of all families; a family's own row shows it built alone. At the
smallest size the two answers are compared, field by field. With `--spark`, the same expressions on the Spark at URL
follow, up to ten million events (`--spark here`: a master and two workers of one core on this machine); its session
is up before the clock starts. Aims: ratio <= 1.25, exponent <= 1.1, process <= 16 GB.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend

from portraits import scenes
from portraits.build import ROW_GROUP, fields
from portraits.engine import connect, engine
from portraits.features import FAMILIES, REGISTRY
from portraits.grains import places
from portraits.local import to_us
from portraits.past import COLUMNS, Past
from portraits.sample.history import history
from portraits.settings import AppSettings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import portraits_sql
from spark_cluster import Cluster

SIDES = ("ours", "sql")
SPARK_EVENTS = 10**7
"""Spark is measured up to here."""
HEAD = "      events family        ours s     sql s  ratio cpu ratio  ours GB  sql GB"
NEEDED = {"visits": ("orders",), "social": ("shares",), "content": ("spend",)}
"""Fields of other families that a family's row-level fields look at."""


def main() -> None:
    args = _arguments()
    if args.side:
        print(json.dumps(measure(args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        with ExitStack() as stack:
            if args.spark == "here":
                args.spark = stack.enter_context(Cluster()).url
            compare(folder, args)


def compare(folder: Path, args: argparse.Namespace) -> None:
    """Prints the table, a row for each size and family."""
    totals = {}
    print(HEAD)
    sizes = sorted(int(float(text)) for text in args.sizes)
    for size in sizes:
        shop = folder / f"shop-{size}"
        if not (shop / "items.parquet").exists():
            history(0, size, shop)
        for family in args.families:
            best = {side: _best(shop, family, side, args) for side in SIDES}
            ours, sql = best["ours"], best["sql"]
            print(
                f"{size:>12,} {family:10} {ours['s']:>9.1f} {sql['s']:>9.1f} {ours['s'] / sql['s']:>6.2f} "
                f"{ours['cpu'] / sql['cpu']:>9.2f} {ours['gb']:>8.1f} {sql['gb']:>7.1f}",
                flush=True,
            )
            if args.spark and size <= SPARK_EVENTS:
                spark = _best(shop, family, "spark", args)["s"]
                print(f"{'':12} {'':10} {spark:>9.1f} s on Spark, {spark / ours['s']:.1f} x ours", flush=True)
            if family == "all":
                totals[size] = ours
            elif size == sizes[0]:
                differing = list(_differences(shop, family))
                print(f"{'':12} {'':10} {'equal' if not differing else 'differ: ' + ', '.join(differing)}")
    for small, large in pairwise(sorted(totals)):
        wall, cpu = (_exponent(small, large, totals[small][key], totals[large][key]) for key in ("s", "cpu"))
        print(f"growth exponent of ours from {small:,} to {large:,}: {wall:.2f} (by CPU seconds {cpu:.2f})")


def _exponent(small: int, large: int, of_small: float, of_large: float) -> float:
    return math.log(of_large / of_small) / math.log(large / small)


def _best(shop: Path, family: str, side: str, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--family", family, "--folder", str(shop)]
    command += ["--memory", args.memory, *(["--spark", args.spark] if args.spark else [])]
    runs = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) for _ in range(args.rounds)]
    return min(runs, key=lambda run: run["s"])


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One build in this process: seconds, CPU seconds, peak gigabytes."""
    out = args.folder / f"{args.side}-{args.family}.parquet"
    with engine(args.spark) if args.side == "spark" else nullcontext(connect(memory_limit=args.memory)) as con:
        con.sql("SELECT 1").to_pyarrow()
        began, cpu = time.perf_counter(), time.process_time()
        (theirs if args.side == "sql" else ours)(con, args.folder, args.family, out)
        took = {"s": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    return {**took, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def ours(con: BaseBackend, shop: Path, family: str, out: Path) -> None:
    """The portrait, or one family of it, as `portraits.build` makes it."""
    chosen = [f for f in REGISTRY.values() if family in ("all", f.family) or f.name in NEEDED.get(family, ())]
    first, as_of, size = _bounds(shop)
    past = Past(
        lake_events=con.read_parquet(f"{shop}/events/*.parquet"),
        lake_items=con.read_parquet(f"{shop}/items.parquet"),
        lake_users=con.read_parquet(f"{shop}/users.parquet"),
        lake_stores=con.read_parquet(f"{shop}/stores.parquet"),
        lake_contents=con.read_parquet(f"{shop}/contents.parquet"),
        lake_offers=con.read_parquet(f"{shop}/offers.parquet"),
        settings=AppSettings("bench"),
        as_of=as_of,
        first=first,
        size=size,
    )
    fields(past, chosen).order_by("user_id").to_parquet(out, compression="zstd", row_group_size=ROW_GROUP)


def theirs(con: Backend, shop: Path, family: str, out: Path) -> None:
    """The same by hand."""
    as_of = _bounds(shop)[1]
    known = {"now": to_us(as_of), "ts": f"timestamptz '{as_of.isoformat()}'"}
    raw = con.con
    for name in ("items", "users", "stores", "contents", "offers"):
        raw.execute(f"create view {name} as from read_parquet('{shop}/{name}.parquet')")
    raw.execute(
        f"create view lake as select {', '.join(COLUMNS)} from read_parquet('{shop}/events/*.parquet') e "
        f"where ts < {known['ts']} and not "
        f"exists (from read_parquet('{shop}/users.parquet') u where u.user_id = e.user_id and u.consent = false)"
    )
    for name in ("touched", "mixed"):
        raw.execute(f"create temp table {name} as {portraits_sql.PREPARE[name]}")
    raw.execute("create view events as from lake anti join touched using (user_id) union all by name from mixed")
    chosen = portraits_sql.FAMILIES if family == "all" else {family: portraits_sql.FAMILIES[family]}
    needed = {name for names, _ in chosen.values() for name in names}
    if "visit" in needed:
        pairs = raw.execute("select distinct coalesce(platform, ''), coalesce(scene, '') from events").fetchall()
        rows = [{"platform": p, "scene": s, "channel": scenes.channel(p, s)} for p, s in pairs]
        raw.register("channel", pa.Table.from_pylist(rows))
    if "point" in needed:
        raw.register("point", _points(raw))
    for name in (name for name in portraits_sql.PREPARE if name in needed):
        raw.execute(f"create temp table {name} as {portraits_sql.PREPARE[name]}")
    for name, (_, query) in chosen.items():
        raw.execute(f"create temp table family_{name} as {query.format(**known)}")
    joined = " left join ".join(f"family_{name} {'' if n == 0 else 'using (user_id)'}" for n, name in enumerate(chosen))
    raw.execute(
        f"copy (select * from {joined} order by user_id) to '{out}' (compression zstd, row_group_size {ROW_GROUP})"
    )


def _points(raw: Any) -> pa.Table:
    """Where the stores are, in radians."""
    stores = raw.execute("select store_id, geohash from stores").fetchall()
    middles = [(store, middle) for store, cell in stores if (middle := places.decode(cell))]
    rows = [{"store_id": s, "latitude": math.radians(a), "longitude": math.radians(o)} for s, (a, o) in middles]
    return pa.Table.from_pylist(rows)


def _differences(shop: Path, family: str) -> Iterator[str]:
    """Fields in which the two answers differ for any visitor both know (floats beyond a millionth)."""
    con = ibis.duckdb.connect()
    con.raw_sql(f"create view o as from read_parquet('{shop}/ours-{family}.parquet')")
    con.raw_sql(f"create view s as from read_parquet('{shop}/sql-{family}.parquet')")
    for name in (f.name for f in REGISTRY.values() if f.family == family):
        close = f"o.{name} is not distinct from s.{name}"
        if REGISTRY[name].dtype == "float64":
            close += f" or abs(o.{name} - s.{name}) <= 1e-6 * abs(s.{name})"
        if REGISTRY[name].is_list:
            close = f"len(o.{name}) is not distinct from len(s.{name})"
        found: Any = con.raw_sql(f"select count(*) from o join s using (user_id) where not ({close})").fetchall()
        if found[0][0]:
            yield f"{name} ({found[0][0]})"


def _bounds(shop: Path) -> tuple[datetime, datetime, int]:
    """First moment, T (30 days before the last moment) and number of events."""
    con = ibis.duckdb.connect()
    events = con.read_parquet(f"{shop}/events/*.parquet")
    row = events.aggregate(first=events.ts.min(), last=events.ts.max()).to_pyarrow().to_pylist()[0]
    size = sum(pq.read_metadata(path).num_rows for path in shop.glob("events/*.parquet"))
    return row["first"].astimezone(UTC), row["last"].astimezone(UTC) - timedelta(days=30), size


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["1e6"])
    parser.add_argument("--families", nargs="+", default=["all", *FAMILIES], choices=["all", *FAMILIES])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", default="8GB")
    parser.add_argument("--spark", default="")
    parser.add_argument("--side", choices=(*SIDES, "spark"), help=argparse.SUPPRESS)
    parser.add_argument("--family", default="all", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
