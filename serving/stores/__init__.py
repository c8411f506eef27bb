"""The online store: what changes by day, by URL."""

from serving.stores.store import Store

__all__ = ["Store"]
