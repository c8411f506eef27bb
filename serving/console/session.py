"""Who is at the console: one app, for some hours, in a signed cookie.

A key with the scope `marketing` opens a session that lasts as long as the key is not revoked, at most
`SESSION_HOURS`. The cookie names the key, never holds it. A session opened by a one-time link (`links`) is not tied to
a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

SESSION_HOURS = 12
COOKIE = "huaxiang_console"


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor of the console: the one app that may be seen, until when (seconds since 1970), and by which key."""

    app_id: str
    until: int
    key_id: str


def seal(session: Session, secret: str) -> str:
    """The session as text that cannot be changed without the secret (HMAC-SHA256)."""
    body = json.dumps([session.app_id, session.until, session.key_id], separators=(",", ":")).encode()
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (body, _sign(body, secret)))


def unseal(text: str, secret: str, now: float) -> Session | None:
    """The session that `seal` made, or None when it is missing, changed, of another secret or over."""
    try:
        body, signature = (base64.b64decode(f"{part}===", altchars=b"-_") for part in text.split("."))
    except (ValueError, binascii.Error):
        return None
    if not hmac.compare_digest(signature, _sign(body, secret)):
        return None
    session = Session(*json.loads(body))
    return session if now < session.until else None


def _sign(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), b"huaxiang console:" + body, hashlib.sha256).digest()
