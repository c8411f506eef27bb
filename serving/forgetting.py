"""Forgetting at night: visitors leave the lake before portraits are built, and at the end what was built before goes.

A version that came after the lake was erased was built without them, as nights come one at a time; every other is
deleted, whatever it was kept for: there is nothing to roll back to, and no bundle that was held back to promote. What
is still served, because the gate held the new one back or the night was one for a past moment, is published anew
without them, and the workers swap to that as to any version. Only where its files are broken does it stay, and with it
the receipt pending; every following night asks again.

Who refuses personalisation has no portrait in what this night built; `leave_refusing` takes them out of what earlier
nights left. Their bundles stay, to be rolled back to, without them; their portraits and working folders, which nothing
reads any more, go.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, get_args

from portraits.erasing import erase
from portraits.errors import BrokenBundle
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.without import without_visitors
from recommender.bundles.bundle import Bundle
from recommender.bundles.without import without_users
from recommender.offers import plan_files
from serving.forget import Kept, kept_versions
from serving.publish import publish
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import Version, VersionKind

IMPORT_RUNS = "forgetting waits for the next night: an import is running, and may hold rows of who was forgotten"


def erase_lake(store: Store, lake: Lake, app_id: str) -> tuple[int, str]:
    """Takes everyone who waits for it out of the lake (and again out of the store, should a call have been cut short);
    how many ids, and why nothing could be done, if so."""
    ids = [one.user_id for one in store.waiting(app_id) if one.erased_us is None]
    if not ids:
        return 0, ""
    if lake.is_staging(app_id):
        return 0, IMPORT_RUNS
    store.erase_online(app_id, ids)
    erase(lake, app_id, ids)
    store.erased(app_id, ids)
    return len(ids), ""


def settle(process: ProcessSettings, store: Store, app_id: str, run: Path) -> list[str]:
    """Deletes what was built before someone was forgotten; what must stay, in words. `run`: the folder of this night.

    Who is in nothing that stays is done.
    """
    waiting = [one for one in store.waiting(app_id) if one.erased_us is not None]
    if not waiting:
        store.finish(app_id, ())
        return []
    latest = max(one.erased_us or 0 for one in waiting)
    ids = [one.user_id for one in waiting]
    stays = []
    for kept in [one for one in kept_versions(process, store, app_id) if one.first_us <= latest]:
        try:
            if kept.active:
                _serve_without(process, store, app_id, kept, Without(ids, run))
        except BrokenBundle as broken:
            stays.append((kept, broken.message))
        else:
            shutil.rmtree(kept.folder, ignore_errors=True)  # a publication may have tidied it away
    _drop_runs(run)
    done = [one.user_id for one in waiting if all(kept.first_us > (one.erased_us or 0) for kept, _ in stays)]
    store.finish(app_id, done)
    return [f"forgetting is pending, as this is served from before it: {kept.words}: {why}" for kept, why in stays]


def leave_refusing(process: ProcessSettings, store: Store, app_id: str, run: Path) -> list[str]:
    """Takes who refused since out of every version that is older than this night's; what could not be, in words.
    `run`: the folder of this night. Costs a few reads where nobody did."""
    built = {(kind, one.version): one for kind in get_args(VersionKind) for one in store.activations(app_id, kind)}
    held_any, stays = False, []
    for kept in list(kept_versions(process, store, app_id)):
        version = built.get((kept.kind, kept.folder.name)) or built.get(("portraits", kept.folder.name))
        ids = [] if version is None or kept.folder.name == run.name else store.left_out(app_id, version)
        if not ids:
            continue
        try:
            held_any |= _leave(process, store, app_id, kept, Without(ids, run))
        except BrokenBundle as broken:
            stays.append(f"{kept.words} still holds who refused: {broken.message}")
    if held_any:
        _drop_runs(run)
    return stays


def _leave(process: ProcessSettings, store: Store, app_id: str, kept: Kept, asked: Without) -> bool:
    """Whether the version held one of them. Raises BrokenBundle."""
    if not kept.active and kept.kind == "portraits":
        shutil.rmtree(kept.folder, ignore_errors=True)
        return True
    if kept.kind == "portraits":
        people = PortraitSet(kept.folder)
        holds = any(people.get(one) is not None for one in asked.ids) or _is_planned_for(kept.folder, asked.ids)
    else:
        holds = bool((Bundle.open(kept.folder).users.indices(sorted(asked.ids)) >= 0).any())
    if holds and kept.active:
        _serve_without(process, store, app_id, kept, asked)
        shutil.rmtree(kept.folder, ignore_errors=True)
    elif holds:
        _write_without(kept, asked)
    return holds


def _write_without(kept: Kept, asked: Without) -> None:
    """Replaces a bundle that nobody is served from. Raises BrokenBundle."""
    made = asked.room / "without-kept"
    without_users(Bundle.open(kept.folder), asked.ids, made, kept.folder.name)
    for path in kept.folder.iterdir():
        if not (made / path.name).exists():  # what the model store wrote beside it
            shutil.copyfile(path, made / path.name)
    shutil.rmtree(kept.folder)
    shutil.move(made, kept.folder)


def _drop_runs(run: Path) -> None:
    for folder in run.parent.iterdir():
        if folder.is_dir() and folder != run:
            shutil.rmtree(folder)


class Without(NamedTuple):
    """Whom a version shall not hold, and the folder in which the new one is made."""

    ids: Collection[str]
    room: Path


def _serve_without(process: ProcessSettings, store: Store, app_id: str, kept: Kept, asked: Without) -> None:
    """Publishes what is served anew, without these visitors. Raises BrokenBundle."""
    ids, room = asked
    served: Version | None = getattr(store.active(app_id), kept.kind)
    if served is None or served.version != kept.folder.name:  # another one is served by now
        return
    made, version = room / f"without-{kept.kind}", _next(served.version)
    if kept.kind == "bundle":
        without_users(Bundle.open(kept.folder), ids, made, version)
    else:
        people = PortraitSet(kept.folder)
        people.verify()
        without_visitors(people, ids, made)
        _plan_without(kept.folder, ids, made)
    publish(
        process,
        store,
        app_id,
        as_of=served.as_of,
        bundle=made if kept.kind == "bundle" else None,
        portraits=made if kept.kind == "portraits" else None,
        version=version,
        events_seq=served.events_seq,
        changes_seq=served.changes_seq,
    )
    shutil.rmtree(made)


def _is_planned_for(portraits: Path, ids: Collection[str]) -> bool:
    """Whether the plan of offers beside these portraits holds one of them: it knows who declared something and has no
    portrait, too. Raises BrokenBundle."""
    folder = portraits / plan_files.FOLDER
    return folder.exists() and bool((plan_files.OfferPlan.open(folder).users.indices(sorted(ids)) >= 0).any())


def _plan_without(portraits: Path, ids: Collection[str], made: Path) -> None:
    """The plan of offers beside these portraits, if there is one. Raises BrokenBundle."""
    folder = portraits / plan_files.FOLDER
    if folder.exists():
        plan_files.without_users(plan_files.OfferPlan.open(folder), ids, made / plan_files.FOLDER)


def _next(version: str) -> str:
    """The name of a version without some visitors: `x`, `x-r1`, `x-r2`."""
    name, _, times = version.rpartition("-r")
    return f"{name}-r{int(times) + 1}" if name and times.isdigit() else f"{version}-r1"
