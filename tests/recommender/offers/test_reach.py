"""Messages go to whom they are worth it, at hours that are not quiet, and use up nothing that there is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from planted_plan import plan

from portraits.errors import InvalidValue
from recommender.offers.allocate import Budgets
from recommender.offers.plan_files import OfferPlan
from recommender.offers.reach import (
    FATIGUE,
    KEPT,
    PRIOR_MESSAGES,
    Inbox,
    Rules,
    chance_to_open,
    open_hours,
    reach,
    send_at,
)

EVENING = datetime(2026, 3, 4, 20, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
NO_BUDGET = Budgets([None, None])
RULES = Rules(2, open_hours(21, 9), np.ones((24, 2), bool))
USERS = ["ann", "bob", "cat", "dan", "eve", "fay"]


def shop(**changes: Any) -> OfferPlan:
    """Six visitors and a stranger; the first offer earns 100 - 20 if it is seen, the second 60 - 5."""
    gain = [[100, 60]] * 7
    cost = [[20, 5]] * 7
    return plan(**({"gain": gain, "cost": cost, "users": USERS} | changes))


def inbox(**changes: Any) -> Inbox:
    """Each has two permissions, has been sent ten and opened five, and comes at noon."""
    n = len(USERS)
    visits = np.zeros((n, 24))
    visits[:, 12] = 3
    known = Inbox(
        np.arange(n), np.full(n, 2), np.zeros(n, int), np.full(n, 10), np.full(n, 5), visits, np.zeros(n, bool)
    )
    return replace(known, **{name: np.asarray(value) for name, value in changes.items()})


def told(found: Any) -> dict[str, int]:
    return {USERS[row]: int(offer) for row, offer in zip(found.row, found.offer, strict=True)}


def test_everyone_who_may_be_written_to_gets_the_offer_that_earns_most() -> None:
    found = reach(shop(), inbox(), RULES, NO_BUDGET, EVENING)
    assert told(found) == dict.fromkeys(USERS, 0)
    rate = (30 + 1) / (60 + 2)
    assert found.opened == pytest.approx((5 + PRIOR_MESSAGES * rate) / (10 + PRIOR_MESSAGES))
    assert found.profit == pytest.approx(found.opened * (100 - 20))
    assert found.kept == pytest.approx(KEPT * found.opened * 80 / 2)


def test_never_who_has_no_permission_or_had_enough_or_is_held_out() -> None:
    found = reach(
        shop(),
        inbox(
            permissions=[0, 2, 2, 2, 2, 2],
            lately=[0, 2, 0, 0, 0, 0],
            held_out=[False, False, True, False, False, False],
        ),
        RULES,
        NO_BUDGET,
        EVENING,
    )
    assert set(told(found)) == {"dan", "eve", "fay"}


def test_the_rule_of_an_offer_holds_at_the_hour_of_the_message() -> None:
    at = np.ones((24, 2), bool)
    at[16, 0] = False  # 12 o'clock is 16 hours after 20
    assert told(reach(shop(), inbox(), replace(RULES, offers_at=at), NO_BUDGET, EVENING)) == dict.fromkeys(USERS, 1)
    made = shop()
    made.eligible[1] = False
    assert set(told(reach(made, inbox(), RULES, NO_BUDGET, EVENING))) == {*USERS} - {"bob"}


def test_the_last_permission_is_kept_for_a_better_day_where_there_are_many_of_little_worth() -> None:
    """Ann's message earns little: with one permission it is kept, with ten it is sent."""
    gain = [[30, 0], *[[200, 0]] * 6]
    for permissions, sent in ((1, False), (10, True)):
        counts = [permissions, *[2] * 5]
        found = reach(shop(gain=gain), inbox(permissions=counts), RULES, NO_BUDGET, EVENING)
        assert ("ann" in told(found)) == sent


def test_messages_of_the_last_days_make_the_next_one_less_likely_to_be_opened() -> None:
    chance = chance_to_open(inbox(lately=[0, 1, 2, 0, 0, 0]))
    assert chance[1] == pytest.approx(chance[0] * FATIGUE)
    assert chance[2] == pytest.approx(chance[0] * FATIGUE**2)


def test_who_was_never_written_to_opens_as_others_do_and_nobody_more_than_all() -> None:
    chance = chance_to_open(inbox(sent=[0, 100, 10, 10, 10, 10], opened=[0, 100, 30, 0, 0, 0]))
    rate = (100 + 10 + 1) / (140 + 2)
    assert chance[0] == pytest.approx(rate)
    assert chance[0] < chance[1] < 1
    assert (chance <= 1).all()
    assert chance_to_open(inbox(sent=np.zeros(6, int), opened=np.zeros(6, int)))[0] == pytest.approx(0.5)


def test_it_is_sent_at_the_busiest_hour_that_is_not_quiet() -> None:
    visits = np.zeros((6, 24))
    visits[0, 22] = 9  # quiet
    visits[0, 10] = 1
    visits[1, 20] = 1  # this very hour
    visits[2, 9] = 1
    pace = np.zeros(168)
    pace[15::24] = 1  # the others: the app's busiest hour
    found = reach(shop(pace=pace / 7), inbox(visits=visits), RULES, NO_BUDGET, EVENING)
    hour = {USERS[row]: send_at(int(after), EVENING) for row, after in zip(found.row, found.after, strict=True)}
    assert hour["ann"].hour == 10
    assert hour["bob"] == EVENING
    assert (hour["cat"].hour, hour["dan"].hour) == (9, 15)
    assert all(EVENING <= at <= EVENING + timedelta(days=1) and RULES.open_hours[at.hour] for at in hour.values())


@pytest.mark.parametrize(
    ("quiet", "expected"), [((21, 9), range(9, 21)), ((13, 15), [*range(13), *range(15, 24)]), ((7, 7), range(24))]
)
def test_quiet_hours(quiet: tuple[int, int], expected: Any) -> None:
    assert np.flatnonzero(open_hours(*quiet)).tolist() == [*expected]


def test_budgets_and_the_number_asked_for_are_kept() -> None:
    """A message costs 20 x the chance that it is opened, about 10: 25 is enough for two."""
    found = reach(shop(), inbox(), RULES, Budgets([25, None]), EVENING)
    assert sorted(told(found).values()) == [0, 0, 1, 1, 1, 1]
    assert found.cost[found.offer == 0].sum() <= 25
    some = reach(shop(), inbox(), RULES, Budgets([None, None], 25), EVENING, most=3)
    assert len(some) == 3
    assert some.cost.sum() <= 25


def test_the_best_come_first() -> None:
    gain = [[100 + 10 * place, 0] for place in range(7)]
    found = reach(shop(gain=gain), inbox(), RULES, NO_BUDGET, EVENING, most=2)
    assert list(told(found)) == ["fay", "eve"]


def test_nobody_to_write_to() -> None:
    empty = Inbox(*(value[:0] for value in (getattr(inbox(), name) for name in Inbox.__slots__)))
    assert len(reach(shop(), empty, RULES, NO_BUDGET, EVENING)) == 0
    assert len(reach(shop(), inbox(), RULES, NO_BUDGET, EVENING, most=0)) == 0


def test_what_cannot_be_asked_is_named() -> None:
    with pytest.raises(InvalidValue):
        reach(shop(), inbox(), RULES, NO_BUDGET, EVENING, most=-1)
    with pytest.raises(InvalidValue):
        reach(shop(), inbox(), replace(RULES, open_hours=np.zeros(24, bool)), NO_BUDGET, EVENING)


def test_of_few_messages_those_are_sent_that_bring_most_for_the_budget() -> None:
    """Opened by a half, a great coupon brings 30 for 20 and a small one 17.5 for 2.5. A budget of 40 is best spent on
    five small ones and a great one; of two messages it is enough for two great ones. Whoever cuts afterwards sends one
    of each."""
    offers = shop(gain=[[100, 40]] * 7, cost=[[40, 5]] * 7)
    budgets = Budgets([None, None], total=40.0)
    every, few = (reach(offers, inbox(), RULES, budgets, EVENING, most=most) for most in (None, 2))
    assert sorted(every.offer.tolist()) == [0, 1, 1, 1, 1, 1]
    assert few.offer.tolist() == [0, 0]
    assert few.cost.sum() == pytest.approx(40)
