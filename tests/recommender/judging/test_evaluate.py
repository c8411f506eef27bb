"""The table of a backtest: what the lists are like, visitors by segment, strangers; in words and in JSON."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recommender.bundles.bundle import Bundle
from recommender.candidates import make
from recommender.fusion.assemble import popular_arrays
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts
from recommender.history.split import Split, by_time
from recommender.judging import evaluate
from recommender.judging.evaluate import PARTS, UNKNOWN, Table
from recommender.judging.lists import NATURE
from recommender.judging.metrics import METRICS

CUT = 20 * DAY_US


def planted() -> Split:
    """Thirty users with 1 to 10 purchases before the cut and one after, twelve items of two categories; five users
    come after the cut and buy item 0, the most popular one, or item 11, which nobody knows."""
    rng = np.random.default_rng(0)
    rows = [(f"u{n:02}", f"i{rng.integers(11):02}", int(turn)) for n in range(30) for turn in range(1 + n // 3)]
    rows += [(f"u{n:02}", "i00", 19) for n in range(30)]
    rows += [(f"u{n:02}", f"i{n % 11:02}", 21) for n in range(30)]
    rows += [(f"x{n}", "i00" if n < 4 else "i11", 21) for n in range(5)]
    users, items, days = zip(*rows, strict=True)
    dataset = Dataset.from_arrays(users, items, np.array(days) * DAY_US, extra_items=["i11"])
    paths = np.full((12, 4), -1, np.int32)
    paths[:, 0] = np.arange(12) % 2
    facts = replace(Facts.none(12), category=paths, categories=np.array([b"tea", b"ware"]))
    return by_time(replace(dataset, facts=facts), CUT)


@pytest.fixture(scope="module")
def table() -> Table:
    split = planted()
    sources = [source.fit(split.train, 0) for source in make(("popular", "again", "similar"))]
    return evaluate.table(split, evaluate.judge_sources(split, sources, 10), seed=0, ks=(5, 10))


def test_segments_are_parts_of_the_whole(table: Table) -> None:
    whole = {(row.name, row.part): row for row in table.rows if row.k == 5 and row.part in PARTS}
    assert {row.among for row in table.segments} == {"new", "regular", "loyal"} == set(table.among)
    for (name, part), row in whole.items():
        parts = [one for one in table.segments if (one.name, one.part) == (name, part)]
        assert sum(one.users for one in parts) == row.users
        for metric in METRICS:
            mean = sum(one.users * one.estimates[metric].mean for one in parts) / row.users
            assert mean == pytest.approx(row.estimates[metric].mean)
    assert all(row.k == 5 for row in table.segments)


def test_lists_are_measured_in_every_row(table: Table) -> None:
    for row in table.rows:
        assert set(NATURE) <= set(row.estimates)
        one = row.estimates["novelty"]
        assert one.low <= one.mean <= one.high or row.coverage == 0  # all that `again` knows was taken before
    own = next(row for row in table.rows if (row.name, row.part, row.k) == ("again", "all", 5))
    popular = next(row for row in table.rows if (row.name, row.part, row.k) == ("popular", "all", 5))
    assert own.estimates["miscalibration"].mean < popular.estimates["miscalibration"].mean
    assert own.estimates["novelty"].mean > popular.estimates["novelty"].mean


def test_who_comes_after_the_past_is_judged_by_what_every_stranger_sees(table: Table) -> None:
    """Four of five find item 0, which is first; nothing that goes by the user answers a stranger."""
    rows = {row.name: row for row in table.rows if row.part == UNKNOWN and row.k == 5}
    assert set(rows) == {"popular"}
    assert rows["popular"].users == 5
    assert rows["popular"].estimates["mrr"].mean == pytest.approx(4 / 5)
    assert np.isnan(rows["popular"].estimates["miscalibration"].mean)


def test_an_item_of_the_future_is_never_served() -> None:
    """Item 11 first comes after the cut; there is room for it on every list."""
    split = planted()
    arrays = popular_arrays(split.train, split.users)
    bundle = Bundle.of(arrays, {"sources": [], "target": list(split.train.target), "repeat": True})
    served = evaluate.judge_served("served", split, bundle, k=12)
    assert split.truth.sum() > 0
    for part in (*PARTS, UNKNOWN):
        assert not (served.lists[part] == 11).any()
    assert (np.sum(served.lists["all"] >= 0, axis=1) == 11).all()


def test_words_and_json(table: Table) -> None:
    words = table.as_text()
    for said in ("recall@5", "hit@10", "what the lists are like", "coverage@5", "by segment of visitors (new: "):
        assert said in words
    told = table.as_json()
    assert {row["among"] for row in told["segments"]} == set(told["among"])
    assert "among" not in told["rows"][0]
    assert next(row for row in told["rows"] if row["part"] == UNKNOWN)["miscalibration"] is None
