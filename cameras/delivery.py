"""Messages handed to the bus and not yet acknowledged: a bounded window that sends again what failed."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from cameras.sources.base import SourceMessage
from plumbing.bus import BusError, MessageTooLargeError, Producer, Sent
from plumbing.clock import Clock
from schemas.codec import encode_frame_header
from schemas.frame import FrameHeader

MAX_REFUSALS = 4
STEP_S = 0.2
"""Longest wait without a look at what else there is to do."""


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
    left_out: Callable[[], None] = lambda: None
    """Called when it is given up, because the bus takes it on no account."""
    refused: int = 0
    first_refused: float = 0.0
    """Monotonic seconds."""


class Window:
    """At most so many messages and bytes unacknowledged at a time. One thread offers, the bus's thread answers.

    Args:
        producer: stays open; or how to make one: these are closed, and replaced when they were refused a message.
        topic: where the messages go.
        messages: bound of those unacknowledged.
        max_bytes: bound of their values.
        close_s: seconds that a producer may take to close.
        clock: tells how long nothing was acknowledged.
    """

    def __init__(
        self,
        producer: Producer | Callable[[], Producer],
        topic: str,
        *,
        messages: int,
        max_bytes: int,
        close_s: float,
        clock: Clock,
    ) -> None:
        self._make = producer if callable(producer) else None
        self._producer = None if callable(producer) else producer
        self._refused = self._producer is None
        self._close_s = close_s
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
    def needs_producer(self) -> bool:
        """True when `connect` must be called before the next `offer`."""
        return self._refused

    def connect(self) -> None:
        """Get a producer that was refused nothing; the one before is closed.

        Raises:
            BusError: no broker answers.
        """
        self.close()
        try:
            self._producer = self._make() if self._make else self._producer
        except BusError as error:
            self.last_error = error
            raise
        self._refused = False

    def close(self) -> None:
        """Close the producer, if it was made here."""
        if self._make and self._producer:
            self._producer.close(self._close_s)
            self._producer = None

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

    def offer_again(
        self, refused: Callable[[FrameHeader], None], go_on: Callable[[], bool], more: Iterable[Waiting] = ()
    ) -> None:
        """Offer what failed, and then `more`, each message alone.

        A producer that is refused one message fails all that are on their way with it: only alone a message shows
        that it is the one. Whatever fails again waits for the next call.

        Args:
            refused: called for a message that the bus has refused again and again while it took others.
            go_on: called while an answer is waited for; False ends the call.

        Raises:
            BusError: no broker answers.
        """
        with self._changed:
            waiting, self._failed = deque([*self._failed, *more]), []
        try:
            while waiting and go_on():
                if self._hopeless(waiting[0]):
                    hopeless = waiting.popleft()
                    hopeless.left_out()
                    refused(hopeless.header)
                    continue
                if self._refused:
                    self.connect()
                self.offer(waiting.popleft())
                while not self.wait_for_answers(STEP_S) and go_on():
                    pass
        finally:
            with self._changed:
                self._failed.extend(waiting)

    def _hopeless(self, waiting: Waiting) -> bool:
        return waiting.refused >= MAX_REFUSALS and self._last_success > waiting.first_refused

    def offer(self, waiting: Waiting) -> None:
        """Send; what the bus refuses, at once or later, waits among the failed."""
        assert self._producer is not None, "connect first"
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
                # A message that is too large for the topic is never sent, and does the producer no harm.
                self._refused = self._refused or not isinstance(error, MessageTooLargeError)
                self._failed.append(waiting)
                self.last_error = error
            self._changed.notify_all()


def prepare(message: SourceMessage, counts: Counts, captured_at: int | None = None) -> Waiting:
    """A source's message with its headers, counted when acknowledged."""
    header = message.header(captured_at)
    return Waiting(header, message.value, lambda: counts.sent(header, len(message.value)))
