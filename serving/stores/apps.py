"""Apps and their keys in the store."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from portraits.errors import InvalidValue, NothingThere, UnknownApp
from portraits.settings import AppSettings, check_app_id
from serving.stores import schema
from serving.stores.database import Database, now_us

SCOPES = ("events", "recommend", "marketing", "admin")
KEY_PREFIX = "hx_"


@dataclass(frozen=True, slots=True)
class Key:
    """A server key as it may be shown: never the key itself."""

    key_id: str
    app_id: str
    scope: str
    created: datetime
    revoked: bool


@dataclass(frozen=True, slots=True)
class Tenant:
    """An app as requests need it. `salt` keys the hashes of its visitors."""

    settings: AppSettings
    salt: str
    revision: int


_FIND_KEY = select(schema.keys).where(schema.keys.c.hash == bindparam("hash"), schema.keys.c.revoked_us.is_(None))
_REVISION = select(schema.apps.c.revision).where(schema.apps.c.app_id == bindparam("app_id"))
_APP = select(schema.apps).where(schema.apps.c.app_id == bindparam("app_id"))


class Apps(Database):
    """Apps, their settings and their keys."""

    def add_app(self, settings: AppSettings) -> bool:
        """True when the app is new; an app that is there stays as it is."""
        with self.write() as connection:
            if connection.execute(_APP, {"app_id": settings.app_id}).first() is not None:
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
        return Tenant(_settings(rows[0].settings), rows[0].salt, rows[0].revision)

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

    def add_key(self, app_id: str, scope: str) -> str:
        """A new key, in plain text for the only time: the store keeps its hash. Raises UnknownApp, InvalidValue."""
        if scope not in SCOPES:
            raise InvalidValue("scope", scope, f"one of {', '.join(SCOPES)}")
        plain = f"{KEY_PREFIX}{app_id}_{secrets.token_urlsafe(32)}"
        with self.write() as connection:
            touch(connection, app_id)
            connection.execute(
                insert(schema.keys).values(
                    hash=hash_key(plain),
                    key_id=secrets.token_hex(4),
                    app_id=app_id,
                    scope=scope,
                    created_us=now_us(),
                )
            )
        return plain

    def find_key(self, plain: str) -> Key | None:
        """What a key may do, None when it is unknown or revoked.

        The look-up is by SHA-256 of a random 256-bit key: how long it takes says nothing about any key, and a slow
        password hash would add nothing.
        """
        rows = self.read(_FIND_KEY, {"hash": hash_key(plain)})
        return _key(rows[0]) if rows else None

    def keys(self, app_id: str) -> list[Key]:
        """The keys of an app, oldest first. Raises UnknownApp."""
        self.tenant(app_id)
        rows = self.read(select(schema.keys).where(schema.keys.c.app_id == app_id).order_by(schema.keys.c.created_us))
        return [_key(row) for row in rows]

    def revoke_key(self, app_id: str, key_id: str) -> None:
        """From the next request on the key is unknown. Raises NothingThere."""
        with self.write() as connection:
            found = connection.execute(
                update(schema.keys)
                .where(schema.keys.c.app_id == app_id, schema.keys.c.key_id == key_id)
                .values(revoked_us=now_us())
            )
            if not found.rowcount:
                raise NothingThere("key", key_id, f"list them with: huaxiang key list --app {app_id}")
            touch(connection, app_id)


def touch(connection: Connection, app_id: str, **values: str | int) -> None:
    """Moves the app's revision (and sets `values`): every worker reads the app again. Raises UnknownApp."""
    found = connection.execute(
        update(schema.apps).where(schema.apps.c.app_id == app_id).values(revision=schema.apps.c.revision + 1, **values)
    )
    if not found.rowcount:
        raise UnknownApp(app_id)


def hash_key(plain: str) -> str:
    """What the store keeps of a key."""
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _key(row: Any) -> Key:
    created = datetime.fromtimestamp(row.created_us / 1e6, UTC)
    return Key(row.key_id, row.app_id, row.scope, created, row.revoked_us is not None)


def _settings(text: str) -> AppSettings:
    known = {f.name for f in fields(AppSettings)}
    return AppSettings(**{name: value for name, value in json.loads(text).items() if name in known})
