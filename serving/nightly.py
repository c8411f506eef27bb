"""The night of one app: drain, forget, portraits, segments, train, offers, publish, tidy, answers.

Only serving knows the online store, so the night is composed here, of `night_steps.STEPS`. Each step leaves its outputs
and then a marker (`runs.Run.finish`); a night that was killed is taken up at the first step without one, with the same
as_of.

Portraits always publish; the gate judges the model alone. A night for a past moment publishes nothing over a newer
version unless it is told to.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from portraits.errors import InvalidValue, StoreUnavailable
from portraits.lake import Lake
from serving.night_steps import STEPS, Night, OnStep
from serving.runs import Question, Run, forget_old_runs, only_night, open_run
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.summary import NightSummary


def run_night(
    process: ProcessSettings,
    store: Store,
    lake: Lake,
    app_id: str,
    *,
    as_of: datetime | None = None,
    publish: bool = False,
    on_step: OnStep = lambda _step, _what: None,
) -> NightSummary:
    """The whole night of one app; safe to run again, takes up a night that was killed.

    `as_of` None: the moment the drain begins. `publish`: replace a newer version too.

    Raises:
        UnknownApp, StoreUnavailable: nothing was changed.
        InvalidValue: `as_of` has no offset or lies in the future.
        AnotherRunning: another night of this app.
    """
    now = datetime.now(UTC)
    if as_of is not None and (as_of.tzinfo is None or as_of > now):
        raise InvalidValue("as_of", as_of.isoformat(), "a moment with its offset that has passed")
    app = store.app(app_id)
    with only_night(process.locks, app_id):
        run = open_run(process.runs, app_id, Question(as_of, publish), now)
        _close_killed(store, run)
        store.start_run(app_id, run.run_id, run.as_of)
        night = Night(process, store, lake, app, run, on_step)
        try:
            summary = _steps(night)
        except Exception as error:
            _fail(night, error)
            raise
        store.finish_run(app_id, run.run_id, summary.status, summary.to_dict())
        run.end("done")
        forget_old_runs(process.runs, app_id)
        return summary


def _steps(night: Night) -> NightSummary:
    """Runs the steps that have no marker yet, in their order."""
    results: dict[str, Mapping[str, Any]] = {}
    for name, step in STEPS.items():
        result = night.run.result(name)
        if result is None:
            night.on_step(name, "begins")
            begun = time.perf_counter()
            result = step(night)
            took = time.perf_counter() - begun
            night.run.finish(name, result, took)
            night.store.step_done(night.app.app_id, night.run.run_id, name, {"seconds": round(took, 3)})
            night.on_step(name, f"done in {took:.1f} s")
        results[name] = result
    return _summary(night, results)


def _summary(night: Night, results: Mapping[str, Mapping[str, Any]]) -> NightSummary:
    trained, report = results["train"], results["train"]["report"]
    return NightSummary(
        app_id=night.app.app_id,
        run_id=night.run.run_id,
        as_of=night.run.as_of,
        status=results["publish"]["status"],
        reason=report["too_little"] if trained["too_little"] else report["gate"]["sentence"],
        lost=trained["verdict"] != "publish" and not trained["too_little"],
        resumed=night.run.resumed,
        version=results["publish"]["version"],
        drained=results["drain"]["drained"],
        history=results["drain"]["history"],
        portraits=results["portraits"]["rows"],
        segments=results["segments"]["members"],
        offers=results["offers"]["plan"],
        answers=results["answers"]["led"],
        backtest=report.get("table") or {},
        compared=(report.get("gate") or {}).get("comparisons", ()),
        tuning=report.get("tuning") or {},
        census=report.get("census") or {},
        seconds={step: night.run.seconds(step) for step in STEPS},
        warnings=tuple(_warnings(results)),
    )


def _warnings(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for step in ("drain", "segments", "forget", "offers", "tidy", "answers"):
        yield from results[step]["warnings"]
    gate = results["train"]["report"].get("gate") or {}
    yield from (finding["sentence"] for finding in gate.get("findings", ()) if not finding["holds"])


def _close_killed(store: Store, run: Run) -> None:
    """Nights that were killed and are not taken up are over."""
    for old in store.runs(run.app_id):
        if old.status == "running" and old.run_id != run.run_id:
            _record_failure(store, old.app_id, old.run_id, old.as_of, "killed, and not taken up again in time")


def _fail(night: Night, error: Exception) -> None:
    """The failure stays on record, also where the store cannot take it: the folder's marker is enough."""
    with suppress(OSError):  # on a full disk the night stays open, and the next one takes it up
        night.run.end("failed")
    reason = f"{type(error).__name__}: {error}"
    with suppress(StoreUnavailable):
        _record_failure(night.store, night.app.app_id, night.run.run_id, night.run.as_of, reason)


def _record_failure(store: Store, app_id: str, run_id: str, as_of: datetime, reason: str) -> None:
    summary = NightSummary(app_id, run_id, as_of, "failed", reason[:500])
    store.finish_run(app_id, run_id, "failed", summary.to_dict())
