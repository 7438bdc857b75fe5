"""A ClickHouse server over its native protocol, by clickhouse-driver.

Comes in: clickhouse://user:password@host:9000/database (`clickhouses` for TLS). Goes out: a `Store`. A small
pool of connections; one that broke is thrown away, so that the next call connects anew.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from clickhouse_driver import Client, errors

from store import native
from store.column_types import ColumnTypes
from store.columns import check_rows
from store.embedded import INSERT_SETTINGS
from store.interface import (
    Parameters,
    Row,
    StoreError,
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    as_store_error,
    check_identifier,
    redact,
)
from store.pool import Pool

MINIMUM_VERSION = (24, 3)
"""The oldest server that the project's migrations run on."""

_BROKEN = (errors.NetworkError, errors.SocketTimeoutError, OSError, EOFError)
T = TypeVar("T")

# The driver logs each failed connection with a traceback; what matters of it is in the error that it raises.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)


class ServerStore:
    """`Store` behind ClickHouse's native port."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 300.0,
        insert_settings: Mapping[str, object] = INSERT_SETTINGS,
        minimum_version: tuple[int, int] = MINIMUM_VERSION,
    ) -> None:
        """`timeout`: seconds that one answer may take; `insert_settings` go with each block beside its token; a
        server older than `minimum_version` is refused. Nothing is sent yet.

        Raises:
            StoreMisconfigured: `url` names no host.
        """
        parts = urlsplit(url)
        if not parts.hostname:
            raise StoreMisconfigured(f"store url {redact(url)!r} names no host")
        self._shown = redact(url)
        secure = parts.scheme == "clickhouses"
        self._options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or (9440 if secure else 9000),
            "user": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "database": parts.path.strip("/") or "default",
            "secure": secure,
            "connect_timeout": 5,
            "send_receive_timeout": timeout,
            "client_name": "platefleet",
        }
        self._insert_settings = dict(insert_settings)
        self._minimum = minimum_version
        self._pool = Pool(self._client, Client.disconnect, self._shown)
        self._types = ColumnTypes(self._describe)

    def insert(self, table: str, rows: Sequence[Row], *, token: str) -> None:
        """See `Store.insert`."""
        if not rows:
            return
        names = check_rows(check_identifier(table), rows)
        types = self._types.of(table, names)
        columns = native.columns_of(table, types, rows)
        sql = f"INSERT INTO {table} ({', '.join(f'`{name}`' for name in names)}) VALUES"
        settings = {**self._insert_settings, "insert_deduplication_token": token, "insert_block_size": len(rows)}

        def send(client: Client) -> None:
            # Copies: the driver changes the lists that it writes.
            client.execute(sql, [list(values) for values in columns], columnar=True, settings=settings)

        try:
            self._run(send, inserting=True)
        except StoreRejected as error:
            self._types.forget(table)
            if error.code:
                raise
            raise native.bad_value(table, types, columns, error) from None
        except StoreMisconfigured:
            self._types.forget(table)
            raise

    def query(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, object]]:
        """See `Store.query`."""

        def ask(client: Client) -> list[dict[str, object]]:
            columns, types = client.execute(sql, parameters or None, with_column_types=True, columnar=True)
            zone = ZoneInfo(client.connection.server_info.get_timezone() or "UTC")
            return native.to_dicts(types, columns, zone) if columns else []

        return self._run(ask)

    def query_raw(self, sql: str, format: str, parameters: Parameters | None = None) -> bytes:
        """See `Store.query_raw`. The native protocol carries blocks alone: give an http:// address for formats."""
        raise StoreRejected(f"format {format} needs an http:// address of the store; {self._shown} speaks blocks only")

    def execute(self, sql: str) -> None:
        """See `Store.execute`."""
        self._run(lambda client: client.execute(sql), fresh=True)
        self._types.forget()

    def ping(self) -> None:
        """See `Store.ping`; also says when user or password are wrong."""
        self._run(lambda client: client.execute("SELECT 1"))

    def close(self) -> None:
        """See `Store.close`."""
        self._pool.close()

    def _describe(self, table: str) -> dict[str, str]:
        described: Any = self._run(lambda client: client.execute(f"DESCRIBE TABLE {table}"), inserting=True)
        return {str(row[0]): str(row[1]) for row in described}

    def _client(self) -> Client:
        return Client(**self._options, settings={"strings_encoding": "utf-8", "server_side_params": True})

    def _check_version(self, client: Client) -> None:
        if not client.connection.connected:
            client.connection.connect()
            found = client.connection.server_info.version_tuple()
            if found[:2] < self._minimum:
                have, want = ".".join(map(str, found)), ".".join(map(str, self._minimum))
                raise StoreMisconfigured(
                    f"store at {self._shown} is ClickHouse {have}; platefleet needs {want} or newer"
                )

    def _run(self, work: Callable[[Client], T], *, inserting: bool = False, fresh: bool = False) -> T:
        while True:
            client, used = self._pool.take(fresh=fresh)
            try:
                self._check_version(client)
                result = work(client)
            except BaseException as error:
                client.disconnect()
                if used and isinstance(error, _BROKEN) and not isinstance(error, errors.SocketTimeoutError):
                    fresh = True  # the other idle connections are as old; inserts carry a token
                    continue
                found = self._translated(error, inserting)
                if found is None:
                    raise
                raise found from None
            self._pool.give_back(client)
            return result

    def _translated(self, error: BaseException, inserting: bool) -> StoreError | None:
        if isinstance(error, errors.ServerException):
            found = as_store_error(_words(error), error.code, inserting=inserting)
            if isinstance(found, StoreUnavailable):
                return type(found)(f"store at {self._shown}: {found}", found.code)
            return found
        if isinstance(error, _BROKEN):
            words = " ".join(str(error).split()) or type(error).__name__
            return StoreUnavailable(f"store at {self._shown} does not answer: {words}")
        if isinstance(error, errors.Error | ValueError | TypeError | AttributeError | IndexError):
            return StoreRejected(" ".join(str(error).split()))
        return None


def _words(error: errors.ServerException) -> str:
    """The server's message without its stack trace."""
    text = str(error.message).partition("Stack trace:")[0].strip()
    return text if text.startswith("Code:") else f"Code: {error.code}. {text}"
