"""What a night counts becomes arrays that a bundle takes: from the past alone, and twice the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from portraits.engine import connect
from portraits.history import CONTENTS, EVENTS, ITEMS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend, together, trending
from recommender.bundles.bundle import Bundle
from recommender.counting.counted import counted
from recommender.history.reading import History
from recommender.types import Query

START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=60)
MANIFEST = {"sources": [], "target": "purchase", "repeat": False}


def act(user: str, item: str, day: float, kind: str = "purchase", **more: Any) -> dict[str, Any]:
    ts = START + timedelta(days=day)
    return {"event_id": f"{user}-{item}-{day}", "user_id": user, "ts": ts, "type": kind, "item_id": item, **more}


PAST = [
    *(act(f"u{n}", item, n % 50, order_id=f"o{n}") for n in range(40) for item in ("pot", "tea")),
    *(act(f"w{n}", f"odd{n % 7}", n / 5) for n in range(290)),
    *(act(f"s{n}", "local", 20 + n % 30, store_id="s1") for n in range(60)),
    *(act(f"n{n}", "cup", 57 + n / 20) for n in range(40)),
]
LATER = [act(f"x{n}", item, 60 + n / 40, order_id=f"x{n}") for n in range(40) for item in ("odd1", "odd2")]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    return filled(lake, PAST + LATER)


def filled(lake: Lake, rows: list[dict[str, Any]]) -> History:
    lake.append_events("shop", pa.Table.from_pylist(rows, EVENTS.arrow_schema()))
    contents = [
        {"content_id": "c1", "item_ids": ["tea", "local", "gone", "tea", "secret"]},
        {"content_id": "c9", "item_ids": ["gone"]},
    ]
    lake.upsert("shop", "contents", pa.Table.from_pylist(contents, CONTENTS.arrow_schema()), START)
    items = [{"item_id": "secret", "hidden": True}]
    lake.upsert("shop", "items", pa.Table.from_pylist(items, ITEMS.arrow_schema()), START)
    return History(lake.snapshot("shop"), AppSettings("shop"), AS_OF, connect())


def bundle_of(history: History) -> Bundle:
    dataset = history.dataset()
    return Bundle.of({"items": dataset.items, **counted(history, dataset)}, MANIFEST)


def test_a_bundle_takes_them_and_answers_by_them(history: History) -> None:
    bundle = bundle_of(history)
    catalogue = Catalogue.from_bundle(bundle)
    first = together(bundle, catalogue, Query("", 1, AS_OF, item_id="tea")).items[0]
    assert (first.item_id, first.reason.evidence["orders"]) == ("pot", 40)
    first = trending(bundle, catalogue, Query("", 1, AS_OF)).items[0]
    assert (first.item_id, first.reason.code) == ("cup", "trending")
    first = recommend(bundle, catalogue, Query("stranger", 1, AS_OF, store_id="s1")).items[0]
    assert (first.item_id, first.reason.code) == ("local", "popular_in_store")


def test_an_article_s_items_are_those_of_the_catalogue_that_may_be_shown(history: History) -> None:
    bundle = bundle_of(history)
    answer = recommend(bundle, Catalogue.from_bundle(bundle), Query("stranger", 2, AS_OF, content_id="c1"))
    assert [(one.item_id, one.reason.code) for one in answer.items] == [
        ("tea", "from_this_article"),
        ("local", "from_this_article"),
    ]
    assert bundle.occasions.index("article:c9") == -1, "an article whose items are unknown"


@pytest.mark.law
def test_what_happens_later_changes_nothing(history: History, tmp_path: Path) -> None:
    """Law 1, and law 12 by the way."""
    ours, past_only = bundle_of(history), bundle_of(filled(Lake(tmp_path), PAST))
    for name, array in ours.arrays.items():
        np.testing.assert_array_equal(array, past_only.arrays[name], name)


def test_an_empty_history_has_nothing_to_count(tmp_path: Path) -> None:
    history = filled(Lake(tmp_path), [act("a", "x", 1, "item_view")])
    dataset = history.dataset()
    made = counted(history, dataset)
    assert made["together_items"].shape == (len(dataset.items), 0)
    assert made["occasions"].tolist() == []
