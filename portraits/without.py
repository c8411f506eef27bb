"""A portrait set without some of its visitors, of the same moment as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.engine import connect
from portraits.forgotten import NAMES_OTHERS
from portraits.portrait_set import DELETED_FILE, TABLE_FILE, PortraitSet, last_users, sha256, write_manifest
from portraits.segments.tables import FILE as LAID_OUT
from portraits.segments.tables import lay_out


def without_visitors(people: PortraitSet, user_ids: Collection[str], folder: Path) -> None:
    """Writes the set to `folder`, without these visitors' rows and without their names in those of others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    gone = pa.array(sorted(user_ids), pa.string())
    for name in people.manifest["files"]:
        if name.endswith(".parquet"):
            _rewrite(people.path / name, folder / name, gone)
        elif name == DELETED_FILE:
            left = {one: tags for one, tags in people.deleted.items() if one not in set(user_ids)}
            (folder / name).write_text(json.dumps(left, ensure_ascii=False), "utf-8")
        elif name != LAID_OUT:
            shutil.copyfile(people.path / name, folder / name)
    con = connect()
    try:
        con.attach(people.path / LAID_OUT, "before", read_only=True)
        lay_out(con, folder, con.table("items", database="before.main"))
    finally:
        con.disconnect()
    files = sorted(folder.iterdir())
    manifest = people.manifest | {
        "rows": pq.ParquetFile(folder / TABLE_FILE).metadata.num_rows,
        "files": {path.name: sha256(path) for path in files},
        "last_users": {path.name: last_users(path) for path in files if path.suffix == ".parquet"},
    }
    write_manifest(folder, manifest)


def _rewrite(source: Path, out: Path, gone: pa.Array) -> None:
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            rows = rows.filter(pc.invert(pc.is_in(rows["user_id"], value_set=gone)))
            if NAMES_OTHERS in rows.column_names:
                place = rows.column_names.index(NAMES_OTHERS)
                named = pc.is_in(rows[NAMES_OTHERS], value_set=gone)
                others = pc.if_else(named, pa.scalar(None, pa.string()), rows[NAMES_OTHERS])
                rows = rows.set_column(place, rows.schema.field(place), others)
            if len(rows):
                writer.write_table(rows.cast(file.schema_arrow))
