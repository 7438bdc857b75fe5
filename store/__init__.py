"""The one door to ClickHouse: chDB in a folder, or a server; the same protocol for both."""

from store.interface import Store, StoreError, StoreMisconfigured, StoreRejected, StoreUnavailable
from store.opening import open_store

__all__ = ["Store", "StoreError", "StoreMisconfigured", "StoreRejected", "StoreUnavailable", "open_store"]
