"""What every request of a process shares: settings, store, models and the writing thread. Composed here, once."""

from __future__ import annotations

from dataclasses import dataclass

from serving.models import Models
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.tenants import Tenants
from serving.writer import Writer


@dataclass(frozen=True, slots=True)
class Context:
    """Opened when a worker starts, closed when it ends."""

    settings: ProcessSettings
    store: Store
    models: Models
    tenants: Tenants
    writer: Writer

    @classmethod
    def open(cls, settings: ProcessSettings) -> Context:
        """Opens the store (making its tables on the first day) and starts the writing thread.

        Raises:
            StoreUnavailable, InvalidValue: see `Store.open`.
        """
        store = Store.open(settings.store_url)
        writer = Writer(store)
        writer.start()
        return cls(settings, store, Models(settings, store), Tenants(store), writer)

    def close(self) -> None:
        """Writes what waits and closes the store."""
        self.writer.close()
        self.store.close()
