"""Live cameras to the bus: each fills the spool on a thread of its own, one more thread empties it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from cameras.delivery import PublishError, Waiting, Window
from cameras.job import STEP_S, PublishJob
from cameras.sources.base import Source
from cameras.spool import SpoolEntry, SpoolError
from plumbing.bus import BusError, Producer
from plumbing.kafka_admin import one_line

_SAVE_S = 1.0
"""How often the spool writes down what is acknowledged."""

log = logging.getLogger(__name__)


class Uplink:
    """A context that runs the threads; leaving it closes the sources and gives what is on its way a moment."""

    def __init__(self, job: PublishJob, sources: Sequence[Source], producer: Producer | Callable[[], Producer]) -> None:
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
            threading.Thread(target=self._run_reader, args=(source,), name=f"camera {source.camera_id}", daemon=True)
            for source in sources
        ]
        self._sender = threading.Thread(target=self._run_sender, name="uplink", daemon=True)

    def __enter__(self) -> "Uplink":
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
        try:
            self._spool.sync()
        except SpoolError as error:
            self._job.failed(None, str(error))

    def _run_reader(self, source: Source) -> None:
        """Whatever ends it is told: nobody waits for a thread that is gone."""
        job = self._job
        try:
            self._read(source)
        except Exception as error:  # noqa: BLE001 - told, whatever it is: else nobody learns that the camera is gone
            job.failed(source.camera_id, f"{source.name}: reading stopped: {one_line(error)}", unexpected=True)
        finally:
            with job.counts.lock:
                self._reading -= 1
                if self._reading == 0:
                    job.live_ended.set()

    def _run_sender(self) -> None:
        """Whatever ends it ends the live run: with nobody to send, the spool would only grow old."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - told, whatever it is: else nobody learns that nothing is sent
            self._job.failed(None, f"sending stopped: {one_line(error)}; frames wait in the spool", unexpected=True)
            self._job.live_ended.set()

    def _read(self, source: Source) -> None:
        job = self._job
        for message in job.messages(source):
            try:
                self._spool.append(message.header(), message.value)
            except SpoolError as error:
                if not job.stop.is_set():
                    job.failed(source.camera_id, str(error))
            if job.stop.is_set():
                return

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
                self._save()
                saved = job.clock.monotonic()
            if self._finish.is_set():
                deadline = job.clock.monotonic() + job.settings.stop_s if deadline is None else deadline
                if job.clock.monotonic() > deadline:
                    break
            entry = self._spool.take(STEP_S)
            if entry is None:
                window.wait_for_answers(STEP_S)
                if self._finish.is_set() and not window.unacknowledged:
                    break
            else:
                while not window.wait_for_room(len(entry.value), STEP_S) and not self._expired(deadline):
                    pass
                window.offer(self._waiting(entry))
            if window.has_failed:
                # One neighbour more tells a message that the bus refuses from a bus that takes nothing.
                probe = None if self._finish.is_set() else self._spool.take()
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

    def _save(self) -> None:
        try:
            self._spool.save()
        except SpoolError as error:
            log.warning("%s", error)

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
