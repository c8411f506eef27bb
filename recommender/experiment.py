"""The tables of one comparison of the arms: what was answered, and what visitors did from then on. By the engine."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from ibis.backends.duckdb import Backend

from portraits.attribution import Attribution
from portraits.lake import Snapshot
from portraits.local import to_us
from portraits.past import Past
from portraits.people import Persons
from recommender.history.dataset import TARGETS

ARMS = ("treated", "control")


def decisions_of(snapshot: Snapshot, past: Past, until: datetime, con: Backend) -> ir.Table:
    """Answers before `until` to people who do not refuse, under the ids of these people."""
    rows = Persons(snapshot, con, until).merged(snapshot.decisions(con), "user_id")
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
        """Answers of the span: all of them, also those that are the same for both arms (arm null)."""
        return self.found.answers.filter(self.found.answers.ts_us >= self.since_us)

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
        return bool(self.found.shown.filter(self.found.shown.ts_us >= self.since_us).count().execute())

    @cached_property
    def _shown(self) -> ir.Table:
        if self.by_exposures:
            return self.found.shown.select("decision_id", "item_id")
        return self.found.entries.select("decision_id", "item_id")

    @cached_property
    def _per_answer(self) -> ir.Table:
        """Answers of the span with shown, clicks, purchases and led: what belongs to each."""
        answers = self.answers.select(
            "decision_id", "user_id", "ts_us", "arm", placement=self.answers.placement.fill_null("")
        )
        parts = {
            "shown": self._shown.group_by("decision_id").aggregate(shown=ibis._.count()),
            "clicks": self.found.clicked.group_by("decision_id").aggregate(clicks=ibis._.count()),
            "bought": self._bought.group_by("decision_id").aggregate(purchases=ibis._.count(), led=ibis._.worth.sum()),
        }
        for part in parts.values():
            answers = answers.left_join(part, "decision_id").drop("decision_id_right")
        rows = answers.fill_null({"shown": 0, "clicks": 0, "purchases": 0, "led": 0.0})
        if self.objective == "clicks":
            rows = rows.mutate(led=rows.clicks.cast("float64"))
        return rows.cache()

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
        drawn = self._per_answer.filter(self._per_answer.arm.isin(ARMS))
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
    def placements(self) -> list[dict[str, Any]]:
        """By placement and arm, the most answers first."""
        rows = self._per_answer
        sums = rows.group_by("placement", "arm").aggregate(answers=rows.count(), **_sums(rows))
        return list(sums.order_by([ibis.desc("answers"), "placement", "arm"]).to_pyarrow().to_pylist())

    @property
    def sources(self) -> list[dict[str, Any]]:
        """By candidate source and arm: what was shown, clicked and bought of the items it proposed."""
        entries = self.found.entries.inner_join(self._per_answer.select("decision_id", "arm"), "decision_id")
        keys = ["decision_id", "item_id"]
        clicked = self.found.clicked.select(*keys, clicks=1)
        bought = self._bought.group_by(*keys).aggregate(purchases=ibis._.count(), led=ibis._.worth.sum())
        rows = entries.semi_join(self._shown, keys)
        rows = rows.left_join(clicked, keys).drop("decision_id_right", "item_id_right")
        rows = rows.left_join(bought, keys).drop("decision_id_right", "item_id_right")
        rows = rows.mutate(shown=1).fill_null({"clicks": 0, "purchases": 0, "led": 0.0, "source": ""})
        if self.objective == "clicks":
            rows = rows.mutate(led=rows.clicks.cast("float64"))
        sums = rows.group_by("source", "arm").aggregate(**_sums(rows))
        return list(sums.order_by([ibis.desc("shown"), "source", "arm"]).to_pyarrow().to_pylist())

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


def _sums(rows: ir.Table) -> dict[str, ir.Value]:
    return {name: rows[name].sum() for name in ("shown", "clicks", "purchases", "led")}
