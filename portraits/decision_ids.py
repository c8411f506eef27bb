"""Ids of answers that carry their own proof: given by this app, not made up and not another app's.

An id is 24 random hex digits, a hyphen, and 16 hex digits of a BLAKE2b of the former, keyed with the app's salt. Every
replica and the night know the salt, so that no further secret is needed; an app's ids prove nothing for another app.

What names an answer of the history is held against that row: same person, not before it (`portraits.attribution`). The
signature is for what the history does not hold: an id that is *signed* was given, and its row was lost (answers are
written behind the reply, so a crash may lose the last second); one in this form that is *forged* was not given by this
app; any other is *foreign*, as ids of imported decisions may be. It is the app's and not the person's: the phone that
was answered and the member who buys may be two ids of one person, linked only later, which only the row can tell.

Nothing is checked as events come in: a wrong id is an event's own mistake, not the event's; the night finds it out for
all at once, and nothing counts for an answer that the row does not prove.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from typing import Literal

Verdict = Literal["signed", "forged", "foreign"]

RANDOM_BYTES, AT_ONCE = 12, 256
_FORM = re.compile(r"([0-9a-f]{24})-([0-9a-f]{16})")


class _Random:
    """Random bytes of the system, fetched many at a time: a system call for each id would take longer than the rest."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        os.register_at_fork(after_in_child=self._parts.clear)  # a child must not give its parent's ids

    def take(self) -> bytes:
        try:
            return self._parts.pop()
        except IndexError:
            many = os.urandom(RANDOM_BYTES * AT_ONCE)
            self._parts.extend(many[at : at + RANDOM_BYTES] for at in range(RANDOM_BYTES, len(many), RANDOM_BYTES))
            return many[:RANDOM_BYTES]


_random = _Random()


def signed(salt: str) -> str:
    """A new id of the app with that salt: 41 characters, about a microsecond."""
    name = _random.take().hex()
    return f"{name}-{_signature(salt, name)}"


def draw_of(decision_id: str) -> int:
    """64 random bits of a signed id: what was drawn for an answer can be drawn again from its id."""
    return int(decision_id[:16], 16)


def verify(salt: str, decision_id: str) -> Verdict:
    """What an id says of itself; a matter of the text alone."""
    found = _FORM.fullmatch(decision_id)
    if found is None:
        return "foreign"
    return "signed" if secrets.compare_digest(found[2], _signature(salt, found[1])) else "forged"


def _signature(salt: str, name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8, key=salt.encode(), person=b"decision").hexdigest()
