"""What each step of a night does. `STEPS` holds them in their order; `serving.nightly` runs them.

A step takes the `Night`, leaves its outputs in the run's folder, the lake or the store, and returns what the night's
summary tells of it, as JSON takes it. A step that is repeated does nothing twice: the lake takes each key once,
portraits and bundle are replaced as a whole, and a publication has the run's own name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from portraits.build import build
from portraits.doctor import diagnose
from portraits.engine import connect, engine
from portraits.errors import BrokenBundle, HuaxiangError
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.settings import AppSettings
from recommender.bundles.bundle import Bundle
from recommender.earned import led_to
from recommender.memory import Memory
from recommender.offers import plan_files
from recommender.offers.audience import PERIOD_DAYS
from recommender.offers.night import OPEN_DAYS, Left, plan_offers
from recommender.train import train
from serving.drain import drain, keep_to_switches
from serving.forgetting import erase_lake, leave_refusing, settle
from serving.publish import bundle_folder, portraits_folder, publish, rollback_version
from serving.runs import Run
from serving.segments.night import remember
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import Active, Status

STATUS: Mapping[str, Status] = {"publish": "published", "popular": "popular", "hold": "held"}
"""What becomes of a night, by the gate's verdict."""

NIGHTS_REMEMBERED = 30
"""Most nights whose record the next one reads."""

OnStep = Callable[[str, str], None]
"""Hears (step, what it is doing or `done in 1.2 s`)."""


@dataclass(frozen=True, slots=True)
class Night:
    """What the steps of one night share."""

    process: ProcessSettings
    store: Store
    lake: Lake
    app: AppSettings
    run: Run
    on_step: OnStep

    @property
    def portraits(self) -> Path:
        """The portraits that this night builds."""
        return self.run.folder / "portraits"

    @property
    def model(self) -> Path:
        """The folder that training works in."""
        return self.run.folder / "model"

    def replaces(self, active: Active) -> bool:
        """Whether this night may publish: nothing newer is active, or it was told to."""
        versions = [version for version in (active.bundle, active.portraits) if version is not None]
        return self.run.question.publish or all(version.as_of <= self.run.as_of for version in versions)


def _drain(night: Night) -> dict[str, Any]:
    """The day's events, catalogue changes and decisions into the lake; what it then holds and supports."""
    app_id = night.app.app_id
    night.store.expire_claims(app_id)  # the lake hears of it tonight
    drained = drain(night.store, night.lake, app_id, lambda what: night.on_step("drain", what))
    if night.run.question.as_of is None:
        keep_to_switches(night.store, night.lake, app_id, night.run.as_of)
    snapshot = night.lake.snapshot(app_id)
    bounds = snapshot.bounds()
    first, last, events = (None, None, 0) if bounds is None else bounds
    if snapshot.time_kind() != "real":
        first = last = None
    history = {"events": events, "first": first and first.isoformat(), "last": last and last.isoformat()}
    warnings = [finding.sentence for finding in diagnose(snapshot, night.app) if finding.ok is False]
    return {"drained": asdict(drained), "history": history, "warnings": warnings}


def _forget(night: Night) -> dict[str, Any]:
    """Who was forgotten leaves the lake, before anything is built from it."""
    erased, problem = erase_lake(night.store, night.lake, night.app.app_id)
    return {"erased": erased, "warnings": [problem] if problem else []}


def _portraits(night: Night) -> dict[str, Any]:
    snapshot = night.lake.snapshot(night.app.app_id)
    with engine(night.process.engine) as con:
        built = build(
            snapshot,
            night.app,
            night.run.as_of,
            night.portraits,
            con,
            previous=_published(night),
            deleted=night.store.deleted_tags(night.app.app_id),
        )
    return {"rows": built.rows}


def _segments(night: Night) -> dict[str, Any]:
    """Who is in which segment tonight, kept in the lake."""
    return remember(night.store, night.lake, night.app, night.portraits)


def _answers(night: Night) -> dict[str, Any]:
    """What the answers of the last day led to until now: a report, for which no night fails that has published."""
    snapshot = night.lake.snapshot(night.app.app_id)
    if "decisions" not in snapshot.versions:
        return {"led": {}, "warnings": []}
    con = connect()
    try:
        led = led_to(snapshot, night.app, night.run.as_of - timedelta(days=1), night.run.as_of, con)
    except (duckdb.Error, HuaxiangError, OSError) as error:
        return {"led": {}, "warnings": [f"what yesterday's answers led to is not known: {error}"[:500]]}
    finally:
        con.disconnect()
    return {"led": led or {}, "warnings": []}


def _train(night: Night) -> dict[str, Any]:
    shutil.rmtree(night.model, ignore_errors=True)
    with engine(night.process.engine) as con:
        trained = train(
            night.lake.snapshot(night.app.app_id),
            night.app,
            night.portraits,
            night.run.as_of,
            night.model,
            active_manifest=_active_manifest(night),
            on_step=lambda what, share: night.on_step("train", f"{what} ({share:.0%})"),
            version=night.run.run_id,
            memory=_memory(night),
            con=con,
        )
    return {"verdict": trained.verdict, "too_little": trained.too_little, "report": dict(trained.report)}


def _offers(night: Night) -> dict[str, Any]:
    """The plan of the offers, beside the portraits. Without one offers go by their rules: no night fails for it, and
    none of an earlier night is kept, which would not know tonight's visitors."""
    folder = night.portraits / plan_files.FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    snapshot = night.lake.snapshot(night.app.app_id)
    con = connect()
    try:
        planned = plan_offers(snapshot, night.app, night.portraits, night.run.as_of, con, left=_left(night))
    except (duckdb.Error, HuaxiangError, ArithmeticError, ValueError, MemoryError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        reason = f"{type(error).__name__}: {error}"[:500]
        return {"plan": {}, "warnings": [f"there is no plan of offers, they go by their rules: {reason}"]}
    finally:
        con.disconnect()
    return {"plan": {} if planned is None else dict(planned.account), "warnings": []}


def _left(night: Night) -> Left:
    """What the books say of the offers."""
    app_id, as_of = night.app.app_id, night.run.as_of
    books, spending = night.store.offer_books(app_id), night.store.offer_total(app_id)
    total = None if spending is None else spending.total.over(PERIOD_DAYS, spending.spent, as_of, OPEN_DAYS)
    spent = {offer_id: book.spent for offer_id, book in books.items()}
    return Left(spent, {offer_id for offer_id, book in books.items() if book.closed is not None}, total)


def _publish(night: Night) -> dict[str, Any]:
    """Portraits whatever the gate said; the bundle, only to be looked at where it was held back; neither over a newer
    version."""
    trained = night.run.result("train") or {}
    if not night.replaces(night.store.active(night.app.app_id)):
        return {"status": "rehearsed", "version": None}
    held = trained["verdict"] == "hold"
    PortraitSet(night.portraits).verify()
    version = publish(
        night.process,
        night.store,
        night.app.app_id,
        as_of=night.run.as_of,
        bundle=night.model / "bundle",
        portraits=night.portraits,
        held=held,
        version=night.run.run_id,
    )
    return {"status": STATUS[trained["verdict"]], "version": version}


def _tidy(night: Night) -> dict[str, Any]:
    """Events that the published version and the one before it hold leave the store, and what was built before someone
    was forgotten the disk; small files of the lake become large ones."""
    before = rollback_version(night.process, night.store, night.app.app_id)
    deleted = night.store.delete_drained(night.app.app_id, _microseconds(night.run.as_of), also_for=before)
    night.store.forget_requests(night.app.app_id)
    remaining = settle(night.process, night.store, night.app.app_id, night.run.folder)
    remaining += leave_refusing(night.process, night.store, night.app.app_id, night.run.folder)
    return {"deleted": deleted, "compacted": night.lake.compact(night.app.app_id), "warnings": remaining}


def _active_manifest(night: Night) -> Mapping[str, Any] | None:
    """What the active bundle says of itself; None before the first night and when its files are broken."""
    active = night.store.active(night.app.app_id).bundle
    if active is None:
        return None
    try:
        return Bundle.open(bundle_folder(night.process, night.app.app_id, active.version)).manifest
    except BrokenBundle as broken:
        night.on_step("train", f"the active bundle is broken and is not compared with: {broken.message}")
        return None


def _memory(night: Night) -> Memory:
    """What the nights of earlier moments tried and saw, whatever became of their models."""
    past = (run for run in night.store.runs(night.app.app_id, NIGHTS_REMEMBERED) if run.as_of < night.run.as_of)
    return Memory.of(run.summary for run in past)


def _published(night: Night) -> PortraitSet | None:
    """The portraits of the last night; None before the first one and when their files are broken."""
    active = night.store.active(night.app.app_id).portraits
    if active is None:
        return None
    try:
        return PortraitSet(portraits_folder(night.process, night.app.app_id, active.version))
    except BrokenBundle as broken:
        night.on_step("portraits", f"the published portraits are broken and are not looked at: {broken.message}")
        return None


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


STEPS: Mapping[str, Callable[[Night], dict[str, Any]]] = {
    "drain": _drain,
    "forget": _forget,
    "portraits": _portraits,
    "segments": _segments,
    "train": _train,
    "offers": _offers,
    "publish": _publish,
    "tidy": _tidy,
    "answers": _answers,
}
