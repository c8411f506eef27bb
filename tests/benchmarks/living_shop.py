"""A sample shop as an app of the service that goes on living: its past imported, nights for any day, today's stock.

What a merchant's systems do goes through the doors they use: files are imported, the catalogue is upserted, nights are
`run_night`. Only the day is asked in the process itself, as `recommend` with what the service would know.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.history import CATALOGUES, DECISIONS, ITEMS
from portraits.lake import Lake
from portraits.sample import World, history
from portraits.settings import AppSettings
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.bundles.bundle import Bundle
from recommender.types import Query, Ranked, Recent, State
from serving.imports import take_file
from serving.nightly import run_night
from serving.publish import bundle_folder
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.summary import NightSummary

APP = "sample"
END = datetime(2025, 6, 1, tzinfo=UTC)
"""The last night of the past: a day that is over, as a night for the future is refused."""
K = 10
UTC_HOURS_AHEAD = 8
"""Local time of the sample shop."""
MOST_RECENT = 500


def person(user_id: str) -> str:
    """The same for the id of a visitor before and after sign-in."""
    return user_id[1:]


@dataclass
class App:
    """The app in a home folder. `model`: what the last night published, with the day's catalogue over it."""

    home: Path
    settings: AppSettings
    rows: dict[str, dict[str, Any]]
    refuses: frozenset[str]
    model: tuple[Bundle, Catalogue] | None = None
    files: int = 0
    stock: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def imported(cls, home: Path, past: Path, settings: AppSettings) -> App:
        """The app with the files of `past` in its lake."""
        app = cls(home, settings, catalogue_of(past), refusing(past))
        store, lake = app.doors()
        store.add_app(settings)
        for name in (*CATALOGUES, "decisions"):
            take_file(store, lake, APP, name, past / f"{name}.parquet")
        for part in sorted((past / "events").glob("*.parquet")):
            take_file(store, lake, APP, "events", part)
        app.stock = {item: row["stock"] for item, row in app.rows.items()}
        return app

    def moved(self, home: Path, **changes: str) -> App:
        """A copy of everything in another folder, with other settings."""
        shutil.copytree(self.home, home)
        settings = self.settings
        for key, text in changes.items():
            settings = settings.with_value(key, text)
        twin = replace(self, home=home, settings=settings, model=None, stock=dict(self.stock))
        twin.doors()[0].save_app(settings)
        return twin

    @property
    def process(self) -> ProcessSettings:
        return ProcessSettings(home=self.home, secret="only for benchmarks")

    def doors(self) -> tuple[Store, Lake]:
        return Store.open(self.process.store_url), Lake(self.process.lake)

    def change(self, **settings: str) -> None:
        """Other settings from the next night on."""
        for key, text in settings.items():
            self.settings = self.settings.with_value(key, text)
        self.doors()[0].save_app(self.settings)

    def night(self, as_of: datetime) -> NightSummary:
        """A whole night; what it published answers from now on."""
        store, lake = self.doors()
        summary = run_night(self.process, store, lake, APP, as_of=as_of)
        self.model = self.published()
        return summary

    def published(self) -> tuple[Bundle, Catalogue]:
        """The model that is active, with the catalogue as its night wrote it."""
        version = self.doors()[0].active(APP).bundle
        if version is None:
            raise SystemExit("no night has published anything")
        bundle = Bundle.open(bundle_folder(self.process, APP, version.version))
        return bundle, Catalogue.from_bundle(bundle)

    def restock(self, there: Mapping[str, bool], now: datetime) -> None:
        """What is in stock today, told to the lake and to the catalogue that answers."""
        rows = []
        for item, is_there in there.items():
            stock = (self.rows[item]["stock"] or None) if is_there else 0
            if stock != self.stock[item]:
                self.stock[item] = stock
                rows.append({**self.rows[item], "stock": stock})
        if rows:
            table = pa.Table.from_pylist(rows, ITEMS.arrow_schema())
            self.doors()[1].upsert(APP, "items", table, valid_from=now)
            if self.model is not None:
                self.model[1].apply(rows)

    def take(self, table: str, rows: pa.Table) -> None:
        """Rows of events or decisions, imported as a file."""
        store, lake = self.doors()
        self.files += 1
        path = self.home / f"{table}-{self.files}.parquet"
        pq.write_table(rows, path)
        report = take_file(store, lake, APP, table, path)
        if report.quarantined:
            raise SystemExit(f"{report.quarantined} {table} of the sample shop were refused")

    def answer(self, visit: Mapping[str, Any], recent: Iterable[Recent] = (), **asked: Any) -> tuple[Ranked, ...]:
        """What the service would answer the visit's home page; `asked`: fields of the query that differ."""
        if self.model is None:
            raise SystemExit("no night was run")
        return ask(*self.model, visit, recent, personalized=visit["user_id"] not in self.refuses, **asked)


def ask(
    bundle: Bundle, catalogue: Catalogue, visit: Mapping[str, Any], recent: Iterable[Recent] = (), **asked: Any
) -> tuple[Ranked, ...]:
    """The answer of a bundle to the home page of a visit (user_id, ts, platform, scene, store_id)."""
    query = Query(
        visit["user_id"],
        asked.pop("n", K),
        visit["ts"],
        platform=visit.get("platform"),
        scene=visit.get("scene"),
        store_id=visit.get("store_id"),
        hour=(visit["ts"].hour + UTC_HOURS_AHEAD) % 24,
        **asked,
    )
    latest = sorted(recent, key=lambda event: -event.ts_us)[:MOST_RECENT]
    return recommend(bundle, catalogue, query, State(latest)).items


def decision(decision_id: str, visit: Mapping[str, Any], items: Iterable[Ranked]) -> dict[str, Any]:
    """An answer as the service writes it down."""
    shown = [
        {"item_id": one.item_id, "position": place, "source": one.source, "propensity": round(one.propensity, 6)}
        for place, one in enumerate(items, 1)
    ]
    kept = {"decision_id": decision_id, "user_id": visit["user_id"], "ts": visit["ts"], "placement": "home"}
    return {**kept, "policy": "pipeline", "arm": "treated", "degraded": False, "candidates": json.dumps(shown)}


def decisions(rows: list[dict[str, Any]]) -> pa.Table:
    """Decisions as a table in the contract's types."""
    return pa.Table.from_pylist(rows, DECISIONS.arrow_schema())


def there(world: World, items: list[str]) -> dict[str, bool]:
    """Which items can be had today."""
    chances = world.reward(["u00000000"], items, "clicks")[0]
    return dict(zip(items, (chances > 0).tolist(), strict=True))


def past_of(folder: Path, seed: int, events: int) -> Path:
    """The files of a sample shop that a merchant would import."""
    history(seed, events, folder, end=END)
    return folder


def world_of(seed: int, events: int) -> World:
    """The same shop, standing at the end of that past."""
    return World(seed, events, end=END)


def catalogue_of(past: Path) -> dict[str, dict[str, Any]]:
    """Rows of the items catalogue by id."""
    return {row["item_id"]: row for row in pq.read_table(past / "items.parquet").to_pylist()}


def refusing(past: Path) -> frozenset[str]:
    """Visitors who refuse personalisation."""
    rows = pq.read_table(past / "users.parquet", columns=["user_id", "consent"]).to_pylist()
    return frozenset(row["user_id"] for row in rows if row["consent"] is False)


def events_of(past: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Events of the past, each once."""
    seen: set[str] = set()
    for part in sorted((past / "events").glob("*.parquet")):
        for row in pq.read_table(part, columns=["event_id", *columns]).to_pylist():
            if row["event_id"] not in seen:
                seen.add(row["event_id"])
                yield row


def ratio(parts: np.ndarray, wholes: np.ndarray, seed: int, draws: int = 1000) -> tuple[float, float, float]:
    """Sum of parts over sum of wholes (one entry a visitor) with its 95% bootstrap interval over visitors."""
    drawn = np.random.default_rng(seed).integers(0, len(parts), (draws, len(parts)))
    shares = parts[drawn].sum(axis=1) / wholes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(parts.sum() / wholes.sum()), float(low), float(high)
