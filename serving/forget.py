"""Forgetting a visitor: `POST /v1/forget` and `huaxiang forget`.

Online the visitor is gone before the answer: no answer, portrait, segment or export uses or shows anything of them, and
what is sent under their ids is refused. The files of past nights follow in the next night (`serving.forgetting`). Until
nothing that this installation keeps holds the visitor, the receipt says `pending` and names what does; a copy that was
taken out of it (an export, a backup, a batch of answers) is its owner's to delete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from portraits.checking import Rejection, take
from portraits.errors import BrokenBundle, InvalidValue
from portraits.history import USERS
from portraits.portrait_set import PortraitSet
from serving.call import Call
from serving.publish import bundle_folder, portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.forgotten import Status
from serving.stores.nights import VersionKind

NEXT_NIGHT = "the history and what past nights made of it, until the next night"
LOG = "the store's own log, until the next night"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a wish to be forgotten. `ids`: how many ids the person had. `known`: false where nothing was known
    under any of them; that they are not to be known is remembered all the same. `pending`: what may still hold them."""

    user_id: str
    ids: int
    known: bool
    status: Status
    pending: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"pending": list(self.pending)}


@dataclass(frozen=True, slots=True)
class Kept:
    """A version on disk, published or held back. `first_us`: since when it is there, at the latest; 0 when nothing
    says."""

    kind: VersionKind
    folder: Path
    first_us: int
    active: bool

    @property
    def words(self) -> str:
        return f"{self.kind} {self.folder.name}{' (active)' if self.active else ''}"


async def post_forget(call: Call) -> dict[str, Any]:
    """POST /v1/forget: forgets the visitor under all linked ids; asked again, it tells how far that is."""
    await call.confirm()
    context, user_id = call.context, call.body["user_id"]
    work = partial(forget, context.settings, context.store, call.app_id, user_id)
    receipt = await context.forgets.run(call.app_id, work)
    return receipt.to_dict()


def forget(process: ProcessSettings, store: Store, app_id: str, user_id: str) -> Receipt:
    """Forgets the visitor; safe to repeat.

    Raises InvalidValue for what cannot be an id (nothing at all would be found everywhere), UnknownApp,
    StoreUnavailable (then ask again).
    """
    checked = take(USERS.by_name["user_id"], user_id) if user_id else None
    if checked is None or isinstance(checked, Rejection):
        raise InvalidValue("user_id", user_id, checked.reason if checked else "the id of a visitor")
    store.forget(app_id, user_id, known=_has_portrait(process, store, app_id, user_id))
    record = store.record(app_id, user_id)
    if record is None:
        raise RuntimeError("what was just marked is not there")
    remaining: dict[str, None] = {}
    for one in record.waiting:
        if one.erased_us is None:
            remaining[NEXT_NIGHT] = None
        else:
            older = [kept.words for kept in kept_versions(process, store, app_id) if kept.first_us <= one.erased_us]
            remaining |= dict.fromkeys(older or [LOG])
    return Receipt(user_id, record.ids, record.known, record.status, tuple(remaining))


def kept_versions(process: ProcessSettings, store: Store, app_id: str) -> Iterator[Kept]:
    """Every version of an app on disk, also what a killed publication left."""
    active = store.active(app_id)
    roots = {
        "bundle": bundle_folder(process, app_id, "any").parent,
        "portraits": portraits_folder(process, app_id, "any").parent,
    }
    nights = store.first_activations(app_id, "portraits")
    kind: VersionKind
    for kind in get_args(VersionKind):
        root = roots[kind]
        first = nights | store.first_activations(app_id, kind)
        # A bundle that was held back and promoted later is as old as the portraits of its night.
        first |= {version: min(first[version], at_us) for version, at_us in nights.items()}
        served = getattr(active, kind)
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.is_dir():
                is_active = served is not None and served.version == folder.name
                yield Kept(kind, folder, first.get(folder.name, 0), is_active)


def _has_portrait(process: ProcessSettings, store: Store, app_id: str, user_id: str) -> bool:
    """Whether the night knew the visitor; files that cannot be read know nobody."""
    state = store.state(app_id, user_id)
    version = state.active.portraits
    if version is None or state.forgotten:
        return False
    try:
        return PortraitSet(portraits_folder(process, app_id, version.version)).of(state.ids) is not None
    except BrokenBundle:
        return False
