"""Merchants and the providers that run several of them; keys of a provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Creates the two tables; an app may have a merchant, a key an app or a provider."""
    op.create_table(
        "providers",
        sa.Column("provider_id", sa.String, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "merchants",
        sa.Column("merchant_id", sa.String, primary_key=True),
        sa.Column("provider_id", sa.String),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    with op.batch_alter_table("apps") as apps:
        apps.add_column(sa.Column("merchant_id", sa.String))
    with op.batch_alter_table("keys") as keys:
        keys.alter_column("app_id", existing_type=sa.String, nullable=True)
        keys.add_column(sa.Column("provider_id", sa.String))
    op.create_index("ix_keys_provider_id", "keys", ["provider_id"])


def downgrade() -> None:
    """Drops them, and the keys of providers."""
    op.execute("DELETE FROM keys WHERE app_id IS NULL")
    op.drop_index("ix_keys_provider_id", "keys")
    with op.batch_alter_table("keys") as keys:
        keys.drop_column("provider_id")
        keys.alter_column("app_id", existing_type=sa.String, nullable=False)
    with op.batch_alter_table("apps") as apps:
        apps.drop_column("merchant_id")
    op.drop_table("merchants")
    op.drop_table("providers")
