"""Ids and names are ordered by their bytes on every database.

SQLite does so anyway. A PostgreSQL server orders by the rules of some language unless told otherwise: another order
than the night's, slower, and one that changes with the operating system below its indexes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """By bytes; columns that come later are created so."""
    _collate('"C"')


def downgrade() -> None:
    """As the server likes."""
    _collate('"default"')


def _collate(collation: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    there = sa.inspect(connection)
    for table in sorted(set(there.get_table_names()) - {"alembic_version"}):
        names = [column["name"] for column in there.get_columns(table) if isinstance(column["type"], sa.VARCHAR)]
        changes = ", ".join(f'ALTER COLUMN "{name}" TYPE VARCHAR COLLATE {collation}' for name in names)
        op.execute(f'ALTER TABLE "{table}" {changes}')
