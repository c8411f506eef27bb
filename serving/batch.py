"""Batch answers: for each visitor of a file what a request would have been answered now.

The same `recommend` on the same state as by day, with one difference: control group and decisions are for answers that
are shown, so a batch knows neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from portraits.errors import UnreadableFile
from recommender.pipeline import recommend
from recommender.types import Query, State
from serving.models import Model, Models
from serving.settings import ProcessSettings
from serving.stores import Store

ANSWERS = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""One row an item; `rank` from 1, `reason` in words."""

USERS_AT_ONCE = 5_000
ID = "user_id"


@dataclass(frozen=True, slots=True)
class Batch:
    """What is asked for every visitor. `allow_seen`: see `Query`."""

    store: Store
    model: Model
    app_id: str
    n: int
    allow_seen: bool | None

    def rows(self, user_id: str) -> Iterator[tuple[str, int, str, float, str, str]]:
        """The visitor's answer as rows of `ANSWERS`."""
        state = self.store.state(self.app_id, user_id)
        known_as, now = self.model.known_as(state), datetime.now(UTC)
        query = Query(known_as, self.n, now, personalized=state.consent, allow_seen=self.allow_seen)
        answer = recommend(self.model.bundle, self.model.catalogue, query, State(state.recent))
        for rank, item in enumerate(answer.items, 1):
            yield user_id, rank, item.item_id, float(item.score), item.source, item.reason.text


def open_batch(process: ProcessSettings, store: Store, app_id: str, n: int, allow_seen: bool | None) -> Batch:
    """A batch on the model that is served now. Raises UnknownApp, StoreUnavailable."""
    model = asyncio.run(Models(process, store).model(app_id, store.state(app_id)))
    return Batch(store, model, app_id, n, allow_seen)


def answer_file(batch: Batch, users: Path, out: Path, on_progress: Callable[[float], None]) -> tuple[int, int]:
    """Writes `out` (columns: `ANSWERS`) whole or not at all; (visitors, rows).

    Raises UnreadableFile (no column user_id), InvalidValue (n), StoreUnavailable.
    """
    wanted = read_users(users)
    rows = 0
    unfinished = out.with_name(f".{out.name}.tmp")
    with pa.parquet.ParquetWriter(unfinished, ANSWERS, compression="zstd") as file:
        for start in range(0, len(wanted), USERS_AT_ONCE):
            some = wanted[start : start + USERS_AT_ONCE]
            answers = [row for user in some for row in batch.rows(user)]
            rows += len(answers)
            columns = zip(*answers, strict=True) if answers else [[] for _ in ANSWERS]
            file.write_table(pa.table([list(column) for column in columns], schema=ANSWERS))
            on_progress((start + len(some)) / len(wanted))
    unfinished.replace(out)
    return len(wanted), rows


def read_users(path: Path) -> list[str]:
    """The different user ids of a CSV, JSONL or Parquet file (.gz too), in its order. Raises UnreadableFile."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    try:
        if kind == "parquet":
            ids = pa.parquet.read_table(path, columns=[ID])[ID]
        elif kind in ("jsonl", "ndjson", "json"):
            parse = pa.json.ParseOptions(pa.schema([(ID, pa.string())]), unexpected_field_behavior="ignore")
            ids = pa.json.read_json(pa.input_stream(path, "detect"), parse_options=parse)[ID]
        else:
            delimiter = "\t" if kind == "tsv" else ","
            parse_csv = pa.csv.ParseOptions(delimiter=delimiter)
            convert = pa.csv.ConvertOptions(column_types={ID: pa.string()}, include_columns=[ID])
            ids = pa.csv.read_csv(pa.input_stream(path, "detect"), parse_options=parse_csv, convert_options=convert)[ID]
    except (OSError, KeyError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise UnreadableFile(str(path), f"no readable column {ID} ({str(error).splitlines()[0]})") from error
    return [user for user in dict.fromkeys(ids.cast(pa.string()).to_pylist()) if user]
