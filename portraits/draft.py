"""What a stage of a build is given: portraits in the making (see `stages`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from portraits.past import Past
from portraits.portrait_set import PortraitSet
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Draft:
    """Portraits in the making.

    features: a Parquet file with one row a visitor, sorted by user_id, with every feature. folder: what a stage
    writes there becomes part of the set. past: the history before T that the features were made from; history: the
    whole snapshot, for stages that build portraits of earlier moments themselves. previous: the set published last,
    None on the first night. cuts: visitors (user_id) of whom nothing may be said from before a moment (us); in
    `features` they are so already (see `since`).
    """

    history: Snapshot
    settings: AppSettings
    past: Past
    con: Backend
    features: Path
    folder: Path
    previous: PortraitSet | None
    cuts: pa.Table | None = None

    def table(self) -> ir.Table:
        """The features, as a table of `con`."""
        return self.con.read_parquet(str(self.features))


Stage = Callable[[Draft], pa.Table]
"""A draft -> the stage's columns, one row a visitor in the order of `features`; a table without columns adds none."""
