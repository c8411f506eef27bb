"""Tokens for visitors' phones: short-lived, for one visitor of one app, signed so that no one else can make one.

A token is a JSON Web Token (RFC 7519, by PyJWT) with one fixed algorithm, HMAC-SHA256, and a key derived from
HUAXIANG_SECRET for nothing else. It names the server key that it was made with: when that ends (revoked, or rotated and
its grace over), its tokens end with it, and a route that needs scope `admin` opens only to tokens that were made with a
key of that scope. All else that is a visitor's (`Route.user`) any token may ask for its own visitor.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

import jwt

from portraits.errors import NoSecret, NotKnown

ALGORITHM = "HS256"
ISSUER = "huaxiang"
AUDIENCE = "huaxiang visitor"
DEFAULT_TTL_S = 900
LONGEST_TTL_S = 3_600
LONGEST_TOKEN = 4_000
"""Characters; the longest that is made here (a user_id of 128 characters, each six bytes in JSON) has about 1,500."""
REMEMBERED_TOKENS = 20_000
_CLAIMS = ("iss", "aud", "exp", "iat", "sub", "app", "key")


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. `until`: seconds since 1970 from which on it is void."""

    app_id: str
    key_id: str
    user_id: str
    until: float


class Tokens:
    """Makes and reads tokens; those that were read are remembered by their hash, as reading costs 50 us."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"huaxiang token", "sha256") if secret else b""
        self._head = jwt.encode({}, self._key, ALGORITHM).partition(".")[0] + "." if secret else ""
        self._read: dict[bytes, Token] = {}

    def make(self, token: Token, now: float) -> str:
        """The signed text. Raises NoSecret."""
        if not self._key:
            raise NoSecret("a token")
        claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": int(now), "exp": int(token.until)}
        own = {"sub": token.user_id, "app": token.app_id, "key": token.key_id}
        return jwt.encode(claims | own, self._key, ALGORITHM)

    def read(self, text: str, now: float) -> Token:
        """What a token that is valid now says. Raises NotKnown for anything else."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        token = self._read.get(digest)
        if token is None:
            token = self._verified(text)
            if len(self._read) >= REMEMBERED_TOKENS:
                self._read.clear()
            self._read[digest] = token
        if now >= token.until:
            raise NotKnown
        return token

    def _verified(self, text: str) -> Token:
        """No header but ours is parsed: that would come before the signature is known to be right."""
        if not self._key or len(text) > LONGEST_TOKEN or not text.startswith(self._head) or not _is_canonical(text):
            raise NotKnown
        try:
            claims = jwt.decode(
                text,
                self._key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # The clock of the replica that made it may be ahead of this one's; exp is checked on every request.
                options={"require": list(_CLAIMS), "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            raise NotKnown from None
        return Token(claims["app"], claims["key"], claims["sub"], float(claims["exp"]))


def _is_canonical(text: str) -> bool:
    """Whether the signature is spelt as it is made: base64 has bits to spare, and decoders skip what is no base64, so
    that one signature could be written in several ways. All else is signed as it stands."""
    signature = text.rpartition(".")[2]
    try:
        decoded = base64.urlsafe_b64decode(f"{signature}=")
    except ValueError:
        return False
    return base64.urlsafe_b64encode(decoded).rstrip(b"=") == signature.encode("utf-8", "replace")
