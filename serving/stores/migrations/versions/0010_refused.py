"""Whose a refused row was: a column, so that a visitor's own are found as they are written, not as words of a text."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

LONGEST_ID = 128


def upgrade() -> None:
    """Adds the column and its index, and fills it for the rows there are."""
    bytewise = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.add_column("rejected", sa.Column("user_id", sa.String(collation=bytewise)))
    op.create_index("rejected_of_visitor", "rejected", ["app_id", "user_id"])
    rejected = sa.table("rejected", sa.column("seq"), sa.column("row"), sa.column("user_id"))
    connection = op.get_bind()
    for seq, row in connection.execute(sa.select(rejected.c.seq, rejected.c.row)).all():
        owner = _owner(row)
        if owner is not None:
            connection.execute(sa.update(rejected).where(rejected.c.seq == seq).values(user_id=owner))


def downgrade() -> None:
    """Drops them."""
    op.drop_index("rejected_of_visitor", "rejected")
    with op.batch_alter_table("rejected") as table:
        table.drop_column("user_id")


def _owner(row: str) -> str | None:
    told: Any = row
    while isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            return None
    owner = told.get("user_id") if isinstance(told, dict) else None
    if not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_ID or "\x00" in owner:
        return None
    return owner.encode("utf-8", "replace").decode()
