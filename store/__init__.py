"""The one door to ClickHouse: chDB in a folder, or a server; the same protocol for both."""

from store.interface import Store, StoreError, StoreMisconfigured, StoreRejected, StoreUnavailable
from store.migrate import MigrationError, migrate, status
from store.opening import open_store

__all__ = [
    "MigrationError",
    "Store",
    "StoreError",
    "StoreMisconfigured",
    "StoreRejected",
    "StoreUnavailable",
    "migrate",
    "open_store",
    "status",
]
