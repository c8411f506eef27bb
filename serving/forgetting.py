"""Forgetting at night: visitors leave the lake before portraits are built, and at the end what was built before goes.

A version that came after the lake was erased was built without them, as nights come one at a time; every other is
deleted, whatever it was kept for: there is nothing to roll back to, and no bundle that was held back to promote. Only
a bundle that is still served stays, because the gate held the new one back or the night was one for a past moment.
Then the receipt stays pending, and every following night asks again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from portraits.erasing import erase
from portraits.lake import Lake
from serving.forget import kept_versions
from serving.settings import ProcessSettings
from serving.stores import Store

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
    stays = []
    for kept in kept_versions(process, store, app_id):
        if kept.first_us > latest:
            continue
        if kept.active:
            stays.append(kept)
        else:
            shutil.rmtree(kept.folder)
    for folder in run.parent.iterdir():
        if folder.is_dir() and folder != run:
            shutil.rmtree(folder)
    done = [one.user_id for one in waiting if all(kept.first_us > (one.erased_us or 0) for kept in stays)]
    store.finish(app_id, done)
    return [f"forgetting is pending, as this is served from before it: {kept.words}" for kept in stays]
