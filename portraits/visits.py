"""Visits: the sessions of a whole history, found by window functions over the rule of `portraits.sessions`."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.scenes import is_test
from portraits.sessions import SILENCE_US, begins

END_OF_TIME_US = 2**62


def visits_of(events: ir.Table) -> ir.Table:
    """One row a session: user_id, start_us, end_us, events, platform and scene ('' where there is none).

    `events` has user_id, ts_us, type, platform, scene. Two passes: a window over all events finds silences, and a
    second one, over the few rows that can begin a session, applies the rule. Events of one moment are taken launches
    first, then by scene, so that their order in the files cannot matter.
    """
    candidates = _candidates(events)
    by_user = ibis.window(group_by="user_id", order_by="nth")
    previous = candidates.scene.lag().over(by_user).fill_null("")
    starts = candidates.mutate(
        begins=begins(candidates.silence_us, candidates.is_launch, candidates.scene, previous)
    ).filter(ibis._.begins)
    spans = starts.mutate(
        next_nth=starts.nth.lead().over(by_user),
        next_prior_us=starts.prior_us.lead().over(by_user),
    )
    whole = events.group_by("user_id").aggregate(last_us=events.ts_us.max(), count=events.count())
    joined = spans.inner_join(whole, "user_id")
    return joined.select(
        "user_id",
        "platform",
        "scene",
        start_us="ts_us",
        end_us=joined.next_prior_us.fill_null(joined.last_us),
        events=joined.next_nth.fill_null(joined["count"]) - joined.nth,
    )


def _candidates(events: ir.Table) -> ir.Table:
    """Events that may begin a session: those after a silence, and launches; `nth` counts all events of the user."""
    is_launch = events.type == "launch"
    narrow = events.select(
        "user_id",
        "ts_us",
        is_launch=is_launch,
        platform=events.platform.fill_null(""),
        scene=events.scene.fill_null(""),
        rank=events.ts_us * 2 + ibis.ifelse(is_launch, 0, 1),
    )
    by_user = ibis.window(group_by="user_id", order_by=["rank", "scene"])
    windowed = narrow.select(
        "user_id",
        "ts_us",
        "platform",
        "scene",
        "is_launch",
        prior_us=narrow.ts_us.lag().over(by_user),
        nth=ibis.row_number().over(by_user),
    )
    silence_us = (windowed.ts_us - windowed.prior_us).fill_null(SILENCE_US + 1)
    return windowed.mutate(silence_us=silence_us).filter(ibis._.is_launch | (ibis._.silence_us > SILENCE_US))


def without_test_traffic(events: ir.Table) -> ir.Table:
    """`events` without the sessions in which any event came in by test traffic.

    Only the launch of a session may carry the scene, so the events after it are found by session. Meant for the few
    visitors who have such events: it sorts all that it is given.
    """
    by_user = ibis.window(group_by="user_id", order_by="start_us")
    starts = visits_of(events).select("user_id", "start_us")
    spans = starts.mutate(until_us=starts.start_us.lead().over(by_user).fill_null(END_OF_TIME_US))
    test = events.filter(is_test(events.platform, events.scene)).select("user_id", "ts_us")
    dirty = spans.semi_join(test, _within(test, spans))
    return events.anti_join(dirty, _within(events, dirty))


def _within(moments: ir.Table, spans: ir.Table) -> list[ir.Value]:
    return [
        moments.user_id == spans.user_id,
        moments.ts_us >= spans.start_us,
        moments.ts_us < spans.until_us,
    ]
