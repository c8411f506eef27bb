"""Who was given which offer, or none, and by what chance: the engine's table behind `recommender.offers.trials`.

A *unit* is a visitor's first assignment of a local day. Assignments come from three sources, the first that knows the
offer:

1. decisions. Every answer about offers is one: by its policy (`LIVE`), or, imported from elsewhere, by what it holds
   (an offer, or the source "none"), or because it holds nothing where the same policy gives offers. The first offer by
   position is the action; an entry of the source "none" without a position says how likely none was and, as a list of
   ids (`could`), which offers could have been chosen; arm "control" means that what it names was not shown.
2. sends: `message_sent` events that name an offer. What is assigned is the send, whether it was looked at or not.
3. exposures (`offer_exposure`), the visitor's first of each offer, where nothing tells who was meant to see it.

Imported decisions of a policy that always gives something are sends, too. Sends and exposures say nothing of who was
left out, so a comparison is made up: on a day of a send, everyone known by then who was given nothing that day could
have been given something. From these visitors `COMPARED` are drawn, by a fixed lot, for each one who was given
something. Their moment is the middle of the day's sends; for exposures, where visits are told, only visitors who came
that day are drawn, and their moment is the beginning of what else they did. By what chance somebody was sent something
is not known: the propensity of all these units is null.

Chances: a live policy logs the chance p of its first offer, and p0 of none, given that the visitor is not held out.
With the share h of visitors who are, an offer has (1 - h) p, none has h + (1 - h) p0. What an imported decision says is
taken as it is; what is no probability is not known. An answer that could only be none is no unit: nothing was tried;
nor is one of ours without an arm: both are answered alike.

Limits a person: a visitor who is held out never claims, and so never reaches an offer's `per_user_limit`; one who is
not uses the offer up and then leaves its trials. Buyers would thus leave one arm only. So a unit is `even` as long as
no offer had been chosen for the visitor, before it, as often as a person may claim it (by the limit of today; once, for
an offer that is in no catalogue): until then both arms are asked alike, whatever comes of the offers. Later units say
nothing by arm. The chances of the treated among them are still known, given what these visitors may have: p or p0,
without the holdout; those of the others are not.

The moments are the server's. A purchase counts from then on and never because it names the answer: only who was shown
an offer can name one, and the comparison would suffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from portraits.history import NOBODY
from portraits.local import day_number, microseconds
from portraits.past import Past

LIVE = ("offers", "eligible")
"""Policies of this system's own answers about offers; "eligible" until it learnt to choose."""
NONE = "none"
ENTRY = ("item_id", "offer_id", "source", "position", "propensity", "could")
COMPARED = 2
BY_SEND, BY_EXPOSURE = "message_sent", "offer_exposure"
ASSIGNMENT = ("user_id", "at_us", "day", "decision_id", "control", "intended", "action", "propensity", "could")
UNIT = (*ASSIGNMENT, "live", "source", "even")
TRADES = ("purchase", "refund", "order_cancel")
_LAST = 2**31
_STRIDES, _PRIME = (1_327_217_885, 906_185_749), 2**31 - 1  # the golden ratio, and another: spread evenly
_ENTRIES = (
    "array<struct<item_id: string, offer_id: string, source: string, position: int64, propensity: float64, "
    "could: string>>"
)
_AS_STRUCTS = (
    '[{"item_id": "VARCHAR", "offer_id": "VARCHAR", "source": "VARCHAR", "position": "BIGINT", "propensity": "DOUBLE", '
    '"could": "JSON"}]'
)


@ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
    name="json_transform", signature=((dt.string, dt.string), dt.dtype(_ENTRIES))
)
def _entries(text: Any, structure: str) -> Any:
    """The entries of a JSON list as structs, null where it is none: DuckDB's own function."""


@dataclass(frozen=True)
class Assigned:
    """Assignments before the past's moment. decisions: rows of the contract, user_id that of the person, of nobody who
    refused (`recommender.experiment.decisions_of`)."""

    past: Past
    decisions: ir.Table
    control_share: float

    @cached_property
    def units(self) -> ir.Table:
        """One row a visitor and local day, of several sources the first: UNIT. intended: the offer that was chosen,
        also where it was not shown (control); action: the offer that was given, null for none. could: the offers that
        could have been, a JSON list of ids, null where that is not told. source: "decisions", "sends" or
        "exposures"."""
        drawn = self._drawn
        sent = self._sent(BY_SEND).union(self._promised).cache()
        seen = self._seen(sent)
        given = sent.union(seen).cache()
        days = drawn.select("user_id", "day").union(given.select("user_id", "day")).distinct().cache()
        parts = [drawn.mutate(turn=0), given.mutate(turn=1)]
        parts += [self._compared(rows, days, visits).mutate(turn=2) for rows, visits in ((sent, False), (seen, True))]
        every = ibis.union(*(part.select(*UNIT, "turn") for part in parts))
        order = [every.turn, every.at_us, every.decision_id, every.intended]
        first = ibis.row_number().over(group_by=["user_id", "day"], order_by=order)
        return every.mutate(nth=first).filter(ibis._.nth == 0).select(*UNIT)

    @cached_property
    def answers(self) -> ir.Table:
        """Every answer about offers once: UNIT, and `policy`, `told` (whether it says how likely none was), `vain` (it
        could only be none)."""
        entries = self._entries
        place = entries.position.fill_null(ibis.ifelse(entries.none, _LAST, _LAST - 1)) * 1_000 + entries.place
        entries = entries.mutate(place=place)
        lead = entries.mutate(first=entries.place.min().over(group_by="decision_id"))
        leads = lead.place == lead.first
        found = lead.group_by("decision_id").aggregate(
            offer_id=lead.offer_id.max(where=leads & lead.offer),
            chance=lead.propensity.max(where=leads & lead.offer),
            none_chance=lead.propensity.max(where=lead.none),
            could=lead.could.max(where=lead.none),
        )
        joined = self._about_offers.drop("candidates").left_join(found, "decision_id").drop("decision_id_right")
        return self._as_units(joined)

    @cached_property
    def _entries(self) -> ir.Table:
        """Entries of offers (`offer`), and what says how likely none was (`none`) of the answers."""
        rows = self._about_offers
        entries = rows.select("decision_id", entry=_entries(rows.candidates, _AS_STRUCTS))
        entries = entries.unnest("entry", offset="place")
        entry = {name: entries.entry[name] for name in ENTRY}
        entries = entries.select("decision_id", "place", **entry)
        none = (entries.source == NONE).fill_null(False) | (entries.offer_id.lower() == NONE).fill_null(False)
        offer = entries.offer_id.notnull() & ~none
        return entries.mutate(none=none, offer=offer).filter(offer | none).cache()

    @cached_property
    def _used_up(self) -> ir.Table:
        """user_id, used_up_us: when an answer of ours first chose an offer for the visitor as often as a person may
        claim it."""
        live = self._about_offers.filter(self._about_offers.policy.isin(LIVE)).select("decision_id", "user_id", "ts_us")
        rows = self._entries.filter(self._entries.offer).inner_join(live, "decision_id")
        rows = rows.select("user_id", "ts_us", "offer_id", "decision_id").distinct()
        known = self.past.lake_offers.select("offer_id", bound="per_user_limit", known=ibis.literal(True))
        rows = rows.left_join(known, "offer_id").drop("offer_id_right")
        most = ibis.ifelse(rows.known.fill_null(False), rows.bound, 1)
        order = [rows.ts_us, rows.decision_id]
        nth = ibis.row_number().over(group_by=["user_id", "offer_id"], order_by=order) + 1
        rows = rows.mutate(nth=nth, most=most).filter(lambda row: row.nth >= row.most)
        return rows.group_by("user_id").aggregate(used_up_us=rows.ts_us.min())

    def _as_units(self, rows: ir.Table) -> ir.Table:
        rows = rows.left_join(self._used_up, "user_id").drop("user_id_right")
        live = rows.policy.fill_null("").isin(LIVE)
        control = (rows.arm == "control").fill_null(False)
        even = ~live | rows.used_up_us.isnull() | (rows.ts_us <= rows.used_up_us)
        held = ibis.ifelse(live & even, self.control_share, 0.0)
        gives = rows.offer_id.notnull() & ~control
        chance = ibis.ifelse(gives, (1 - held) * rows.chance, held + (1 - held) * rows.none_chance)
        return rows.select(
            "user_id",
            "decision_id",
            policy=rows.policy.fill_null(""),
            at_us=rows.ts_us,
            day=day_number(self.past.zone.local_us(rows.ts_us)),
            control=control,
            intended=rows.offer_id,
            action=ibis.ifelse(gives, rows.offer_id, ibis.null("string")),
            propensity=ibis.ifelse((chance > 0) & (chance <= 1) & (even | ~control), chance, None).cast("float64"),
            live=live,
            source=ibis.literal("decisions"),
            even=even,
            could=rows.could,
            told=rows.none_chance.notnull(),
            vain=rows.offer_id.isnull() & (rows.none_chance >= 1).fill_null(False),
        ).cache()

    @cached_property
    def _about_offers(self) -> ir.Table:
        """decision_id (the first row of each), user_id, ts_us, policy, arm, candidates."""
        rows = self.decisions.filter(self.decisions.user_id != NOBODY)
        where = ibis.coalesce(rows.policy, "") + "|" + ibis.coalesce(rows.placement, "")
        kept = ("decision_id", "user_id", "policy", "arm", "candidates")
        drawn = rows.policy.fill_null("").notin(LIVE) | rows.arm.notnull()
        rows = rows.select(*kept, ts_us=microseconds(rows.ts), where=where).filter(drawn)
        text = rows.candidates
        holds = text.contains('"offer_id"')
        speaks = rows.policy.fill_null("").isin(LIVE) | holds | text.contains(f'"{NONE}"')
        givers = rows.filter(holds).select("where").distinct()
        empty = rows.filter(~speaks & (text == "[]")).semi_join(givers, "where")
        rows = rows.filter(speaks).union(empty)
        nth = ibis.row_number().over(group_by="decision_id", order_by=[rows.ts_us, rows.user_id])
        return rows.mutate(nth=nth).filter(ibis._.nth == 0).drop("nth", "where").cache()

    @cached_property
    def _lotteries(self) -> ir.Table:
        """Policies that may give none."""
        answers = self.answers
        return answers.filter(answers.live | answers.action.isnull() | answers.told).select("policy").distinct()

    @cached_property
    def _drawn(self) -> ir.Table:
        return self.answers.filter(~self.answers.vain).semi_join(self._lotteries, "policy").select(*UNIT)

    @cached_property
    def _promised(self) -> ir.Table:
        """Answers of policies that never give none, as sends."""
        rest = self.answers.anti_join(self._lotteries, "policy")
        return self._given(rest.select("user_id", "at_us", "decision_id", "intended"), "sends")

    def _sent(self, kind: str) -> ir.Table:
        """Events of a kind that name an offer which no decision gives, as units."""
        events = self.past.events
        rows = events.filter((events.type == kind) & events.offer_id.notnull())
        rows = rows.anti_join(self.answers, rows.offer_id == self.answers.intended)
        rows = rows.select("user_id", at_us="ts_us", decision_id=ibis.null("string"), intended="offer_id")
        return self._given(rows, "sends" if kind == BY_SEND else "exposures")

    def _seen(self, sent: ir.Table) -> ir.Table:
        """First exposures of offers that were not sent."""
        rows = self._sent(BY_EXPOSURE).anti_join(sent, "intended")
        nth = ibis.row_number().over(group_by=["user_id", "intended"], order_by=rows.at_us)
        return rows.mutate(nth=nth).filter(ibis._.nth == 0).drop("nth").cache()

    def _given(self, rows: ir.Table, source: str) -> ir.Table:
        return rows.select(
            "user_id",
            "at_us",
            "decision_id",
            "intended",
            day=day_number(self.past.zone.local_us(rows.at_us)),
            control=ibis.literal(False),
            action=rows.intended,
            propensity=ibis.null("float64"),
            could=ibis.null("string"),
            live=ibis.literal(False),
            source=ibis.literal(source),
            even=ibis.literal(True),
        ).select(*UNIT)

    def _compared(self, given: ir.Table, taken: ir.Table, visits: bool) -> ir.Table:
        """Who could have been given something on the days of `given` and was not, as units. taken: user_id, day of who
        is a unit already. visits: only those who came that day, at the moment when they did."""
        days = given.group_by("day").aggregate(
            n=given.user_id.nunique(), middle_us=given.at_us.median().cast("int64"), source=given.source.min()
        )
        people = self._people
        total = max(int(people.count().execute()), 1)
        days = days.mutate(share=days.n * COMPARED / total)
        if visits and self._visits_are_told:
            rows = self._comings.inner_join(people, "user_id").inner_join(days, "day")
            came = rows.group_by("day").aggregate(came=rows.count())
            rows = rows.inner_join(came, "day")
            rows = rows.mutate(share=rows.n * COMPARED / rows.came)
        else:
            rows = people.cross_join(days)
            rows = rows.filter(rows.first_us <= rows.middle_us).mutate(at_us=rows.middle_us)
        lot = ((rows.row * _STRIDES[0] + rows.day * _STRIDES[1]) % _PRIME) / _PRIME
        rows = rows.filter(lot < rows.share).anti_join(taken, ["user_id", "day"])
        nothing = {"decision_id": ibis.null("string"), "intended": ibis.null("string"), "action": ibis.null("string")}
        told = {"control": ibis.literal(False), "live": ibis.literal(False), "propensity": ibis.null("float64")}
        told |= {"even": ibis.literal(True), "could": ibis.null("string")}
        return rows.select("user_id", "at_us", "day", "source", **nothing, **told).select(*UNIT)

    @cached_property
    def _people(self) -> ir.Table:
        """Everyone known: user_id, first_us (since when; those of the catalogue since ever, or since they joined), row
        (a number)."""
        events, users = self.past.events, self.past.lake_users
        users = users.filter(users.consent.fill_null(True))
        joined = microseconds(users.joined_at).fill_null(0)
        known = events.select("user_id", first_us="ts_us").union(users.select("user_id", first_us=joined))
        known = known.group_by("user_id").aggregate(first_us=known.first_us.min())
        return known.mutate(row=ibis.row_number().over(order_by=known.user_id) + 1).cache()

    @cached_property
    def _browsing(self) -> ir.Table:
        events = self.past.events
        return events.filter(events.own & events.type.notin(TRADES) & events.offer_id.isnull())

    @cached_property
    def _visits_are_told(self) -> bool:
        return bool(self._browsing.limit(1).count().execute())

    @cached_property
    def _comings(self) -> ir.Table:
        """user_id, day, at_us of the first thing that the visitor did that day."""
        rows = self._browsing
        rows = rows.select("user_id", "ts_us", day=day_number(self.past.zone.local_us(rows.ts_us)))
        return rows.group_by("user_id", "day").aggregate(at_us=rows.ts_us.min())
