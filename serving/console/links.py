"""One-time links into the console: a random token whose hash names a file, deleted by the first use.

Deleting a file is atomic between processes, so of two workers that see the same token one lets it in. The file says
which app the link opens and until when.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from contextlib import suppress
from pathlib import Path

from serving.private import private_folder

LINK_HOURS = 1


def make_link(home: Path, app_id: str) -> str:
    """A token that opens the console for `app_id` once within `LINK_HOURS`; only its SHA-256 is kept. Links that are
    too old are deleted by the way."""
    token = secrets.token_urlsafe(32)
    file = _file(home, token)
    now = time.time()
    private_folder(home)
    private_folder(file.parent)
    for old in file.parent.iterdir():
        with suppress(FileNotFoundError):  # used at this moment
            if old.stat().st_mtime < now - LINK_HOURS * 3600:
                old.unlink()
    file.write_text(json.dumps({"app_id": app_id, "until": int(now) + LINK_HOURS * 3600}))
    return token


def use_link(home: Path, token: str) -> str | None:
    """The app that the token opens, or None when it is unknown, used or too old. It works once."""
    file = _file(home, token)
    try:
        link = json.loads(file.read_text())
        file.unlink()
    except FileNotFoundError:
        return None
    return str(link["app_id"]) if time.time() < link["until"] else None


def _file(home: Path, token: str) -> Path:
    return home / "links" / hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
