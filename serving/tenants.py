"""Whose request this is: the app, what may be asked of it, by which key or for which visitor, and the app's settings.

What is known about a key is remembered with the app's revision. Every request reads the app's state anyway; as soon as
that shows another revision, the key and the settings are read again. So a revoked key (or a merchant's move to another
provider) is seen at once by every worker, although a look-up a request is saved.

Who comes with a key that this worker has not seen waits for a look-up, which asks for all that wait at once; after one
in which a key was wrong the next comes `PAUSE_S` later. A stream of wrong keys thus costs the store fifty short reads
a second and no more, and neither refuses a right key nor pushes one out of what is remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple
from zoneinfo import ZoneInfo

from portraits.errors import HuaxiangError, NotAllowed, NotKnown, StoreUnavailable
from portraits.settings import APP_ID, AppSettings
from serving.reads import Reads
from serving.stores import Store
from serving.stores.apps import Tenant
from serving.stores.keys import KEY_PREFIX, Found, hash_key
from serving.tokens import Token, Tokens

REMEMBERED_KEYS = 10_000
PAUSE_S = 0.02
MOST_AT_ONCE = 500
ADMIN = "admin"


class Asked(NamedTuple):
    """What opens an app: a key, by its hash or (of a token) by its id, and the app that the request names, if any."""

    hash: str
    key_id: str
    app_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid key or token opens: one app and one scope, as of the app's `revision`.

    `scope`: of a token, that of the key that made it.
    `user_id`: of a token, the one visitor whom it is for; empty: a server key. `until`: seconds since 1970.
    """

    app_id: str
    scope: str
    tenant: Tenant
    zone: ZoneInfo
    key_id: str
    until: float
    asked: Asked
    user_id: str = ""

    @property
    def settings(self) -> AppSettings:
        return self.tenant.settings

    @property
    def revision(self) -> int:
        return self.tenant.revision

    def need(self, scope: str, *, user: bool) -> None:
        """Raises NotAllowed unless this may call a route with that scope; an admin key may do what any other may, a
        token what a route lets visitors do (`user`). What needs `admin` needs it of the key that made the token, too:
        else any key that makes tokens would open for every visitor what it may not open itself."""
        if self.user_id:
            if not user:
                raise NotAllowed("a server key; a visitor's token may not call this")
            if scope == ADMIN != self.scope:
                raise NotAllowed(f"a token that was made with a key of scope {ADMIN}")
        elif self.scope not in (scope, ADMIN):
            raise NotAllowed(f"a key with scope {scope}")


class Tenants:
    """Keys and tokens that were seen, by their hash."""

    def __init__(self, store: Store, reads: Reads, secret: str = "") -> None:
        self.tokens = Tokens(secret)
        self._look_ups = LookUps(store, reads)
        self._grants: dict[Asked, Grant] = {}

    async def remembered(self, authorization: str, named: str = "") -> Grant:
        """What a key or token opens, as last seen: whoever acts on it must hold it against the app's revision
        (`confirm`). `named`: the app that the request names (X-App-Id), which a key of a provider needs.

        Raises:
            NotKnown: neither, or one that is unknown, revoked or over. NotAllowed: the named app is not the key's,
            whether or not there is one. StoreUnavailable: never seen, and the store is away.
        """
        now = time.time()
        kind, _, plain = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise NotKnown
        if plain.startswith(KEY_PREFIX):
            asked = Asked(hash_key(plain), "", named)
            grant = self._grants.get(asked)
            return grant if grant is not None and now < grant.until else await self._look_up(asked)
        token = self.tokens.read(plain, now)
        if named not in ("", token.app_id):
            raise _not_its_app()
        asked = Asked("", token.key_id, token.app_id)
        grant = self._grants.get(asked)
        if grant is None or now >= grant.until:
            grant = await self._look_up(asked)
        return _for_visitor(grant, token)

    async def confirm(self, grant: Grant, revision: int) -> Grant:
        """The grant that is true at `revision`. Raises NotKnown when the key was revoked meanwhile, NotAllowed when its
        provider lost the app."""
        if grant.revision == revision:
            return grant
        known = self._grants.get(grant.asked)
        if known is None or known.revision != revision:
            known = await self._look_up(grant.asked)
        return replace(known, user_id=grant.user_id, until=grant.until) if grant.user_id else known

    async def _look_up(self, asked: Asked) -> Grant:
        try:
            found = await self._look_ups.find(asked)
        except (NotKnown, NotAllowed):  # not for a store that is away: what was true last is still the best guess
            self._grants.pop(asked, None)
            raise
        tenant = found.tenant
        if tenant is None:
            raise RuntimeError("a key was chosen without an app")
        if len(self._grants) >= REMEMBERED_KEYS:
            self._grants.clear()
        zone, app_id = ZoneInfo(tenant.settings.time_zone), tenant.settings.app_id
        self._grants[asked] = grant = Grant(app_id, found.scope, tenant, zone, found.key_id, found.until, asked)
        return grant


class LookUps:
    """Keys that this worker does not know, asked of the store together."""

    def __init__(self, store: Store, reads: Reads) -> None:
        self._store = store
        self._reads = reads
        self._waiting: dict[Asked, list[Found | HuaxiangError]] = {}
        self._turn = asyncio.Lock()
        self._next_at = 0.0

    async def find(self, asked: Asked) -> Found:
        """The key with the app that it opens, read after this was asked. Raises NotKnown, NotAllowed,
        StoreUnavailable."""
        answer = self._waiting.setdefault(asked, [])  # one who asks the same at the same time shares the answer
        async with self._turn:
            while not answer:
                self._waiting.setdefault(asked, answer)
                await self._ask()
        if isinstance(answer[0], HuaxiangError):
            raise answer[0]
        return answer[0]

    async def _ask(self) -> None:
        """Asks for all that wait, or for the first of very many."""
        await asyncio.sleep(max(self._next_at - time.monotonic(), 0))
        batch = {asked: self._waiting.pop(asked) for asked in [*self._waiting][:MOST_AT_ONCE]}
        try:
            found = await self._reads.quick(self._store.find_keys, *_parts(batch))
        except StoreUnavailable as error:
            answers: list[Found | HuaxiangError] = [error] * len(batch)
        except BaseException:  # who was asking is gone; the others still wait
            self._waiting = batch | self._waiting
            raise
        else:
            answers = [_chosen(found, asked) for asked in batch]
        for waiting, answer in zip(batch.values(), answers, strict=True):
            waiting.append(answer)
        if any(isinstance(answer, HuaxiangError) for answer in answers):
            self._next_at = time.monotonic() + PAUSE_S


def _parts(batch: Iterable[Asked]) -> tuple[set[str], set[str], set[str]]:
    """Hashes, ids and apps to look for; what cannot be an app is none, and not every database takes any text."""
    hashes, key_ids, named = (set(parts) for parts in zip(*batch, strict=True))
    return hashes - {""}, key_ids - {""}, {name for name in named if APP_ID.fullmatch(name)}


def _chosen(found: Iterable[Found], asked: Asked) -> Found | HuaxiangError:
    """Of all keys that were found, the one that was asked for with its app; what refuses it where there is none."""
    mine = [one for one in found if asked.key_id == one.key_id or asked.hash == one.hash]
    if not mine:
        return NotKnown()
    named = asked.app_id or mine[0].own_app_id
    return next((one for one in mine if one.tenant is not None and one.tenant.settings.app_id == named), _not_its_app())


def _not_its_app() -> NotAllowed:
    return NotAllowed("an app of this key, by the header X-App-Id if it has several")


def _for_visitor(grant: Grant, token: Token) -> Grant:
    return Grant(
        grant.app_id, grant.scope, grant.tenant, grant.zone, grant.key_id, token.until, grant.asked, token.user_id
    )


def in_control(tenant: Tenant, user_id: str) -> bool:
    """Whether the visitor belongs to the share that gets the popular shelf: always or never, as long as it stands.

    A keyed hash (BLAKE2b with the app's own salt) of the visitor as a number between 0 and 1, so that the share is
    random, the same on every worker, and nobody outside can guess an arm.
    """
    return _place(tenant, "control", user_id) < tenant.settings.control_share


def in_offer_control(tenant: Tenant, user_id: str) -> bool:
    """Whether the visitor belongs to the share that is never given an offer, drawn as `in_control` is and apart from
    it."""
    return _place(tenant, "offers", user_id) < tenant.settings.offer_control_share


def _place(tenant: Tenant, purpose: str, user_id: str) -> float:
    digest = hashlib.blake2b(
        user_id.encode(), digest_size=8, key=tenant.salt.encode(), person=purpose.encode()
    ).digest()
    return int.from_bytes(digest) / 2**64
