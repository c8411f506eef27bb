"""The tables of one comparison of the arms: what was answered, and what visitors did from then on. By the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property

import ibis
import ibis.expr.types as ir
import numpy as np
from ibis.backends.duckdb import Backend

from portraits.attribution import NAMING, Attribution
from portraits.decision_ids import Verdict, verify
from portraits.history import NOBODY
from portraits.local import to_us
from portraits.past import Past
from portraits.people import Persons
from portraits.snapshot import Snapshot
from recommender import types
from recommender.history.kinds import TARGETS

ARMS = ("treated", "control")
OF_OFFERS = types.OF_OFFERS
"""The policy of answers that hold offers."""
BEFORE_PLANS = "eligible"
"""The same of answers before offers were chosen by what they are worth."""
IGNORED: Mapping[str, str] = {
    "another's": "that was given to somebody else",
    "later": "that was given later",
    "lost": "that was given and then lost (a crash may lose the last second)",
    "forged": "that this app did not give: made up, or another app's",
    "unknown": "that is not known",
}
"""Why an event that names an answer belongs to none."""
_WHY: Mapping[Verdict, str] = {"signed": "lost", "forged": "forged", "foreign": "unknown"}
BATCH = 50_000
COUNTED = {"shown": "int64", "clicks": "int64", "purchases": "int64"} | dict.fromkeys(
    ("amount", "refunded", "led"), "float64"
)
"""What is summed over what came of an answer, and its type."""


def decisions_of(snapshot: Snapshot, past: Past, people: Persons, con: Backend) -> ir.Table:
    """Answers before the past's moment to people who do not refuse, under the ids of these people."""
    until = past.as_of
    rows = people.merged(snapshot.decisions(con), "user_id")
    rows = rows.filter(rows.ts < ibis.literal(until, "timestamp('UTC')"))
    refused = past.lake_users.filter(past.lake_users.consent == False)  # noqa: E712
    return rows.anti_join(refused, "user_id")


class Experiment:
    """The tables of one report."""

    def __init__(self, past: Past, decisions: ir.Table, since: datetime) -> None:
        self.past = past
        self.since_us = to_us(since)
        self.found = Attribution(decisions, past.events, past.settings.attribution_hours)

    @cached_property
    def answers(self) -> ir.Table:
        """Answers of the span that are about items: also those that are the same for both arms (arm null), and not
        those of offers, from which nothing here can follow."""
        answers = self.found.answers
        about_items = ~answers.policy.fill_null("").isin((OF_OFFERS, BEFORE_PLANS))
        return answers.filter((answers.ts_us >= self.since_us) & about_items).drop("policy")

    @cached_property
    def whose(self) -> ir.Table:
        """decision_id, visitor of each answer of the span; one that was for nobody in particular is a visitor of its
        own, since nothing tells whose it was."""
        answers = self.answers
        return answers.select(
            "decision_id", visitor=ibis.ifelse(answers.user_id == NOBODY, answers.decision_id, answers.user_id)
        )

    @cached_property
    def total(self) -> int:
        return int(self.answers.count().execute())

    @cached_property
    def objective(self) -> str:
        """As set; where nothing is said, revenue if anything brought money in, else clicks."""
        if self.past.settings.objective != "auto":
            return self.past.settings.objective
        late = self.past.events.filter(self.past.events.ts_us >= self.since_us)
        brought = late.amount.sum().fill_null(0) + late.revenue.sum().fill_null(0)
        return "revenue" if int(brought.execute() or 0) else "clicks"

    @cached_property
    def by_exposures(self) -> bool:
        """Whether the app tells what was seen; else all that was answered counts as shown."""
        return bool(self.found.shown.semi_join(self.answers, "decision_id").count().execute())

    @cached_property
    def facts(self) -> ir.Table:
        """What came of the answers of the span, one row for each answer, item and visitor of whom there is anything:
        decision_id, item_id, visitor, position (where it was seen, null where that was not told), shown and clicks
        (0 or 1), purchases (lines), amount (minor units: of purchases, and what ads and leads brought), refunded, and
        led (by the objective, before refunds)."""
        bought = self._bought.filter(self._bought.decision_id.notnull())
        bought = bought.mutate(purchases=1, amount=bought.amount.fill_null(0), led=bought.worth)
        brought = self.found.brought
        parts = (
            self._shown.mutate(shown=1),
            self.found.clicked.mutate(clicks=1, led=1.0 if self.objective == "clicks" else 0.0),
            bought if self.objective != "clicks" else bought.mutate(led=0.0),
            brought.mutate(amount=brought.revenue, led=brought.revenue if self.objective == "revenue" else 0.0),
        )
        rows = ibis.union(*(_as_facts(part) for part in parts)).semi_join(self.answers, "decision_id")
        sums = {name: rows[name].sum() for name in COUNTED}
        keys = ("decision_id", "item_id", "visitor")
        return rows.group_by(*keys).aggregate(position=rows.position.min(), **sums).cache()

    @cached_property
    def entries(self) -> ir.Table:
        """What was in the answers of the span; kept, since candidates are text that takes long to read."""
        return self.found.entries(self.answers).cache()

    @cached_property
    def _shown(self) -> ir.Table:
        if self.by_exposures:
            return self.found.shown
        entries = self.entries.select("decision_id", "item_id").inner_join(self.whose, "decision_id")
        return entries.rename(user_id="visitor")

    @cached_property
    def per_answer(self) -> ir.Table:
        """Answers of the span (decision_id, user_id, ts_us, placement, version, arm), each with the sums of its
        facts."""
        answers = self.answers.mutate(placement=self.answers.placement.fill_null(""))
        facts = self.facts
        sums = facts.group_by("decision_id").aggregate({name: facts[name].sum() for name in COUNTED})
        rows = answers.left_join(sums, "decision_id").drop("decision_id_right")
        return rows.fill_null(dict.fromkeys(COUNTED, 0)).cache()

    @cached_property
    def _bought(self) -> ir.Table:
        """`Attribution.purchases` with worth: what each line brings by the objective."""
        return self._worth(self.found.purchases).cache()

    def _worth(self, lines: ir.Table) -> ir.Table:
        amount = lines.amount.fill_null(0).cast("float64")
        if self.objective != "margin":
            return lines.mutate(worth=amount)
        items = self.past.lake_items.select("item_id", "price", "cost")
        told = items.filter(items.cost.notnull() & (items.price > 0))
        share = told.select(share=1 - told.cost / told.price).share.median().execute()
        share = 1.0 if share is None or np.isnan(share) else max(float(share), 0.0)
        priced = lines.left_join(items.select("item_id", "cost"), "item_id").drop("item_id_right")
        units = priced.quantity.fill_null(1).cast("float64")
        amount = priced.amount.fill_null(0).cast("float64")
        margin = ibis.ifelse(priced.cost.notnull(), amount - priced.cost * units, amount * share)
        return priced.mutate(worth=margin).drop("cost")

    @cached_property
    def visitors(self) -> ir.Table:
        """One row a visitor of the experiment: arm (of the first answer), arms (how many different), and what FIGURES
        counts."""
        drawn = self.per_answer.filter(self.per_answer.arm.isin(ARMS))
        nth = ibis.row_number().over(group_by="user_id", order_by=[drawn.ts_us, drawn.decision_id])
        drawn = drawn.mutate(nth=nth)
        people = drawn.group_by("user_id").aggregate(
            first_us=drawn.ts_us.min(),
            arm=drawn.arm.max(where=drawn.nth == 0),
            arms=drawn.arm.nunique(),
            answers=drawn.count(),
            shown=drawn.shown.sum(),
            clicks=drawn.clicks.sum(),
            purchases=drawn.purchases.sum(),
            led=drawn.led.sum(),
        )
        people = people.cache()
        since = people.select("user_id", "first_us")
        lines = self._bought.inner_join(since, "user_id")
        lines = lines.filter(lines.ts_us >= lines.first_us)
        bought = lines.group_by("user_id").aggregate(lines=lines.count(), money=lines.worth.sum())
        joined = people.left_join(bought, "user_id").drop("user_id_right")
        joined = joined.left_join(self._besides(since, lines), "user_id").drop("user_id_right")
        joined = joined.fill_null({"lines": 0, "money": 0.0, "besides": 0.0})
        money = joined.besides if self.objective == "clicks" else joined.money + joined.besides
        return joined.mutate(bought=(joined.lines > 0).cast("int64"), value=money).drop("lines", "money", "besides")

    def _besides(self, since: ir.Table, lines: ir.Table) -> ir.Table:
        """user_id, besides: what counts beside purchases. Clicks and views; or refunds of the orders counted (less than
        0) and, by revenue, what ads and leads brought."""
        events = self.past.events.inner_join(since, "user_id")
        events = events.filter(events.ts_us >= events.first_us)
        if self.objective == "clicks":
            taken = events.filter(events.own & events.type.isin(TARGETS["clicks"]))
            return taken.group_by("user_id").aggregate(besides=taken.count().cast("float64"))
        orders = lines.filter(lines.order_id.notnull()).select("user_id", "order_id").distinct()
        refunds = self.found.standing(events.filter(events.type == "refund")).semi_join(orders, ["user_id", "order_id"])
        back = self._worth(refunds.select("user_id", "item_id", "amount", "quantity"))
        parts = back.select("user_id", part=-back.worth)
        if self.objective == "revenue":
            brought = events.filter(events.own & events.revenue.notnull())
            parts = parts.union(brought.select("user_id", part=brought.revenue.cast("float64")))
        return parts.group_by("user_id").aggregate(besides=parts.part.sum())

    @property
    def counts(self) -> dict[str, int]:
        """Purchases of the span: all, by how they belong to an answer, only seen there, naming one that is not
        theirs."""
        lines = self._bought.filter(self._bought.ts_us >= self.since_us)
        found = lines.aggregate(
            purchases=lines.count(),
            named=lines.count(where=lines.how == "named"),
            click=lines.count(where=lines.how == "click"),
            viewed=lines.count(where=lines.viewed.notnull()),
            ignored=lines.count(where=lines.ignored),
        )
        names = ("purchases", "by the answer they name", "by a click", "view-through", "of another's answer")
        row = found.to_pyarrow().to_pylist()[0]
        return {"answers": self.total} | dict(zip(names, map(int, row.values()), strict=True))

    def ignored(self, salt: str | None) -> dict[str, dict[str, int]]:
        """What of the span names an answer that it cannot belong to, by why (see `IGNORED`): different answers, and
        events of each type. salt: the app's, to tell what was given from what was made up."""
        rows = self.found.unproved(self.since_us).cache()
        counts: dict[str, Counter[str]] = {why: Counter() for why in IGNORED}
        sums = {"answers": ibis._.count()} | {kind: ibis._[kind].sum() for kind in NAMING}
        for row in rows.filter(rows.why.notnull()).group_by("why").aggregate(**sums).to_pyarrow().to_pylist():
            counts[row.pop("why")].update(row)
        unknown = rows.filter(rows.why.isnull()).drop("why")
        for batch in unknown.to_pyarrow_batches(chunk_size=BATCH):
            for row in batch.to_pylist():
                verdict = verify(salt, row.pop("decision_id")) if salt else "foreign"
                counts[_WHY[verdict]].update(row, answers=1)
        return {why: {name: count[name] for name in ("answers", *NAMING)} for why, count in counts.items() if count}


def _as_facts(part: ir.Table) -> ir.Table:
    """Rows of one kind (seen, clicked, bought) with all columns of the facts."""
    position = part.position.cast("int64") if "position" in part.columns else ibis.null("int64")
    counted = {
        name: part[name].cast(kind) if name in part.columns else ibis.literal(0, kind) for name, kind in COUNTED.items()
    }
    return part.select("decision_id", "item_id", visitor="user_id", position=position, **counted)
