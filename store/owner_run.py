"""Runs one request on the embedded engine, in worker threads: settings, guard, INSERT bodies, chunks out.

Comes in: an HttpQuery and its body as a file. Goes out: a `Run`, whose `start` gives the answer's head and
whose `next` gives its chunks. Nothing here knows HTTP.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any
from uuid import uuid4

from store.audit import AuditLog, is_search
from store.embedded import Engine, literal
from store.encodings import chunks
from store.guard import reads_file, refusal
from store.interface import StoreError, error_code
from store.owner_formats import STREAMABLE
from store.owner_request import HEAD_BYTES, MAX_QUERY_BYTES, HttpQuery, RequestError
from store.sqltext import insert_head, output_format, split_statements

_INSERT_CHUNK = 4 << 20


@dataclass
class Progress:
    """What the engine says it has read and written."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0


@dataclass
class Session:
    """A connection kept for a `session_id`: temporary tables and SET live here."""

    connection: Any
    expires: float = 0.0
    busy: bool = False


@dataclass
class Sessions:
    """The sessions of one owner. At most `most`; the one that expires first makes room."""

    engine: Engine
    most: int = 200
    _held: dict[str, Session] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, query: HttpQuery) -> Session:
        """The session of `query`, locked for one request.

        Raises:
            RequestError: another request is using it, or it must exist and does not.
        """
        with self._lock:
            self._drop_expired()
            session = self._held.get(query.session_id)
            if session is None:
                if query.session_check:
                    raise RequestError(372, f"Session {query.session_id} not found. (SESSION_NOT_FOUND)")
                session = self._held[query.session_id] = Session(self.engine.connect())
            elif session.busy:
                raise RequestError(
                    373, f"Session {query.session_id} is locked by a concurrent client. (SESSION_IS_LOCKED)"
                )
            session.busy = True
            session.expires = time.monotonic() + query.session_timeout
            return session

    def give_back(self, session: Session, timeout: float) -> None:
        """Unlock; it expires `timeout` seconds from now."""
        with self._lock:
            session.busy = False
            session.expires = time.monotonic() + timeout

    def close(self) -> None:
        """Close all."""
        with self._lock:
            for session in self._held.values():
                session.connection.close()
            self._held.clear()

    def _drop_expired(self) -> None:
        now = time.monotonic()
        idle = sorted((s.expires, name) for name, s in self._held.items() if not s.busy)
        surplus = len(self._held) - self.most + 1
        for number, (expires, name) in enumerate(idle):
            if expires < now or number < surplus:
                self._held.pop(name).connection.close()


class Run:
    """One statement. `start`, `next` and `close` are called one after the other, from any thread."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        query: HttpQuery,
        body: IO[bytes],
        limit: float,
        audit: AuditLog | None = None,
    ) -> None:
        """`limit`: seconds that a reading statement may take unless it says otherwise, 0 for none; `audit`: where
        searches are written down before they run."""
        self.mark = f"platefleet-{uuid4()}"
        """Found in system.processes as this run's log_comment, so that it can be killed."""
        self.format = query.default_format
        self.progress = Progress()
        self._engine, self._sessions, self._query, self._body, self._limit = engine, sessions, query, body, limit
        self._audit = audit
        self._session: Session | None = None
        self._connection: Any = None
        self._stream: Any = None
        self._restore: list[str] = []
        self._began = time.monotonic_ns()

    def start(self) -> bytes:
        """Run as far as the first chunk of the answer; empty when there is none.

        Raises:
            RequestError: refused, or the engine's own error.
        """
        try:
            return self._start()
        except RuntimeError as error:
            raise as_request_error(error) from None
        except ValueError as error:
            raise RequestError(354, f"{error}. (CANNOT_DECOMPRESS)") from None

    def _start(self) -> bytes:
        content = chunks(self._body, self._query.encoding)
        prefix = self._query.query.encode()
        head = prefix + b"\n" if prefix else b""
        for part in content:
            head += part
            if len(head) >= HEAD_BYTES:
                break
        # Latin-1 keeps every byte one character, so that places in the text are places in the bytes.
        insert = insert_head(head[:HEAD_BYTES].decode("latin-1"))
        if insert is not None:
            sql = insert.head.encode("latin-1").decode("utf-8", "replace")
            self._open(sql, f"{sql} FORMAT {insert.format}")
            rest = chain([head[insert.data_start :]], content)
            return self._insert(sql, insert.format, rest)
        for part in content:
            head += part
            if len(head) > MAX_QUERY_BYTES:
                raise RequestError(229, f"Query is too large: at most {MAX_QUERY_BYTES} bytes. (QUERY_IS_TOO_LARGE)")
        return self._select(head.decode("utf-8", "replace").strip())

    def _select(self, sql: str) -> bytes:
        if not sql or not split_statements(sql):
            raise RequestError(62, "Syntax error: Empty query. (SYNTAX_ERROR)")
        query_class = self._open(sql, sql)
        self._write_down(sql)
        self.format = output_format(sql) or self.format
        streaming = query_class == "READ_ONLY" and self.format.lower() in STREAMABLE and not self._query.wait_end
        parameters = dict(self._query.parameters)
        if streaming:
            try:
                self._stream = self._connection.send_query(sql, self._query.default_format, params=parameters)
            except RuntimeError as error:
                if "Streaming query is not supported" not in str(error):
                    raise
        if self._stream is not None:
            return self.next()
        result = self._connection.query(sql, self._query.default_format, params=parameters)
        self._count(result)
        data: bytes = result.bytes()
        return data

    def _write_down(self, sql: str) -> None:
        if self._audit is None or not is_search(sql):
            return
        try:
            self._audit.search(self._query.user, sql, self._query.parameters, self._query.reason)
        except StoreError as error:
            raise RequestError(243, f"The search cannot be written to the audit: {error}. (ABORTED)") from None

    def next(self) -> bytes:
        """The next chunk, empty at the end.

        Raises:
            RequestError: the statement failed after it had begun to answer.
        """
        if self._stream is None:
            return b""
        try:
            result = self._connection.streaming_fetch_result(self._stream)
        except RuntimeError as error:
            self._stream = None
            raise as_request_error(error) from None
        self._count(result)
        data: bytes = result.bytes()
        if not data:
            self._stream = None
        return data

    def close(self) -> None:
        """End what still runs and let go of the connection. A second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._stream is not None:
            with contextlib.suppress(RuntimeError):
                connection.streaming_cancel_query(self._stream)
            self._stream = None
        if self._session is None:
            connection.close()
            return
        for statement in self._restore:
            with contextlib.suppress(RuntimeError):
                connection.query(statement, "Null")
        self._sessions.give_back(self._session, self._query.session_timeout)

    def kill(self) -> None:
        """Ask the engine to end this run; called from another thread."""
        connection = self._engine.connect()
        try:
            connection.query(f"KILL QUERY WHERE Settings['log_comment'] = '{self.mark}' ASYNC", "Null")
        except RuntimeError:
            return  # it has just ended by itself
        finally:
            connection.close()

    def _open(self, sql: str, whole: str) -> str:
        """Take a connection, check the statement, apply settings; the statement's class.

        Raises:
            RequestError, RuntimeError
        """
        query = self._query
        if query.session_id:
            self._session = self._sessions.take(query)
            self._connection = self._session.connection
        else:
            self._connection = self._engine.connect()
        if query.database:
            self._remember("USE", "")
            self._connection.query(f"USE `{query.database.replace('`', '')}`", "Null")
        verdict = self._connection.classify_query(whole)
        if verdict["statement_count"] > 1:
            raise RequestError(62, "Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")
        query_class = str(verdict["query_class"].name)
        read_only = query.read_only or query.settings.get("readonly", "0") in ("1", "2")
        refused = refusal(sql, query_class, read_only=read_only, sources=self._engine.sources)
        if refused is not None:
            code, words = refused
            if code == 164 and query.read_only:
                words = (
                    "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
                    "You should use method POST for modifying queries. (READONLY)"
                )
            raise RequestError(code, words)
        self._apply_settings(query_class)
        return query_class

    def _apply_settings(self, query_class: str) -> None:
        settings = {name: value for name, value in self._query.settings.items() if name != "readonly"}
        if self._limit and query_class == "READ_ONLY":
            settings.setdefault("max_execution_time", str(self._limit))
        settings["log_comment"] = self.mark
        for name, value in settings.items():
            if not name.isidentifier():
                raise RequestError(115, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
            if reads_file(name):
                raise RequestError(497, f"Not enough privileges. `{name}` reaches outside the store. (ACCESS_DENIED)")
            self._remember("SET", name)
            self._connection.query(f"SET {name} = {literal(value)}", "Null")
        level = self._query.settings.get("readonly", "0")
        # A session could not be made writable again; there the guard alone keeps writing out.
        if level in ("1", "2") and self._session is None:
            self._connection.query(f"SET readonly = {level}", "Null")

    def _remember(self, verb: str, name: str) -> None:
        """Note how to undo a setting of this one request in a session."""
        if self._session is None:
            return
        if verb == "USE":
            current = self._connection.query("SELECT currentDatabase()", "TSVRaw").bytes().decode().strip()
            self._restore.append(f"USE `{current}`")
            return
        rows = self._connection.query(
            f"SELECT changed, value FROM system.settings WHERE name = {literal(name)}", "TSVRaw"
        ).bytes()
        changed, _, value = rows.decode().rstrip("\n").partition("\t")
        self._restore.append(f"SET {name} = {literal(value)}" if changed == "1" else f"SET {name} = DEFAULT")

    def _insert(self, sql: str, format: str, parts: Iterator[bytes]) -> bytes:
        handle = self._connection.send_insert(sql, format)
        try:
            for part in _of_size(parts, _INSERT_CHUNK):
                self._connection.insert_append(handle, part)
            result = self._connection.insert_done(handle)
        except BaseException:
            with contextlib.suppress(RuntimeError):
                self._connection.insert_cancel(handle)
            raise
        self._count(result)
        return b""

    def _count(self, result: Any) -> None:
        now = self.progress
        now.read_rows += result.rows_read()
        now.read_bytes += result.bytes_read()
        now.written_rows += result.rows_written()
        now.written_bytes += result.bytes_written()
        now.result_bytes += result.size()
        now.elapsed_ns = time.monotonic_ns() - self._began


def _of_size(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """`parts` joined and cut to about `size` bytes each, none empty."""
    held: list[bytes] = []
    length = 0
    for part in parts:
        held.append(part)
        length += len(part)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if length:
        yield b"".join(held)


def as_request_error(error: RuntimeError) -> RequestError:
    """The engine's error with its code, its words after `DB::Exception: ` as ClickHouse puts them."""
    text = str(error).strip()
    code = error_code(text)
    words = text.partition("DB::Exception: ")[2] or text
    return RequestError(code or 1001, words)
