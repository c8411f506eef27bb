"""Behaviour: what every visitor did lately, as files of the portrait set, for rules by night and by day.

FILE holds one row an event of the last `grammar.WINDOW_DAYS` local days, moments kept, since a sequence needs their
order. Of what is older only the first event of each kind stays (type, item, content, store and offer): that is what
"ever" and "for the first time" ask for, whatever the rule names. The events are those that features see: before T,
without test traffic and without visitors who refused.

Sessions that may still go on at T are kept whole in OPEN_FILE, test traffic included: whether a session is test traffic
may be told by an event after T, and what a later event belongs to by one before. `acts_by_now` joins the files with
the day's events, and counts what the next night will count.

The night writes them (`portraits.behaviour_files`); this is how the day reads them, without any engine.
"""

from __future__ import annotations

from collections.abc import Iterable

from portraits.portrait_set import PortraitSet
from portraits.rules.match import Act
from portraits.rules.traffic import Happened, without_test_traffic

FILE = "behaviour.parquet"
OPEN_FILE = "open_sessions.parquet"
COLUMNS = ("user_id", "us", "type", "item_id", "content_id", "store_id", "offer_id", "amount")
"""Of FILE; `us`: microseconds since 1970, the others as in the events table. OPEN_FILE has platform and scene, too."""


def acts_of(portraits: PortraitSet, user_id: str) -> list[Act]:
    """One visitor's behaviour as of T, oldest first; empty for an unknown one. Reads a row group or two."""
    rows = portraits.sorted_file(FILE).rows(user_id)
    return list(map(Act, *(rows[name].to_pylist() for name in COLUMNS[1:])))


def acts_by_now(portraits: PortraitSet, user_id: str, since: Iterable[Happened]) -> list[Act]:
    """One visitor's behaviour as of T and what happened since, without test traffic, oldest first."""
    rows = portraits.sorted_file(OPEN_FILE).rows(user_id).to_pylist()
    going_on = [Happened.of(row["us"], row) for row in rows]
    start = min((one.act.us for one in going_on), default=None)
    ended = [act for act in acts_of(portraits, user_id) if start is None or act.us < start]
    return sorted([*ended, *without_test_traffic([*going_on, *since])], key=lambda act: act.us)
