"""Who to message in the next day, with which offer, and at which hour: permissions to write are a budget per visitor.

A message is worth the expected profit of its offer if it is seen x the chance that it is opened - what the permission
would be worth if it were kept. The chance to open is learnt from the visitor's own messages and, as far as there are
few, from everybody's (a Beta prior of `PRIOR_MESSAGES` messages at the app's rate), and falls with every message of the
last seven days by `FATIGUE`. A permission kept is worth `KEPT` of what the app's best messages earn on average, divided
by the permissions that the visitor has: the last one is dear, of many one is cheap. Who has no permission, has had
`messages_per_week`, is held out, or for whom no message is worth that, gets none.

Budgets are kept as the plan keeps them (`allocate`), by the expected cost of messages that are opened. A message is
sent at the visitor's busiest hour that is not quiet, or at the app's where the visitor's is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue
from recommender.offers.allocate import Allocation, Budgets, allocate
from recommender.offers.plan_files import OfferPlan

HOURS = 24
PRIOR_MESSAGES = 5.0
FATIGUE = 0.8
KEPT = 0.5
HALVINGS = 12
"""How finely the price of one message is looked for, of the most that one is worth."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Inbox:
    """What is known of the visitors as receivers of messages, row by row: V of the plan's visitors.

    row: of the plan. permissions: messages that may be sent. lately: sent in the last seven days. sent, opened: ever.
    visits: by local hour of the day, [V, 24]. held_out: never given an offer.
    """

    row: Ints
    permissions: Ints
    lately: Ints
    sent: Ints
    opened: Ints
    visits: Floats
    held_out: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rules:
    """messages_per_week: most of one visitor. open_hours: whether each hour of the day may be written in, [24].
    offers_at: whether each offer holds in the hour that begins so many hours after this one, [24, O]."""

    messages_per_week: int
    open_hours: NDArray[np.bool_]
    offers_at: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages to send, the most valuable first. row: of the plan; offer: column; after: hours from this one; opened:
    chance; profit, cost: expected of the message, minor units; kept: what its permission would be worth kept."""

    row: Ints
    offer: Ints
    after: Ints
    opened: Floats
    profit: Floats
    cost: Floats
    kept: Floats

    def __len__(self) -> int:
        return len(self.row)


def open_hours(quiet_from: int, quiet_until: int) -> NDArray[np.bool_]:
    """Whether each local hour of the day may be written in, [24]: not from `quiet_from` until before `quiet_until`,
    over midnight perhaps; all where they are the same."""
    quiet = (np.arange(HOURS) - quiet_from) % HOURS < (quiet_until - quiet_from) % HOURS
    return ~quiet


def chance_to_open(inbox: Inbox) -> Floats:
    """[V]: that a message sent now is opened."""
    sent, opened = inbox.sent.sum(), np.minimum(inbox.opened, inbox.sent).sum()
    rate = (opened + 1.0) / (sent + 2.0)
    own = (np.minimum(inbox.opened, inbox.sent) + PRIOR_MESSAGES * rate) / (inbox.sent + PRIOR_MESSAGES)
    found: Floats = own * FATIGUE**inbox.lately
    return found


def hours_after(inbox: Inbox, pace: Floats, open_: NDArray[np.bool_], now_hour: int) -> Ints:
    """[V]: in how many hours from `now_hour` (0: in this one) each is best written to, of the next 24."""
    usual = pace.reshape(-1, HOURS).sum(axis=0)
    usual = usual / max(float(usual.sum()), 1e-300)
    visits = inbox.visits + usual  # the app's hours decide where a visitor's say nothing
    clock = (now_hour + np.arange(HOURS)) % HOURS
    found: Ints = np.where(open_[clock], visits[:, clock], -1.0).argmax(axis=1).astype(np.int64)
    return found


def reach(
    plan: OfferPlan, inbox: Inbox, rules: Rules, budgets: Budgets, now_local: datetime, *, most: int | None = None
) -> Messages:
    """The messages of the next 24 hours that are worth most together, at most `most` of them.

    budgets: what the plan's offers may cost through them. now_local: aware. Raises InvalidValue where no hour may be
    written in or `most` is below 0.
    """
    if not rules.open_hours.any():
        raise InvalidValue("open_hours", "none", "an hour in which messages may be sent")
    if most is not None and most < 0:
        raise InvalidValue("most", most, "a number of messages, 0 or more")
    able = (inbox.permissions > 0) & (inbox.lately < rules.messages_per_week) & ~inbox.held_out
    able_inbox = _only(inbox, np.flatnonzero(able))
    row = able_inbox.row
    after = hours_after(able_inbox, np.asarray(plan.pace), rules.open_hours, now_local.hour)
    opened = chance_to_open(inbox)[able]
    eligible = plan.eligible[row] & rules.offers_at[after]
    gain, cost = plan.gain[row] * opened[:, None], plan.cost[row] * opened[:, None]
    kept = _kept(np.where(eligible, gain - cost, -np.inf), able_inbox.permissions)
    found = _of_so_many(gain - kept[:, None], cost.astype(np.float32), eligible, budgets, most)
    at = np.flatnonzero(found.chosen >= 0)
    column = found.chosen[at].astype(np.int64)
    profit = (gain - cost)[at, column] - kept[at]
    rate = found.prices[column] + found.prices[-1]
    order = np.argsort(-(profit - rate * cost[at, column]), kind="stable")[:most]
    at, column = at[order], column[order]
    return Messages(
        row[at], column, after[at], opened[at], (gain - cost)[at, column], cost[at, column].astype(np.float64), kept[at]
    )


def _of_so_many(
    gain: Floats, cost: NDArray[np.float32], eligible: NDArray[np.bool_], budgets: Budgets, most: int | None
) -> Allocation:
    """The allocation; where it has more than `most` messages, another one of hardly more than that.

    There each message is charged the price at which only `most` are still worth sending, so that the budgets go where a
    message brings most, and not where each yuan does.
    """
    found = allocate(gain.astype(np.float32), cost, eligible, None, budgets)
    if not most or np.count_nonzero(found.chosen >= 0) <= most:
        return found
    low, high = 0.0, float(np.where(eligible, gain - cost, 0.0).max())
    for _ in range(HALVINGS):
        price = (low + high) / 2
        other = allocate((gain - price).astype(np.float32), cost, eligible, None, budgets)
        if np.count_nonzero(other.chosen >= 0) >= most:
            found, low = other, price
        else:
            high = price
    return found


def send_at(after: int, now_local: datetime) -> datetime:
    """The moment of a message that is due so many hours after this hour: not before now."""
    hour = now_local.replace(minute=0, second=0, microsecond=0) + timedelta(hours=after)
    return max(hour, now_local)


def _kept(profit: Floats, permissions: Ints) -> Floats:
    """What a permission of each visitor would be worth kept, [V]. profit: of a message with each offer, [V, O]."""
    if not profit.size:
        return np.zeros(len(permissions))
    best = profit.max(axis=1)
    worth = best[best > 0]
    return KEPT * (float(worth.mean()) if len(worth) else 0.0) / np.maximum(permissions, 1)


def _only(inbox: Inbox, rows: Ints) -> Inbox:
    return Inbox(*(getattr(inbox, name)[rows] for name in Inbox.__slots__))
