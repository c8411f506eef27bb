"""Publishing: a night's files go, whole, where every worker finds them; then one row in the store makes them served.

Bundles live in BentoML's model store (`huaxiang-<app>.bundle:<version>`), portraits under `portraits/<app>/<version>`.
The order is copy, sync, activate: a crash in between leaves files that nothing points at, which the next publication
removes. A version is never changed, so a worker may map its files for as long as it likes.

A bundle that the gate held back is kept under the version of its night's portraits: it is not served, but can be
listed, looked at and promoted.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from portraits.errors import BrokenBundle, NothingThere
from portraits.settings import check_app_id
from recommender.bundles.bundle import Bundle
from recommender.bundles.files import MANIFEST
from serving.settings import ProcessSettings, no_tracking
from serving.stores import Store
from serving.stores.nights import Version, VersionKind

KEEP_VERSIONS = 5
KEEP_HELD = 2
LATEST = "latest"
"""BentoML's file beside the versions of a model that names one of them: here the one that is active."""


@dataclass(frozen=True, slots=True)
class Published:
    """A bundle that can be served. `published`: when it first was, or, where the gate held it back (`held`, also if
    somebody promoted it since), the portraits of its night. `manifest` is what the night wrote into it."""

    version: str
    as_of: datetime
    published: datetime
    active: bool
    manifest: dict[str, Any]
    held: bool = False


def publish(
    settings: ProcessSettings,
    store: Store,
    app_id: str,
    *,
    as_of: datetime,
    bundle: Path | None = None,
    portraits: Path | None = None,
    version: str | None = None,
    held: bool = False,
    events_seq: int | None = None,
    changes_seq: int | None = None,
) -> str:
    """Copies the given folders as one version and serves them from the next request on; returns the version.

    A kind that is None stays as it is. `version` names the publication, so that one that was killed can be repeated
    without doing anything twice. `held`: the bundle is kept and not served; it needs the portraits of its night beside
    it. `events_seq`, `changes_seq`: see `Store.activate`.

    Raises:
        BrokenBundle: the bundle is not whole; nothing was published.
        UnknownApp, StoreUnavailable: nothing is served that was not served before.
    """
    version = version or f"{as_of:%Y%m%dt%H%M%S}-{secrets.token_hex(3)}"
    store.tenant(app_id)
    if bundle is not None:
        _save_bundle(settings, app_id, version, bundle)
    if portraits is not None:
        _save_folder(portraits, portraits_folder(settings, app_id, version))
    store.activate(
        app_id,
        as_of=as_of,
        bundle=version if bundle is not None and not held else None,
        portraits=version if portraits is not None else None,
        events_seq=events_seq,
        changes_seq=changes_seq,
    )
    _note_active(settings, store, app_id)
    tidy(settings, store, app_id)
    return version


def versions(settings: ProcessSettings, store: Store, app_id: str) -> list[Published]:
    """The bundles of an app that can be served, newest publication first, then those that the gate held back.

    Serving one again changes nothing of that. Raises UnknownApp.
    """
    store.tenant(app_id)
    active = store.active(app_id).bundle
    served, nights = (store.first_activations(app_id, kind) for kind in ("bundle", "portraits"))
    found: dict[str, Published] = {}
    for old in (*store.activations(app_id, "bundle"), *_never_served(settings, store, app_id)):
        manifest = bundle_folder(settings, app_id, old.version) / MANIFEST
        if old.version in found or not manifest.exists():
            continue
        first_us = min(one[old.version] for one in (served, nights) if old.version in one)
        found[old.version] = Published(
            old.version,
            old.as_of,
            datetime.fromtimestamp(first_us / 1e6, UTC),
            active is not None and active.version == old.version,
            json.loads(manifest.read_text("utf-8")),
            held=first_us < served.get(old.version, first_us + 1),  # a publication makes both active at one moment
        )
    return sorted(found.values(), key=lambda one: (not one.held, one.published), reverse=True)


def rollback(settings: ProcessSettings, store: Store, app_id: str, version: str | None = None) -> str:
    """Serves the given bundle again, also one that was held back; returns its version. By default the last that was
    published before the active one and that the gate did not hold back.

    The events that came since the default one are all still there (see `rollback_version`), so that it answers as if
    the active one had never been: what somebody bought or was shown since counts. Of a version further back than that
    it counts from the day on that the default one is true at: older events are in the lake alone, until the next night.

    Raises:
        NothingThere: there is no such version, or none before the active one. BrokenBundle: its files are not whole any
            more.
    """
    known = versions(settings, store, app_id)
    wanted = version or _before_active(known, app_id)
    if wanted not in {one.version for one in known}:
        raise NothingThere("version", wanted, f"list them with: huaxiang models list --app {app_id}")
    Bundle.open(bundle_folder(settings, app_id, wanted))
    store.reactivate(app_id, "bundle", wanted)
    _note_active(settings, store, app_id)
    return wanted


def rollback_version(settings: ProcessSettings, store: Store, app_id: str) -> str | None:
    """What `rollback` would serve by default: the events that it does not hold must stay. None: nothing was published
    before. Raises UnknownApp."""
    with suppress(NothingThere):
        return _before_active(versions(settings, store, app_id), app_id)
    return None


def versions_on_disk(settings: ProcessSettings, app_id: str) -> list[str]:
    """What can be known without the store: the version that was last made active, then all others, the newest first."""
    folder = bundle_folder(settings, app_id, LATEST).parent
    others = sorted((path.name for path in folder.glob("*/") if path.is_dir()), reverse=True)
    with suppress(OSError):
        others.insert(0, (folder / LATEST).read_text("utf-8").strip())
    return list(dict.fromkeys(others))


def tidy(settings: ProcessSettings, store: Store, app_id: str) -> int:
    """Removes all but the last `KEEP_VERSIONS` versions of each kind, and what killed publications left; how many."""
    roots: dict[VersionKind, Path] = {
        "bundle": bundle_folder(settings, app_id, "any").parent,
        "portraits": portraits_folder(settings, app_id, "any").parent,
    }
    gone = 0
    for kind, root in roots.items():
        kept = list(dict.fromkeys(old.version for old in store.activations(app_id, kind)))[:KEEP_VERSIONS]
        if kind == "bundle":
            kept += [held.version for held in _never_served(settings, store, app_id)[:KEEP_HELD]]
        active = getattr(store.active(app_id), kind)
        if not root.exists() or active is None:
            continue
        for folder in root.iterdir():
            if folder.is_dir() and folder.name not in (*kept, active.version):
                shutil.rmtree(folder)
                gone += 1
    return gone


def bundle_folder(settings: ProcessSettings, app_id: str, version: str) -> Path:
    """Where BentoML's model store keeps a bundle."""
    return settings.bentoml / "models" / _model_name(app_id) / version


def portraits_folder(settings: ProcessSettings, app_id: str, version: str) -> Path:
    """Where published portraits are."""
    return settings.portraits / check_app_id(app_id) / version


def _note_active(settings: ProcessSettings, store: Store, app_id: str) -> None:
    """Writes where a worker finds it without the store which bundle is active."""
    active, note = store.active(app_id).bundle, bundle_folder(settings, app_id, LATEST)
    if active is None:
        note.unlink(missing_ok=True)
    if active is None or not note.parent.is_dir():
        return
    fresh = note.with_name(f".{LATEST}-{secrets.token_hex(3)}")
    fresh.write_text(active.version, "utf-8")
    fresh.replace(note)


def _model_name(app_id: str) -> str:
    """A name that BentoML takes: unlike an app_id, it must not end with '-'."""
    return f"huaxiang-{check_app_id(app_id)}.bundle"


def _never_served(settings: ProcessSettings, store: Store, app_id: str) -> list[Version]:
    """Bundles on disk that were never served, and whose night has portraits; newest first."""
    served = {old.version for old in store.activations(app_id, "bundle")}
    nights = {old.version: old for old in store.activations(app_id, "portraits") if old.version not in served}
    return [old for old in nights.values() if bundle_folder(settings, app_id, old.version).is_dir()]


def _before_active(known: list[Published], app_id: str) -> str:
    active = next((one for one in known if one.active), None)
    before = [one.version for one in known if not one.held and (active is None or one.published < active.published)]
    if before:
        return before[0]
    if active is None:
        raise NothingThere("version of", app_id, f"nothing was published yet: huaxiang nightly --app {app_id}")
    way_out = f"it stays; others, if any, are listed by: huaxiang models list --app {app_id}"
    raise NothingThere("version before the active", active.version, way_out)


def _save_bundle(settings: ProcessSettings, app_id: str, version: str, source: Path) -> None:
    manifest = dict(Bundle.open(source).manifest)
    target = bundle_folder(settings, app_id, version)
    if _is_whole(target):
        return
    shutil.rmtree(target, ignore_errors=True)
    models = settings.bentoml / "models"
    models.mkdir(parents=True, exist_ok=True)
    labels = {"app_id": app_id, "as_of": str(manifest.get("as_of", ""))}
    create, model_store = _bentoml()
    with create(f"{_model_name(app_id)}:{version}", labels=labels, _model_store=model_store(models)) as model:
        shutil.copytree(source, model.path, dirs_exist_ok=True)
    _sync(target)
    Bundle.open(target)


def _bentoml() -> tuple[Any, Any]:
    """BentoML's `models.create` and the class of a store at a place of our choice (its own is one a process).

    Imported by the first publication, because it takes more than a second; its dependencies' warnings are not ours.
    """
    no_tracking()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from bentoml._internal.models import ModelStore  # noqa: PLC0415 - see above
        from bentoml.models import create  # noqa: PLC0415 - see above
    return create, ModelStore


def _is_whole(folder: Path) -> bool:
    try:
        Bundle.open(folder)
    except BrokenBundle:
        return False
    return (folder / "model.yaml").exists()


def _save_folder(source: Path, target: Path) -> None:
    """Copies a folder whole or not at all; one that is there already is the same publication."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.copying")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished)
    _sync(unfinished)
    unfinished.rename(target)
    _sync_one(target.parent)


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder, folder.parent):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
