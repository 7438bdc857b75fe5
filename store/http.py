"""Client of ClickHouse's HTTP interface: of the process that owns the embedded store, or of a server.

Comes in: http(s)://user:password@host:port/database. Goes out: a `Store`. Connections are kept alive and
shared by threads through a small pool.
"""

import http.client
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlencode, urlsplit

from store import native
from store.column_types import ColumnTypes
from store.columns import check_rows
from store.embedded import INSERT_SETTINGS
from store.encodings import shrunk
from store.interface import (
    Parameters,
    Row,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    as_store_error,
    check_identifier,
    is_local,
    redact,
)
from store.pool import Pool
from store.values import parameter_text

_CONNECT_SECONDS = 5.0
_COMPRESS_BYTES = 1 << 16
"""A smaller block goes as it is."""
KEEPS_AUDIT = "X-Platefleet-Audit"
"""Header of an answer whose sender writes searches down by itself."""


class HttpStore:
    """`Store` behind an HTTP port."""

    def __init__(
        self, url: str, *, timeout: float = 300.0, asked_by: str = "", reason: str = "", compress: bool | None = None
    ) -> None:
        """`timeout`: seconds that one answer may take. `asked_by` and `reason` go with each question: the owner
        writes them to its audit, a server to its query log. `compress`: blocks on their way; None: where it pays, on
        a network, but not within one machine. Nothing is sent yet.

        Raises:
            StoreMisconfigured: `url` names no host.
        """
        parts = urlsplit(url)
        if not parts.hostname:
            raise StoreMisconfigured(f"store url {redact(url)!r} names no host")
        self._shown = redact(url)
        self._https = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (8443 if self._https else 8123)
        self._database = parts.path.strip("/") or "default"
        self._compress = not is_local(self._host) if compress is None else compress
        self._timeout = timeout
        told = {"quota_key": asked_by, "log_comment": reason}
        self._told = {name: text for name, text in told.items() if text}
        self._headers: dict[str, str | bytes] = {"User-Agent": "platefleet"}
        if parts.username:
            self._headers["X-ClickHouse-User"] = unquote(parts.username).encode()
        if parts.password:
            self._headers["X-ClickHouse-Key"] = unquote(parts.password).encode()
        self._pool = Pool(self._connection, http.client.HTTPConnection.close, self._shown)
        self._types = ColumnTypes(self._describe)

    def insert(self, table: str, rows: Sequence[Row], *, token: str) -> None:
        """See `Store.insert`."""
        if not rows:
            return
        columns = check_rows(check_identifier(table), rows)
        block = native.encode(table, self._types.of(table, columns), rows)
        names = ", ".join(f"`{name}`" for name in columns)
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
        sql = f"INSERT INTO {table} ({names}) FORMAT Native"
        try:
            self._post({"query": sql, **settings}, block, inserting=True)
        except StoreError as error:
            if not isinstance(error, StoreUnavailable) or isinstance(error, StoreMisconfigured):
                self._types.forget(table)
            raise

    def query(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, object]]:
        """See `Store.query`."""
        return native.decode(self.query_raw(sql, "Native", parameters))

    def query_raw(self, sql: str, format: str, parameters: Parameters | None = None) -> bytes:
        """See `Store.query_raw`."""
        given = {f"param_{name}": parameter_text(value) for name, value in (parameters or {}).items()}
        return self._post({"default_format": format, "wait_end_of_query": 1, **self._told, **given}, [sql.encode()])

    def keeps_audit(self) -> bool:
        """Whether the other side writes searches to the audit by itself.

        Raises:
            StoreUnavailable: it does not answer.
        """
        connection = self._connection()
        try:
            connection.request("GET", "/ping", headers=self._headers)
            return connection.getresponse().headers.get(KEEPS_AUDIT) == "1"
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailable(f"store at {self._shown} does not answer: {error}") from None
        finally:
            connection.close()

    def execute(self, sql: str) -> None:
        """See `Store.execute`."""
        self._post({"wait_end_of_query": 1}, [sql.encode()], fresh=True)
        self._types.forget()

    def ping(self) -> None:
        """See `Store.ping`; also says when user or password are wrong."""
        self.query_raw("SELECT 1", "TSV")

    def close(self) -> None:
        """See `Store.close`."""
        self._pool.close()

    def _describe(self, table: str) -> dict[str, str]:
        options = {"default_format": "Native", "wait_end_of_query": 1}
        answer = self._post(options, [f"DESCRIBE TABLE {table}".encode()], inserting=True)
        return {str(row["name"]): str(row["type"]) for row in native.decode(answer)}

    def _connection(self) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=_CONNECT_SECONDS, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_SECONDS)

    def _post(
        self, options: Mapping[str, object], body: Sequence[bytes], *, inserting: bool = False, fresh: bool = False
    ) -> bytes:
        """Send the pieces of `body`, one after the other: a block's pictures are not copied together."""
        headers = dict(self._headers)
        if inserting and self._compress and sum(map(len, body)) >= _COMPRESS_BYTES:
            packed = shrunk(body)
            if packed is not None:
                body, headers["Content-Encoding"] = [packed], "zstd"
        headers["Content-Length"] = str(sum(map(len, body)))
        target = "/?" + urlencode({"database": self._database, **options})
        while True:
            connection, used = self._pool.take(fresh=fresh)
            try:
                if connection.sock is None:
                    connection.connect()
                connection.sock.settimeout(self._timeout)
                connection.request("POST", target, body=body, headers=headers)
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if used and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    fresh = True  # the other side had closed it, as it will the idle ones; inserts carry a token
                    continue
                words = str(error) or type(error).__name__
                raise StoreUnavailable(f"store at {self._shown} does not answer: {words}") from None
            if response.will_close:
                connection.close()
            else:
                self._pool.give_back(connection)
            return self._checked(response, data, inserting)

    def _checked(self, response: http.client.HTTPResponse, data: bytes, inserting: bool) -> bytes:
        code = int(response.headers.get("X-ClickHouse-Exception-Code") or 0)
        if response.status == 200 and not code:
            return data
        words = data.decode(errors="replace").strip() or f"HTTP status {response.status}"
        if not code and "Code: " not in words:
            # Not ClickHouse speaking: a proxy, or some other service on that port.
            words = f"HTTP status {response.status}: {words[:200]}"
            if response.status >= 500 or response.status in (408, 429):
                raise StoreUnavailable(f"store at {self._shown}: {words}")
            raise StoreMisconfigured(f"store at {self._shown}: {words}")
        error = as_store_error(words, code, inserting=inserting)
        if isinstance(error, StoreUnavailable):
            raise type(error)(f"store at {self._shown}: {error}", error.code)
        raise error
