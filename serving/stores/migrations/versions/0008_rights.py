"""Tags that visitors deleted; and an index by the time of a change, for who refused since a night."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Creates the table and the index."""
    op.create_table(
        "deleted_tags",
        sa.Column("app_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("tag", sa.String, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "user_id", "tag"),
    )
    op.create_index("catalogue_changed", "catalogue", ["app_id", "name", "changed_us"])


def downgrade() -> None:
    """Drops them."""
    op.drop_index("catalogue_changed", "catalogue")
    op.drop_table("deleted_tags")
