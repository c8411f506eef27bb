"""Who was forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "forgotten",
        sa.Column("app_id", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("known", sa.Boolean, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("id", sa.String),
        sa.Column("erased_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("app_id", "hash"),
    )
    op.create_index("forgotten_persons", "forgotten", ["app_id", "person"])


def downgrade() -> None:
    """Drops it."""
    op.drop_table("forgotten")
