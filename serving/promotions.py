"""Pins and boosts at the edge: what a row may say, how a file or a request brings it, and what the pipeline gets of it.

A row is whole: sending a rule_id again replaces all that was said under it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from portraits.checking import Rejection, check
from portraits.errors import InvalidValue, UnreadableFile
from portraits.history import Column, Kind, Table
from recommender.answers.catalogue import Catalogue
from recommender.answers.promotions import (
    EVER,
    KINDS,
    LARGEST_FACTOR,
    SMALLEST_FACTOR,
    Boost,
    Pin,
    Promotion,
    Promotions,
)
from recommender.types import LARGEST_N
from serving.stores.database import now_us

RULES = Table(
    "rules",
    "rule_id",
    (
        Column("rule_id", Kind.ID, "the rule; sent again, it is replaced", required=True),
        Column("kind", Kind.ID, "pin (item_id, position) or boost (factor, and one thing it goes by)", required=True),
        Column("item_id", Kind.ID, "the item of a pin, or what a boost goes by"),
        Column("position", Kind.INTEGER, "place of a pin, from 1", minimum=1),
        Column("factor", Kind.DECIMAL, f"{SMALLEST_FACTOR:g} to {LARGEST_FACTOR:g} times what speaks for the item"),
        Column("category", Kind.TEXT, "any element of the category path, for a boost to go by"),
        Column("brand", Kind.TEXT, "a brand, for a boost to go by"),
        Column("tag", Kind.TEXT, "a tag, for a boost to go by"),
        Column("placement", Kind.ID, "only on this shelf of this page; none: on all"),
        Column("starts", Kind.TIME, "holds from then on; none: at once"),
        Column("ends", Kind.TIME, "does not hold any more; none: open end"),
    ),
)
"""Not part of the history: rules are what the merchant wants now."""

_GOES_BY = {("item_id" if kind == "item" else kind): kind for kind in KINDS}
_PARTS = {"pin": ("item_id", "position"), "boost": ("factor", *_GOES_BY)}


def check_rules(records: Sequence[Any]) -> list[dict[str, Any]]:
    """Records as rows of RULES. Raises InvalidValue naming the first that cannot be taken, and its column."""
    rows = [_checked(record, f"rules[{place}]") for place, record in enumerate(records)]
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        before = first.setdefault(row["rule_id"], place)
        if before != place:
            raise InvalidValue(f"rules[{place}].rule_id", row["rule_id"], f"another rule_id: rules[{before}] has it")
    return rows


def _checked(record: Any, path: str) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise InvalidValue(path, record, "an object")
    row = check(RULES, record)
    if isinstance(row, Rejection):
        raise InvalidValue(f"{path}.{row.column}", row.value, f"another value: {row.reason}")
    if row["kind"] not in _PARTS:
        raise InvalidValue(f"{path}.kind", row["kind"], f"one of {', '.join(_PARTS)}")
    for column in ("position", "factor", *_GOES_BY):
        if row[column] is not None and column not in _PARTS[row["kind"]]:
            raise InvalidValue(f"{path}.{column}", str(row[column]), f"nothing: a {row['kind']} has none")
    (_check_pin if row["kind"] == "pin" else _check_boost)(row, path)
    if row["starts"] is not None and row["ends"] is not None and row["ends"] <= row["starts"]:
        raise InvalidValue(f"{path}.ends", row["ends"].isoformat(), f"a time after starts, {row['starts'].isoformat()}")
    return row


def _check_pin(row: Mapping[str, Any], path: str) -> None:
    if row["item_id"] is None:
        raise InvalidValue(f"{path}.item_id", None, "the item that is pinned")
    if row["position"] is None or row["position"] > LARGEST_N:
        raise InvalidValue(f"{path}.position", row["position"], f"a place from 1 to {LARGEST_N}")


def _check_boost(row: Mapping[str, Any], path: str) -> None:
    factor = row["factor"]
    if factor is None or not Decimal(str(SMALLEST_FACTOR)) <= factor <= Decimal(str(LARGEST_FACTOR)):
        expected = f"a number from {SMALLEST_FACTOR:g} to {LARGEST_FACTOR:g}"
        raise InvalidValue(f"{path}.factor", None if factor is None else str(factor), expected)
    named = [column for column in _GOES_BY if row[column] is not None]
    if len(named) != 1:
        raise InvalidValue(f"{path}.{(named or ['item_id'])[-1]}", ", ".join(named), f"one of {', '.join(_GOES_BY)}")


def read_rules(path: Path) -> list[dict[str, Any]]:
    """Rows of RULES from a CSV, JSON (a list) or JSONL file (.gz too). Raises UnreadableFile, InvalidValue."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read()
        if kind == "json":
            records = json.loads(text)
        elif kind in ("jsonl", "ndjson"):
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            lines = csv.DictReader(io.StringIO(text, newline=""))
            records = [_typed(line, lines.line_num) for line in lines]
    except (OSError, ValueError, csv.Error) as error:
        raise UnreadableFile(str(path), str(error)) from None
    if not isinstance(records, list):
        raise UnreadableFile(str(path), "not a list of rules")
    return check_rules(records)


def _typed(line: dict[str, Any], number: int) -> dict[str, Any]:
    """A line of CSV: whole numbers are written as text there. Raises ValueError where it has more cells than names."""
    if None in line:
        raise ValueError(f"line {number} has more cells than the header has names")
    position = line.get("position")
    return line | ({"position": int(position)} if isinstance(position, str) and position.isdecimal() else {})


def promotions(rows: Iterable[Mapping[str, Any]]) -> Promotions:
    """Rows of RULES, as checked or as the store keeps them (JSON), for the pipeline."""
    return Promotions([_promotion(row) for row in rows])


def _promotion(row: Mapping[str, Any]) -> Promotion:
    does: Pin | Boost
    if row["kind"] == "pin":
        does = Pin(row["item_id"], row["position"])
    else:
        column = next(column for column in _GOES_BY if row.get(column) is not None)
        does = Boost(_GOES_BY[column], row[column], float(row["factor"]))
    starts, ends = _us(row.get("starts")), _us(row.get("ends"))
    return Promotion(row["rule_id"], does, row.get("placement"), starts or 0, EVER if ends is None else ends)


def _us(moment: datetime | str | None) -> int | None:
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return None if when is None else int(when.timestamp() * 1_000_000)


def when(row: Mapping[str, Any], now: datetime | None = None) -> str:
    """Does a row hold: now, later, or over."""
    at_us = now_us() if now is None else int(now.timestamp() * 1_000_000)
    one = _promotion(row)
    if at_us < one.starts_us:
        return "later"
    return "now" if at_us < one.ends_us else "over"


def unknown(rows: Iterable[Mapping[str, Any]], catalogue: Catalogue) -> dict[str, str]:
    """rule_id -> what the row is about ("item 'cup'"), of those about something that the catalogue does not know: they
    change nothing until it does."""
    found = {}
    for row in rows:
        does = _promotion(row).does
        by, name = ("item", does.item_id) if isinstance(does, Pin) else (does.by, does.name)
        if catalogue.code(by, name) < 0:
            found[row["rule_id"]] = f"{by} {name!r}"
    return found
