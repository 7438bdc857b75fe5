"""Live cameras to the bus: each fills the spool on a thread of its own, one more thread empties it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from cameras.delivery import STEP_S, PublishError, Waiting, Window
from cameras.job import PublishJob
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
        self._deadline = 0.0
        """Monotonic seconds: once `_finish` is set, what is on its way has so long to arrive."""
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
        self._deadline = self._job.clock.monotonic() + self._job.settings.stop_s
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

    def _send(self) -> None:
        window = self._job.window(self._producer)
        try:
            if self._connected(window):
                self._empty_spool(window)
        finally:
            window.close()

    def _connected(self, window: Window) -> bool:
        for pause in self._job.settings.backoff.waits():
            try:
                if window.needs_producer:
                    window.connect()
                return True
            except BusError as error:
                log.warning("%s; frames wait in the spool, trying again in %.1f s", error, pause)
            if self._finish.wait(pause):
                return False
        return False

    def _empty_spool(self, window: Window) -> None:
        job = self._job
        waits = job.settings.backoff.waits()
        saved = job.clock.monotonic()
        while not self._expired():
            if job.clock.monotonic() - saved >= _SAVE_S:
                self._save()
                saved = job.clock.monotonic()
            if window.has_failed or window.needs_producer:
                pause = next(waits)
                log.warning("%s; frames wait in the spool, trying again in %.1f s", window.last_error, pause)
                if self._finish.wait(pause) or not self._connected(window):
                    break
                self._again(window)
                continue
            entry = self._spool.take(STEP_S)
            if entry is None:
                window.wait_for_answers(STEP_S)
                if window.has_failed:
                    continue
                waits = job.settings.backoff.waits()
                if self._finish.is_set() and not window.unacknowledged:
                    break
            else:
                while not window.wait_for_room(len(entry.value), STEP_S) and not self._expired():
                    pass
                window.offer(self._waiting(entry))

    def _save(self) -> None:
        try:
            self._spool.save()
        except SpoolError as error:
            log.warning("%s", error)

    def _again(self, window: Window) -> None:
        """Send again what failed, and one neighbour more: it tells a message that the bus refuses from a bus that takes
        nothing."""
        neighbour = self._spool.take()
        try:
            window.offer_again(
                lambda header: self._job.refused(header, window.last_error),
                lambda: not self._expired(),
                [self._waiting(neighbour)] if neighbour else [],
            )
        except BusError as error:
            log.warning("%s", error)

    def _expired(self) -> bool:
        return self._finish.is_set() and self._job.clock.monotonic() > self._deadline

    def _waiting(self, entry: SpoolEntry) -> Waiting:
        def done() -> None:
            self._job.counts.sent(entry.header, len(entry.value))
            self._spool.ack(entry)

        return Waiting(entry.header, entry.value, done, lambda: self._spool.ack(entry))
