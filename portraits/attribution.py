"""What came of the answers that were given: clicks, purchases, and which answer each of them belongs to.

The rule (a purchase belongs to at most one answer):

1. to the answer it names, if that was given to the same person before; anybody else's, an unknown one or a later one
   is ignored and counted
2. else to the answer of the person's last click on that item in the window before (24 hours, by the app); a last click
   that names no answer leads to none: something else brought the visitor there
3. else to none. Where the person did not click on the item but saw it in an answer in the window, the purchase is
   *view-through*: told apart, and never added to the others

People are those of the past that the tables come from: what a visitor did under one id is theirs under every id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from portraits.local import HOUR_US, microseconds

_CANDIDATES = "array<struct<item_id: string, source: string>>"
_AS_STRUCTS = '[{"item_id": "VARCHAR", "source": "VARCHAR"}]'


@ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
    name="json_transform", signature=((dt.string, dt.string), dt.dtype(_CANDIDATES))
)
def _candidates(text: Any, structure: str) -> Any:
    """The entries of a JSON list as structs, null where it is none: DuckDB's own function."""


@dataclass(frozen=True)
class Attribution:
    """Answers and what followed them, until the end of `events`.

    decisions: rows of the contract, user_id that of the person. events: as `Past.events`. hours: how long after a click
    (or a look) a purchase may belong to it.
    """

    decisions: ir.Table
    events: ir.Table
    hours: float

    @cached_property
    def answers(self) -> ir.Table:
        """One row an answer: decision_id, user_id, ts_us, placement, arm, candidates. Of rows with one id (the lake
        keeps one for each day) the first."""
        rows = self.decisions.mutate(ts_us=microseconds(self.decisions.ts))
        first = ibis.row_number().over(group_by="decision_id", order_by=[rows.ts_us, rows.user_id])
        rows = rows.mutate(nth=first).filter(ibis._.nth == 0)
        return rows.select("decision_id", "user_id", "ts_us", "placement", "arm", "candidates").cache()

    @cached_property
    def entries(self) -> ir.Table:
        """What was in the answers: decision_id, item_id, source; an item once."""
        entries = self.answers.select("decision_id", entry=_candidates(self.answers.candidates, _AS_STRUCTS).unnest())
        entries = entries.select("decision_id", item_id=entries.entry["item_id"], source=entries.entry["source"])
        items = entries.filter(entries.item_id.notnull())
        return items.group_by("decision_id", "item_id").aggregate(source=items.source.min())

    @cached_property
    def shown(self) -> ir.Table:
        """What was seen of the answers: decision_id, item_id, user_id, and when first (ts_us)."""
        return self._led("exposure").cache()

    @cached_property
    def clicked(self) -> ir.Table:
        """What was clicked in the answers, as `shown`."""
        return self._led("click").cache()

    @cached_property
    def purchases(self) -> ir.Table:
        """One row a purchase that was not cancelled: line (a number), user_id, item_id, order_id, ts_us, amount,
        quantity, decision_id (the answer it belongs to, else null), how ("named" or "click", else null), viewed (the
        answer in which it was seen, where it belongs to none and was not clicked), ignored (it names an answer that it
        cannot belong to)."""
        lines = self._lines
        named = self._valid(lines.filter(lines.named.notnull()), "named").select("line", by_name="decision_id")
        found = lines.left_join(named, "line").drop("line_right")
        open_lines = found.filter(found.by_name.isnull() & found.item_id.notnull())
        open_lines = open_lines.select("line", "user_id", "item_id", bought_us="ts_us")
        clicks = self._last(open_lines, "click").mutate(clicked=True)
        seen = self._last(open_lines, "exposure").select("line", seen="decision_id")
        found = found.left_join(clicks, "line").drop("line_right")
        found = found.left_join(seen, "line").drop("line_right")
        by_click = found.decision_id
        return found.select(
            "line",
            "user_id",
            "item_id",
            "order_id",
            "ts_us",
            "amount",
            "quantity",
            decision_id=ibis.coalesce(found.by_name, by_click),
            how=ibis.cases((found.by_name.notnull(), "named"), (by_click.notnull(), "click")),
            viewed=ibis.ifelse(found.clicked.isnull(), found.seen, None),
            ignored=found.named.notnull() & found.by_name.isnull(),
        ).cache()

    @cached_property
    def cancelled(self) -> ir.Table:
        """Void orders and lines: user_id, order_id, item_id (null: the whole order)."""
        void = self.events.filter((self.events.type == "order_cancel") & self.events.order_id.notnull())
        return void.select("user_id", "order_id", "item_id").distinct()

    def standing(self, rows: ir.Table) -> ir.Table:
        """Rows (of purchases, refunds) whose order, or line of it, is not void."""
        whole = self.cancelled.filter(self.cancelled.item_id.isnull())
        lines = self.cancelled.filter(self.cancelled.item_id.notnull())
        left = rows.anti_join(whole, ["user_id", "order_id"])
        return left.anti_join(lines, ["user_id", "order_id", "item_id"])

    @cached_property
    def _lines(self) -> ir.Table:
        """Purchases, numbered once: two lines that are alike stay two."""
        bought = self.standing(self.events.filter(self.events.type == "purchase"))
        columns = ("user_id", "item_id", "order_id", "ts_us", "amount", "quantity")
        return bought.select(*columns, named="decision_id", line=ibis.row_number().over(order_by=bought.ts_us)).cache()

    def _valid(self, rows: ir.Table, named: str) -> ir.Table:
        """The rows whose column `named` names an answer given to the same person, not later; with its decision_id."""
        answers = self.answers.select("decision_id", answered="user_id", answered_us="ts_us")
        rows = rows.drop("decision_id") if named != "decision_id" and "decision_id" in rows.columns else rows
        joined = rows.inner_join(answers, rows[named] == answers.decision_id)
        return joined.filter((joined.answered == joined.user_id) & (joined.answered_us <= joined.ts_us))

    def _led(self, kind: str) -> ir.Table:
        rows = self.events.filter((self.events.type == kind) & self.events.item_id.notnull())
        rows = self._valid(rows.select("user_id", "item_id", "ts_us", named="decision_id"), "named")
        return rows.group_by("decision_id", "item_id", "user_id").aggregate(ts_us=rows.ts_us.min())

    def _last(self, lines: ir.Table, kind: str) -> ir.Table:
        """The last event of a kind on the same item in the window before each line: line, decision_id (null: it names
        none that it can belong to). Of several at one moment one that belongs to an answer."""
        rows = self.events.filter(self.events.type == kind)
        rows = rows.select("user_id", "item_id", "ts_us", named="decision_id").distinct()
        both = lines.inner_join(rows, ["user_id", "item_id"])
        both = both.filter(
            (both.ts_us <= both.bought_us) & (both.ts_us >= both.bought_us - round(self.hours * HOUR_US))
        )
        answers = self.answers.select("decision_id", answered="user_id", answered_us="ts_us")
        both = both.left_join(answers, both.named == answers.decision_id)
        led = (both.answered == both.user_id) & (both.answered_us <= both.ts_us)
        both = both.mutate(led=ibis.ifelse(led.fill_null(False), both.decision_id, None))
        nulls_last = ibis.ifelse(both.led.isnull(), 1, 0)
        turn = ibis.row_number().over(group_by="line", order_by=[both.ts_us.desc(), nulls_last, both.led])
        return both.mutate(turn=turn).filter(ibis._.turn == 0).select("line", decision_id="led")
