"""Claims of offers, the books of what they hold and cost, and the requests that moved them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

OPEN = sa.text("state = 'claimed'")


def upgrade() -> None:
    """Creates the four tables."""
    text = sa.String(collation="C" if op.get_bind().dialect.name == "postgresql" else None)
    op.create_table(
        "claims",
        sa.Column("app_id", text, nullable=False),
        sa.Column("claim_id", text, nullable=False),
        sa.Column("user_id", text, nullable=False),
        sa.Column("offer_id", text, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("reserved", sa.BigInteger),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("decision_id", text),
        sa.Column("store_id", text),
        sa.Column("order_id", text),
        sa.Column("claimed_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "claim_id"),
    )
    op.create_index("claims_of_visitor", "claims", ["app_id", "user_id"])
    op.create_index("claims_of_order", "claims", ["app_id", "order_id"])
    op.create_index("claims_due", "claims", ["app_id", "expires_us"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_table(
        "offer_books",
        sa.Column("app_id", text, nullable=False),
        sa.Column("offer_id", text, nullable=False),
        sa.Column("open", sa.BigInteger, nullable=False),
        sa.Column("redeemed", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.Column("closed", text),
        sa.PrimaryKeyConstraint("app_id", "offer_id"),
    )
    op.create_table(
        "offer_days",
        sa.Column("app_id", text, nullable=False),
        sa.Column("offer_id", text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "offer_id", "day"),
    )
    op.create_table(
        "claim_requests",
        sa.Column("app_id", text, nullable=False),
        sa.Column("request_id", text, nullable=False),
        sa.Column("content", text, nullable=False),
        sa.Column("claim_id", text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "request_id"),
    )
    op.create_index("requests_of_claim", "claim_requests", ["app_id", "claim_id"])
    op.create_index("requests_by_time", "claim_requests", ["app_id", "at_us"])


def downgrade() -> None:
    """Drops them."""
    for name in ("claim_requests", "offer_days", "offer_books", "claims"):
        op.drop_table(name)
