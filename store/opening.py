"""A store's address -> the store: `chdb:///folder`, `http(s)://...` or `clickhouse(s)://...`."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from store.interface import Store, StoreMisconfigured, redact

FORMS = "chdb:///folder, http://user:password@host:8123/database or clickhouse://user:password@host:9000/database"


def open_store(url: str, *, threads: int = 0, asked_by: str = "", reason: str = "") -> Store:
    """The store at `url`. Only `chdb` opens anything yet; the others connect at the first call.

    `threads` bounds the embedded engine's threads per query (0: one per core). `asked_by` and `reason` go with each
    question over HTTP, for the audit of who answers.

    Raises:
        StoreMisconfigured: not an address of one of the three forms.
        StoreUnavailable: the folder of a `chdb` address is in use or cannot be written.
    """
    parts = urlsplit(url)
    if parts.scheme == "chdb" and parts.path.strip("/"):
        from store.embedded import EmbeddedStore

        return EmbeddedStore(Path(unquote(parts.netloc + parts.path)), threads=threads)
    if parts.scheme in ("http", "https"):
        from store.http import HttpStore

        return HttpStore(url, asked_by=asked_by, reason=reason)
    if parts.scheme in ("clickhouse", "clickhouses"):
        from store.server import ServerStore

        return ServerStore(url)
    raise StoreMisconfigured(f"store url {redact(url)!r} is not one of {FORMS}")
