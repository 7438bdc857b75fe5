"""Sources in, `fleet.frames` out: files at their own pace or as fast as they go, live cameras through the spool.

What a file gave is sent again until it is acknowledged, or `publish` says in one line why it stopped. What a live
camera gave lies in the spool until it is acknowledged, also across restarts.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cameras.delivery import CameraCount, Counts, PublishError, Waiting, Window, prepare
from cameras.sources.base import Source, SourceError, SourceMessage
from cameras.spool import Spool, SpoolEntry, SpoolError
from plumbing.bus import BusError, Producer
from plumbing.clock import Clock, SystemClock
from plumbing.retry import Backoff
from schemas.frame import FrameHeader
from schemas.topics import FRAMES

__all__ = ["CameraCount", "PublishError", "PublishSettings", "PublishSummary", "publish"]

Speed = Literal["realtime", "max"]
Wait = Callable[[float], bool]

log = logging.getLogger(__name__)

_STEP_S = 0.2
"""Longest wait without a look at `stop`."""
_SAVE_S = 1.0
"""How often the spool writes down what is acknowledged."""


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """Bounds of one publisher."""

    topic: str = FRAMES.name
    max_in_flight: int = 200
    """Messages; below the producer's own bound, so that `send` does not block on it."""
    max_in_flight_bytes: int = 64 << 20
    give_up_s: float = 30.0
    """A file's frames: seconds without any acknowledgement after which publishing stops with an error."""
    stop_s: float = 4.0
    """After `stop`: seconds that a live source may take to end, and that what is on its way may still take."""
    progress_s: float = 0.5
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.2, most=10.0))


@dataclass(frozen=True, slots=True)
class PublishSummary:
    """How far it is; at the end, how it went."""

    cameras: dict[str, CameraCount]
    seconds: float
    complete: bool = False
    """True when every frame of every file was sent and acknowledged, and the spool is empty."""
    spooled: int = 0
    """Frames in the spool that wait for the network."""
    dropped: int = 0
    """Frames that a full spool had to give up."""
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Pictures acknowledged, of all cameras."""
        return sum(count.frames for count in self.cameras.values())

    @property
    def bytes(self) -> int:
        """Bytes acknowledged, of all cameras."""
        return sum(count.bytes for count in self.cameras.values())


def publish(
    sources: Sequence[Source],
    producer: Producer | Callable[[], Producer],
    *,
    speed: Speed = "realtime",
    clock: Clock | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[PublishSummary], None] | None = None,
    spool: Spool | None = None,
    settings: PublishSettings | None = None,
    wait: Wait | None = None,
) -> PublishSummary:
    """Send every frame of every source to the bus, until the files are at their end or `stop` is set.

    Args:
        sources: files are merged on one timeline; each live source gets a thread. They are closed at the end.
        producer: stays open; or how to make one, which live cameras try until it works.
        speed: `realtime`: a message goes when its last picture was taken, the first one now; who is late
            catches up without a wait. `max`: without a wait.
        clock: of the pace and of pictures that bring no time.
        stop: ends it early; what is on its way has `stop_s` seconds to arrive.
        on_progress: called about every `progress_s` seconds on the calling thread.
        spool: where live frames wait; a must with live sources, stays open.
        settings: bounds.
        wait: waits so many seconds, True means stop. For tests; else `stop.wait`.

    Raises:
        PublishError: there is no bus, or it takes nothing for `give_up_s` seconds (files only); a live source
            has no spool.
    """
    if not sources:
        raise PublishError("nothing to publish: no source was given")
    job = _Job(sources, clock or SystemClock(), stop or threading.Event(), on_progress, spool, settings, wait)
    live = [source for source in sources if source.live]
    files = [source for source in sources if not source.live]
    try:
        if live:
            with _Uplink(job, live, producer):
                if files:
                    job.send_files(files, _made(producer), speed)
                job.follow_live()
        else:
            job.send_files(files, _made(producer), speed)
    finally:
        for source in sources:
            source.close()
    return job.summary(final=True)


def _made(producer: Producer | Callable[[], Producer]) -> Producer:
    try:
        return producer() if callable(producer) else producer
    except BusError as error:
        raise PublishError(str(error)) from error


class _Job:
    """State of one call of `publish`."""

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        stop: threading.Event,
        on_progress: Callable[[PublishSummary], None] | None,
        spool: Spool | None,
        settings: PublishSettings | None,
        wait: Wait | None,
    ) -> None:
        self.clock = clock
        self.stop = stop
        self.settings = settings or PublishSettings()
        self.counts = Counts({source.camera_id: CameraCount() for source in sources})
        self.errors: list[str] = []
        self.spool = spool
        self.live_ended = threading.Event()
        self.wait = wait or stop.wait
        self._sources = sources
        self._on_progress = on_progress
        self._started = clock.monotonic()
        self._told = self._started
        self._files_done = True
        self._waits: Iterator[float] | None = None

    def summary(self, final: bool = False) -> PublishSummary:
        """Where it stands."""
        with self.counts.lock:
            cameras = {name: replace(count) for name, count in self.counts.cameras.items()}
        for source in self._sources:
            cameras[source.camera_id].errors += len(source.skipped)
        errors = [line for source in self._sources for line in source.skipped] + self.errors
        spooled = self.spool.pending if self.spool else 0
        return PublishSummary(
            cameras,
            self.clock.monotonic() - self._started,
            complete=final and self._files_done and spooled == 0,
            spooled=spooled,
            dropped=self.spool.dropped if self.spool else 0,
            errors=tuple(errors),
            notes=tuple(line for source in self._sources for line in source.notes),
        )

    def progress(self) -> None:
        """Tell the caller, if it is time."""
        now = self.clock.monotonic()
        if self._on_progress and now - self._told >= self.settings.progress_s:
            self._told = now
            self._on_progress(self.summary())

    def failed(self, camera_id: str, line: str) -> None:
        """A source has ended with an error."""
        log.error("%s", line)
        with self.counts.lock:
            self.counts.cameras[camera_id].errors += 1
            self.errors.append(line)

    def refused(self, header: FrameHeader, window: Window) -> None:
        """The bus takes this one message on no account."""
        self.failed(header.camera_id, f"{header.camera_id} seq {header.seq}: not sent: {window.last_error}")

    def window(self, producer: Producer) -> Window:
        """A fresh window on the bus."""
        bound = self.settings
        return Window(
            producer,
            bound.topic,
            messages=bound.max_in_flight,
            max_bytes=bound.max_in_flight_bytes,
            clock=self.clock,
        )

    def messages(self, source: Source) -> Iterator[SourceMessage]:
        """The source's messages; an error ends this source and no other."""
        try:
            yield from source
        except SourceError as error:
            self.failed(source.camera_id, str(error))

    def send_files(self, sources: Sequence[Source], producer: Producer, speed: Speed) -> None:
        """All files on one timeline."""
        self._files_done = False
        window = self.window(producer)
        pace = _Pace(self.clock, self.wait, self.progress) if speed == "realtime" else None
        stamps: dict[str, int] = {}
        for message in heapq.merge(*(self.messages(source) for source in sources), key=lambda item: item.due_ms):
            if self.stop.is_set() or (pace and pace.until(message.due_ms)):
                break
            captured_at = None
            if message.stamp:
                captured_at = max(self.clock.now_ms(), stamps.get(message.camera_id, 0) + 1)
                stamps[message.camera_id] = captured_at
            if not self._deliver(window, prepare(message, self.counts, captured_at)):
                break
            self.progress()
        else:
            self._files_done = True
        self._settle(window)

    def _deliver(self, window: Window, waiting: Waiting) -> bool:
        """Offer one message as soon as there is room; False when it was stopped before."""
        while not window.wait_for_room(len(waiting.value), _STEP_S):
            self._retry(window)
            if self.stop.is_set():
                return False
        self._retry(window)
        window.offer(waiting)
        return True

    def _retry(self, window: Window) -> None:
        """Offer again what came back, after a pause; leave out what the bus takes on no account."""
        failed = [] if self.stop.is_set() else window.take_failed()
        for waiting in failed:
            if window.hopeless(waiting):
                self.refused(waiting.header, window)
            else:
                window.offer(waiting)
        self._check_patience(window)
        self.progress()
        if failed:
            self._waits = self._waits or self.settings.backoff.waits()
            self.wait(next(self._waits))
        elif not window.has_failed:
            self._waits = None

    def _check_patience(self, window: Window) -> None:
        silent = self.clock.monotonic() - window.quiet_since
        if window.unacknowledged and silent > self.settings.give_up_s:
            reason = window.last_error or BusError("the broker does not answer")
            sent = self.summary().frames
            raise PublishError(
                f"publishing stopped: {reason}; nothing was acknowledged for {silent:.0f} s, {sent} pictures were "
                "before; see that the broker runs and start again"
            )

    def _settle(self, window: Window) -> None:
        """Wait for what is on its way."""
        stopped_at: float | None = None
        while window.unacknowledged:
            window.wait_for_answers(_STEP_S)
            self._retry(window)
            if self.stop.is_set():
                stopped_at = self.clock.monotonic() if stopped_at is None else stopped_at
                if self.clock.monotonic() - stopped_at > self.settings.stop_s or not window.in_flight:
                    break
        if window.unacknowledged:
            self._files_done = False
            self.errors.append(f"stopped with {window.unacknowledged} messages not acknowledged")

    def follow_live(self) -> None:
        """Tell of progress until all live sources have ended."""
        while not self.stop.is_set() and not self.live_ended.wait(_STEP_S):
            self.progress()


class _Pace:
    """Waits for the moment of each message; the timeline begins at the first one."""

    def __init__(self, clock: Clock, wait: Wait, progress: Callable[[], None]) -> None:
        self._clock = clock
        self._wait = wait
        self._progress = progress
        self._origin: float | None = None

    def until(self, due_ms: int) -> bool:
        """Wait until `due_ms` of the timeline; True when it is time to stop. Never waits for what is late."""
        if self._origin is None:
            self._origin = self._clock.monotonic() - due_ms / 1000
        while (left := self._origin + due_ms / 1000 - self._clock.monotonic()) > 0:
            if self._wait(min(left, _STEP_S)):
                return True
            self._progress()
        return False


class _Uplink:
    """Live cameras: one thread each fills the spool, one empties it into the bus."""

    def __init__(self, job: _Job, sources: Sequence[Source], producer: Producer | Callable[[], Producer]) -> None:
        if job.spool is None:
            raise PublishError("a live source needs a spool: give it a folder for frames that wait for the network")
        self._job = job
        self._spool = job.spool
        self._sources = sources
        self._producer = producer
        self._finish = threading.Event()
        self._reading = len(sources)
        self._refused: dict[tuple[int, int], tuple[float, int]] = {}
        """Place in the spool to the moment and the number of its refusals."""
        self._readers = [
            threading.Thread(target=self._read, args=(source,), name=f"camera {source.camera_id}", daemon=True)
            for source in sources
        ]
        self._sender = threading.Thread(target=self._send, name="uplink", daemon=True)

    def __enter__(self) -> "_Uplink":
        for thread in (*self._readers, self._sender):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for source in self._sources:
            source.close()
        end = time.monotonic() + self._job.settings.stop_s
        for reader in self._readers:
            reader.join(max(0.0, end - time.monotonic()))
        self._finish.set()
        self._sender.join()
        self._spool.sync()

    def _read(self, source: Source) -> None:
        job = self._job
        try:
            for message in job.messages(source):
                try:
                    self._spool.append(message.header(), message.value)
                except SpoolError as error:
                    if not job.stop.is_set():
                        job.failed(source.camera_id, str(error))
                if job.stop.is_set():
                    return
        finally:
            with job.counts.lock:
                self._reading -= 1
                if self._reading == 0:
                    job.live_ended.set()

    def _connect(self) -> Producer | None:
        if not callable(self._producer):
            return self._producer
        for pause in self._job.settings.backoff.waits():
            try:
                return self._producer()
            except BusError as error:
                log.warning("%s; frames wait in the spool, trying again in %.1f s", error, pause)
            if self._finish.wait(pause):
                return None
        return None

    def _send(self) -> None:
        producer = self._connect()
        if producer is None:
            return
        job = self._job
        window = job.window(producer)
        waits = job.settings.backoff.waits()
        deadline: float | None = None
        saved = job.clock.monotonic()
        while True:
            if job.clock.monotonic() - saved >= _SAVE_S:
                self._spool.save()
                saved = job.clock.monotonic()
            if self._finish.is_set():
                deadline = job.clock.monotonic() + job.settings.stop_s if deadline is None else deadline
                if job.clock.monotonic() > deadline:
                    break
            entry = self._spool.take(_STEP_S)
            if entry is None:
                window.wait_for_answers(_STEP_S)
                if self._finish.is_set() and not window.unacknowledged:
                    break
            else:
                while not window.wait_for_room(len(entry.value), _STEP_S) and not self._expired(deadline):
                    pass
                window.offer(self._waiting(entry))
            if window.has_failed:
                # One neighbour more tells a message that the bus refuses from a bus that takes nothing.
                probe = self._spool.take()
                if probe is not None:
                    window.offer(self._waiting(probe))
                window.wait_for_answers(job.settings.stop_s)
                self._give_back(window)
                pause = next(waits)
                log.warning("%s; frames wait in the spool, trying again in %.1f s", window.last_error, pause)
                if self._finish.wait(pause):
                    break
            elif entry is None:
                waits = job.settings.backoff.waits()
                self._refused.clear()

    def _give_back(self, window: Window) -> None:
        """What failed goes back to the head of the queue, but for what will never be taken."""
        for waiting in window.take_failed():
            entry = waiting.place
            assert isinstance(entry, SpoolEntry)
            place = entry.segment, entry.offset
            first, count = self._refused.get(place, (waiting.first_refused, 0))
            self._refused[place] = first, count + 1
            waiting.first_refused, waiting.refused = first, count + 1
            if window.hopeless(waiting):
                self._job.refused(entry.header, window)
                self._spool.ack(entry)
                del self._refused[place]
        self._spool.rewind()

    def _expired(self, deadline: float | None) -> bool:
        return deadline is not None and self._job.clock.monotonic() > deadline

    def _waiting(self, entry: SpoolEntry) -> Waiting:
        def done() -> None:
            self._job.counts.sent(entry.header, len(entry.value))
            self._spool.ack(entry)

        return Waiting(entry.header, entry.value, done, place=entry)
