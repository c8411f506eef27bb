"""Rows as a file for other tools (members of a segment, batch answers): Parquet, or CSV with lists as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from portraits.errors import InvalidValue

Writer = AbstractContextManager[Any]
BATCH_ROWS = 65_536


def check_ending(out: Path) -> str:
    """The end of a file's name. Raises InvalidValue for one that is not written."""
    ending = out.suffix.lower()
    if ending not in WRITERS:
        raise InvalidValue("--out", out.name, f"a name that ends with {' or '.join(WRITERS)}")
    return ending


def write_rows(rows: ir.Table | pa.Table | pa.RecordBatchReader, out: Path) -> int:
    """Writes rows in their order, asking for them once; how many. The file appears whole or not at all.

    Raises InvalidValue.
    """
    ending = check_ending(out)
    flat = _flat if ending == ".csv" else _same
    schema = flat(_schema(rows).empty_table()).schema
    unfinished = out.with_name(f".{out.name}.tmp")
    count = 0
    with WRITERS[ending](str(unfinished), schema) as writer:
        for part in _parts(rows):
            writer.write_table(flat(part).cast(schema))
            count += len(part)
    unfinished.replace(out)
    return count


def _schema(rows: ir.Table | pa.Table | pa.RecordBatchReader) -> pa.Schema:
    return rows.schema().to_pyarrow() if isinstance(rows, ir.Table) else rows.schema


def _parts(rows: ir.Table | pa.Table | pa.RecordBatchReader) -> Iterator[pa.Table]:
    if isinstance(rows, pa.Table):
        yield rows
        return
    batches = rows.to_pyarrow_batches(chunk_size=BATCH_ROWS) if isinstance(rows, ir.Table) else rows
    for batch in batches:
        yield pa.Table.from_batches([batch])


def _same(rows: pa.Table) -> pa.Table:
    return rows


def _flat(rows: pa.Table) -> pa.Table:
    """The rows with JSON text for what CSV has no cells for."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type):
            texts = [None if one is None else _json(one) for one in rows[field.name].to_pylist()]
            rows = rows.set_column(place, field.name, pa.array(texts, pa.string()))
    return rows


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda moment: moment.isoformat())


WRITERS: Mapping[str, Callable[[str, pa.Schema], Writer]] = {
    ".parquet": partial(pq.ParquetWriter, compression="zstd"),
    ".csv": pyarrow.csv.CSVWriter,
}
"""End of a file's name -> how it is written."""
