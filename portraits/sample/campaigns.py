"""Coupons: the offers of the catalogue and the windows in which each was given to a random half of the visitors.

Whether a visitor is treated is a hash of seed, visitor and campaign, so that it is fixed, independent of everything
else about the visitor, and needs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.plan import Plan, uniform
from portraits.sample.rows import Array

TREATED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Campaign:
    """An offer and its random send, days `begins` to before `ends` of the history.

    `value` and `minimum` as in the offers table; `root` limits it to a root category (-1: all items); `strength`
    times a visitor's `sense` is what the coupon adds to the log odds to buy.
    """

    code: int
    kind: str
    title: str
    value: int
    minimum: int
    max_cost: int
    strength: float
    begins: int
    ends: int
    root: int = -1
    members: bool = False

    def saving(self, total: Array) -> Array:
        """What it takes off orders whose lines it is for come to `total` (fen); 0 below the minimum."""
        off = total * self.value // 10_000 if self.kind in ("discount", "member") else np.full(len(total), self.value)
        return np.where(
            (total >= max(self.minimum, 1)) & (off > 0), np.minimum(np.minimum(off, self.max_cost), total), 0
        )


_OFFERS = (
    ("cash", "满30减5 · 5 off 30", 500, 3_000, 500, 0.6, -1, False),
    ("discount", "生鲜八折 · fresh 20% off", 2_000, 0, 2_000, 0.9, names.ROOTS.index("fresh"), False),
    ("cash", "满100减20 · 20 off 100", 2_000, 10_000, 2_000, 1.0, -1, False),
    ("discount", "美妆85折 · beauty 15% off", 1_500, 0, 4_000, 0.8, names.ROOTS.index("beauty"), False),
    ("member", "会员九折 · members 10% off", 1_000, 0, 3_000, 0.5, -1, True),
    ("cash", "无门槛3元 · 3 off anything", 300, 0, 300, 0.5, -1, False),
    ("discount", "母婴九折 · baby 10% off", 1_000, 0, 3_000, 0.6, names.ROOTS.index("baby"), False),
    ("cash", "满200减50 · 50 off 200", 5_000, 20_000, 5_000, 1.2, -1, False),
)


def make_campaigns(plan: Plan) -> tuple[Campaign, ...]:
    """One campaign after another over the history, each followed by some days without any. None in `media`."""
    if not plan.sells:
        return ()
    every = plan.days / len(_OFFERS)
    made = []
    for code, (kind, title, value, minimum, most, strength, root, members) in enumerate(_OFFERS):
        begins = int(code * every)
        ends = begins + max(int(every * 0.8), 2)
        made.append(
            Campaign(code, kind, title, value, minimum, most, strength, begins, ends, root=root, members=members)
        )
    return tuple(made)


def campaign_on(campaigns: tuple[Campaign, ...], day: int) -> Campaign | None:
    """The campaign whose random send runs on a day."""
    return next((campaign for campaign in campaigns if campaign.begins <= day < campaign.ends), None)


def treated(seed: int, users: Array, campaign: Campaign) -> Array:
    """Which of `users` get the coupon."""
    return uniform(seed, users, campaign.code + 1) < TREATED_SHARE
