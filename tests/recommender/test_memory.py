"""What nights leave to the next: the same after its journey through JSON, and never more than so much."""

from __future__ import annotations

import json

from recommender.memory import MOST_NIGHTS, MOST_TRIALS, Census, Memory, Trial

TRIED = Trial("similar", {"neighbours": 50}, value=0.9, gain=0.1, share=1.0, users=300)
TAKEN = Trial("similar", {}, value=0.8, gain=0.0, share=1.0, users=300, chosen=True)
DROPPED = Trial("als", {"alpha": 0.5}, value=0.2, gain=None, share=1 / 3, users=100)
CENSUS = Census(1_000, 90, 30, 0.25, {"茶": 0.5})


def report(*trials: Trial, census: Census | None = None) -> dict[str, object]:
    """As a night keeps it."""
    told = {"tuning": {"trials": [one.as_json() for one in trials]}, "census": census and census.as_json()}
    kept: dict[str, object] = json.loads(json.dumps(told))
    return kept


def test_what_was_kept_comes_back_latest_first() -> None:
    older = Trial("similar", {"neighbours": 50}, 0.7, 0.2, 1.0, 200, chosen=True)
    memory = Memory.of([report(TRIED, TAKEN, census=CENSUS), report(older, DROPPED), {}])
    assert memory.trials[:3] == (TRIED, TAKEN, older)
    assert memory.nights == (CENSUS,)
    assert memory.winner("similar") == {}
    assert Memory.of([report(older)]).winner("similar") == {"neighbours": 50}
    assert memory.winner("als") == {}, "it was dropped, not chosen"


def test_how_long_ago_a_point_was_tried() -> None:
    memory = Memory.of([report(TRIED, DROPPED), report(TRIED, TAKEN)])
    assert memory.tried() == {TRIED.key: 0, DROPPED.key: 1, TAKEN.key: 3}


def test_nights_that_failed_or_were_of_an_older_program_leave_nothing() -> None:
    unknown = {"tuning": {"trials": [DROPPED.as_json() | {"colour": "red"}]}, "census": {}}
    memory = Memory.of([{"status": "failed"}, {"tuning": {}}, unknown])
    assert [one.key for one in memory.trials] == [DROPPED.key]
    assert memory.nights == ()


def test_memory_is_bounded() -> None:
    memory = Memory.of([report(*[TRIED] * 30, census=CENSUS)] * 50)
    assert (len(memory.trials), len(memory.nights)) == (MOST_TRIALS, MOST_NIGHTS)
