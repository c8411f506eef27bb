"""The plan of the offers as a file: that of the last night, or, before one, a plan made for this export alone.

Who imports customer files to see whom which offer moves need not publish anything for it: where the published portraits
have no plan, portraits and a plan are built from the lake in a folder that goes away afterwards. Such a plan is of the
moment after the last event, not of now: the same files give the same plan. Of files whose history is shorter than the
window of outcomes (one row a customer, without time) that window is over, too; that of a longer log is not: what it has
not seen yet is no outcome, and by then every visitor would look as if they had stayed away.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from portraits.build import build
from portraits.engine import connect
from portraits.errors import NothingThere, UnknownName
from portraits.lake import Lake
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.offers.export import SCHEMA, rows
from recommender.offers.night import plan_offers
from recommender.offers.plan_files import FOLDER, OfferPlan
from serving.publish import portraits_folder
from serving.segments.files import check_ending, write_rows
from serving.settings import ProcessSettings
from serving.stores import Store

MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Exported:
    """rows: how many were written; as_of: the moment of the plan; published: whether it is the last night's."""

    rows: int
    as_of: str
    published: bool


def export_plan(
    process: ProcessSettings,
    store: Store,
    app_id: str,
    out: Path,
    *,
    offer: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Writes a row for each visitor and offer that the visitor may have (`recommender.offers.export.SCHEMA`), as CSV or
    Parquet by the file's name. Who refuses, or refused since, is left out. `tell` hears what takes long.

    Raises UnknownApp; InvalidValue for another ending; NothingThere where there is nothing to plan; UnknownName for an
    offer that is not planned.
    """
    check_ending(out)
    settings = store.app(app_id)
    with _plan(process, store, settings, tell) as (plan, left_out, published):
        if offer is not None and offer not in plan.offers:
            raise UnknownName("offer of the plan", offer, plan.offers)
        batches = rows(plan, settings.offer_exploration, left_out, offer)
        count = write_rows(pa.RecordBatchReader.from_batches(SCHEMA, batches), out)
        return Exported(count, str(plan.manifest["as_of"]), published)


@contextmanager
def _plan(
    process: ProcessSettings, store: Store, settings: AppSettings, tell: Callable[[str], None]
) -> Iterator[tuple[OfferPlan, list[str], bool]]:
    """The plan, whom to leave out, and whether it is the published one."""
    version = store.active(settings.app_id).portraits
    if version is not None:
        folder = portraits_folder(process, settings.app_id, version.version) / FOLDER
        if folder.is_dir():
            yield OfferPlan.open(folder), store.left_out(settings.app_id, version), True
            return
    tell(f"{settings.app_id}: no plan is published; portraits and a plan are built for this file alone")
    with tempfile.TemporaryDirectory(prefix="huaxiang-plan-") as room:
        made = _made(Lake(process.lake).snapshot(settings.app_id), store, settings, Path(room) / "portraits")
        yield made, sorted(store.refusing(settings.app_id)), False


def _made(snapshot: Snapshot, store: Store, settings: AppSettings, folder: Path) -> OfferPlan:
    bounds = snapshot.bounds()
    if bounds is None:
        raise NothingThere("history of", settings.app_id, "import events, decisions and offers first")
    window = timedelta(days=settings.offer_days)
    without_time = bounds[1] - bounds[0] < window
    as_of = min(bounds[1] + (window if without_time else timedelta(0)) + MOMENT, datetime.now(UTC))
    con = connect()
    try:
        build(snapshot, settings, as_of, folder, con, deleted=store.deleted_tags(settings.app_id))
        planned = plan_offers(snapshot, settings, folder, as_of, con, tried_too=True)
    finally:
        con.disconnect()
    if planned is None:
        way_out = "import some with a kind and a value that hold in the coming week: huaxiang import offers --app APP"
        raise NothingThere("offers to plan of", settings.app_id, way_out)
    return OfferPlan.open(planned.folder)
