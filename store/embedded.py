"""chDB, the ClickHouse engine inside this process: one folder, one owner, the same protocol as a server.

Comes in: a folder. Goes out: a `Store`. Each call has a connection of its own (0.1 ms), so that calls from
several threads run side by side and the settings of one never reach another.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from store import native
from store.column_types import ColumnTypes
from store.columns import check_rows
from store.guard import outward
from store.interface import (
    Parameters,
    Row,
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    as_store_error,
    check_identifier,
)
from store.values import parameter_text

INSERT_SETTINGS: Mapping[str, object] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 1200,
    "optimize_on_insert": 0,
}
"""Settings of every block that this project inserts, in any store: written when the call returns, and
a retry also completes what a crash left out of the dependent tables. A block may span the 1,200 months
between which `rows` clamps times. Revisions of one sighting within a block are folded by merges and by the views, as
those of several blocks are: to look for them row by row at each insert costs a tenth of it and more (measured)."""

_CHUNK = 8 << 20
_LOCK_NAME = "platefleet.lock"


class Engine:
    """The folder's lock and chDB's connections. One per process: chDB opens one folder at a time."""

    def __init__(self, path: Path, *, threads: int = 0, memory_bytes: int = 0) -> None:
        """`threads` 0: as many as there are cores; `memory_bytes` 0: no limit per query.

        Raises:
            StoreUnavailable: the folder cannot be made or written, or another process owns it.
        """
        self.path = path
        self._lock = _lock_folder(path)
        options = {"max_threads": threads, "max_memory_usage": memory_bytes}
        query = "&".join(f"{name}={value}" for name, value in options.items() if value)
        self._url = f"{path}/chdb?{query}" if query else f"{path}/chdb"
        try:
            from chdb import _chdb

            self._connect: Callable[[str], Any] = _chdb.connect  # type: ignore[attr-defined]
            self._anchor = self._connect(self._url)
            _take_files_away(self._anchor)
            self.sources = outward(_names_of_sources(self._anchor))
            """Table functions and engines that reach outside the store."""
        except (RuntimeError, ImportError) as error:
            self._lock.close()
            words = " ".join(str(error).split())
            raise StoreUnavailable(f"chDB cannot open {path}: {words}") from None

    def connect(self) -> Any:
        """A fresh connection with settings and a current database of its own.

        Raises:
            StoreUnavailable: the engine is closed.
        """
        if self._lock.closed:
            raise StoreUnavailable(f"the store in {self.path} is closed")
        return self._connect(self._url)

    def close(self) -> None:
        """Close the engine and give the folder free. A second call does nothing."""
        if not self._lock.closed:
            self._anchor.close()
            self._lock.close()


def _take_files_away(connection: Any) -> None:
    """chDB's own `default` shows every file that this process may read as a table, beside the store's tables: put the
    plain database, which lies within it, in its place. The folder stays as chDB itself would open it."""
    asked = "SELECT uuid FROM system.databases WHERE name = 'default' AND engine = 'Overlay'"
    uuid = connection.query(asked, "TSVRaw").bytes().decode().strip()
    if uuid:
        connection.query("DETACH DATABASE default", "Null")
        connection.query(f"ATTACH DATABASE default UUID '{uuid}' ENGINE = Atomic", "Null")


def _names_of_sources(connection: Any) -> list[str]:
    asked = " UNION ALL ".join(
        f"SELECT name FROM system.{table}" for table in ("table_functions", "table_engines", "database_engines")
    )
    return str(connection.query(asked, "TSVRaw").bytes().decode()).split()


def _lock_folder(path: Path) -> Any:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / _LOCK_NAME).open("a+")
    except OSError as error:
        raise StoreUnavailable(f"cannot use {path} as the store's folder: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StoreUnavailable(
            f"the store in {path} is already open in process {owner}: stop it, or ask it over its HTTP port"
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


class EmbeddedStore:
    """`Store` on a folder of this process's own."""

    def __init__(
        self, path: Path | Engine, *, database: str = "default", threads: int = 0, max_execution_seconds: float = 0.0
    ) -> None:
        """On a folder, or on an engine that is open already (`threads` is its own then).

        Raises:
            StoreUnavailable: see `Engine`.
        """
        self._engine = path if isinstance(path, Engine) else Engine(path, threads=threads)
        self._types = ColumnTypes(self._describe)
        self._limit = max_execution_seconds
        self._database = check_identifier(database)
        if self._database != "default":
            with self._connection(use=False) as connection:
                connection.query(f"CREATE DATABASE IF NOT EXISTS {self._database}", "Null")

    @contextlib.contextmanager
    def _connection(self, *, use: bool = True, inserting: bool = False) -> Iterator[Any]:
        connection = self._engine.connect()
        try:
            if use and self._database != "default":
                connection.query(f"USE {self._database}", "Null")
            if self._limit and not inserting:
                connection.query(f"SET max_execution_time = {self._limit}", "Null")
            yield connection
        except RuntimeError as error:
            raise as_store_error(str(error), inserting=inserting) from None
        finally:
            connection.close()

    def insert(self, table: str, rows: Sequence[Row], *, token: str) -> None:
        """See `Store.insert`."""
        if not rows:
            return
        columns = check_rows(check_identifier(table), rows)
        block = native.encode(table, self._types.of(table, columns), rows)
        names = ", ".join(f"`{name}`" for name in columns)
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
        clause = ", ".join(f"{name} = {literal(value)}" for name, value in settings.items())
        try:
            with self._connection(inserting=True) as connection:
                stream_insert(connection, f"INSERT INTO {table} ({names}) SETTINGS {clause}", "Native", block)
        except (StoreRejected, StoreMisconfigured):
            self._types.forget(table)
            raise

    def query(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, object]]:
        """See `Store.query`."""
        return native.decode(self.query_raw(sql, "Native", parameters))

    def query_raw(self, sql: str, format: str, parameters: Parameters | None = None) -> bytes:
        """See `Store.query_raw`."""
        texts = {name: parameter_text(value) for name, value in (parameters or {}).items()}
        with self._connection() as connection:
            data: bytes = connection.query(sql, format, params=texts).bytes()
            return data

    def execute(self, sql: str) -> None:
        """See `Store.execute`."""
        with self._connection() as connection:
            connection.query(sql, "Null")
        self._types.forget()

    def ping(self) -> None:
        """See `Store.ping`."""
        self.query_raw("SELECT 1", "Null")

    def close(self) -> None:
        """See `Store.close`."""
        self._engine.close()

    def _describe(self, table: str) -> dict[str, str]:
        with self._connection(inserting=True) as connection:
            described = connection.query(f"DESCRIBE TABLE {table}", "Native").bytes()
        return {str(row["name"]): str(row["type"]) for row in native.decode(described)}


def literal(value: object) -> str:
    """A setting's value as a SQL literal."""
    if isinstance(value, bool | int | float):
        return str(int(value) if isinstance(value, bool) else value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def stream_insert(connection: Any, head: str, format: str, body: Iterable[bytes]) -> Any:
    """INSERT `head` (no FORMAT clause) with the pieces of `body` in `format`; the engine's result with its row counts.

    Raises:
        RuntimeError: as chDB raises it; nothing was inserted then.
    """
    handle = connection.send_insert(head, format)
    try:
        for piece in body:
            for start in range(0, len(piece), _CHUNK):
                connection.insert_append(handle, piece[start : start + _CHUNK])
        return connection.insert_done(handle)
    except BaseException:
        with contextlib.suppress(RuntimeError):
            connection.insert_cancel(handle)
        raise
