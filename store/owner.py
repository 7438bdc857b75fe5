"""The one process that owns the embedded store, answering ClickHouse's own HTTP interface.

Comes in: a folder and an address. Goes out: port 8123's behaviour, for curl, clickhouse-connect, Grafana, the
console and every other process of the fleet. Statements run in threads: slow questions hold up no insert.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import uuid4

from aiohttp import BodyPartReader, web

from store.audit import AuditLog
from store.embedded import EmbeddedStore, Engine
from store.encodings import Compressor, choose, compressor
from store.http import KEEPS_AUDIT
from store.interface import StoreError, StoreMisconfigured, StoreUnavailable, is_local
from store.owner_formats import content_type, http_status
from store.owner_request import Access, HttpQuery, RequestError, check_access, parse
from store.owner_run import Run, Sessions
from store.sqltext import first_word

_HINT = "Use / or /ping for health checks.\nSend queries from your program with POST method or GET /?query=...\n"
AUDIT_CHAIN = "embedded"
"""The folder's chain: whoever holds the folder is alone."""
_URI_BYTES = 1 << 20
"""As ClickHouse's own http_max_uri_size: parameters travel in the URL."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnerSettings:
    """What the owner allows."""

    threads: int = 0
    """Of the engine per statement; 0: one per core."""
    access: Access = field(default_factory=Access)
    max_execution_seconds: float = 300.0
    """Of a reading statement that does not set max_execution_time itself; 0: no limit."""
    memory_bytes: int = 0
    """Most memory of one statement; 0: no limit."""
    max_body_bytes: int = 4 << 30
    spool_bytes: int = 64 << 20
    """A body larger than this waits on disk until it is complete."""
    readers: int = 16
    writers: int = 4
    """Statements that run at the same time; more wait their turn."""
    waiting: int = 100
    """Statements that may wait; more are refused, as ClickHouse does."""
    stop_seconds: float = 5.0
    audit: bool = True
    """Write every search to `audit` before it runs."""


def serve(
    path: Path,
    host: str,
    port: int,
    *,
    threads: int = 0,
    on_ready: Callable[[int], None] | None = None,
    stop: threading.Event,
    settings: OwnerSettings | None = None,
) -> None:
    """Own the store in `path` and answer on `host`:`port` until `stop` is set. `on_ready` gets the port.

    Raises:
        StoreUnavailable: another process owns the folder, it cannot be written, or the port is in use.
        StoreMisconfigured: an address beyond this machine without a password.
    """
    chosen = settings or OwnerSettings(threads=threads)
    if not chosen.access.password and not is_local(host):
        raise StoreMisconfigured(f"the store would answer on {host} without a password: set one, or use 127.0.0.1")
    engine = Engine(path, threads=chosen.threads, memory_bytes=chosen.memory_bytes)
    try:
        listener = _listen(host, port)
        asyncio.run(_Owner(engine, chosen).run(listener, on_ready, stop))
    finally:
        engine.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise StoreUnavailable(
            f"the store cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from None
    return listener


class _Owner:
    def __init__(self, engine: Engine, settings: OwnerSettings) -> None:
        self._engine, self._settings = engine, settings
        self._sessions = Sessions(engine)
        self._audit = AuditLog(EmbeddedStore(engine), AUDIT_CHAIN) if settings.audit else None
        self._readers = ThreadPoolExecutor(settings.readers, "store-read")
        self._writers = ThreadPoolExecutor(settings.writers, "store-write")
        self._control = ThreadPoolExecutor(2, "store-control")
        self._runs: set[Run] = set()
        self._stopping = False
        connection = engine.connect()
        try:
            row = connection.query("SELECT version(), displayName(), timezone()", "TSVRaw").bytes()
        finally:
            connection.close()
        self._version, self._name, self._timezone = row.decode().rstrip("\n").split("\t")

    async def run(self, listener: socket.socket, on_ready: Callable[[int], None] | None, stop: threading.Event) -> None:
        app = web.Application(client_max_size=self._settings.max_body_bytes)
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/replicas_status", self._ping)
        app.router.add_route("*", "/", self._handle)
        app.router.add_route("*", "/{tail:.*}", self._nowhere)
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            shutdown_timeout=self._settings.stop_seconds,
            keepalive_timeout=30.0,
            max_line_size=_URI_BYTES,
            max_field_size=_URI_BYTES,
        )
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            if on_ready is not None:
                on_ready(listener.getsockname()[1])
            await _wait_for(stop)
        finally:
            self._stopping = True
            for run in list(self._runs):
                self._control.submit(run.kill)
            await runner.cleanup()
            for pool in (self._readers, self._writers, self._control):
                pool.shutdown(wait=True, cancel_futures=True)
            self._sessions.close()

    async def _ping(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n", headers=self._headers(""))

    async def _nowhere(self, request: web.Request) -> web.Response:
        text = f"There is no handle {request.path}\n\n{_HINT}"
        return web.Response(status=404, text=text, headers=self._headers(""))

    def _headers(self, query_id: str) -> dict[str, str]:
        headers = {"X-ClickHouse-Server-Display-Name": self._name}
        if self._audit is not None:
            headers[KEEPS_AUDIT] = "1"
        if query_id:
            headers["X-ClickHouse-Query-Id"] = query_id
            headers["X-ClickHouse-Timezone"] = self._timezone
        return headers

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or str(uuid4())
        try:
            check_access(self._settings.access, request.query, request.headers)
            pairs, body = await self._receive(request)
            with body:
                query = parse(request.method, pairs, request.headers)
                if not query.query and body.seek(0, 2) == 0 and request.method in ("GET", "HEAD"):
                    return web.Response(text="Ok.\n", headers=self._headers(""))
                body.seek(0)
                return await self._answer(request, query, body, query_id)
        except RequestError as error:
            return self._failed(error, query_id)
        except StoreError as error:
            return self._failed(RequestError(236, f"{error}. (ABORTED)"), query_id)

    def _failed(self, error: RequestError, query_id: str) -> web.Response:
        headers = self._headers(query_id) | {"X-ClickHouse-Exception-Code": str(error.code)}
        if error.code in (194, 516):
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return web.Response(
            status=http_status(error.code),
            body=self._words(error).encode() + b"\n",
            headers=headers,
            content_type="text/plain",
            charset="UTF-8",
        )

    def _words(self, error: RequestError) -> str:
        version = "" if "(version " in error.words else f" (version {self._version})"
        return f"Code: {error.code}. DB::Exception: {error.words}{version}"

    async def _receive(self, request: web.Request) -> tuple[list[tuple[str, str]], IO[bytes]]:
        """The parameters, and the body as a file; a form's fields are parameters too."""
        pairs = list(request.query.items())
        body: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            self._settings.spool_bytes, dir=str(self._engine.path)
        )
        try:
            if request.content_type == "multipart/form-data":
                async for part in await request.multipart():
                    if not isinstance(part, BodyPartReader) or part.filename:
                        raise RequestError(48, "External tables are not supported. (NOT_IMPLEMENTED)")
                    pairs.append((str(part.name), await part.text()))
                return pairs, body
            size = 0
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > self._settings.max_body_bytes:
                    raise RequestError(
                        229, f"A body of over {self._settings.max_body_bytes} bytes. (QUERY_IS_TOO_LARGE)"
                    )
                body.write(chunk)
        except OSError as error:
            body.close()
            raise RequestError(243, f"Cannot keep the body: {error.strerror}. (NOT_ENOUGH_SPACE)") from None
        except BaseException:
            body.close()
            raise
        return pairs, body

    async def _answer(
        self, request: web.Request, query: HttpQuery, body: IO[bytes], query_id: str
    ) -> web.StreamResponse:
        if self._stopping:
            raise RequestError(236, "The store is stopping. (ABORTED)")
        if len(self._runs) >= self._settings.readers + self._settings.writers + self._settings.waiting:
            raise RequestError(202, "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)")
        run = Run(self._engine, self._sessions, query, body, self._settings.max_execution_seconds, self._audit)
        head = query.query or body.read(200).decode("latin-1")
        body.seek(0)
        pool = self._writers if first_word(head) == "INSERT" else self._readers
        self._runs.add(run)
        try:
            first = await self._in_thread(pool, run, run.start)
            return await self._send(request, query, run, pool, first, query_id)
        finally:
            self._runs.discard(run)
            await self._close(run)

    async def _close(self, run: Run) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._control, run.close))

    async def _in_thread(self, pool: ThreadPoolExecutor, run: Run, work: Callable[[], bytes]) -> bytes:
        """`work` in a thread. When the client goes away, the statement is killed and waited for: its connection
        must not be closed under it."""
        task = pool.submit(work)
        future = asyncio.wrap_future(task)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # Only the thread's own future knows whether it has begun.
            if not task.cancel():
                self._control.submit(run.kill)
                with contextlib.suppress(RequestError, StoreError):
                    await asyncio.shield(future)
            raise

    async def _send(
        self, request: web.Request, query: HttpQuery, run: Run, pool: ThreadPoolExecutor, first: bytes, query_id: str
    ) -> web.StreamResponse:
        encoding = choose(query.accept)
        tag = uuid4().hex[:16]
        response = web.StreamResponse(headers=self._headers(query_id) | _result_headers(run, tag))
        packer: Compressor | None = None
        if encoding is not None:
            response.headers["Content-Encoding"] = encoding
            packer = compressor(encoding)
        try:
            pieces = _pieces(first, lambda: self._in_thread(pool, run, run.next))
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    data = packer.feed(piece) if packer else piece
                    if not response.prepared:
                        await response.prepare(request)
                    if data:
                        await response.write(data)
            if not response.prepared:
                await response.prepare(request)
            if packer:
                await response.write(packer.finish())
            # before the answer ends: who has it may use the session again at once
            await self._close(run)
        except RequestError as error:
            if not response.prepared:
                raise
            await self._fail_midway(request, response, packer, self._words(error), tag)
            return response
        await response.write_eof()
        return response

    async def _fail_midway(
        self, request: web.Request, response: web.StreamResponse, packer: Compressor | None, words: str, tag: str
    ) -> None:
        """Say it in the body, in ClickHouse's own way, and break the connection: nobody takes half for whole."""
        text = words.encode() + b"\n"
        note = b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (
            tag.encode(),
            text,
            len(text),
            tag.encode(),
        )
        await response.write(packer.feed(note) + packer.finish() if packer else note)
        if request.transport is not None:
            request.transport.close()


async def _pieces(first: bytes, more: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = await more()


def _result_headers(run: Run, tag: str) -> dict[str, str]:
    done = run.progress
    summary = (
        f'{{"read_rows":"{done.read_rows}","read_bytes":"{done.read_bytes}","written_rows":"{done.written_rows}",'
        f'"written_bytes":"{done.written_bytes}","total_rows_to_read":"0","result_rows":"0",'
        f'"result_bytes":"{done.result_bytes}","elapsed_ns":"{done.elapsed_ns}"}}'
    )
    return {
        "Content-Type": content_type(run.format),
        "X-ClickHouse-Format": run.format,
        "X-ClickHouse-Summary": summary,
        "X-ClickHouse-Exception-Tag": tag,
    }


async def _wait_for(stop: threading.Event) -> None:
    """Wait for a threading.Event without holding the loop."""
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()

    def watch() -> None:
        stop.wait()
        with contextlib.suppress(RuntimeError):  # the loop ended before the event came
            loop.call_soon_threadsafe(seen.set)

    threading.Thread(target=watch, name="store-stop", daemon=True).start()
    await seen.wait()


def main(arguments: list[str] | None = None) -> int:
    """`python -m store.owner FOLDER`: own a store until SIGTERM or SIGINT. Prints `ready PORT`."""
    parser = argparse.ArgumentParser(prog="store.owner", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123, help="0: any free one")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--user", default="default")
    parser.add_argument("--password-file", type=Path)
    given = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        password = given.password_file.read_text(encoding="utf-8").strip() if given.password_file else ""
        settings = OwnerSettings(threads=given.threads, access=Access(given.user, password))
        serve(
            given.folder,
            given.host,
            given.port,
            on_ready=lambda port: print(f"ready {port}", flush=True),
            stop=stop,
            settings=settings,
        )
    except (StoreError, OSError) as error:
        print(f"store.owner: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
