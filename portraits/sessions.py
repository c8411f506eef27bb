"""Sessions: one rule for night and day.

A session ends after 30 minutes of silence, or when a launch comes in by another entrance. The entrance of a session
is the scene of its first event; a later launch by the same entrance, or one without a scene, stays in the session and
is what the next launch is compared with.

`begins` is the rule itself. It is written with operators that plain Python values and Ibis columns share, so that the
night's windows (`portraits.visits`) and the day's next event run the very same line. This module imports nothing.
"""

from __future__ import annotations

from typing import Any

SILENCE_US = 30 * 60 * 1_000_000


def begins(silence_us: Any, is_launch: Any, entrance: Any, previous: Any) -> Any:
    """Whether an event begins a session.

    silence_us: microseconds since the visitor's previous event; more than SILENCE_US where there is none.
    is_launch: the event is a launch. entrance: its scene, '' when it has none.
    previous: scene of the visitor's latest launch or session start before it, '' when it had none.
    """
    return (silence_us > SILENCE_US) | (is_launch & (entrance != "") & (previous != "") & (entrance != previous))
