"""Messages handed to the bus and not yet acknowledged: a bounded window that sends again what failed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from cameras.sources.base import SourceMessage
from plumbing.bus import BusError, Producer, Sent
from plumbing.clock import Clock
from schemas.codec import encode_frame_header
from schemas.frame import FrameHeader

MAX_REFUSALS = 4


class PublishError(Exception):
    """Publishing cannot go on; the text is one line that says why, how far it came and what to do."""


@dataclass(slots=True)
class CameraCount:
    """What became of one camera's frames."""

    frames: int = 0
    """Pictures that the broker has acknowledged."""
    messages: int = 0
    bytes: int = 0
    """Of their values."""
    errors: int = 0
    """Pictures and files that could not be sent, and breaks of a live source."""
    last_seq: int = -1


@dataclass(slots=True)
class Counts:
    """Counters that several threads write."""

    cameras: dict[str, CameraCount] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, header: FrameHeader, size: int) -> None:
        """One message is acknowledged."""
        with self.lock:
            count = self.cameras.setdefault(header.camera_id, CameraCount())
            count.frames += header.frames
            count.messages += 1
            count.bytes += size
            count.last_seq = max(count.last_seq, header.seq + header.frames - 1)


@dataclass(slots=True)
class Waiting:
    """One message on its way."""

    header: FrameHeader
    value: bytes
    done: Callable[[], None]
    """Called once the broker has it, on the bus's own thread."""
    place: object = None
    """Where it came from, for whom it may concern."""
    refused: int = 0
    first_refused: float = 0.0
    """Monotonic seconds."""


class Window:
    """At most so many messages and bytes unacknowledged at a time. One thread offers, the bus's thread answers."""

    def __init__(self, producer: Producer, topic: str, *, messages: int, max_bytes: int, clock: Clock) -> None:
        self._producer = producer
        self._topic = topic
        self._max_messages = messages
        self._max_bytes = max_bytes
        self._clock = clock
        self._changed = threading.Condition()
        self._count = 0
        self._size = 0
        self._failed: list[Waiting] = []
        self.last_error: BusError | None = None
        self._last_success = float("-inf")
        self.quiet_since = clock.monotonic()
        """Since when something waits and nothing was acknowledged."""

    @property
    def unacknowledged(self) -> int:
        """Messages on their way, the failed ones included."""
        with self._changed:
            return self._count + len(self._failed)

    @property
    def in_flight(self) -> int:
        """Messages on their way, the failed ones not."""
        with self._changed:
            return self._count

    @property
    def has_failed(self) -> bool:
        """True when the bus gave something back."""
        with self._changed:
            return bool(self._failed)

    def wait_for_room(self, size: int, timeout: float) -> bool:
        """True as soon as a message of `size` bytes has room; one message always has."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._count == 0 or (self._count < self._max_messages and self._size + size <= self._max_bytes),
                timeout,
            )

    def wait_for_answers(self, timeout: float) -> bool:
        """True as soon as nothing is on its way any more (what failed is not)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout)

    def take_failed(self) -> list[Waiting]:
        """What the bus gave back since the last call."""
        with self._changed:
            failed, self._failed = self._failed, []
            return failed

    def hopeless(self, waiting: Waiting) -> bool:
        """True when the bus has refused this message again and again while it took others."""
        return waiting.refused >= MAX_REFUSALS and self._last_success > waiting.first_refused

    def offer(self, waiting: Waiting) -> None:
        """Send; what the bus refuses, at once or later, waits among the failed."""
        with self._changed:
            if self._count == 0 and not self._failed and not waiting.refused:
                self.quiet_since = self._clock.monotonic()
            self._count += 1
            self._size += len(waiting.value)
        try:
            future = self._producer.send(
                self._topic,
                waiting.value,
                key=waiting.header.camera_id.encode(),
                headers=encode_frame_header(waiting.header),
            )
        except BusError as error:
            self._answer(waiting, error)
        else:
            future.add_done_callback(lambda done: self._answered(waiting, done))

    def _answered(self, waiting: Waiting, future: "Future[Sent]") -> None:
        error = future.exception()
        self._answer(waiting, error if isinstance(error, BusError) or error is None else BusError(str(error)))

    def _answer(self, waiting: Waiting, error: BusError | None) -> None:
        if error is None:
            waiting.done()
        with self._changed:
            self._count -= 1
            self._size -= len(waiting.value)
            if error is None:
                self._last_success = self.quiet_since = self._clock.monotonic()
            else:
                if not waiting.refused:
                    waiting.first_refused = self._clock.monotonic()
                waiting.refused += 1
                self._failed.append(waiting)
                self.last_error = error
            self._changed.notify_all()


def prepare(message: SourceMessage, counts: Counts, captured_at: int | None = None) -> Waiting:
    """A source's message with its headers, counted when acknowledged."""
    header = message.header(captured_at)
    return Waiting(header, message.value, lambda: counts.sent(header, len(message.value)))
