"""What every request of a process shares: settings, store, models and the writing thread. Composed here, once."""

from __future__ import annotations

from dataclasses import dataclass

from serving.ledgers import Ledgers
from serving.metrics import Metrics
from serving.models import Models
from serving.one_by_one import OneByOne
from serving.quarantine import Quarantine
from serving.reads import Reads
from serving.segments.analyst import Analyst
from serving.segments.published import Published
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.tenants import Tenants
from serving.writer import Writer


@dataclass(frozen=True, slots=True)
class Context:
    """Opened when a worker starts, closed when it ends."""

    settings: ProcessSettings
    store: Store
    reads: Reads
    models: Models
    ledgers: Ledgers
    tenants: Tenants
    writer: Writer
    analyst: Analyst
    published: Published
    metrics: Metrics
    quarantine: Quarantine
    forgets: OneByOne

    @classmethod
    def open(cls, settings: ProcessSettings) -> Context:
        """Opens the store (making its tables on the first day) and starts the writing thread. A store that all replicas
        share and none reaches is waited for (`ready.keep_preparing`): nothing but 503 is answered until it is there.

        Raises:
            StoreUnavailable, InvalidValue: see `Store.open`.
        """
        settings.make_home()
        store = Store.open(settings.store_url, away=True)
        writer = Writer(store)
        writer.start()
        analyst = Analyst(settings)
        published = Published(settings, analyst)
        reads = Reads(store)
        models, tenants = Models(settings, store, reads), Tenants(store, reads, settings.secret)
        ledgers = Ledgers(store, reads)
        parts = (settings, store, reads, models, ledgers, tenants, writer, analyst, published, Metrics(), Quarantine())
        return cls(*parts, OneByOne("forgetting"))

    def close(self) -> None:
        """Ends the counting process, writes what waits and closes the store."""
        self.analyst.close()
        self.published.close()
        self.forgets.close()
        self.writer.close()
        self.reads.close()
        self.store.close()
