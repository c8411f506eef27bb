"""Claims findable by what they hold of which day, and by whose they are of which offer; lines of orders by visitor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

HOLDING = sa.text("state = 'claimed' AND reserved > 0")
DUE, DUE_COLUMNS = "claims_due_of_day", ["app_id", "offer_id", "day", "expires_us"]
MINE, MINE_BEFORE = "claims_of_visitor", ["app_id", "user_id"]
PURCHASE = sa.text("type = 'purchase' AND item_id IS NOT NULL")
PURCHASES, PURCHASES_COLUMNS = "purchases_of_visitor", ["app_id", "user_id", "ts_us"]


def upgrade() -> None:
    """Creates two indexes and adds to one."""
    op.create_index(DUE, "claims", DUE_COLUMNS, sqlite_where=HOLDING, postgresql_where=HOLDING)
    op.drop_index(MINE, "claims")
    op.create_index(MINE, "claims", [*MINE_BEFORE, "offer_id", "state", "changed_us"])
    op.create_index(PURCHASES, "events", PURCHASES_COLUMNS, sqlite_where=PURCHASE, postgresql_where=PURCHASE)


def downgrade() -> None:
    """Takes them away."""
    op.drop_index(PURCHASES, "events")
    op.drop_index(MINE, "claims")
    op.create_index(MINE, "claims", MINE_BEFORE)
    op.drop_index(DUE, "claims")
