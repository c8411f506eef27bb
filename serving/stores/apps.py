"""Apps in the store."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from portraits.errors import UnknownApp
from portraits.settings import AppSettings, check_app_id
from serving.stores import schema
from serving.stores.database import now_us
from serving.stores.merchants import Merchants, need_merchant


@dataclass(frozen=True, slots=True)
class Tenant:
    """An app as requests need it. `salt` keys the hashes of its visitors."""

    settings: AppSettings
    salt: str
    revision: int


_REVISION = select(schema.apps.c.revision).where(schema.apps.c.app_id == bindparam("app_id"))
_APP = select(schema.apps).where(schema.apps.c.app_id == bindparam("app_id"))


class Apps(Merchants):
    """Apps and their settings."""

    def add_app(self, settings: AppSettings, merchant_id: str | None = None) -> bool:
        """True when the app is new; an app that is there stays as it is, but belongs to the merchant from now on.

        Raises NothingThere (no such merchant).
        """
        with self.write() as connection:
            if merchant_id is not None:
                need_merchant(connection, merchant_id)
            if connection.execute(_APP, {"app_id": settings.app_id}).first() is not None:
                if merchant_id is not None:
                    touch(connection, settings.app_id, merchant_id=merchant_id)
                return False
            connection.execute(
                insert(schema.apps).values(
                    app_id=settings.app_id,
                    settings=json.dumps(asdict(settings)),
                    salt=secrets.token_hex(16),
                    created_us=now_us(),
                    revision=1,
                    change_seq=0,
                    events_drained=0,
                    changes_drained=0,
                    merchant_id=merchant_id,
                )
            )
        return True

    def apps(self) -> list[AppSettings]:
        """Every app, by app_id."""
        rows = self.read(select(schema.apps.c.settings).order_by(schema.apps.c.app_id))
        return [_settings(row.settings) for row in rows]

    def app(self, app_id: str) -> AppSettings:
        """Settings of one app. Raises UnknownApp."""
        return self.tenant(app_id).settings

    def tenant(self, app_id: str) -> Tenant:
        """One app as requests need it. Raises UnknownApp."""
        rows = self.read(_APP, {"app_id": check_app_id(app_id)})
        if not rows:
            raise UnknownApp(app_id)
        return read_tenant(rows[0])

    def revision(self, app_id: str) -> int:
        """A number that moves with the app's settings, keys and versions. Raises UnknownApp."""
        rows = self.ask(_REVISION, {"app_id": app_id})
        if not rows:
            raise UnknownApp(app_id)
        return int(rows[0][0])

    def save_app(self, settings: AppSettings) -> None:
        """Replaces the settings of an app that is there. Raises UnknownApp."""
        with self.write() as connection:
            touch(connection, settings.app_id, settings=json.dumps(asdict(settings)))


def touch(connection: Connection, app_id: str, **values: str | int) -> None:
    """Moves the app's revision (and sets `values`): every worker reads the app again. Raises UnknownApp."""
    found = connection.execute(
        update(schema.apps).where(schema.apps.c.app_id == app_id).values(revision=schema.apps.c.revision + 1, **values)
    )
    if not found.rowcount:
        raise UnknownApp(app_id)


def read_tenant(row: Any) -> Tenant:
    """From a row with the app's settings, salt and revision."""
    return Tenant(_settings(row.settings), row.salt, row.revision)


def _settings(text: str) -> AppSettings:
    known = {f.name for f in fields(AppSettings)}
    return AppSettings(**{name: value for name, value in json.loads(text).items() if name in known})
