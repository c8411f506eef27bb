"""What a past tells beside the interactions: friends, what items earned, what was shown. All by the engine, in numbers.

Everything here is made from a `Past`, which holds nothing after its moment.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
import numpy as np
import scipy.sparse as sp

from portraits.local import DAY_US
from portraits.past import Past
from recommender.history.exposures import MOST_PLACES, Exposures, Looks, Shown, exposures_of
from recommender.history.kinds import TARGETS
from recommender.history.worth import Earned

MOST_LOOKS = 1_000_000
MOST_IN_GROUP = 50
"""A group of more is a crowd: its members need not know each other, and its pairs are many."""


def read_friends(past: Past, users: ir.Table, total: int) -> sp.csr_matrix | None:
    """[U, U] symmetric: at how many moments two visitors met, by an event of one that names the other as the referrer,
    or by being in the same group. None when nobody did. users: id and row.

    Not the friends of a portrait (`portraits.grains.sharing`), which credit a sharer: here it is the same who came
    by whom, and whether it was the first time.
    """
    events = past.events.filter(past.events.own)
    brought = events.filter(events.referrer_user_id.notnull() & (events.referrer_user_id != events.user_id))
    brought = brought.select(one=brought.user_id, other=brought.referrer_user_id, at=brought.ts_us.cast("string"))
    members = events.filter(events.group_id.notnull()).select("user_id", "group_id").distinct().cache()
    size = members.group_by("group_id").aggregate(size=members.count())
    small = members.semi_join(size.filter((size["size"] > 1) & (size["size"] <= MOST_IN_GROUP)), "group_id")
    with_others = small.inner_join(small.view(), ["group_id"], rname="{name}_other")
    met = with_others.filter(with_others.user_id < with_others.user_id_other)
    together = met.select(one="user_id", other="user_id_other", at=ibis.literal("group ") + met.group_id)
    pairs = brought.union(together).distinct()
    pairs = pairs.group_by("one", "other").aggregate(times=pairs.count())
    pairs = pairs.join(users.select(one="id", one_row="row"), "one")
    found = pairs.join(users.select(other="id", other_row="row"), "other")
    rows = found.select("one_row", "other_row", "times").to_pyarrow()
    if not len(rows):
        return None
    one, other = rows["one_row"].to_numpy(), rows["other_row"].to_numpy()
    links = sp.csr_matrix((rows["times"].to_numpy().astype(np.float32), (one, other)), shape=(total, total))
    links = (links + links.T).tocsr()
    links.sort_indices()
    return links


def read_earned(past: Past, items: ir.Table, total: int) -> Earned:
    """What each item's events earned and how often it was looked at. items: id and row.

    What a content earned is its item's where they have one id: a page of articles recommends its articles.
    """
    events = past.events.mutate(id=ibis.coalesce(past.events.item_id, past.events.content_id))
    line = (events.type == "purchase") & events.amount.notnull()
    sums = events.group_by("id").aggregate(
        paid=events.amount.sum(where=line).fill_null(0),
        lines=events.count(where=line),
        revenue=events.revenue.sum(where=events.own).fill_null(0),
        views=events.count(where=events.type.isin(TARGETS["clicks"])),
    )
    rows = sums.join(items.select("id", "row"), "id").to_pyarrow()
    found = np.zeros((len(Earned._fields), total))
    found[:, rows["row"].to_numpy()] = [rows[name].to_numpy() for name in Earned._fields]
    return Earned(*found)


def read_exposures(
    past: Past, users: ir.Table, items: ir.Table, late_us: int, shape: tuple[int, int]
) -> Exposures | None:
    """What was shown at which position, and opened by a click within a day. late_us: from when on it is of late.

    A click belongs to the last exposure of the item to the visitor before it, in the same decision where both name
    one. None where no event names a position.
    """
    joined = _opened(past)
    counted = joined.select("user_id", "item_id", "position", "opened", late=joined.ts_us >= late_us)
    counted = counted.group_by("user_id", "item_id", "position", "late").aggregate(
        shown=counted.count(), opened=counted.opened.sum().fill_null(0)
    )
    counted = counted.join(users.select(user_id="id", user="row"), "user_id")
    counted = counted.join(items.select(item_id="id", item="row"), "item_id")
    rows = (
        counted.select("user", "item", "position", "late", "shown", "opened")
        .order_by("user", "item", "position", "late")
        .to_pyarrow()
    )
    if not len(rows):
        return None
    counts = Shown(
        user=rows["user"].to_numpy().astype(np.int32),
        item=rows["item"].to_numpy().astype(np.int32),
        place=np.minimum(rows["position"].to_numpy(), MOST_PLACES).astype(np.int32) - 1,
        shown=rows["shown"].to_numpy().astype(np.float64),
        opened=rows["opened"].to_numpy().astype(np.float64),
        late=rows["late"].to_numpy(zero_copy_only=False),
    )
    return exposures_of(counts, shape)


def read_looks(past: Past, users: ir.Table, items: ir.Table, since_us: int) -> Looks:
    """What was shown from a moment on, the latest MOST_LOOKS, and whether a click opened it: see `read_exposures`."""
    joined = _opened(past, since_us)
    joined = joined.join(users.select(user_id="id", user="row"), "user_id")
    joined = joined.join(items.select(item_id="id", item="row"), "item_id")
    chosen = joined.select("ts_us", "user", "item", "position", opened=joined.opened.notnull())
    latest = chosen.order_by([ibis.desc("ts_us"), "user", "item", "position", "opened"]).limit(MOST_LOOKS).to_pyarrow()
    return Looks(
        user=latest["user"].to_numpy().astype(np.int32),
        item=latest["item"].to_numpy().astype(np.int32),
        place=np.minimum(latest["position"].to_numpy(), MOST_PLACES).astype(np.int32) - 1,
        opened=latest["opened"].to_numpy(zero_copy_only=False),
    )


def _opened(past: Past, since_us: int = 0) -> ir.Table:
    """What was shown from a moment on (user_id, item_id, decision, ts_us, position), each once; opened: 1, or null."""
    events = past.events.filter(past.events.item_id.notnull() & (past.events.ts_us >= since_us))
    shown = events.filter((events.type == "exposure") & (events.position >= 1))
    keys = {"user_id": shown.user_id, "item_id": shown.item_id, "decision": shown.decision_id.fill_null("")}
    shown = shown.select(**keys, ts_us=shown.ts_us, position=shown.position).distinct().cache()
    clicked = events.filter(events.type == "click")
    clicked = clicked.select(
        "user_id", "item_id", clicked_in=clicked.decision_id.fill_null(""), click_us="ts_us"
    ).distinct()
    both = shown.inner_join(clicked, ["user_id", "item_id"])
    both = both.filter((both.ts_us <= both.click_us) & (both.click_us < both.ts_us + DAY_US))
    both = both.filter((both.decision == both.clicked_in) | (both.decision == "") | (both.clicked_in == ""))
    led = ibis.window(
        group_by=["user_id", "item_id", "clicked_in", "click_us"],
        order_by=[both.ts_us.desc(), both.position, both.decision],
    )
    ranked = both.mutate(turn=ibis.row_number().over(led))
    opened = ranked.filter(ranked.turn == 0).select("user_id", "item_id", "decision", "ts_us", "position").distinct()
    return shown.left_join(opened.mutate(opened=1), ["user_id", "item_id", "decision", "ts_us", "position"])
