"""What came of the answers that were given: clicks, purchases, and which answer each of them belongs to.

The rule (a purchase belongs to at most one answer):

1. to the answer it names, if that was given to the same person, or to nobody in particular, before; anybody else's, an
   unknown one or a later one is ignored and counted (`unproved`)
2. else to the answer of the person's last click on that item in the window before (24 hours, by the app); a last click
   that names no answer leads to none: something else brought the visitor there
3. else to none. Where the person did not click on the item but saw it in an answer in the window, the purchase is
   *view-through*: told apart, and never added to the others

Before means by the phone's clock, which may be some minutes behind the server's: an id that cannot be guessed was
surely given before it is named. People are those of the past that the tables come from: what a visitor did under one id
is theirs under every id.

An answer may hold offers instead of items (`candidates` with offer_id): these are no `entries`, and what leads to them
(seen, claimed, redeemed) are other types of event; both would be further parts beside those here, by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from portraits.history import NOBODY
from portraits.local import HOUR_US, SECOND_US, microseconds

BEHIND_US = 600 * SECOND_US
"""How far a phone's clock may be behind."""
NAMING = ("exposure", "click", "purchase")
"""Types of event that may name the answer they come from."""
_ENTRY = ("item_id", "source", "position", "propensity", "score")
_CANDIDATES = "array<struct<item_id: string, source: string, position: int64, propensity: float64, score: float64>>"
_AS_STRUCTS = (
    '[{"item_id": "VARCHAR", "source": "VARCHAR", "position": "BIGINT", "propensity": "DOUBLE", "score": "DOUBLE"}]'
)


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
        """One row an answer: decision_id, user_id, ts_us, placement, version, policy, arm. Of rows with one id (the
        lake keeps one for each day) the first."""
        rows = self.decisions.mutate(ts_us=microseconds(self.decisions.ts)).drop("candidates")
        first = ibis.row_number().over(group_by="decision_id", order_by=[rows.ts_us, rows.user_id])
        rows = rows.mutate(nth=first).filter(ibis._.nth == 0)
        return rows.select("decision_id", "user_id", "ts_us", "placement", "version", "policy", "arm").cache()

    def entries(self, answers: ir.Table) -> ir.Table:
        """What was in some of the answers: decision_id, item_id, source, position, propensity, score; an item once."""
        rows = self.decisions.mutate(ts_us=microseconds(self.decisions.ts))
        rows = rows.semi_join(answers, ["decision_id", "user_id", "ts_us"])
        entries = rows.select("decision_id", entry=_candidates(rows.candidates, _AS_STRUCTS).unnest())
        told = {name: entries.entry[name] for name in _ENTRY}
        entries = entries.select("decision_id", **told)
        items = entries.filter(entries.item_id.notnull())
        return items.group_by("decision_id", "item_id").aggregate(
            source=items.source.min(),
            position=items.position.min(),
            propensity=items.propensity.max(),
            score=items.score.max(),
        )

    @cached_property
    def shown(self) -> ir.Table:
        """What was seen of the answers: decision_id, item_id, user_id, and position: the first place where it was seen,
        null where that was not told."""
        return self._led("exposure").cache()

    @cached_property
    def clicked(self) -> ir.Table:
        """What was clicked in the answers, as `shown`."""
        return self._led("click").cache()

    @cached_property
    def purchases(self) -> ir.Table:
        """One row a purchase that was not cancelled: line (a number), user_id, item_id, order_id, ts_us, amount,
        quantity, refunded (what came back of it, see `refunded`), decision_id (the answer it belongs to, else null),
        how ("named" or "click", else null), viewed (the answer in which it was seen, where it belongs to none and was
        not clicked), ignored (it names an answer that it cannot belong to)."""
        lines = self._lines
        named = self._valid(lines.filter(lines.named.notnull())).select("line", by_name="decision_id")
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
            "refunded",
            decision_id=ibis.coalesce(found.by_name, by_click),
            how=ibis.cases((found.by_name.notnull(), "named"), (by_click.notnull(), "click")),
            viewed=ibis.ifelse(found.clicked.isnull(), found.seen, None),
            ignored=found.named.notnull() & found.by_name.isnull(),
        ).cache()

    @cached_property
    def brought(self) -> ir.Table:
        """What ads and leads brought that name their answer: decision_id, item_id, user_id, revenue. Where they name
        none, nothing tells which answer led to them."""
        rows = self.events.filter(self.events.own & self.events.revenue.notnull() & self.events.decision_id.notnull())
        rows = rows.select("user_id", "item_id", "ts_us", "revenue", named="decision_id")
        return self._valid(rows).select("decision_id", "item_id", "user_id", "revenue")

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
        line = ibis.row_number().over(order_by=bought.ts_us)
        return self.refunded(bought.select(*columns, named="decision_id", line=line).cache()).cache()

    def refunded(self, lines: ir.Table) -> ir.Table:
        """Lines with `refunded`: refunds of their order and item, and of the order as a whole, as a line's share of
        what was paid for them. A refund that names no order, or an item that was not in it, is nobody's."""
        back = self.standing(self.events.filter((self.events.type == "refund") & self.events.order_id.notnull()))
        of_item = _shares(lines, back.filter(back.item_id.notnull()), ["user_id", "order_id", "item_id"])
        of_order = _shares(lines, back.filter(back.item_id.isnull()), ["user_id", "order_id"])
        both = of_item.union(of_order)
        both = both.group_by("line").aggregate(refunded=both.back.sum())
        return lines.left_join(both, "line").drop("line_right").fill_null({"refunded": 0.0})

    def unproved(self, since_us: int) -> ir.Table:
        """What names an answer that it cannot belong to, from `since_us` on: decision_id, why ("another's" or "later";
        null: no answer of this id is known), and how many events of each type of `NAMING`."""
        rows = self.events.filter(self.events.decision_id.notnull() & (self.events.ts_us >= since_us))
        rows = rows.select("type", "user_id", "item_id", "order_id", "ts_us", named="decision_id")
        bought = self.standing(rows.filter(rows.type == "purchase"))
        rows = rows.filter(rows.type.isin([one for one in NAMING if one != "purchase"])).union(bought)
        both = rows.left_join(self._given, rows.named == self._given.decision_id)
        both = both.filter(both.decision_id.isnull() | ~_belongs(both))
        why = ibis.cases((both.decision_id.isnull(), None), (_theirs(both), "later"), else_="another's")
        counts = {kind: both.count(where=both.type == kind) for kind in NAMING}
        return both.group_by(decision_id=both.named, why=why).aggregate(**counts)

    @cached_property
    def _given(self) -> ir.Table:
        return self.answers.select("decision_id", answered="user_id", answered_us="ts_us")

    def _valid(self, rows: ir.Table) -> ir.Table:
        """The rows whose column `named` names an answer that they can belong to; with its decision_id."""
        joined = rows.inner_join(self._given, rows.named == self._given.decision_id)
        return joined.filter(_belongs(joined))

    def _led(self, kind: str) -> ir.Table:
        rows = self.events.filter((self.events.type == kind) & self.events.item_id.notnull())
        rows = self._valid(rows.select("user_id", "item_id", "ts_us", "position", named="decision_id"))
        return rows.group_by("decision_id", "item_id", "user_id").aggregate(position=rows.position.min())

    def _last(self, lines: ir.Table, kind: str) -> ir.Table:
        """The last event of a kind on the same item in the window before each line: line, decision_id (null: it names
        none that it can belong to). Of several at one moment one that belongs to an answer."""
        rows = self.events.filter(self.events.type == kind)
        rows = rows.select("user_id", "item_id", "ts_us", named="decision_id").distinct()
        both = lines.inner_join(rows, ["user_id", "item_id"])
        both = both.filter(
            (both.ts_us <= both.bought_us) & (both.ts_us >= both.bought_us - round(self.hours * HOUR_US))
        )
        both = both.left_join(self._given, both.named == self._given.decision_id)
        both = both.mutate(led=ibis.ifelse(_belongs(both).fill_null(False), both.decision_id, None))
        nulls_last = ibis.ifelse(both.led.isnull(), 1, 0)
        turn = ibis.row_number().over(group_by="line", order_by=[both.ts_us.desc(), nulls_last, both.led])
        return both.mutate(turn=turn).filter(ibis._.turn == 0).select("line", decision_id="led")


def _theirs(rows: ir.Table) -> ir.BooleanValue:
    """Whether an answer was given to the person of the row, or to nobody in particular."""
    return (rows.answered == rows.user_id) | (rows.answered == NOBODY)


def _belongs(rows: ir.Table) -> ir.BooleanValue:
    return _theirs(rows) & (rows.answered_us <= rows.ts_us + BEHIND_US)


def _shares(lines: ir.Table, refunds: ir.Table, keys: list[str]) -> ir.Table:
    """line, back: of the refunds with the same `keys` as some lines, each line's share by what was paid for it."""
    sums = refunds.group_by(keys).aggregate(total=refunds.amount.fill_null(0).sum().cast("float64"))
    alike = lines.mutate(paid=lines.amount.fill_null(0).cast("float64")).inner_join(sums, keys)
    among = ibis.window(group_by=keys)
    alike = alike.mutate(of_all=ibis._.paid.sum().over(among), lines=ibis._.count().over(among))
    share = ibis.coalesce(alike.paid / alike.of_all.nullif(0), 1 / alike.lines)
    return alike.select("line", back=alike.total * share)
