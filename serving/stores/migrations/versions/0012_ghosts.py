"""What visitors who are held out of offers would have been shown, findable by visitor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

GHOST = sa.text("""replace(payload, '"policy":"offers","arm":"control"', '') <> payload""")
NAME, COLUMNS = "ghosts_of_visitor", ["app_id", "user_id", "ts_us"]


def upgrade() -> None:
    """Creates the index."""
    op.create_index(NAME, "decisions", COLUMNS, sqlite_where=GHOST, postgresql_where=GHOST)


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, "decisions")
