"""What visitors buy and what becomes of it: purchases, points, cancellations, refunds, the end of groups.

In a visit there are two reasons to buy. A need that is due is bought whatever the shop does; an unplanned purchase
happens with the chance of `choice.buy_chance`, and only that chance is moved by a coupon. So the visitors who would
have bought anyway are known, and a coupon they redeem earns nothing.
"""

from __future__ import annotations

import numpy as np

from portraits.sample.browse import SECOND, Views
from portraits.sample.choice import buy_chance
from portraits.sample.coupons import Shown, Wish, redeem, shifts, show, truth_of
from portraits.sample.lines import Lines, due_chance, due_lines, group_lines, join, paid_at, price, wanted_lines
from portraits.sample.rows import Array, Columns, take
from portraits.sample.shop import Shop
from portraits.sample.social import SETTLES_AFTER, join_groups, open_groups
from portraits.sample.today import Today

FRIEND_PUSH, PAYDAY_PUSH, STORE_PUSH = 0.8, 0.5, 0.3
REFUND_SHARE, CANCEL_SHARE = 0.04, 0.015
_REFUND = ("known_as", "item", "order", "amount", "quantity", "platform", "group")


def sell(today: Today, views: Views, shown: Shown) -> tuple[Array, Columns]:
    """The purchases of a day and what follows from them. Returns which visits bought, and the truth about coupons."""
    shop, visits = today.shop, today.visits
    wish = _wish(today)
    truth = truth_of(today, shown.coupons, wish, due_chance(today))
    buys = wish.luck < buy_chance(shop, visits.user, wish.extra + shifts(shop, visits.user, shown.coupons))
    holds = show(today, shown.coupons, buys, shown.led)
    lines = join(wanted_lines(today, views, buys), due_lines(today), group_lines(visits), shown.lines)
    open_groups(today, lines)
    money = redeem(today, lines, price(today, lines), shown.coupons, holds)
    paid = _purchase(today, lines, money)
    join_groups(today)
    _regret(today, paid)
    bought = np.zeros(len(visits), bool)
    bought[lines.visit] = True
    return bought, truth


def _wish(today: Today) -> Wish:
    visits = today.visits
    paid = paid_lately(today.shop, visits.user, today.day)
    extra = FRIEND_PUSH * (visits.referrer >= 0) + STORE_PUSH * (visits.store >= 0) + PAYDAY_PUSH * paid
    return Wish(extra, today.rng.random(len(visits)))


def paid_lately(shop: Shop, users: Array, day: int) -> Array:
    """Whose payday it is, or was a day or two ago."""
    payday, month_day = shop.people.payday[users], shop.plan.date(day).day
    paid: Array = (payday > 0) & (payday <= month_day) & (month_day <= payday + 2)
    return paid


def _purchase(today: Today, lines: Lines, money: Columns) -> Columns:
    """Writes redeem, cart and purchase events, one order a visit; adds up points and spend; returns the purchases."""
    people, visits = today.shop.people, today.visits
    with_order, which = np.unique(lines.visit, return_inverse=True)
    order = today.shop.new_numbers("order", len(with_order))[which]
    users, at = visits.user[lines.visit], paid_at(visits, lines.visit)
    used = np.flatnonzero(money["offer"] >= 0)
    used = used[np.unique(order[used], return_index=True)[1]]
    offer = {"offer": money["offer"][used], "order": order[used]}
    today.tell("offer_redeem", lines.visit[used], at[used] + SECOND, **offer)
    today.tell("cart", lines.visit, at - 8 * SECOND, item=lines.item, quantity=money["quantity"], page=1)
    points = np.where(people.member[users], money["amount"] // 100, -1)
    discount = money["list_amount"] - money["amount"]
    what = {**lines.codes, **money, "item": lines.item, "order": order, "discount": discount}
    today.tell("purchase", lines.visit, at, page=4, points=points, **what)
    np.add.at(people.spent, users, money["amount"])
    np.add.at(people.points, users, np.maximum(points, 0))
    return {"known_as": visits.known_as[lines.visit], "at": at, "platform": people.platform[users], **what}


def _regret(today: Today, paid: Columns) -> None:
    """A few lines are cancelled at once, others refunded days later; lines of groups wait for how the group ends."""
    shop, day, luck = today.shop, today.day, today.rng.random(len(paid["at"]))
    gone = take(paid, luck < CANCEL_SHARE)
    told = {name: gone[name] for name in ("item", "order", "platform")}
    today.rows.add("order_cancel", gone["known_as"], gone["at"] + 300 * SECOND, **told)
    money = {"amount": gone["amount"], "quantity": gone["quantity"]}
    today.rows.add("refund", gone["known_as"], gone["at"] + 301 * SECOND, **money, **told)
    given = take(gone, gone["offer"] >= 0)
    told = {name: given[name] for name in ("offer", "order", "platform")}
    today.rows.add("offer_return", given["known_as"], given["at"] + 302 * SECOND, **told)
    back = {name: paid[name] for name in _REFUND}
    in_group = (back["group"] >= 0) & (luck >= CANCEL_SHARE)
    later = (luck > 1 - REFUND_SHARE) & (back["group"] < 0)
    shop.arrange("refunds", day + today.rng.integers(1, 11, int(later.sum())), take(back, later))
    shop.arrange("group_lines", np.full(int(in_group.sum()), day + SETTLES_AFTER), take(back, in_group))


def settle(today: Today) -> None:
    """What earlier days left for this one: refunds, and groups that succeed, or fail with their money back."""
    shop, day, rng = today.shop, today.day, today.rng
    refunds, bought = shop.due("refunds", day, *_REFUND), shop.due("group_lines", day, *_REFUND)
    groups = shop.due("groups", day, "known_as", "item", "group", "ok")
    for kind, ok in (("group_success", 1), ("group_fail", 0)):
        ended = take(groups, groups["ok"] == ok)
        at = shop.plan.day_us(day) + rng.integers(0, 20 * 3_600 * SECOND, len(ended["item"]))
        today.rows.add(kind, ended["known_as"], at, item=ended["item"], group=ended["group"])
    failed = take(bought, np.isin(bought["group"], groups["group"][groups["ok"] == 0]))
    for back in (refunds, failed):
        at = shop.plan.day_us(day) + rng.integers(21 * 3_600 * SECOND, 22 * 3_600 * SECOND, len(back["item"]))
        told = {name: back[name] for name in _REFUND if name != "known_as"}
        today.rows.add("refund", back["known_as"], at, **told)
