"""Migrations of the online store, run by Alembic, shipped inside the package.

`upgrade` is called each time a store is opened; Alembic is imported only when the database is behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from serving.stores.dialect import Dialect, patience
from serving.stores.schema import REVISION

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATION_S = 3600.0
"""How long a statement over a whole table may take."""


def upgrade(dialect: Dialect) -> None:
    """Brings the tables to `REVISION`, in one transaction; several processes may try at once.

    Tables that a newer release has migrated stay as they are: replicas are replaced one by one, and one of the old may
    have to start again.
    """
    with dialect.engine.connect() as connection:
        if not _is_behind(connection):
            return
    from alembic import command  # noqa: PLC0415 - 0.2 s that only a database that is behind has to pay

    with patience(MIGRATION_S), dialect.writing() as connection:
        if _is_behind(connection):
            command.upgrade(_config(connection), REVISION)


def _config(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", "serving.stores:migrations")
    config.attributes["connection"] = connection
    return config


def _is_behind(connection: Connection) -> bool:
    found = _revision(connection)
    return found is None or found < REVISION


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
