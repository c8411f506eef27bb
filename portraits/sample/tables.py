"""A Parquet file written a block at a time, for tables that need not fit in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 200_000


class TableFile:
    """Gathers blocks of one schema into row groups; use with `with`. `rows` counts what was added."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0

    def __enter__(self) -> TableFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes what waits; the file is complete after this."""
        self._flush()
        self._writer.close()

    def add(self, columns: Mapping[str, Any]) -> None:
        """One more block; columns are cast to the schema's types."""
        table = pa.table({name: columns[name] for name in self._schema.names}).cast(self._schema)
        self._waiting.append(table)
        self._waiting_rows += len(table)
        self.rows += len(table)
        if self._waiting_rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting_rows:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._waiting_rows = [], 0
