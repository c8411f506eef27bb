"""What the pages print: plain values, made from portraits, answers, events and runs. Nothing here reads a store."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from portraits.words import money
from recommender.types import Ranked
from serving.stores.nights import RunRecord
from serving.summary import comparisons

HUES = 8
MOST_BARS = 7
SURE = ((0.75, "sure"), (0.4, "likely"), (0.0, "a first sign"))
SHOWN = {"recall": "Recall", "ndcg": "NDCG", "hit": "Hit rate"}
VERDICTS = {
    "published": ("Published", "good"),
    "popular": ("Popular shelf", "held"),
    "held": ("Held back", "held"),
    "rehearsed": ("Rehearsed", ""),
    "failed": ("Failed", "bad"),
    "running": ("Running", ""),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its name."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One taste: its share of the strongest one, in percent."""

    label: str
    percent: int
    note: str


@dataclass(frozen=True, slots=True)
class Card:
    """One product as it would be shown. `hue` and `initial` make a tile where there is no image."""

    title: str
    price: str
    image: str
    initial: str
    hue: int
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of the visitor."""

    iso: str
    when: str
    what: str
    item: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the backtest: each metric with its 95% interval."""

    name: str
    cells: tuple[tuple[str, str], ...]
    served: bool


@dataclass(frozen=True, slots=True)
class Night:
    """One night as a person reads it."""

    verdict: str
    tone: str
    iso: str
    when: str
    line: str
    reason: str
    compared: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...]
    took: str
    warnings: tuple[str, ...]


def bars(portrait: Mapping[str, Any]) -> list[Bar]:
    """The strongest categories and brands, each beside the strongest of all."""
    entries = [
        (name, entry) for name in ("categories", "brands") for entry in portrait.get(name) or () if entry["weight"] > 0
    ]
    entries.sort(key=lambda named: -named[1]["weight"])
    most = entries[0][1]["weight"] if entries else 1.0
    return [
        Bar(
            entry["tag"] if name == "categories" else f"brand {entry['tag']}",
            max(1, round(100 * entry["weight"] / most)),
            f"{_sure(entry['confidence'])} · {entry['events']:,} event{'' if entry['events'] == 1 else 's'}",
        )
        for name, entry in entries[:MOST_BARS]
    ]


def card(item: Ranked, title: str, price: int | None, image: str, currency: str) -> Card:
    """A ranked item with what the catalogue says about it."""
    shown = title or item.item_id
    return Card(
        title=shown,
        price="" if price is None else money(price, currency),
        image=image if image.startswith("https://") else "",
        initial=shown[:1].upper(),
        hue=zlib.crc32(item.item_id.encode()) % HUES,
        reason=item.reason.text,
        source=f"{item.source.replace('_', ' ')} · score {item.score:.2f}",
    )


def happening(kind: str, item: str, ts_us: int, zone: ZoneInfo) -> Happening:
    """An event in the app's own time."""
    moment = datetime.fromtimestamp(ts_us / 1e6, UTC)
    return Happening(moment.isoformat(), when(moment, zone), kind.replace("_", " "), item)


def when(moment: datetime, zone: ZoneInfo) -> str:
    """A moment in the app's own time, to the minute."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def value(field: Any, zone: ZoneInfo) -> str:
    """A field of a portrait, short."""
    text = str(field)
    match field:
        case None | []:
            text = "–"
        case bool():
            text = "yes" if field else "no"
        case int():
            text = f"{field:,}"
        case float():
            text = f"{field:,.4g}"
        case datetime():
            text = when(field, zone)
        case list():
            text = f"{len(field)} entries"
    return text


def night(run: RunRecord, zone: ZoneInfo) -> Night:
    """A night's record as a person reads it; a night that still runs has no summary yet."""
    verdict, tone = VERDICTS.get(run.status, (run.status, ""))
    summary = run.summary
    seconds: Mapping[str, float] = summary.get("seconds") or {}
    served = _of(summary, "served", "all")
    shelf = _of(summary, "recent_popular", "all")
    parts = [f"NDCG {served['ndcg'][0]:.3f}, popular shelf {shelf['ndcg'][0]:.3f}"] if served and shelf else []
    parts += [_took(sum(seconds.values()))] if seconds else []
    backtest = summary.get("backtest") or {}
    return Night(
        verdict=verdict,
        tone=tone,
        iso=run.started.isoformat(),
        when=when(run.started, zone),
        line=" · ".join(parts),
        reason=_sentence(str(summary.get("reason", ""))),
        compared=tuple(comparisons(summary.get("compared", ()))),
        columns=(
            "",
            *(f"{metric.upper() if metric == 'ndcg' else metric.capitalize()}@{backtest['k']}" for metric in SHOWN),
        )
        if backtest
        else (),
        rows=tuple(_row(row) for row in backtest.get("rows", ()) if row["part"] == "all"),
        figures=_figures(summary),
        took=", ".join(f"{step} {_took(spent)}" for step, spent in seconds.items()),
        warnings=tuple(summary.get("warnings", ())),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text and not text.endswith(".") else text


def _of(summary: Mapping[str, Any], name: str, part: str) -> Mapping[str, Any] | None:
    rows = (summary.get("backtest") or {}).get("rows", ())
    return next((row for row in rows if row["name"] == name and row["part"] == part and row["users"]), None)


def _row(row: Mapping[str, Any]) -> Row:
    name = str(row["name"]).replace("_", " ")
    return Row(name, tuple(_cell(row[metric]) for metric in SHOWN), row["name"] == "served")


def _cell(estimate: Sequence[float] | None) -> tuple[str, str]:
    """A mean and its interval; of nobody there is none."""
    if estimate is None:
        return "–", ""
    mean, low, high = estimate
    return f"{mean:.3f}", f"{low:.3f} to {high:.3f}"


def _figures(summary: Mapping[str, Any]) -> tuple[Figure, ...]:
    drained = summary.get("drained") or {}
    counts = {
        "Events drained": drained.get("events"),
        "Events in all": (summary.get("history") or {}).get("events"),
        "Portraits": summary.get("portraits"),
    }
    return tuple(Figure(name, f"{count:,}") for name, count in counts.items() if count is not None)


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _sure(confidence: float) -> str:
    return next(word for least, word in SURE if confidence >= least)
