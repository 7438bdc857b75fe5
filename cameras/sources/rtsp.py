"""A camera on the network: RTSP over TCP (or another address FFmpeg reads), opened again whenever it breaks off."""

import logging
import threading
from collections.abc import Iterator

from cameras import sequence as numbers
from cameras.sources.base import SourceError, SourceMessage
from cameras.sources.live import LiveClock, add_line, without_credentials
from cameras.sources.stream import StreamReader, open_container
from plumbing.clock import Clock
from plumbing.retry import Backoff

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "tcp", "udp", "srt", "http", "https")

BACKOFF = Backoff(first=0.5, most=30.0)

log = logging.getLogger(__name__)


class NetworkCamera:
    """Frames of one address until `close`. What breaks is told in `skipped` and the log, and tried again.

    Args:
        camera_id: identity of its frames.
        address: `rtsp://user:password@host/path`; user and password are never shown.
        sequence: where its picture numbers come from.
        clock: tells the capture time, smoothed against the network's jitter.
        open_timeout: seconds to connect.
        read_timeout: seconds without a packet after which the connection counts as broken; `close` takes so long.
        backoff: waits between two tries; a connection that gave a picture starts them over.
        container_format: FFmpeg's name when the address does not tell, such as `mpegts`.
    """

    live = True

    def __init__(
        self,
        camera_id: str,
        address: str,
        *,
        sequence: numbers.Sequence,
        clock: Clock,
        open_timeout: float = 5.0,
        read_timeout: float = 5.0,
        backoff: Backoff = BACKOFF,
        container_format: str | None = None,
    ) -> None:
        self.camera_id = camera_id
        self.name = without_credentials(address)
        self.total: int | None = None
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self.connections = 0
        """How often it was opened."""
        self._address = address
        self._live_clock = LiveClock(clock)
        self._reader = StreamReader(
            camera_id, sequence, self._live_clock.origin, notes=self.notes, skipped=self.skipped
        )
        self._timeout = (open_timeout, read_timeout)
        self._backoff = backoff
        self._format = container_format
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[SourceMessage]:
        """Messages for ever; ends after `close`."""
        waits = self._backoff.waits()
        while not self._closed.is_set():
            try:
                for message in self._connection():
                    waits = self._backoff.waits()
                    yield message
                    if self._closed.is_set():
                        return
                reason = f"{self.name}: the camera ended the stream"
            except SourceError as error:
                reason = str(error).replace(self._address, self.name)
            if self._closed.is_set():
                return
            wait = next(waits)
            add_line(self.skipped, reason)
            log.warning("%s; trying again in %.1f s", reason, wait)
            self._closed.wait(wait)

    def _connection(self) -> Iterator[SourceMessage]:
        options = {"fflags": "+genpts", "rtsp_transport": "tcp", "rtsp_flags": "prefer_tcp", "max_delay": "500000"}
        if not self._address.startswith("rtsp"):
            options = {"fflags": "+genpts"}
        container = open_container(self._address, options=options, timeout=self._timeout, container_format=self._format)
        with container:
            self.connections += 1
            self._live_clock.restart()
            yield from self._reader.read(container, self.name)

    def close(self) -> None:
        """End the iteration: at once while it waits, at the next message or time-out while it reads."""
        self._closed.set()
