"""Lookalikes: who was planted as alike is found, the quality is what it says, and members are never answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import planted_people as planted
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.errors import InvalidValue
from portraits.portrait_set import PortraitSet
from portraits.segments.lookalike import FEWEST, Lookalikes, lookalikes

TEA, TOYS = "food > tea", "toys > wood"
EVIDENCE = pa.list_(pa.struct([("tag", pa.string()), ("weight", pa.float64())]))


@pytest.fixture(scope="module")
def people() -> dict[str, dict[str, Any]]:
    return planted.people({"guests": 400, "regulars": 300, "premium": 100})


@pytest.fixture(scope="module")
def portraits(people: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> PortraitSet:
    """The planted people; every third regular loves tea, which nothing else tells."""
    return publish(tmp_path_factory.mktemp("lookalike"), people)


def publish(folder: Path, people: dict[str, dict[str, Any]], group: int = 100) -> PortraitSet:
    rows = planted.table(people)
    users = rows["user_id"].to_pylist()
    tastes = [[{"tag": TEA if tea(people, user) else TOYS, "weight": 0.9}] for user in users]
    rows = rows.append_column("categories", pa.array(tastes, EVIDENCE))
    rows = rows.append_column("usual_channel", pa.array(["scan" if n % 2 else None for n in range(len(users))]))
    rows = rows.append_column("favourite_hour", pa.array([n % 24 for n in range(len(users))]))
    pq.write_table(rows, folder / "portraits.parquet", row_group_size=group)
    return planted.as_set(folder)


def tea(people: dict[str, dict[str, Any]], user: str) -> bool:
    return people[user]["kind"] == "regulars" and int(user[1:]) % 3 == 0


def half(people: dict[str, dict[str, Any]], kind: str) -> tuple[list[str], set[str]]:
    """(a half of a kind as a segment, the other half: whom one would like to find)."""
    own = [user for user in sorted(people) if people[user]["kind"] == kind]
    return own[::2], set(own[1::2])


def users(found: Lookalikes) -> list[str]:
    names: list[str] = found.table["user_id"].to_pylist()
    return names


def test_the_other_half_is_found(portraits: PortraitSet, people: dict[str, dict[str, Any]]) -> None:
    members, others = half(people, "premium")
    found = lookalikes(portraits, members, len(others))
    assert len(others & set(users(found))) >= 0.9 * len(others)
    assert found.table["score"].to_pylist() == sorted(found.table["score"].to_pylist(), reverse=True)
    assert (found.members, found.unknown) == (len(members), 0)


def test_tastes_tell_what_traits_do_not(portraits: PortraitSet, people: dict[str, dict[str, Any]]) -> None:
    """Better than by likeness to the average member, which all regulars share."""
    lovers = [user for user in sorted(people) if tea(people, user)]
    members, others = lovers[::2], set(lovers[1::2])
    found = lookalikes(portraits, members, len(others))
    assert len(others & set(users(found))) >= 0.9 * len(others)
    assert found.quality.auc.value > found.quality.centroid_auc > 0.5


def test_quality_of_a_real_likeness(portraits: PortraitSet, people: dict[str, dict[str, Any]]) -> None:
    """Half of the premium visitors are members: of the rest as many are just like them, which no method can tell."""
    members, others = half(people, "premium")
    quality = lookalikes(portraits, members, 60).quality
    rest, hidden = len(people) - len(members), len(members) / 5
    assert quality.random == pytest.approx(60 / (rest + hidden))
    assert quality.recall.low > 5 * quality.random
    assert quality.auc.low < quality.auc.value <= quality.auc.high <= 1
    assert quality.auc.value == pytest.approx(1 - len(others) / rest / 2, abs=0.03)


def test_quality_of_a_draw_by_lot(portraits: PortraitSet, people: dict[str, dict[str, Any]]) -> None:
    """Where there is no likeness to find, none is claimed."""
    lots = [np.random.default_rng(n).choice(sorted(people), 150, replace=False).tolist() for n in range(5)]
    found = [lookalikes(portraits, lot, 80).quality for lot in lots]
    assert np.mean([quality.auc.value for quality in found]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([quality.recall.value for quality in found]) == pytest.approx(found[0].random, abs=0.05)


def test_never_members_never_strangers(portraits: PortraitSet, people: dict[str, dict[str, Any]]) -> None:
    members, _ = half(people, "regulars")
    found = lookalikes(portraits, [*members, *members, "nobody", "never seen"], 10_000)
    assert set(users(found)) == people.keys() - set(members)
    assert len(users(found)) == len(set(users(found)))
    assert (found.members, found.unknown) == (len(members), 2)


def test_repeatable(portraits: PortraitSet, people: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Same seed, same answer, whatever the order of the members or the row groups; a folder does as well as a set."""
    members, _ = half(people, "regulars")
    first = lookalikes(portraits, members, 50, seed=4)
    again = lookalikes(publish(tmp_path, people, group=33).path, members[::-1], 50, seed=4)
    assert again.table.equals(first.table)
    assert again == first


@pytest.mark.parametrize(
    ("members", "n", "told"),
    [(FEWEST - 1, 10, f"at least {FEWEST} visitors"), (0, 10, "wider"), (100, 0, "1 or more"), (790, 5, "leaves")],
)
def test_what_cannot_be_answered(
    portraits: PortraitSet, people: dict[str, dict[str, Any]], members: int, n: int, told: str
) -> None:
    with pytest.raises(InvalidValue, match=told):
        lookalikes(portraits, [*sorted(people)[:members], "nobody"], n)
