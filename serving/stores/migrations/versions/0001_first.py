"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SHAPING = sa.text("item_id IS NOT NULL AND type <> 'exposure'")


def upgrade() -> None:
    """Creates every table."""
    _tenants()
    _events()
    _catalogues()
    _answers()
    _nights()


def downgrade() -> None:
    """Drops every table."""
    for table in "runs activations active decisions catalogue_log catalogue rejected events keys apps".split():
        op.drop_table(table)


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _seq() -> sa.Column[Any]:
    return sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


def _tenants() -> None:
    op.create_table(
        "apps",
        sa.Column("app_id", sa.String, primary_key=True),
        _required("settings", sa.Text()),
        _required("salt", sa.String()),
        _required("created_us", sa.BigInteger()),
        _required("revision", sa.BigInteger()),
        _required("change_seq", sa.BigInteger()),
        _required("events_drained", sa.BigInteger()),
        _required("changes_drained", sa.BigInteger()),
    )
    op.create_table(
        "keys",
        sa.Column("hash", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, nullable=False, unique=True),
        _required("app_id", sa.String()),
        _required("scope", sa.String()),
        _required("created_us", sa.BigInteger()),
        sa.Column("revoked_us", sa.BigInteger),
    )
    op.create_index("ix_keys_app_id", "keys", ["app_id"])


def _events() -> None:
    op.create_table(
        "events",
        _seq(),
        _required("app_id", sa.String()),
        _required("event_id", sa.String()),
        _required("day", sa.Integer()),
        _required("user_id", sa.String()),
        _required("ts_us", sa.BigInteger()),
        _required("type", sa.String()),
        sa.Column("item_id", sa.String),
        _required("payload", sa.Text()),
        _required("content", sa.String()),
        sqlite_autoincrement=True,
    )
    op.create_index("events_once", "events", ["app_id", "event_id", "day"], unique=True)
    op.create_index(
        "events_of_visitor",
        "events",
        ["app_id", "user_id", "ts_us"],
        sqlite_where=SHAPING,
        postgresql_where=SHAPING,
    )
    op.create_table(
        "rejected",
        _seq(),
        _required("app_id", sa.String()),
        _required("at_us", sa.BigInteger()),
        _required("source", sa.String()),
        _required("line", sa.Integer()),
        _required("column", sa.String()),
        _required("value", sa.Text()),
        _required("reason", sa.Text()),
        _required("row", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_index("rejected_of_app", "rejected", ["app_id", "seq"])


def _catalogues() -> None:
    op.create_table(
        "catalogue",
        _required("app_id", sa.String()),
        _required("name", sa.String()),
        _required("key", sa.String()),
        _required("payload", sa.Text()),
        _required("change_seq", sa.BigInteger()),
        _required("changed_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("app_id", "name", "key"),
    )
    op.create_index("catalogue_changes", "catalogue", ["app_id", "name", "change_seq"])
    op.create_table(
        "catalogue_log",
        _seq(),
        _required("app_id", sa.String()),
        _required("name", sa.String()),
        _required("payload", sa.Text()),
        _required("at_us", sa.BigInteger()),
        sqlite_autoincrement=True,
    )
    op.create_index("catalogue_log_of_app", "catalogue_log", ["app_id", "seq"])


def _answers() -> None:
    op.create_table(
        "decisions",
        _seq(),
        _required("app_id", sa.String()),
        _required("decision_id", sa.String()),
        _required("user_id", sa.String()),
        _required("ts_us", sa.BigInteger()),
        _required("payload", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_index("decisions_of_app", "decisions", ["app_id", "seq"])


def _nights() -> None:
    op.create_table("active", *_version(), sa.PrimaryKeyConstraint("app_id", "kind"))
    op.create_table("activations", _seq(), *_version(), sqlite_autoincrement=True)
    op.create_index("ix_activations_app_id", "activations", ["app_id"])
    op.create_table(
        "runs",
        _required("app_id", sa.String()),
        _required("run_id", sa.String()),
        _required("as_of_us", sa.BigInteger()),
        _required("started_us", sa.BigInteger()),
        sa.Column("finished_us", sa.BigInteger),
        _required("status", sa.String()),
        _required("steps", sa.Text()),
        _required("summary", sa.Text()),
        sa.PrimaryKeyConstraint("app_id", "run_id"),
    )


def _version() -> list[sa.Column[Any]]:
    return [
        _required("app_id", sa.String()),
        _required("kind", sa.String()),
        _required("version", sa.String()),
        _required("as_of_us", sa.BigInteger()),
        _required("events_seq", sa.BigInteger()),
        _required("changes_seq", sa.BigInteger()),
        _required("at_us", sa.BigInteger()),
    ]
