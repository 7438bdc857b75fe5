"""Sources in, `fleet.frames` out: files at their own pace or as fast as they go, live cameras through the spool.

What a file gave is sent again until it is acknowledged, or `publish` says in one line why it stopped. What a live
camera gave lies in the spool until it is acknowledged, also across restarts.
"""

import heapq
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from cameras.delivery import STEP_S, CameraCount, PublishError, Waiting, prepare
from cameras.job import PublishJob, PublishSettings, PublishSummary
from cameras.sources.base import Source
from cameras.spool import Spool
from cameras.uplink import Uplink
from plumbing.bus import BusError, Producer
from plumbing.clock import Clock, SystemClock

__all__ = ["CameraCount", "PublishError", "PublishSettings", "PublishSummary", "publish"]

log = logging.getLogger(__name__)

Speed = Literal["realtime", "max"]
Wait = Callable[[float], bool]


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
        producer: stays open; or how to make one, which live cameras try until it works: these are closed, and
            replaced when the broker has refused a message.
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
    stop = stop or threading.Event()
    job = PublishJob(sources, clock or SystemClock(), stop, on_progress, spool, settings or PublishSettings())
    live = [source for source in sources if source.live]
    files = [source for source in sources if not source.live]
    try:
        if live:
            with Uplink(job, live, producer):
                if files:
                    _FileSender(job, producer, wait or stop.wait).send(files, speed)
                job.follow_live()
        else:
            _FileSender(job, producer, wait or stop.wait).send(files, speed)
    finally:
        for source in sources:
            source.close()
    return job.summary(final=True)


class _FileSender:
    """All files on one timeline; what the bus gives back is offered again."""

    def __init__(self, job: PublishJob, producer: Producer | Callable[[], Producer], wait: Wait) -> None:
        self._job = job
        self._window = job.window(producer)
        self._wait = wait
        self._waits: Iterator[float] | None = None

    def send(self, sources: Sequence[Source], speed: Speed) -> None:
        """Send all of them.

        Raises:
            PublishError: there is no bus, or it takes nothing any more.
        """
        try:
            if self._window.needs_producer:
                self._window.connect()
            self._send(sources, speed)
        except BusError as error:
            raise PublishError(str(error)) from error
        finally:
            self._window.close()

    def _send(self, sources: Sequence[Source], speed: Speed) -> None:
        job = self._job
        job.files_done = False
        pace = _Pace(job.clock, self._wait, job.progress) if speed == "realtime" else None
        stamps: dict[str, int] = {}
        for message in heapq.merge(*(job.messages(source) for source in sources), key=lambda item: item.due_ms):
            if job.stop.is_set() or (pace and pace.until(message.due_ms)):
                break
            captured_at = None
            if message.stamp:
                captured_at = max(job.clock.now_ms(), stamps.get(message.camera_id, 0) + 1)
                stamps[message.camera_id] = captured_at
            if not self._deliver(prepare(message, job.counts, captured_at)):
                break
            job.progress()
        else:
            job.files_done = True
        self._settle()

    def _deliver(self, waiting: Waiting) -> bool:
        """Offer one message as soon as there is room; False when it was stopped before."""
        while True:
            room = self._window.wait_for_room(len(waiting.value), STEP_S)
            self._retry()
            if room and not self._window.needs_producer:
                self._window.offer(waiting)
                return True
            if self._job.stop.is_set():
                return False

    def _retry(self) -> None:
        """Offer again what came back, after a pause; leave out what the bus takes on no account."""
        job, window = self._job, self._window
        self._check_patience()
        job.progress()
        if job.stop.is_set():
            return
        if not window.has_failed:
            self._waits = None
            return
        try:
            window.offer_again(lambda header: job.refused(header, window.last_error), self._patient)
            if window.needs_producer:
                window.connect()
        except BusError as error:
            log.warning("%s", error)
        if window.has_failed:
            self._waits = self._waits or job.settings.backoff.waits()
            self._wait(next(self._waits))

    def _patient(self) -> bool:
        self._check_patience()
        self._job.progress()
        return not self._job.stop.is_set()

    def _check_patience(self) -> None:
        job, window = self._job, self._window
        silent = job.clock.monotonic() - window.quiet_since
        if window.unacknowledged and silent > job.settings.give_up_s:
            reason = window.last_error or BusError("the broker does not answer")
            raise PublishError(
                f"publishing stopped: {reason}; nothing was acknowledged for {silent:.0f} s, {job.summary().frames} "
                "pictures were before; see that the broker runs and start again"
            )

    def _settle(self) -> None:
        """Wait for what is on its way."""
        job, window = self._job, self._window
        stopped_at: float | None = None
        while window.unacknowledged:
            window.wait_for_answers(STEP_S)
            self._retry()
            if job.stop.is_set():
                stopped_at = job.clock.monotonic() if stopped_at is None else stopped_at
                if job.clock.monotonic() - stopped_at > job.settings.stop_s or not window.in_flight:
                    break
        if window.unacknowledged:
            job.files_done = False
            job.errors.append(f"stopped with {window.unacknowledged} messages not acknowledged")


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
            if self._wait(min(left, STEP_S)):
                return True
            self._progress()
        return False
