"""Lists for an occasion: what is taken in a store, by an entrance, at an hour, after an article, and what rises now.

Each list has a key, `kind:name` ("store:s1", "scene:wechat:1011", "hour:8", "article:c7", "readers:c7", "now"), and
is an inverted file of the bundle: items, best first, with a score and the number that a reason may rest on. The night
counts them (`recommender.counting.counted`); by day a request names its occasion, and the lists that exist for it
speak. Nothing in them is about the visitor who asks, so they may speak to whoever wants nothing personal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.proposals import Table
from recommender.answers.reasons import reason
from recommender.bundles.bundle import Bundle
from recommender.types import Evidence, Query, Reason

NOW = "now"
CODES = {
    "store": "popular_in_store",
    "scene": "popular_by_entrance",
    "hour": "popular_at_this_hour",
    "article": "from_this_article",
    "readers": "readers_took",
    NOW: "trending",
}
"""Kind of list -> the reason of what stands on it by itself."""
DEFAULT_PLATFORM = "wechat"
ARTICLE_WEIGHT = 1.0
"""As much as the item on the page: who reads about something looks at it."""
HEAD = 100
"""Items of each list that are mixed with others."""
VISITOR_WEIGHT = 0.25
"""Of a store's list beside a visitor's own candidates: it fills where the store does not sell them."""


class Listed(NamedTuple):
    """One list as the night made it. items: rows of the vocabulary, best first. scores: 0 to 1, descending.

    support: what a reason may say (visitors who took it there; how many times its usual rate), 0 where the item stands
    on the list for another reason than the occasion. weight: how much the list says, against lists of other kinds.
    """

    key: str
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    support: NDArray[np.float32]
    weight: float = 1.0


class Voice(NamedTuple):
    """A list that speaks in an answer: its row in the bundle, how loud, and whether what is popular everywhere stands
    on it too."""

    row: int
    weight: float
    whole: bool


def pack(lists: Iterable[Listed]) -> dict[str, NDArray[Any]]:
    """The bundle's arrays of the lists, by key in byte order; lists without an item are left out."""
    kept = sorted((one for one in lists if len(one.items)), key=lambda one: one.key.encode())
    lengths = [len(one.items) for one in kept]

    def joined(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
        return np.concatenate(parts).astype(dtype) if parts else np.empty(0, dtype)

    return {
        "occasions": np.array([one.key.encode() for one in kept], np.bytes_),
        "occasion_weights": np.array([one.weight for one in kept], np.float32),
        "occasion_indptr": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "occasion_items": joined([one.items for one in kept], np.int32),
        "occasion_scores": joined([one.scores for one in kept], np.float32),
        "occasion_support": joined([one.support for one in kept], np.float32),
    }


def voices(bundle: Bundle, query: Query, *, known: bool) -> list[Voice]:
    """The lists that exist for the occasion of a request. `known`: the night made candidates for the visitor.

    To a stranger the store, the entrance and the hour speak, each as loud as it tells the taste of others there; to a
    known visitor only the store, and softly. An article speaks to everyone.
    """
    if not len(bundle.occasions) or (known and query.store_id is None and query.content_id is None):
        return []
    named = {"store": query.store_id}
    if not known:
        if query.scene is not None:
            named["scene"] = f"{query.platform or DEFAULT_PLATFORM}:{query.scene}"
        if query.hour is not None:
            named["hour"] = str(query.hour)
    rows = [bundle.occasions.index(f"{kind}:{name}") for kind, name in named.items() if name is not None]
    places = {row: float(bundle.occasion_weights[row]) for row in rows if row >= 0}
    total, loud = sum(places.values()), VISITOR_WEIGHT if known else 1.0
    found = [Voice(row, loud * weight / total, True) for row, weight in places.items() if weight > 0]
    if query.content_id is not None:
        rows = [bundle.occasions.index(f"{kind}:{query.content_id}") for kind in ("article", "readers")]
        found += [Voice(row, ARTICLE_WEIGHT, False) for row in rows if row >= 0]
    return found


def listed(bundle: Bundle, row: int) -> slice:
    """Where the entries of a list stand in the bundle's arrays."""
    return slice(int(bundle.occasion_indptr[row]), int(bundle.occasion_indptr[row + 1]))


def hear(bundle: Bundle, table: Table, speaking: Sequence[Voice], loudness: float) -> Table:
    """The table with what the lists say added, best first: an item's parts add up, the largest is its cause.

    `loudness` multiplies every list. A popular table (row -1) is left out where a place or an hour speaks: their lists
    hold what is popular everywhere already.
    """
    parts = [listed(bundle, voice.row) for voice in speaking]
    own = table.items[:0] if table.row < 0 and any(voice.whole for voice in speaking) else table.items
    if len(parts) == 1 and not len(own):
        part = parts[0]
        scores = bundle.occasion_scores[part] * np.float32(loudness * speaking[0].weight)
        return Table(bundle.occasion_items[part], scores, table.row, np.arange(-1 - part.start, -1 - part.stop, -1))
    parts = [slice(part.start, min(part.stop, part.start + HEAD)) for part in parts]
    items = np.concatenate([own, *(bundle.occasion_items[part] for part in parts)])
    heard = [
        bundle.occasion_scores[part] * np.float32(loudness * voice.weight)
        for part, voice in zip(parts, speaking, strict=True)
    ]
    scores = np.concatenate([table.scores[: len(own)], *heard])
    # Where each part comes from: a place of the visitor's own table, or, below zero, an entry of the lists.
    origins = np.concatenate([np.arange(len(own)), *(-1 - np.arange(part.start, part.stop) for part in parts)])
    by_item = np.lexsort((-scores, items))
    ordered = items[by_item]
    firsts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    total = np.add.reduceat(scores[by_item], firsts) if len(firsts) else scores
    best = np.argsort(-total, kind="stable")
    return Table(ordered[firsts[best]], total[best], table.row, origins[by_item[firsts[best]]])


def told(bundle: Bundle, entries: Sequence[int] | NDArray[Any], lang: str) -> list[tuple[str, Reason]]:
    """Source and reason of entries of the lists: "popular" where the occasion is not why."""
    rows = (bundle.occasion_indptr.searchsorted(entries, "right") - 1).tolist()
    plain = "popular", reason("popular", lang)
    spoken = {row: _spoken(bundle.occasions.id(row), lang) for row in set(rows)}
    lines = []
    for row, support in zip(rows, bundle.occasion_support.take(entries).tolist(), strict=True):
        kind, name, why = spoken[row]
        lines.append((kind, Reason(why.code, why.text, _EVIDENCE[kind](name, support))) if support > 0 else plain)
    return lines


def _spoken(key: str, lang: str) -> tuple[str, str, Reason]:
    """Kind and name of a list, and what is said of its items."""
    kind, _, name = key.partition(":")
    return kind, name, reason(CODES[kind], lang)


def _entrance(name: str, visitors: float) -> Evidence:
    platform, _, scene = name.partition(":")
    return {"platform": platform, "scene": scene, "visitors": int(visitors)}


_EVIDENCE: Mapping[str, Callable[[str, float], Evidence]] = {
    "store": lambda name, visitors: {"store_id": name, "visitors": int(visitors)},
    "scene": _entrance,
    "hour": lambda name, visitors: {"hour": int(name), "visitors": int(visitors)},
    "article": lambda name, _: {"content_id": name},
    "readers": lambda name, visitors: {"content_id": name, "visitors": int(visitors)},
    NOW: lambda _, times: {"times_usual": round(times, 1)},
}
