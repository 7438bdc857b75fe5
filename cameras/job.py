"""State of one call of `publish`: bounds, counts, errors, progress; files and live cameras share it."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from cameras.delivery import STEP_S, CameraCount, Counts, Window
from cameras.sources.base import Source, SourceError, SourceMessage
from cameras.sources.live import add_line
from cameras.spool import Spool
from plumbing.bus import BusError, Producer
from plumbing.clock import Clock
from plumbing.retry import Backoff
from schemas.frame import FrameHeader
from schemas.topics import FRAMES

log = logging.getLogger(__name__)


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


class PublishJob:
    """What both ways know and tell; its methods may be called from several threads."""

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        stop: threading.Event,
        on_progress: Callable[[PublishSummary], None] | None,
        spool: Spool | None,
        settings: PublishSettings,
    ) -> None:
        self.clock = clock
        self.stop = stop
        self.settings = settings
        self.counts = Counts({source.camera_id: CameraCount() for source in sources})
        self.errors: list[str] = []
        self.spool = spool
        self.live_ended = threading.Event()
        self._sources = sources
        self._on_progress = on_progress
        self._started = clock.monotonic()
        self._told = self._started
        self.files_done = True
        """False while frames of files are not acknowledged."""

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
            complete=final and self.files_done and spooled == 0,
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

    def failed(self, camera_id: str | None, line: str, *, unexpected: bool = False) -> None:
        """A source has ended with an error, or a frame is lost; None: what all cameras share has failed.

        `unexpected` logs where the exception that is being handled came from.
        """
        log.error("%s", line, exc_info=unexpected)
        with self.counts.lock:
            if camera_id is not None:
                self.counts.cameras[camera_id].errors += 1
            add_line(self.errors, line)

    def refused(self, header: FrameHeader, why: BusError | None) -> None:
        """The bus takes this one message on no account."""
        self.failed(header.camera_id, f"{header.camera_id} seq {header.seq}: not sent: {why}")

    def window(self, producer: Producer | Callable[[], Producer]) -> Window:
        """A fresh window on the bus."""
        bound = self.settings
        return Window(
            producer,
            bound.topic,
            messages=bound.max_in_flight,
            max_bytes=bound.max_in_flight_bytes,
            close_s=bound.stop_s,
            clock=self.clock,
        )

    def messages(self, source: Source) -> Iterator[SourceMessage]:
        """The source's messages; an error ends this source and no other."""
        try:
            yield from source
        except SourceError as error:
            self.failed(source.camera_id, str(error))

    def follow_live(self) -> None:
        """Tell of progress until all live sources have ended."""
        while not self.stop.is_set() and not self.live_ended.wait(STEP_S):
            self.progress()
