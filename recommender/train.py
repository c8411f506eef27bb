"""The night of the recommender: history -> candidates -> fusion -> gate -> bundle.

The backtest (`recommender.backtest`) finds the recipe; the gate compares it with what is active; then the same recipe
is fitted on the whole history and written. Nothing here depends on the clock or on a draw without a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from ibis.backends import BaseBackend

from portraits.engine import connect
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.backtest import FEWEST_JUDGED, Backtest, refit, replay, splits
from recommender.bundles.bundle import write_bundle
from recommender.counting.counted import counted
from recommender.fusion.assemble import Arrays, bundle_arrays, manifest_of, popular_arrays
from recommender.fusion.recipe import Recipe
from recommender.history.dataset import Dataset, Int32
from recommender.history.reading import History
from recommender.judging import gate
from recommender.judging.gate import Verdict
from recommender.judging.sanity import census, look, look_at_lists
from recommender.memory import NOTHING_REMEMBERED, Memory
from recommender.plan import OnStep, Plan, quiet
from recommender.sessions.session import session_arrays
from recommender.spark_training import fitted_by
from recommender.tuning.tune import Budget

STEPS = ("read", "learn", "judge", "refit", "write", "done")


@dataclass(frozen=True)
class Trained:
    """What a night made. folder: the bundle. verdict: "publish" the model; "popular": the bundle holds popularity;
    "hold": keep what is active. too_little: the history cannot carry a model (not a failure). report: JSON-able.
    """

    folder: Path
    verdict: Verdict
    report: Mapping[str, Any]
    too_little: bool = False


def train(
    snapshot: Snapshot,
    settings: AppSettings,
    portraits: Path | None,
    as_of: datetime,
    out: Path,
    *,
    active_manifest: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
    version: str = "",
    memory: Memory = NOTHING_REMEMBERED,
    con: BaseBackend | None = None,
) -> Trained:
    """One night for one app: everything before `as_of` becomes a bundle in `out / "bundle"`.

    portraits: the folder of the portraits as of that moment (user features), None for none. active_manifest: the
    manifest of the published bundle, None on the first night. on_step hears the name of each step (`STEPS`) as it
    begins, with the share that is done. memory: what earlier nights left. con (None: the embedded engine)
    reads and counts the history, and where it is a Spark, fits what is heavy (`spark_training`). The same history,
    settings, seed and memory give the same arrays, on Spark to float noise.
    """
    step = on_step or quiet
    step("read", 0.0)
    con = con or connect()
    history = History(snapshot, settings, as_of, con)
    dataset = history.dataset(portraits)
    counts = counted(history, dataset)
    history.release()
    plan = Plan(
        seed=settings.seed,
        repeat=settings.repeat,
        active=active_manifest,
        manifest={"app_id": settings.app_id, "version": version, "as_of": as_of.isoformat()},
        moment=history.at,
        looks=history.looks,
        on_step=step,
        budget=Budget(settings.tuning_trials, settings.tuning_minutes),
        memory=memory,
        fit=fitted_by(con, out.absolute() / "spark"),
        counted=counts,
    )
    return train_dataset(dataset, out, plan)


def train_dataset(dataset: Dataset, out: Path, plan: Plan) -> Trained:
    """One night on `dataset`; the bundle is written to `out / "bundle"`. See `Trained`."""
    tonight, first_night = census(dataset), plan.active is None
    findings = look(dataset, tonight, plan.memory.nights)
    replayed = splits(dataset, plan)
    if replayed is None:
        reason = f"fewer than {FEWEST_JUDGED} visitors have a {' or '.join(dataset.target)} to be judged by"
        decision = gate.undecided(reason, findings, first_night=first_night)
        report = {"too_little": reason, "gate": decision.as_json(), "census": tonight.as_json()}
        return _popular(dataset, out, plan, report)
    found = replay(*replayed, plan)
    findings += look_at_lists(found.ours, found.active, replayed[1].train, plan.seed)
    decision = gate.decide(
        found.ours, found.popular, found.active, first_night=first_night, seed=plan.seed, findings=findings
    )
    report = {
        "table": found.table.as_json(),
        "gate": decision.as_json(),
        "recipe": found.recipe.as_json(),
        "tuning": found.tuning,
        "session": found.session,
        "response": found.response,
        "census": tonight.as_json(),
    }
    if decision.verdict == "popular":
        return _popular(dataset, out, plan, report)
    plan.on_step("refit", 0.6)
    fitted = refit(dataset, found, plan)
    plan.on_step("write", 0.8)
    arrays = bundle_arrays(fitted, _everyone(dataset))
    arrays |= session_arrays(found.session, fitted.pooler.sources, arrays)
    manifest = served_manifest(arrays, dataset, fitted.recipe, found, plan)
    _write(out / "bundle", {**arrays, **plan.counted}, manifest, report)
    plan.on_step("done", 1.0)
    return Trained(out / "bundle", decision.verdict, report)


def served_manifest(arrays: Arrays, dataset: Dataset, served: Recipe, found: Backtest, plan: Plan) -> dict[str, Any]:
    """The manifest of a bundle made by `served`. It keeps the recipe as it was judged, for the next night to compare
    with, and names the sources of the one that made the arrays, which may be others."""
    manifest = manifest_of(arrays, dataset, served, plan)
    return {**manifest, "recipe": found.recipe.as_json(), "session": found.session}


def _popular(dataset: Dataset, out: Path, plan: Plan, report: Mapping[str, Any]) -> Trained:
    """A bundle of popularity, what everybody gets who is unknown anyway; published unless the gate holds even that."""
    arrays = popular_arrays(dataset, _everyone(dataset))
    recipe = Recipe((), keep_repeats=plan.repeat == "yes")
    _write(out / "bundle", {**arrays, **plan.counted}, manifest_of(arrays, dataset, recipe, plan), report)
    plan.on_step("done", 1.0)
    verdict = report["gate"]["verdict"]
    return Trained(out / "bundle", verdict, report, verdict == "popular" and "too_little" in report)


def _write(folder: Path, arrays: Arrays, manifest: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(folder, arrays, {**manifest, "metrics": report.get("table"), "gate": report.get("gate")})


def _everyone(dataset: Dataset) -> Int32:
    """All users: who did nothing that counts yet may still be known by the portrait."""
    return np.arange(dataset.shape[0], dtype=np.int32)
