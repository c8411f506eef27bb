"""Thousands of wrong and right requests on every route, made from the OpenAPI document by Schemathesis.

    python tests/benchmarks/bench_bad_input.py [--cases 500] [--seed 1] [--only /recommend]

Sends `--cases` valid requests and as many invalid ones to each route of the application (no network), with a store of
two apps, and checks each answer as `tests/serving/test_bad_input.py` does. Prints how many answers of each status a
route gave, and the seconds it took; it ends with an error at the first answer that must not be.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bad_input import BadInput
from marked_apps import open_marked

from serving.routes import ROUTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=ROUTES)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        context = open_marked(Path(folder) / "home")
        bad = BadInput(context)
        for path in [asked.only] if asked.only else ROUTES:
            began = time.perf_counter()
            bad.run(path, asked.cases, asked.seed)
            told = "  ".join(f"{status}: {count}" for status, count in sorted(bad.seen[path].items()))
            print(f"{path:22} {time.perf_counter() - began:7.1f} s   {told}", flush=True)
        print(f"{sum(sum(counted.values()) for counted in bad.seen.values())} requests, nothing that must not be")
        bad.close()
        context.close()


if __name__ == "__main__":
    main()
