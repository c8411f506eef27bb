"""Segments, and an index for all that a visitor did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

OTHER = sa.text("(item_id IS NULL OR type = 'exposure')")


def upgrade() -> None:
    """Creates the table and the index."""
    op.create_table(
        "segments",
        sa.Column("app_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "name", "version"),
    )
    op.create_index(
        "other_events_of_visitor",
        "events",
        ["app_id", "user_id", "ts_us"],
        sqlite_where=OTHER,
        postgresql_where=OTHER,
    )


def downgrade() -> None:
    """Drops them."""
    op.drop_index("other_events_of_visitor", "events")
    op.drop_table("segments")
