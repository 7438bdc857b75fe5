"""Readers as Ray actors: batches of records in, BatchResults out. The only file that imports ray.

A batch travels inline as compressed bytes and is decoded in the actor: measured, `ray.put` per frame is three times
slower and decoded frames twenty times. Actors restart by themselves; what they held is handed back as Lost, so that
the one who counts offsets also resubmits.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

# Ray reads these when it is imported or started: no telemetry, and no environment of its own for `uv run`
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
# a reader that asked for no GPU sees none
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from plumbing import metrics
from plumbing.bus import Record
from workers.batcher import Job
from workers.pipelines import make_pipeline
from workers.pool import Finished, Lost, PoolError
from workers.reading import BatchResult, read_batch
from workers.settings import ReaderSettings, WorkerSettings

log = logging.getLogger(__name__)

DEPTH = 2
"""Batches per reader: one that it reads and one that waits, so that it never idles."""
START_TIMEOUT_S = 180.0
RESTART_PAUSE_S = 0.5
MAX_FRUITLESS_DEATHS = 20
"""So many deaths without one finished batch between them end the pool: something is wrong with all readers."""
_DEATHS = (RayActorError, OutOfMemoryError, NodeDiedError, WorkerCrashedError)
"""A reader's process has ended and Ray starts another. One that Ray's memory monitor kills is no RayActorError."""
_MIN_OBJECT_STORE = 80 << 20
_TEMP_PREFIX = "pf-ray-"
_KEPT_NAME = f"{_TEMP_PREFIX}failed-{os.getuid()}"
"""Folder of the last pool that failed, for its logs."""
_LONGEST_TEMP = 40
"""Ray's socket paths below it must stay under 107 characters."""


class ReaderActor:
    """Lives in a process of its own: loads the pipeline once, reads batches one after the other."""

    def __init__(self, settings: ReaderSettings) -> None:
        import cv2

        cv2.setNumThreads(settings.threads)
        self._settings = settings
        self._pipeline = make_pipeline(settings)

    def describe(self) -> tuple[str, int]:
        """Model version and process id."""
        return self._pipeline.model_version, os.getpid()

    def read(self, records: list[Record]) -> BatchResult:
        """Read one batch. Raises ReaderBrokenError when the pipeline is beyond use."""
        return read_batch(records, self._pipeline, self._settings.limits)


def gpus_per_reader(wanted: float | None, readers: int, gpus: float) -> float:
    """GPUs for each reader; `wanted` None takes a fair share of what the cluster has.

    Raises:
        PoolError: the cluster cannot give that. Ray itself would wait for ever, without a word.
    """
    if wanted is None:
        if gpus < 1:
            return 0.0
        each = -(-readers // int(gpus))
        return 1.0 if each == 1 else int(1000 / each) / 1000
    if wanted == 0:
        return 0.0
    room = int(gpus) * int(1 / wanted + 1e-9) if wanted < 1 else int(gpus // wanted)
    if room < readers:
        raise PoolError(
            f"{readers} readers with num_gpus={wanted:g} do not fit on {gpus:g} GPU(s): room for {room}; "
            "lower readers or num_gpus (0: read on the processor)"
        )
    return wanted


@dataclass(slots=True)
class _Reader:
    """One actor as the pool sees it."""

    handle: Any
    number: int
    batches: int = 0
    ready: bool = False
    asked: Any = None
    """Reference of a `describe` that says when it is back; None while it is ready or rests after a death."""
    rest_until: float = 0.0


@dataclass(slots=True)
class _Running:
    reader: _Reader
    jobs: Sequence[Job] = field(default_factory=list)


class RayPool:
    """Pool of `workers.pool` on Ray.

    Args:
        settings: readers, GPUs, Ray address.
        stop: ends the wait for the readers' start.

    Raises:
        PoolError: Ray cannot be started or reached, has not the GPUs asked for, or a reader cannot load its model.
    """

    def __init__(self, settings: WorkerSettings, stop: threading.Event | None = None) -> None:
        self._settings = settings
        self._stop = stop or threading.Event()
        self._temp: Path | None = None
        self._failed = False
        self._closed = False
        self._mine = False
        self._running: dict[Any, _Running] = {}
        self._fruitless_deaths = 0
        self._readers: list[_Reader] = []
        self.model_version = ""
        try:
            with _signals_kept():
                self._start_ray()
            self._make_readers()
            self._await_readers()
        except SystemExit:
            # a SIGTERM that came while Ray's own handler was in place: the same wish as `stop`
            self._stop.set()
            self.close()
        except BaseException:
            self.close()
            raise

    def _start_ray(self) -> None:
        settings = self._settings
        if ray.is_initialized():
            raise PoolError("Ray is already in use in this process; run one worker per process")
        self._mine = True
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if settings.ray_address is not None:
            _require_cluster(settings.ray_address)
            options |= {"address": settings.ray_address, "namespace": "platefleet"}
        else:
            self._temp = _temp_folder()
            store = max(_MIN_OBJECT_STORE, settings.object_store_bytes)
            options |= {
                "address": "local",
                "num_cpus": settings.readers,
                "include_dashboard": False,
                "object_store_memory": store,
                "_temp_dir": str(self._temp),
                "_metrics_export_port": settings.ray_metrics_port,
                "_node_ip_address": "127.0.0.1",
            }
        where = settings.ray_address or "this machine"
        try:
            ray.init(**options)
        except (RayError, OSError, ValueError, RuntimeError, ConnectionError, TimeoutError) as error:
            text = " ".join(str(error).split())[:300]
            raise self._failure(f"Ray on {where} cannot be started or reached ({text})") from error

    def _make_readers(self) -> None:
        settings = self._settings
        resources = ray.cluster_resources()
        gpus = gpus_per_reader(settings.num_gpus, settings.readers, resources.get("GPU", 0.0))
        cpus = resources.get("CPU", 0.0)
        if cpus < settings.readers:
            raise PoolError(
                f"{settings.readers} readers need as many CPUs, the Ray cluster has {cpus:g}; lower readers"
            )
        # no runtime_env: it would start workers of its own, six seconds later. Ray hands on this process's sys.path,
        # and sets OMP_NUM_THREADS to num_cpus; the pipeline sets its own threads.
        actor = ray.remote(ReaderActor).options(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=0)
        for number in range(settings.readers):
            handle: Any = actor.remote(settings.reader)
            self._readers.append(_Reader(handle, number, asked=handle.describe.remote()))

    def _await_readers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(reader.ready for reader in self._readers):
            if self._stop.is_set():
                return
            if time.monotonic() > deadline:
                raise self._failure(f"the readers were not ready within {START_TIMEOUT_S:g} s; is Ray full?")
            asked = {reader.asked: reader for reader in self._readers if reader.asked is not None}
            for ref in ray.wait(list(asked), timeout=0.2)[0]:
                try:
                    self._welcome(asked[ref], ray.get(ref))
                except (*_DEATHS, RayTaskError) as error:
                    what = f"a reader cannot start: {_cause(error)}"
                    # the reader's own error says all, such as a model that is not there; only a death is Ray's to tell
                    own = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
                    raise (PoolError(what) if own else self._failure(what)) from error

    def _welcome(self, reader: _Reader, description: tuple[str, int]) -> None:
        self.model_version, pid = description
        reader.ready, reader.asked = True, None
        metrics.WORKER_READERS.set(sum(other.ready for other in self._readers))
        log.info("reader %d is ready: %s, process %d", reader.number, self.model_version, pid)

    def free(self) -> int:
        """As `Pool.free`."""
        return sum(max(0, DEPTH - reader.batches) for reader in self._readers if reader.ready)

    def busy(self) -> int:
        """As `Pool.busy`."""
        return len(self._running)

    def submit(self, jobs: Sequence[Job]) -> None:
        """As `Pool.submit`."""
        reader = min((r for r in self._readers if r.ready), key=lambda r: r.batches)
        ref = reader.handle.read.remote([job.record for job in jobs])
        reader.batches += 1
        self._running[ref] = _Running(reader, jobs)

    def collect(self, timeout: float) -> list[Finished | Lost]:
        """As `Pool.collect`."""
        self._ask_rested()
        asked = {reader.asked: reader for reader in self._readers if reader.asked is not None}
        refs = [*self._running, *asked]
        if not refs:
            self._stop.wait(timeout)
            return []
        try:
            done = ray.wait(refs, num_returns=1, timeout=timeout)[0]
            if done and len(refs) > 1:
                done = ray.wait(refs, num_returns=len(refs), timeout=0)[0]
        except RayError as error:
            raise self._failure(f"Ray has gone ({_cause(error)}); start the worker again") from error
        ended: list[Finished | Lost] = []
        for ref in done:
            if ref in asked:
                self._check_in(asked[ref], ref)
            else:
                ended.append(self._end(ref))
        return ended

    def _end(self, ref: Any) -> Finished | Lost:
        running = self._running.pop(ref)
        running.reader.batches -= 1
        try:
            result = ray.get(ref)
        except _DEATHS as error:
            self._bury(running.reader)
            return Lost(running.jobs, _cause(error))
        except RayTaskError as error:
            # the process lives but its pipeline is of no use: ReaderBrokenError, MemoryError
            if running.reader.ready:
                with contextlib.suppress(RayError):
                    ray.kill(running.reader.handle, no_restart=False)
            self._bury(running.reader)
            return Lost(running.jobs, _cause(error))
        except RayError as error:
            raise self._failure(f"Ray has gone ({_cause(error)}); start the worker again") from error
        self._fruitless_deaths = 0
        return Finished(running.jobs, result)

    def _bury(self, reader: _Reader) -> None:
        if not reader.ready:
            return
        reader.ready = False
        reader.rest_until = time.monotonic() + RESTART_PAUSE_S
        self._count_death()

    def _count_death(self) -> None:
        metrics.WORKER_READER_DEATHS.inc()
        metrics.WORKER_READERS.set(sum(other.ready for other in self._readers))
        self._fruitless_deaths += 1
        if self._fruitless_deaths >= MAX_FRUITLESS_DEATHS:
            raise self._failure(f"readers died {self._fruitless_deaths} times without reading anything")

    def _ask_rested(self) -> None:
        now = time.monotonic()
        for reader in self._readers:
            if not reader.ready and reader.asked is None and now >= reader.rest_until:
                reader.asked = reader.handle.describe.remote()

    def _check_in(self, reader: _Reader, ref: Any) -> None:
        reader.asked = None
        try:
            self._welcome(reader, ray.get(ref))
        except (*_DEATHS, RayTaskError) as error:
            log.warning("reader %d is not back yet: %s", reader.number, _cause(error))
            reader.rest_until = time.monotonic() + RESTART_PAUSE_S
            self._count_death()

    def _failure(self, what: str) -> PoolError:
        """An error whose reason only Ray knows: where its logs are, which outlast this pool."""
        self._failed = True
        kept = self._temp and self._temp.with_name(_KEPT_NAME)
        where = f"Ray's logs are kept in {kept}" if kept else "see Ray's logs on the machines of the cluster"
        return PoolError(f"{what}; {where}")

    def close(self) -> None:
        """As `Pool.close`; a Ray of its own ends with it."""
        if self._closed:
            return
        self._closed = True
        metrics.WORKER_READERS.set(0)
        if self._mine and ray.is_initialized():
            for reader in self._readers:
                with contextlib.suppress(RayError):
                    ray.kill(reader.handle)
            ray.shutdown()
        if self._temp is not None and self._failed:
            kept = self._temp.with_name(_KEPT_NAME)
            shutil.rmtree(kept, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._temp.rename(kept)
        elif self._temp is not None:
            shutil.rmtree(self._temp, ignore_errors=True)


def _cause(error: BaseException) -> str:
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:300]


def _temp_folder() -> Path:
    """A folder for Ray's sockets and logs; those of workers that were killed are cleared away."""
    root = Path(tempfile.gettempdir())
    if len(str(root)) > _LONGEST_TEMP:
        root = Path("/tmp")
    for left in root.glob(f"{_TEMP_PREFIX}*"):
        owner = left.name.removeprefix(_TEMP_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_TEMP_PREFIX}{os.getpid()}-", dir=root))


def _require_cluster(address: str) -> None:
    """Ray itself would try for more than a minute before it says that nobody is there."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or "/" in host or not port.isdigit():
        raise PoolError(f"Ray address {address!r} is not host:port or auto; write the head's, such as head:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        raise PoolError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); start it, or mend the address"
        ) from error


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handlers that Ray replaces when it starts on the main thread.

    To start it on a thread of its own would be no way out: Ray's processes die with the thread that started them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
