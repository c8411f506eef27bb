"""Orders that are sent back whole are among the events that an answer looks at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = ["app_id", "user_id", "ts_us"]
BEFORE = {
    "events_of_visitor": "item_id IS NOT NULL AND type <> 'exposure'",
    "other_events_of_visitor": "(item_id IS NULL OR type = 'exposure')",
}
AFTER = {
    "events_of_visitor": "(item_id IS NOT NULL OR type IN ('order_cancel', 'refund')) AND type <> 'exposure'",
    "other_events_of_visitor": "((item_id IS NULL AND type NOT IN ('order_cancel', 'refund')) OR type = 'exposure')",
}


def upgrade() -> None:
    """Makes the two indexes of a visitor's events anew."""
    _index(AFTER)


def downgrade() -> None:
    """As they were."""
    _index(BEFORE)


def _index(conditions: dict[str, str]) -> None:
    for name, condition in conditions.items():
        op.drop_index(name, "events")
        where = sa.text(condition)
        op.create_index(name, "events", COLUMNS, sqlite_where=where, postgresql_where=where)
