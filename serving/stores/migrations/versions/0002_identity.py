"""Who is the same person."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from portraits.identity import nodes
from serving.stores.people import Graph, write_links, write_people

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Creates the tables and fills them from the links that are there."""
    op.create_table(
        "links",
        sa.Column("app_id", sa.String, nullable=False),
        sa.Column("link_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("linked_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("app_id", "link_id", "kind"),
    )
    op.create_index("links_of_id", "links", ["app_id", "value", "kind"])
    op.create_table(
        "people",
        sa.Column("app_id", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id"),
    )
    op.create_index("ids_of_person", "people", ["app_id", "user_id"])
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """People are what the links say, so whoever comes from an older store gets them by today's rule."""
    known = sa.text("SELECT app_id, key, payload FROM catalogue WHERE name = 'identities'")
    apps: dict[str, dict[str, dict[str, str]]] = {}
    for app_id, key, payload in connection.execute(known):
        apps.setdefault(app_id, {})[key] = json.loads(payload)
    for app_id, rows in apps.items():
        write_links(connection, app_id, rows)
        values = {node.value for row in rows.values() for node in nodes(row)}
        write_people(connection, app_id, values, Graph(connection, app_id).people(values))


def downgrade() -> None:
    """Drops them."""
    op.drop_table("people")
    op.drop_table("links")
