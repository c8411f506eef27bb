"""Claims that hold a part of a budget, findable by offer, day and end; and lines of orders, findable by visitor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

HOLDING = sa.text("state = 'claimed' AND reserved > 0")
DUE, DUE_COLUMNS = "claims_due_of_day", ["app_id", "offer_id", "day", "expires_us"]
PURCHASE = sa.text("type = 'purchase' AND item_id IS NOT NULL")
PURCHASES, PURCHASES_COLUMNS = "purchases_of_visitor", ["app_id", "user_id", "ts_us"]


def upgrade() -> None:
    """Creates the two indexes."""
    op.create_index(DUE, "claims", DUE_COLUMNS, sqlite_where=HOLDING, postgresql_where=HOLDING)
    op.create_index(PURCHASES, "events", PURCHASES_COLUMNS, sqlite_where=PURCHASE, postgresql_where=PURCHASE)


def downgrade() -> None:
    """Drops them."""
    op.drop_index(PURCHASES, "events")
    op.drop_index(DUE, "claims")
