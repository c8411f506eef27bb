"""Whose request this is: the key's app and scope, and that app's settings.

What is known about a key is remembered with the app's revision. Every request reads the app's state anyway; as soon as
that shows another revision, the key and the settings are read again. So a revoked key is refused at once by every
worker, although a look-up a request is saved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from portraits.errors import NotAllowed, NotKnown
from portraits.settings import AppSettings
from serving.stores import Store
from serving.stores.apps import KEY_PREFIX, Tenant, hash_key

REMEMBERED_KEYS = 10_000
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid key opens: one app and one scope, as of the app's `revision`."""

    app_id: str
    scope: str
    tenant: Tenant
    zone: ZoneInfo

    @property
    def settings(self) -> AppSettings:
        return self.tenant.settings

    @property
    def revision(self) -> int:
        return self.tenant.revision

    def need(self, scope: str) -> None:
        """Raises NotAllowed unless the key has the scope; an admin key may do what any other may."""
        if self.scope not in (scope, ADMIN):
            raise NotAllowed(f"a key with scope {scope}")


class Tenants:
    """Keys that were seen, by their hash."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._grants: dict[str, Grant] = {}

    def remembered(self, authorization: str) -> Grant:
        """The grant of a key as last seen: whoever acts on it must hold it against the app's revision (`confirm`).

        Raises:
            NotKnown: no key, or an unknown or revoked one. StoreUnavailable: never seen, and the store is away.
        """
        plain = _bearer(authorization)
        return self._grants.get(hash_key(plain)) or self._look_up(plain)

    def confirm(self, grant: Grant, authorization: str, revision: int) -> Grant:
        """The grant that is true at `revision`. Raises NotKnown when the key was revoked meanwhile."""
        return grant if grant.revision == revision else self._look_up(_bearer(authorization))

    def _look_up(self, plain: str) -> Grant:
        hashed = hash_key(plain)
        self._grants.pop(hashed, None)
        key = self._store.find_key(plain)
        if key is None:
            raise NotKnown
        tenant = self._store.tenant(key.app_id)
        if len(self._grants) >= REMEMBERED_KEYS:
            self._grants.clear()
        grant = Grant(key.app_id, key.scope, tenant, ZoneInfo(tenant.settings.time_zone))
        self._grants[hashed] = grant
        return grant


def in_control(tenant: Tenant, user_id: str) -> bool:
    """Whether the visitor belongs to the share that gets the popular shelf: always or never, as long as it stands.

    A keyed hash (BLAKE2b with the app's own salt) of the visitor as a number between 0 and 1, so that the share is
    random, the same on every worker, and nobody outside can guess an arm.
    """
    return _place(tenant, "control", user_id) < tenant.settings.control_share


def _place(tenant: Tenant, purpose: str, user_id: str) -> float:
    digest = hashlib.blake2b(
        user_id.encode(), digest_size=8, key=tenant.salt.encode(), person=purpose.encode()
    ).digest()
    return int.from_bytes(digest) / 2**64


def _bearer(authorization: str) -> str:
    kind, _, plain = authorization.partition(" ")
    if kind.lower() != "bearer" or not plain.startswith(KEY_PREFIX):
        raise NotKnown
    return plain
