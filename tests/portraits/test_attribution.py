"""Which answer a purchase belongs to: the rule, trap by trap, and against a plain reading of random logs."""

from __future__ import annotations

from pathlib import Path

import ibis
import pytest
from planted_answers import Row, answer, at, event, lake_of, plainly, random_log

from portraits.attribution import Attribution
from portraits.build import past_of
from portraits.engine import connect
from portraits.people import Persons
from portraits.settings import AppSettings

ASKED = answer("d1", "ann", 0, "tea", "cup")
ASKED_AGAIN = answer("d2", "ann", 2, "tea")
OF_BOB = answer("d3", "bob", 0, "tea")
BOUGHT = event("ann", "purchase", "tea", 10)
CASES = {
    "it names its answer": ([BOUGHT | {"decision_id": "d1"}], ("d1", "named", None, False)),
    "it names one and was clicked in another": (
        [event("ann", "click", "tea", 3, decision_id="d2"), BOUGHT | {"decision_id": "d1"}],
        ("d1", "named", None, False),
    ),
    "another user's answer is ignored": ([BOUGHT | {"decision_id": "d3"}], (None, None, None, True)),
    "an unknown answer is ignored, the click counts": (
        [event("ann", "click", "tea", 3, decision_id="d2"), BOUGHT | {"decision_id": "of another app"}],
        ("d2", "click", None, True),
    ),
    "a later answer is ignored": ([event("ann", "purchase", "tea", 1, decision_id="d2")], (None, None, None, True)),
    "the last of two clicks": (
        [event("ann", "click", "tea", 3, decision_id="d2"), event("ann", "click", "tea", 4, decision_id="d1"), BOUGHT],
        ("d1", "click", None, False),
    ),
    "a last click that leads from elsewhere": (
        [event("ann", "click", "tea", 3, decision_id="d2"), event("ann", "click", "tea", 4), BOUGHT],
        (None, None, None, False),
    ),
    "a click on another item": (
        [event("ann", "click", "cup", 3, decision_id="d1"), BOUGHT],
        (None, None, None, False),
    ),
    "a click after the purchase": (
        [BOUGHT, event("ann", "click", "tea", 11, decision_id="d1")],
        (None, None, None, False),
    ),
    "a click at the very end of the window": (
        [event("ann", "click", "tea", 1, decision_id="d1"), event("ann", "purchase", "tea", 25)],
        ("d1", "click", None, False),
    ),
    "a click before the window": (
        [event("ann", "click", "tea", 1, decision_id="d1"), event("ann", "purchase", "tea", 25.001)],
        (None, None, None, False),
    ),
    "seen and not clicked": (
        [event("ann", "exposure", "tea", 3, decision_id="d2"), BOUGHT],
        (None, None, "d2", False),
    ),
    "seen, and clicked elsewhere": (
        [event("ann", "exposure", "tea", 3, decision_id="d2"), event("ann", "click", "tea", 4), BOUGHT],
        (None, None, None, False),
    ),
    "a click of somebody else": (
        [event("bob", "click", "tea", 3, decision_id="d3"), BOUGHT],
        (None, None, None, False),
    ),
}


def attribution(root: Path, events: list[Row], decisions: list[Row], **catalogues: list[Row]) -> Attribution:
    con = connect(threads=1)
    snapshot = lake_of(root, events, decisions, **catalogues)
    past = past_of(snapshot, AppSettings("shop"), at(1_000), con)
    people = Persons(snapshot, con, at(1_000))
    return Attribution(people.merged(snapshot.decisions(con), "user_id"), past.events, 24.0)


@pytest.fixture(scope="module")
def belonging(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """What every case's purchase belongs to, each case with people and answers of its own."""
    events, decisions = [], []
    for number, (rows, _) in enumerate(CASES.values()):
        for row in [*rows, ASKED, ASKED_AGAIN, OF_BOB]:
            own = {name: f"{number}.{row[name]}" for name in ("event_id", "user_id", "decision_id") if row.get(name)}
            (events if "event_id" in row else decisions).append(row | own)
    found = attribution(tmp_path_factory.mktemp("cases"), events, decisions).purchases.to_pyarrow().to_pylist()
    told = {}
    for row in found:
        number = row["user_id"].partition(".")[0]
        named = (row[name] and row[name].removeprefix(f"{number}.") for name in ("decision_id", "how", "viewed"))
        told[list(CASES)[int(number)]] = (*named, row["ignored"])
    return told


@pytest.mark.parametrize("case", CASES)
def test_a_purchase_belongs_to(case: str, belonging: dict[str, tuple[object, ...]]) -> None:
    assert belonging[case] == CASES[case][1]


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_a_plain_reading(seed: int, tmp_path: Path) -> None:
    events, decisions = random_log(seed)
    found = attribution(tmp_path, events, decisions).purchases.to_pyarrow().to_pylist()
    told = [(row["quantity"], row["decision_id"], row["how"], row["viewed"], row["ignored"]) for row in found]
    assert sorted(told, key=lambda row: row[0]) == sorted(plainly(events, decisions, 24.0), key=lambda row: row[0])


def test_what_is_done_under_another_id_of_the_same_person_is_theirs(tmp_path: Path) -> None:
    events = [event("phone", "click", "tea", 3, decision_id="d1"), event("member", "purchase", "tea", 10)]
    links = [{"link_id": "l1", "user_id": "member", "anonymous_id": "phone"}]
    found = attribution(tmp_path, events, [answer("d1", "phone", 0, "tea")], identities=links)
    rows = found.purchases.select("user_id", "decision_id").to_pyarrow().to_pylist()
    assert rows == [{"user_id": "member", "decision_id": "d1"}]


def test_a_cancelled_order_was_not_bought(tmp_path: Path) -> None:
    lines = [event("ann", "purchase", item, 1, order_id=f"o{n}") for n in (1, 2) for item in ("tea", "cup")]
    void = [event("ann", "order_cancel", None, 2, order_id="o1"), event("ann", "order_cancel", "cup", 2, order_id="o2")]
    rows = attribution(tmp_path, [*lines, *void], []).purchases.select("order_id", "item_id").to_pyarrow().to_pylist()
    assert rows == [{"order_id": "o2", "item_id": "tea"}]


def test_two_lines_that_are_alike_stay_two(tmp_path: Path) -> None:
    lines = [event("ann", "purchase", "tea", 1) | {"event_id": name} for name in "ab"]
    clicks = [event("ann", "click", "tea", 0.5, decision_id="d1") | {"event_id": name} for name in "cd"]
    found = attribution(tmp_path, [*lines, *clicks], [ASKED])
    assert found.purchases.decision_id.to_pyarrow().to_pylist() == ["d1", "d1"]
    assert found.clicked.count().execute() == 1


def test_answers_hold_items_once_and_what_is_no_list_holds_none(tmp_path: Path) -> None:
    offer = answer("d4", "ann", 1) | {"candidates": '[{"offer_id":"o1","position":1}]'}
    odd = answer("d5", "ann", 1) | {"candidates": '{"item_id":"tea"}'}
    twice = answer("d6", "ann", 1, "tea", "tea")
    found = attribution(tmp_path, [BOUGHT], [ASKED, offer, odd, twice])
    entries = found.entries(found.answers)
    rows = entries.order_by([ibis._.decision_id, ibis._.item_id]).to_pyarrow().to_pylist()
    assert [(row["decision_id"], row["item_id"], row["source"]) for row in rows] == [
        ("d1", "cup", "als"), ("d1", "tea", "als"), ("d6", "tea", "als"),
    ]  # fmt: skip
