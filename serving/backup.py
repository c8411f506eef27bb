"""Backup and restore of a home, while it is being used.

The order is what makes it consistent. First the online store is copied, as of one moment; then the lake, the models
and the portraits. A night that runs meanwhile moves events from the store into the lake, so they may be in both copies,
and never in neither: the next night after a restore drains them again and finds duplicates. (The other order could lose
them.) A backup holds every event that was acknowledged before it began, and perhaps some that came later.

Files that a copied store may serve are never changed, only removed, and then one begins again. The manifest is written
last: a folder without it is no backup. A PostgreSQL is dumped by its own tools, before `backup` begins, for the same
reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from portraits.copying import files_of
from portraits.errors import BrokenBackup, InvalidValue, NotCopied, NotEmpty
from portraits.lake import Lake
from serving.private import private, private_folder
from serving.publish import bundle_folder, portraits_folder
from serving.runs import write_json
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.dialect import file_of, sqlite_url

MANIFEST = "backup.json"
FORMAT = 1
STORE = "store.sqlite"
UNFINISHED = ".restoring"
ATTEMPTS = 3
BLOCK = 1 << 20

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: every event acknowledged before `began`. `store`: false where it is a PostgreSQL."""

    began: str
    store: bool
    apps: int
    files: int
    bytes: int


class _Gone(Exception):
    """A file that the copied store serves was removed meanwhile."""


def backup(process: ProcessSettings, out: Path, tell: Tell) -> Backup:
    """Copies the home into the folder `out`, which must be empty or not there; `tell` hears what is being copied.

    Raises:
        NotEmpty: something is in the folder.
        NotCopied: the disk is full, or what is served changed again and again meanwhile.
        StoreUnavailable: the store cannot be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise NotEmpty(str(out))
    with _our_errors(out):
        for _ in range(ATTEMPTS):
            try:
                return _backup(process, out, tell)
            except _Gone:
                shutil.rmtree(out)
        raise NotCopied(str(out), "files that are served are missing, or were replaced again and again meanwhile")


def restore(process: ProcessSettings, source: Path, tell: Tell) -> Backup:
    """Puts a backup into the home of `process`, which must be empty or not there. Nothing is there before all of it was
    read and found to be what was written.

    Raises:
        NotEmpty: something is in the home, or there is a store.
        BrokenBackup: not a backup, or a file of it is missing, changed or cut short.
        InvalidValue: the backup's store and HUAXIANG_STORE are not of one kind.
        NotCopied: the disk is full.
    """
    told, files = _manifest(source)
    target = file_of(process.store_url)
    if told.store is not (target is not None):
        held = "a SQLite store" if told.store else "no store (it was a PostgreSQL; restore its own dump)"
        raise InvalidValue("HUAXIANG_STORE", process.store_url.partition(":")[0], f"as in the backup, which has {held}")
    taken = [path for path in _entries(process.home) if path.name != UNFINISHED]
    if target is not None and target.exists():
        taken.append(target)
    if taken:
        raise NotEmpty(str(taken[0]))
    with _our_errors(process.home):
        room = process.home / UNFINISHED
        shutil.rmtree(room, ignore_errors=True)
        process.make_home()
        try:
            _check_in(source, files, room, tell)
            _move_in(room, process.home, target)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    return told


def _backup(process: ProcessSettings, out: Path, tell: Tell) -> Backup:
    private_folder(out)
    began = datetime.now(UTC).isoformat()
    files: dict[str, tuple[int, str]] = {}
    tell("store")
    copied, versions, apps = _copy_store(process, out / STORE)
    if copied:
        files[STORE] = _digest(out / STORE)
    lake = Lake(process.lake)
    for app_id in lake.apps():
        tell(f"lake of {app_id}")
        files |= _copy_lake(lake.folder(app_id), out, process.home)
    for folder, served in versions.items():
        tell(f"version {folder.name}")
        files |= _copy_version(folder, out, process.home, served)
    for latest in process.bentoml.glob("models/*/latest"):
        files |= _copy_files([latest], out, process.home)
    os.sync()
    total = sum(size for size, _ in files.values())
    told = {"format": FORMAT, "began": began, "store": copied, "apps": apps, "files": files}
    write_json(out / MANIFEST, told)
    return Backup(began, copied, apps, len(files), total)


def _copy_store(process: ProcessSettings, target: Path) -> tuple[bool, dict[Path, bool], int]:
    """Whether the store was copied; folders of all versions that it knows, and whether it serves them; its apps."""
    store = Store.open(process.store_url)
    try:
        copied = store.copy_to(target)
        known = Store.open(sqlite_url(target)) if copied else store
        try:
            apps = [settings.app_id for settings in known.apps()]
            versions: dict[Path, bool] = {}
            for app_id in apps:
                versions |= _versions(process, known, app_id)
        finally:
            known.close()
    finally:
        store.close()
    for beside in target.parent.glob(f"{STORE}?*"):  # what opening it made
        beside.unlink()
    return copied, versions, len(apps)


def _versions(process: ProcessSettings, store: Store, app_id: str) -> Iterator[tuple[Path, bool]]:
    """A bundle that was held back is under the version of its night's portraits."""
    active = store.active(app_id)
    portraits = [one.version for one in store.activations(app_id, "portraits")]
    for version in portraits:
        served = active.portraits is not None and active.portraits.version == version
        yield portraits_folder(process, app_id, version), served
    for version in {*portraits, *(one.version for one in store.activations(app_id, "bundle"))}:
        served = active.bundle is not None and active.bundle.version == version
        yield bundle_folder(process, app_id, version), served


def _copy_lake(folder: Path, out: Path, home: Path) -> dict[str, tuple[int, str]]:
    """A file may go meanwhile (a visitor was forgotten): then the lake as it is now is copied, which is newer still."""
    for _ in range(ATTEMPTS):
        try:
            return _copy_files([folder / file for file in files_of(folder)], out, home)
        except FileNotFoundError:
            shutil.rmtree(out / folder.relative_to(home), ignore_errors=True)
    raise _Gone


def _copy_version(folder: Path, out: Path, home: Path, served: bool) -> dict[str, tuple[int, str]]:
    """The files of a version. One that is not served any more may have been removed: then it is left out."""
    try:
        copied = _copy_files(sorted(path for path in folder.rglob("*") if path.is_file()), out, home)
    except FileNotFoundError:
        copied = {}
    if copied and folder.is_dir():
        return copied
    if served:
        raise _Gone
    shutil.rmtree(out / folder.relative_to(home), ignore_errors=True)
    return {}


def _copy_files(paths: list[Path], out: Path, home: Path) -> dict[str, tuple[int, str]]:
    return {name: _copy(path, out / name) for path in paths for name in (path.relative_to(home).as_posix(),)}


def _copy(source: Path, target: Path) -> tuple[int, str]:
    """Copies a file; its size and SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, open(target, "wb", opener=private) as writing:
        while block := reading.read(BLOCK):
            digest.update(block)
            size += writing.write(block)
    return size, digest.hexdigest()


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(source: Path) -> tuple[Backup, Mapping[str, tuple[int, str]]]:
    try:
        told = json.loads((source / MANIFEST).read_text("utf-8"))
        files = {name: (int(size), str(digest)) for name, (size, digest) in told["files"].items()}
        total = sum(size for size, _ in files.values())
        found = Backup(str(told["began"]), bool(told["store"]), int(told["apps"]), len(files), total)
        form = told["format"]
    except FileNotFoundError:
        raise BrokenBackup(str(source), f"no {MANIFEST}: not a backup, or one that was never finished") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BrokenBackup(str(source / MANIFEST), "cannot be read") from None
    if form != FORMAT:
        raise BrokenBackup(str(source / MANIFEST), f"of format {form}; this release reads {FORMAT}")
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise BrokenBackup(str(source / MANIFEST), f"names a file outside of it: {name}")
    return found, files


def _check_in(source: Path, files: Mapping[str, tuple[int, str]], room: Path, tell: Tell) -> None:
    """Copies every file into `room`, as it was written."""
    for number, (name, written) in enumerate(files.items(), 1):
        if number % 100 == 1:
            tell(f"{number:,} of {len(files):,} files")
        try:
            found = _copy(source / name, room / name)
        except FileNotFoundError:
            raise BrokenBackup(str(source / name), "missing") from None
        if found != written:
            raise BrokenBackup(str(source / name), "not what was written")


def _move_in(room: Path, home: Path, store: Path | None) -> None:
    """The store last: without it nothing is served, and nothing is there that could be mistaken for a whole home."""
    os.sync()
    for path in _entries(room):
        if path.name != STORE:
            path.rename(home / path.name)
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(room / STORE, store)
    os.sync()


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


@contextmanager
def _our_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotCopied(str(folder), error.strerror or type(error).__name__) from error
