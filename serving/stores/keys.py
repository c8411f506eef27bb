"""Server keys in the store: of one app, or of a provider, whose apps they may name."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, cast, insert, null, or_, select, union_all, update

from portraits.errors import InvalidValue, NothingThere
from serving.stores import schema
from serving.stores.apps import Apps, Tenant, read_tenant, touch
from serving.stores.database import now_us
from serving.stores.merchants import Provider, touch_apps_of

SCOPES = ("events", "recommend", "marketing", "admin")
KEY_PREFIX = "hx_"
MOST_GRACE_HOURS = 24 * 365
HOUR_US = 3_600_000_000

Owner = str | Provider
"""Whose a key is: an app's (its app_id) or a provider's."""


@dataclass(frozen=True, slots=True)
class Key:
    """A server key as it may be shown: never the key itself. Either `app_id` or `provider_id` is set.

    `ends`: from when on it is not known any more; None: no end was set.
    """

    key_id: str
    app_id: str | None
    scope: str
    created: datetime
    revoked: bool
    provider_id: str | None = None
    ends: datetime | None = None

    @property
    def owner(self) -> Owner:
        return Provider(self.provider_id) if self.provider_id is not None else str(self.app_id)


@dataclass(frozen=True, slots=True)
class Found:
    """A key with an app that it opens, both of one moment. `tenant` None: a key of a provider, beside no app.

    `until`: seconds since 1970 from which on the key is unknown, `inf` where no end is set. `own_app_id`: empty where
    the key is a provider's.
    """

    hash: str
    key_id: str
    scope: str
    until: float
    own_app_id: str
    tenant: Tenant | None


class Keys(Apps):
    """Who may ask: keys by their hash."""

    def add_key(self, owner: Owner, scope: str) -> str:
        """A new key, in plain text for the only time: the store keeps its hash.

        Raises UnknownApp, NothingThere (no such provider), InvalidValue.
        """
        if scope not in SCOPES:
            raise InvalidValue("scope", scope, f"one of {', '.join(SCOPES)}")
        with self.write() as connection:
            return _add(connection, owner, scope)

    def rotate_key(self, key_id: str, grace_hours: float) -> str:
        """A new key of the same owner and scope. The old one works for `grace_hours` more, not longer than it had.

        Raises NothingThere (no such key, or one that ended), InvalidValue.
        """
        if not 0 <= grace_hours <= MOST_GRACE_HOURS:
            raise InvalidValue("grace", grace_hours, f"hours from 0 to {MOST_GRACE_HOURS}")
        with self.write() as connection:
            old = _one(connection.execute(_BY_KEY_ID, {"key_id": key_id}).first(), key_id)
            if old.revoked:
                raise NothingThere("key in use", key_id, "it was revoked; make a new one with: huaxiang key create")
            _end(connection, old, now_us() + round(grace_hours * HOUR_US))
            return _add(connection, old.owner, old.scope)

    def revoke_key(self, owner: Owner, key_id: str) -> None:
        """From the next request on the key is unknown. Raises NothingThere."""
        with self.write() as connection:
            key = _one(connection.execute(_BY_KEY_ID, {"key_id": key_id}).first(), key_id)
            if key.owner != owner:
                raise _no_key(key_id)
            _end(connection, key, now_us())

    def key(self, key_id: str) -> Key:
        """One key by what `keys` calls it. Raises NothingThere."""
        rows = self.read(_BY_KEY_ID, {"key_id": key_id})
        return _one(rows[0] if rows else None, key_id)

    def keys(self, owner: Owner) -> list[Key]:
        """The keys of an app or of a provider, oldest first. Raises UnknownApp, NothingThere."""
        if isinstance(owner, Provider):
            self.provider(owner.provider_id)
            whose = schema.keys.c.provider_id == owner.provider_id
        else:
            self.tenant(owner)
            whose = schema.keys.c.app_id == owner
        return [_key(row) for row in self.read(select(schema.keys).where(whose).order_by(schema.keys.c.created_us))]

    def find_key(self, plain: str) -> Key | None:
        """What a key may do, None when it is unknown or revoked."""
        rows = self.read(_BY_HASH, {"hash": hash_key(plain)})
        key = _key(rows[0]) if rows else None
        return None if key is None or key.revoked else key

    def find_keys(self, hashes: Collection[str], key_ids: Collection[str], named: Collection[str]) -> list[Found]:
        """The keys with these hashes or ids that are valid now, with the app that each opens: its own, or, of a
        provider, each of `named` that is the provider's (and none where none is).

        One statement, hence one moment: a key that is found beside revision 5 of its app was valid at revision 5.
        The look-up is by SHA-256 of 256 random bits: how long it takes says nothing about any key, and a slow password
        hash would add nothing.
        """
        asked = {"hashes": list(hashes), "key_ids": list(key_ids), "named": list(named)}
        return [_found(row) for row in self.read(_OPENED, asked) if not _ended(row)]


def hash_key(plain: str) -> str:
    """What the store keeps of a key."""
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _add(connection: Connection, owner: Owner, scope: str) -> str:
    """Keys that were refused before are asked for again at once, so that a new one need not wait."""
    _touch(connection, owner)
    provider_id = owner.provider_id if isinstance(owner, Provider) else None
    app_id = None if isinstance(owner, Provider) else owner
    plain = f"{KEY_PREFIX}{provider_id or app_id}_{secrets.token_urlsafe(32)}"
    values = {"hash": hash_key(plain), "key_id": secrets.token_hex(4), "app_id": app_id, "provider_id": provider_id}
    connection.execute(insert(schema.keys).values(**values, scope=scope, created_us=now_us()))
    return plain


def _end(connection: Connection, key: Key, at_us: int) -> None:
    """Sets the end of a key, unless it ends before; every worker reads it again."""
    keys = schema.keys.c
    later = or_(keys.revoked_us.is_(None), keys.revoked_us > at_us)
    connection.execute(update(schema.keys).where(keys.key_id == key.key_id, later).values(revoked_us=at_us))
    _touch(connection, key.owner)


def _touch(connection: Connection, owner: Owner) -> None:
    if isinstance(owner, Provider):
        touch_apps_of(connection, owner)
    else:
        touch(connection, owner)


def _one(row: Any, key_id: str) -> Key:
    if row is None:
        raise _no_key(key_id)
    return _key(row)


def _no_key(key_id: str) -> NothingThere:
    return NothingThere("key", key_id, "list them with: huaxiang key list")


def _key(row: Any) -> Key:
    ends = None if row.revoked_us is None else _moment(row.revoked_us)
    return Key(row.key_id, row.app_id, row.scope, _moment(row.created_us), _ended(row), row.provider_id, ends)


def _found(row: Any) -> Found:
    tenant = None if row.settings is None else read_tenant(row)
    until = math.inf if row.revoked_us is None else row.revoked_us / 1e6
    return Found(row.hash, row.key_id, row.scope, until, row.app_id or "", tenant)


def _ended(row: Any) -> bool:
    return row.revoked_us is not None and row.revoked_us <= now_us()


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)


_BY_HASH = select(schema.keys).where(schema.keys.c.hash == bindparam("hash"))
_BY_KEY_ID = select(schema.keys).where(schema.keys.c.key_id == bindparam("key_id"))


def _opened() -> Any:
    keys, apps, merchants = schema.keys.c, schema.apps.c, schema.merchants.c
    hashes: Any = bindparam("hashes", expanding=True)
    key_ids: Any = bindparam("key_ids", expanding=True)
    asked = or_(keys.hash.in_(hashes), keys.key_id.in_(key_ids))
    key = (keys.hash, keys.key_id, keys.scope, keys.revoked_us, keys.app_id)
    app = (apps.settings, apps.salt, apps.revision)
    own = select(*key, *app).join_from(schema.keys, schema.apps, apps.app_id == keys.app_id).where(asked)
    nothing = (cast(null(), column.type).label(column.name) for column in app)
    provider = select(*key, *nothing).where(asked, keys.provider_id.is_not(None))
    theirs = (
        select(*key, *app)
        .join_from(schema.keys, schema.merchants, merchants.provider_id == keys.provider_id)
        .join(
            schema.apps,
            and_(apps.merchant_id == merchants.merchant_id, apps.app_id.in_(bindparam("named", expanding=True))),
        )
        .where(asked)
    )
    return union_all(own, provider, theirs)


_OPENED = _opened()
