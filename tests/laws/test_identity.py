"""Laws of identity: a person's history counts as if it had been written under one id from the start, and no further."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import planted_history as planted
import pytest
from planted_links import Row, link

from portraits.build import fields, past_of
from portraits.engine import connect
from portraits.history import CONTENTS, EVENTS, IDENTITIES, ITEMS, STORES, USERS
from portraits.lake import Lake
from portraits.past import Past
from recommender.history.reading import History

pytestmark = pytest.mark.law
APP = planted.SETTINGS.app_id
LINKED = [f"u{n:02}" for n in range(2, 20)]
"""Visitors whose history is written under three ids; u03 and u11 among them refused."""
BEFORE_ALL = planted.START - timedelta(days=400)


def declared() -> list[Row]:
    """What is known of visitors under one id each."""
    return [
        {"user_id": "u03", "consent": False},
        {"user_id": "u04", "consent": True, "points": 7},
        {"user_id": "u05", "joined_at": planted.START, "member_tier": "gold", "points": 5},
        {"user_id": "u11", "consent": False},
        {"user_id": "u30", "member_tier": "basic"},
    ]


def scattered(rows: list[Row], seed: int = 1) -> list[Row]:
    """The same rows, each under one of the ids of its visitor (and of whoever brought that visitor)."""
    rng = random.Random(seed)

    def other(user: str | None) -> str | None:
        return rng.choice([user, f"o-{user}", f"a-{user}"]) if user in LINKED else user

    named = ("user_id", "referrer_user_id")
    return [{**row, **{name: other(row[name]) for name in named if name in row}} for row in rows]


def told() -> list[Row]:
    """The same, some of it under another of their ids, some of it under several."""
    later = planted.START + timedelta(days=9)
    return [
        {"user_id": "a-u03", "consent": False},
        {"user_id": "u03", "consent": True},
        {"user_id": "a-u04", "consent": True},
        {"user_id": "o-u04", "points": 7},
        {"user_id": "u05", "joined_at": later, "member_tier": "gold"},
        {"user_id": "o-u05", "joined_at": planted.START, "member_tier": "basic", "points": 5},
        {"user_id": "u11", "consent": False},
        {"user_id": "u30", "member_tier": "basic"},
    ]


def all_links() -> list[Row]:
    """Each visitor's three ids by two rows that meet in the openid; the first is learnt after most of the history."""
    rows = []
    for n, user in enumerate(LINKED):
        known = planted.AS_OF - timedelta(days=n + 1)
        rows.append(link(2 * n, user_id=user, openid=f"o-{user}") | {"linked_at": known})
        rows.append(link(2 * n + 1, openid=f"o-{user}", anonymous_id=f"a-{user}") | {"linked_at": None})
    return rows


def history(folder: Path, events: list[Row], users: list[Row], links: list[Row] = ()) -> Lake:  # type: ignore[assignment]
    lake = Lake(folder)
    lake.append_events(APP, planted.arrow(EVENTS, events))
    for table, rows in ((ITEMS, planted.items()), (STORES, planted.stores()), (CONTENTS, planted.contents())):
        lake.upsert(APP, table.name, planted.arrow(table, rows), BEFORE_ALL)
    by_id = {row["user_id"]: row for row in users}
    lake.upsert(APP, "users", planted.arrow(USERS, list(by_id.values())), BEFORE_ALL)
    relinked(lake, links, BEFORE_ALL)
    return lake


def relinked(lake: Lake, links: list[Row], valid_from: Any) -> None:
    if links:
        lake.upsert(APP, "identities", planted.arrow(IDENTITIES, links), valid_from)


def one_id(folder: Path) -> Lake:
    return history(folder, planted.events(), declared())


def merged(folder: Path) -> Lake:
    return history(folder, scattered(planted.events()), told(), all_links())


def shuffled(folder: Path) -> Lake:
    parts = [scattered(planted.events()), told(), all_links()]
    for seed, rows in enumerate(parts):
        random.Random(seed).shuffle(rows)
    return history(folder, *parts)


def unlinked(folder: Path) -> Lake:
    return history(folder, scattered(planted.events()), told())


def undone(folder: Path) -> Lake:
    """Every link is taken back on the day before T."""
    lake = merged(folder)
    nothing = [{"link_id": row["link_id"]} for row in all_links()]
    relinked(lake, nothing, planted.AS_OF - timedelta(days=1))
    return lake


def linked_after(folder: Path) -> Lake:
    """Links that are learnt at T or later, and one whose ids came after T."""
    late = [row | {"linked_at": planted.AS_OF + timedelta(hours=n)} for n, row in enumerate(all_links())]
    lake = history(folder, scattered(planted.events()), told(), [*late, link(500)])
    relinked(lake, [link(500, user_id="u20", openid="u21")], planted.AS_OF + timedelta(seconds=1))
    return lake


def shared_by_many(folder: Path) -> Lake:
    """Everybody came by one tablet, too: an identifier that says nothing about who they are."""
    tablet = [link(900 + n, user_id=f"u{n:02}", unionid="tablet") for n in range(40)]
    return history(folder, scattered(planted.events()), told(), [*all_links(), *tablet])


def past(made: Callable[[Path], Lake], folder: Path) -> Past:
    return past_of(made(folder).snapshot(APP), planted.SETTINGS, planted.AS_OF, connect())


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Lake]], list[str]]:
    """All that features are handed of the visitors: their events and what they declared, in a fixed order."""

    @cache
    def rows(made: Callable[[Path], Lake]) -> list[str]:
        read = past(made, tmp_path_factory.mktemp("lake"))
        return sorted(str(row) for table in (read.before, read.lake_users) for row in table.to_pyarrow().to_pylist())

    return rows


def test_a_merged_portrait_is_that_of_one_id_from_the_start(tmp_path: Path) -> None:
    """Equal to the last bit: nothing counts twice, and who refused under one id has no portrait under any."""
    found, expected = (
        fields(past(made, tmp_path / made.__name__)).order_by("user_id").to_pyarrow().to_pylist()
        for made in (merged, one_id)
    )
    users = [row["user_id"] for row in found]
    assert users == [row["user_id"] for row in expected]
    assert not {"u03", "u11", "a-u03"} & set(users)
    for one, other in zip(found, expected, strict=True):
        assert one == other


@pytest.mark.parametrize("made", [merged, shuffled, shared_by_many])
def test_features_see_one_id(seen: Any, made: Callable[[Path], Lake]) -> None:
    """Whatever the order of events, visitors and links, and with a tablet that everybody signed in on."""
    assert seen(made) == seen(one_id)


@pytest.mark.parametrize("made", [undone, linked_after])
def test_a_link_that_is_not_there_moves_nothing(seen: Any, made: Callable[[Path], Lake]) -> None:
    """Taken back, or from the future: as if it had never been."""
    assert seen(made) == seen(unlinked) != seen(one_id)


def test_the_model_speaks_of_the_same_people(tmp_path: Path) -> None:
    def dataset(made: Callable[[Path], Lake]) -> Any:
        snapshot = made(tmp_path / made.__name__).snapshot(APP)
        return History(snapshot, replace(planted.SETTINGS), planted.AS_OF, connect()).dataset()

    found, expected = dataset(merged), dataset(one_id)
    assert found.users.tolist() == expected.users.tolist()
    for name in ("user", "item", "ts_us", "kind"):
        order, as_expected = (np.lexsort((d.kind, d.ts_us, d.item, d.user)) for d in (found, expected))
        assert np.array_equal(getattr(found, name)[order], getattr(expected, name)[as_expected])
