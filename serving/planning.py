"""The marketer's plan of offers for one app: what the night published, what is left of the budgets, who is in which
segment. For commands; requests go by `serving.offering`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from portraits.errors import NothingThere
from portraits.lake import Lake
from portraits.segments.nights import USER, column, newest
from portraits.settings import AppSettings
from recommender.offers.allocate import Budgets
from recommender.offers.night import OPEN_DAYS, budget
from recommender.offers.plan_files import FOLDER, OfferPlan
from recommender.offers.running import shares
from recommender.offers.total import total_of
from serving.publish import portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import Version
from serving.tenants import in_offer_control


class Planning:
    """Raises UnknownApp for an app that is not there; NothingThere where a question needs a night's plan."""

    def __init__(self, process: ProcessSettings, store: Store, app_id: str, now: datetime | None = None) -> None:
        self.store = store
        self.app: AppSettings = store.app(app_id)
        self.zone = ZoneInfo(self.app.time_zone)
        self.now = now or datetime.now(UTC)
        self._process = process

    @cached_property
    def version(self) -> Version:
        """The published portraits."""
        version = self.store.active(self.app.app_id).portraits
        if version is None:
            raise NothingThere("portraits", self.app.app_id, f"run first: huaxiang nightly --app {self.app.app_id}")
        return version

    @cached_property
    def folder(self) -> Path:
        """The folder of the published portraits."""
        return portraits_folder(self._process, self.app.app_id, self.version.version)

    @cached_property
    def plan(self) -> OfferPlan:
        """The night's plan, mapped from its files. Raises BrokenBundle."""
        if not (self.folder / FOLDER).is_dir():
            way_out = "import offers with a kind and a value that hold in the coming week, then run: huaxiang nightly "
            way_out += f"--app {self.app.app_id}"
            raise NothingThere("plan of offers", self.app.app_id, way_out)
        return OfferPlan.open(self.folder / FOLDER, verify=False)

    @cached_property
    def left_out(self) -> list[str]:
        """Who refused since the portraits were built, or was forgotten."""
        return self.store.left_out(self.app.app_id, self.version)

    @cached_property
    def held_out(self) -> list[str]:
        """Visitors of the plan who are never given an offer, so that what offers earn can be told."""
        tenant, users = self.store.tenant(self.app.app_id), self.plan.users
        return [one for one in users.ids(np.arange(len(users))) if in_offer_control(tenant, one)]

    @cached_property
    def offers(self) -> Mapping[str, Mapping[str, Any]]:
        """Rows of the catalogue as it is now, by offer_id."""
        return {str(row["offer_id"]): row for row in self.store.changes(self.app.app_id, "offers")}

    def budgets(self, days: float, total: float | None = None) -> Budgets:
        """What the plan's offers may cost in the next `days`: of each its even share of what is left (see
        `recommender.offers.night.budget`), nothing for one that left the catalogue or is closed. total: over all
        offers; default: what is left of the app's own for so many days."""
        books = self.store.offer_books(self.app.app_id)
        each: list[float | None] = []
        for offer_id in self.plan.offers:
            row, book = self.offers.get(offer_id), books.get(offer_id)
            if (row is None and self.offers) or (book is not None and book.closed is not None):
                each.append(0.0)
                continue
            each.append(budget(row or {}, 0 if book is None else book.spent, self.now, days))
        return Budgets(each, self.left_of_total(days) if total is None else total)

    def shares(self, days: float) -> NDArray[np.float64]:
        """[O]: the share of the next `days` in which each of the plan's offers runs."""
        return shares([self.offers.get(one, {}) for one in self.plan.offers], self.now, days)

    def left_of_total(self, days: float) -> float | None:
        """What is left for the next `days` of the app's budget for all offers; None where there is none."""
        spending = self.store.offer_total(self.app.app_id)
        return None if spending is None else spending.total.over(days, spending.spent, self.now, OPEN_DAYS)

    def total_in_words(self) -> str | None:
        """Whether the app's budget for all offers is in force, and until when; None where none is set."""
        total = total_of(self.app)
        return None if total is None else total.in_words(self.now)

    def set_total(self, budget: int, days: int) -> AppSettings:
        """Makes `budget` the app's budget for all offers, for the rest of this local day and `days` whole ones after
        it (which are never few minutes): requests and claims keep it from now, tonight plans with it."""
        first = self.now.astimezone(self.zone).date()
        changed = replace(
            self.app,
            offer_budget=budget,
            offer_budget_from=first.isoformat(),
            offer_budget_until=(first + timedelta(days=days)).isoformat(),
        )
        self.store.save_app(changed)
        self.app = changed
        return changed

    def segments(self) -> tuple[pa.Array, dict[str, NDArray[np.bool_]]]:
        """Visitors with a portrait, and whether each is in a segment, by its name: as the last night remembered it.
        They are of the portraits, as the plan is, and no rule is asked again."""
        night = newest(Lake(self._process.lake).folder(self.app.app_id))
        if night is None:
            return pa.array([], pa.string()), {}
        names = sorted(night.definitions)
        table = pq.read_table(night.path, columns=[USER, *map(column, names)])
        inside = {name: (table[column(name)].to_numpy() & 1).astype(bool) for name in names}
        return table[USER].combine_chunks(), inside
