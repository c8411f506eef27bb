"""What the pages about visitors show: read from the store, the published portraits and the model that answers now.

The page asks `recommend` as a request does, but writes no decision: looking is not showing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

from portraits.deleted import cells
from portraits.errors import NothingThere
from portraits.portrait_set import TABLE_FILE, PortraitSet
from portraits.settings import AppSettings
from portraits.words import in_words
from recommender.answers.pipeline import popular_shelf, recommend
from recommender.types import Answer, Query, State
from serving.console import views
from serving.context import Context
from serving.models import Model
from serving.portrait import portrait_of
from serving.publish import portraits_folder
from serving.stores.store import OnlineState
from serving.tenants import in_control

SHOWN = 10
EXAMPLE_LINES = 3
RANKED_BY = ("spend", "visits")
EXAMPLES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.9)
"""Where in the ranking the examples stand: from the best customer down, not six of a kind."""


def overview(context: Context, app_id: str) -> dict[str, Any]:
    """Figures of the app and a few visitors to begin with."""
    active = context.store.active(app_id)
    settings = context.store.app(app_id)
    runs = context.store.runs(app_id, limit=1)
    events = runs[0].summary.get("history", {}).get("events", 0) if runs else 0
    version = active.portraits
    people = None if version is None else _portraits(portraits_folder(context.settings, app_id, version.version))
    zone = ZoneInfo(settings.time_zone)
    figures = [
        views.Figure("Portraits", f"{people.rows if people else 0:,}"),
        views.Figure("Events in the history", f"{events:,}"),
        views.Figure("Portraits as of", "–" if version is None else views.when(version.as_of, zone)),
        views.Figure("Model as of", "–" if active.bundle is None else views.when(active.bundle.as_of, zone)),
    ]
    left_out: set[str] = set()
    if version is not None and people is not None:
        left_out.update(context.store.left_out(app_id, version))
        left_out.update(*cells(people, context.store.deleted_tags(app_id)).values())
    examples = [] if people is None else [one for one in _examples(people.path) if one not in left_out]
    return {"figures": figures, "examples": [_example(people, user_id, settings) for user_id in examples if people]}


async def visitor(context: Context, app_id: str, user_id: str, now: datetime) -> dict[str, Any]:
    """Everything the page of one visitor prints."""
    state = await asyncio.to_thread(context.store.state, app_id, user_id)
    tenant = await asyncio.to_thread(context.store.tenant, app_id)
    settings = tenant.settings
    zone = ZoneInfo(settings.time_zone)
    model = await context.models.model(app_id, state)
    user_id = state.user_id
    control = in_control(tenant, user_id)
    query = _query(model, state, settings, now)
    answer = await asyncio.to_thread(_answer, model, query, state, control)
    people = _people(context, app_id, state)
    portrait = None
    if people is not None:
        portrait = await asyncio.to_thread(portrait_of, context.store, app_id, people, state.ids)
    images = await asyncio.to_thread(_images, context, app_id, [item.item_id for item in answer.items])
    return {
        "user_id": user_id,
        "note": _note(state, control),
        "words": _words(portrait, settings.currency),
        "bars": views.bars(portrait or {}),
        "degraded": answer.degraded,
        "cards": _cards(model, answer, images, settings.currency),
        "removed": sorted(answer.removed.items()),
        "events": [
            views.happening(event.type, _title(model, event.item_id), event.ts_us, zone)
            for event in (state.recent if state.consent else ())
        ],
        "fields": _fields(people, portrait, zone),
    }


def _query(model: Model, state: OnlineState, settings: AppSettings, now: datetime) -> Query:
    """What a request without any wishes asks now; but nothing is tried out (`exploration_share`), which is chance."""
    return Query(
        user_id=model.known_as(state),
        n=SHOWN,
        now=now,
        hour=now.astimezone(ZoneInfo(settings.time_zone)).hour,
        personalized=state.consent,
        diversity=settings.diversity,
    )


def _answer(model: Model, query: Query, state: OnlineState, control: bool) -> Answer:
    if control and query.personalized:
        return popular_shelf(model.bundle, model.catalogue, query, model.promotions)
    return recommend(model.bundle, model.catalogue, query, State(state.recent), model.promotions)


def _people(context: Context, app_id: str, state: OnlineState) -> PortraitSet | None:
    """The published portraits, for a visitor who did not refuse them."""
    if state.active.portraits is None or not state.consent:
        return None
    return _portraits(portraits_folder(context.settings, app_id, state.active.portraits.version))


def _images(context: Context, app_id: str, item_ids: Sequence[str]) -> dict[str, str]:
    found = {}
    for item_id in item_ids:
        try:
            found[item_id] = str(context.store.row(app_id, "items", item_id).get("image") or "")
        except NothingThere:
            found[item_id] = ""
    return found


def _cards(model: Model, answer: Answer, images: Mapping[str, str], currency: str) -> list[views.Card]:
    catalogue = model.catalogue
    cards = []
    for item in answer.items:
        number = catalogue.index(item.item_id)
        cards.append(views.card(item, catalogue.title(number), catalogue.price(number), images[item.item_id], currency))
    return cards


def _title(model: Model, item_id: str | None) -> str:
    number = -1 if item_id is None else model.catalogue.index(item_id)
    return (model.catalogue.title(number) if number >= 0 else "") or item_id or ""


def _note(state: OnlineState, control: bool) -> str:
    if state.forgotten:
        return "This visitor was forgotten: nothing is known and nothing is kept."
    if not state.consent:
        return "This visitor has turned personalisation off: no portrait is kept and nothing personal is shown."
    return "Control group: this visitor always gets the popular shelf." if control else ""


@lru_cache(maxsize=64)
def _portraits(folder: Path) -> PortraitSet:
    """The portraits of one version; a version never changes."""
    return PortraitSet(folder)


@lru_cache(maxsize=64)
def _examples(folder: Path) -> list[str]:
    table = pq.read_table(folder / TABLE_FILE, columns=["user_id", *RANKED_BY])
    ranked = table.sort_by([(name, "descending") for name in RANKED_BY])["user_id"]
    places = dict.fromkeys(int(share * len(ranked)) for share in EXAMPLES)
    return [ranked[place].as_py() for place in places if place < len(ranked)]


def _example(people: PortraitSet, user_id: str, settings: AppSettings) -> dict[str, Any]:
    return {"user_id": user_id, "lines": _words(people.get(user_id), settings.currency)[:EXAMPLE_LINES]}


def _words(portrait: Mapping[str, Any] | None, currency: str) -> list[str]:
    return [] if portrait is None else in_words(dict(portrait), currency)


def _fields(people: PortraitSet | None, portrait: Mapping[str, Any] | None, zone: ZoneInfo) -> list[dict[str, str]]:
    if people is None or portrait is None:
        return []
    return [
        {"name": name, "value": views.value(portrait.get(name), zone), "meaning": field.meaning}
        for name, field in people.fields.items()
    ]
