"""Who was given which offer, or none: decisions of others, sends, exposures, and who they are compared with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from planted_answers import Row, answer, at, event
from planted_trials import entry, none, of, offered, tried

from portraits.local import to_us
from recommender.offers.assigned import COMPARED
from recommender.offers.trials import SOURCES, Trials


def sources(found: Trials) -> dict[str, str]:
    """user_id -> where the trial is from."""
    return {user: SOURCES[place] for user, place in zip(found.user_id, found.source, strict=True)}


def test_decisions_of_another_system_are_taken_as_they_are(tmp_path: Path) -> None:
    """Its chances hold no holdout of ours; none may be an entry, an offer called none, or nothing at all."""

    def imported(user: str, *entries: Row, arm: str | None = "treated", policy: str | None = "crm") -> Row:
        return offered(f"d-{user}", user, 1, *entries, arm=arm, policy=policy)

    answers = [
        imported("given", entry("cash", 0.3), none(0.7)),
        imported("second", entry("tenth", 0.2, 2), entry("cash", 0.4, 1), none(0.4)),
        imported("listed", entry("cash", 0.3, None), entry("tenth", 0.3, None)),
        imported("entry", none(0.7)),
        imported("drawn", none(0.7, position=1), entry("cash", 0.3, 2)),
        imported("named", entry("None", 0.7)),
        imported("empty"),
        imported("held", entry("cash", 0.3), none(0.7), arm="control"),
        imported("nameless", entry("cash", 0.6), none(0.4), arm=None, policy=None),
        answer("d-other", "other", 1, policy="shelf"),
        offered("d-shelf", "shelf", 1, {"item_id": "tea", "position": 1, "source": "als"}, policy="shelf"),
        answer("d-broken", "broken", 1, policy="crm", candidates=json.dumps({"offer_id": "cash"})),
    ]
    found = tried(tmp_path, [], answers)
    told = {user: of(found, user) for user in found.user_id}
    assert {user: row["action"] for user, row in told.items()} == {
        "given": "cash",
        "second": "cash",
        "listed": "cash",
        "nameless": "cash",
        **dict.fromkeys(("entry", "drawn", "named", "empty", "held", "broken"), None),
    }
    chances = {"given": 0.3, "second": 0.4, "listed": 0.3, "entry": 0.7, "drawn": 0.7, "named": 0.7, "held": 0.7}
    assert {user: told[user]["propensity"] for user in chances} == pytest.approx(chances)
    assert np.isnan(told["empty"]["propensity"])
    assert told["held"]["intended"] == "cash"


def sent(user: str, hours: float, offer: str = "cash", kind: str = "message_sent") -> Row:
    return event(user, kind, None, hours, offer_id=offer)


PEOPLE = [{"user_id": f"p{n:02}"} for n in range(40)]


def test_a_send_is_compared_with_who_was_left_out_that_day(tmp_path: Path) -> None:
    """Four are sent something on the first day at 9, two of them look; all others are known by the catalogue, but one
    who joins later, one who is sent something else that day, and one who refuses."""
    users = [
        *PEOPLE,
        {"user_id": "later", "joined_at": at(20)},
        {"user_id": "refuses", "consent": False},
    ]
    events = [
        *(sent(f"p{n:02}", 9) for n in range(4)),
        *(sent(f"p{n:02}", 10 + n, kind="offer_exposure") for n in range(2)),
        sent("p04", 10, "tenth"),
        sent("refuses", 9),
        event("p00", "purchase", "tea", 20, amount=10),
        event("p20", "purchase", "tea", 8, amount=10),
        event("p20", "purchase", "tea", 32, amount=10),
    ]
    found = tried(tmp_path, events, [], users=users)
    assert set(sources(found).values()) == {"sends"}
    given = {user: of(found, user)["action"] for user in found.user_id if of(found, user)["action"]}
    assert given == {"p00": "cash", "p01": "cash", "p02": "cash", "p03": "cash", "p04": "tenth"}
    rest = [user for user in found.user_id if user not in given]
    assert 0 < len(rest) <= 35
    assert len(rest) == pytest.approx(5 * COMPARED, abs=6)
    assert not {"later", "refuses"} & set(rest)
    assert set(found.at_us[found.action < 0]) == {to_us(at(9))}
    assert np.isnan(found.propensity).all()
    seen = {user for user in found.user_id if of(found, user)["exposed"]}
    assert seen == {"p00", "p01", "p04"}, "nobody tells whether the other offer was seen: who was sent it"
    again = tried(tmp_path / "again", events, [], users=users)
    assert again.user_id == found.user_id


def test_every_send_is_one_and_of_exposures_the_first(tmp_path: Path) -> None:
    events = [sent("p00", hours) for hours in (1, 30, 31, 60)]
    events += [sent("p01", hours, "tenth", "offer_exposure") for hours in (1, 30, 60)]
    found = tried(tmp_path, events, [])
    given = [(user, (us - to_us(at(0))) / 3.6e9) for user, us in zip(found.user_id, found.at_us, strict=True)]
    assert sorted(one for one, action in zip(given, found.action, strict=True) if action >= 0) == [
        ("p00", 1),
        ("p00", 30),
        ("p00", 60),
        ("p01", 1),
    ]


def test_who_sees_an_offer_is_compared_with_who_came_too(tmp_path: Path) -> None:
    """Half of those who come see it; nobody who stayed away that day is compared, and the moment is that of coming."""
    events = [event(f"p{n:02}", "item_view", "tea", 9 + n / 100) for n in range(30)]
    events += [sent(f"p{n:02}", 9.5, kind="offer_exposure") for n in range(15)]
    events += [event(f"p{n:02}", "item_view", "tea", 40) for n in range(30, 40)]
    found = tried(tmp_path, events, [], users=PEOPLE)
    rest = {user for user, action in zip(found.user_id, found.action, strict=True) if action < 0}
    assert set(sources(found).values()) == {"exposures"}
    assert rest == {f"p{n:02}" for n in range(15, 30)}, "twice as many as saw it are not there"
    moments = dict(zip(found.user_id, found.at_us, strict=True))
    assert moments["p20"] == to_us(at(9.2))


def test_answers_that_never_give_none_are_sends(tmp_path: Path) -> None:
    answers = [offered(f"d{n}", f"p{n:02}", 1, entry("cash", None), policy="crm") for n in range(10)]
    found = tried(tmp_path, [], answers, users=PEOPLE)
    assert set(sources(found).values()) == {"sends"}
    assert (found.action >= 0).sum() == 10
    assert 0 < (found.action < 0).sum() <= 30
    assert "d3" in found.decision_id


def test_an_offer_of_decisions_is_not_a_send_too(tmp_path: Path) -> None:
    events = [sent("ann", 1), sent("bob", 1), sent("bob", 1, "tenth")]
    answers = [offered("d1", "ann", 30, entry("cash"), none())]
    found = tried(tmp_path, events, answers)
    given = {
        (user, found.offers[action]) for user, action in zip(found.user_id, found.action, strict=True) if action >= 0
    }
    assert given == {("ann", "cash"), ("bob", "tenth")}
