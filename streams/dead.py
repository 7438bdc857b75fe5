"""What a stage could not process becomes a dead letter: the bytes as they came, with reason and origin in headers."""

from collections import deque
from typing import Literal, NamedTuple

from plumbing.bus import Record
from plumbing.clock import Clock, from_ms
from schemas.codec import encode_dead
from schemas.dead import DeadLetter, DeadReason
from schemas.ids import dead_id

Stage = Literal["worker", "tracker", "vehicles", "hotlist", "sink"]
_DETAIL = 500


class TooManyDeadLetters(RuntimeError):
    """So much is invalid that the fault is not in single messages; nothing is acknowledged, a person must look."""


class Outgoing(NamedTuple):
    """A message that must be sent and acknowledged before the state that implies it is written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class DeadLetters:
    """Makes the letters of one stage, at most `per_minute` in any minute."""

    def __init__(self, stage: Stage, topic: str, clock: Clock, per_minute: int) -> None:
        self._stage = stage
        self._topic = topic
        self._clock = clock
        self._per_minute = per_minute
        self._times: deque[float] = deque()

    def letter(self, record: Record, reason: DeadReason, detail: str, trace_id: str = "") -> Outgoing:
        """The letter that holds `record`; the same record makes the same `dead_id` again.

        Raises:
            TooManyDeadLetters: more than `per_minute` in the last minute.
        """
        now = self._clock.monotonic()
        while self._times and self._times[0] <= now - 60:
            self._times.popleft()
        if len(self._times) >= self._per_minute:
            raise TooManyDeadLetters(
                f"{self._stage}: more than {self._per_minute} dead letters a minute, the last from {record.topic}-"
                f"{record.partition} at {record.offset}: {detail[:200]}; find what writes them, then start again"
            )
        self._times.append(now)
        letter = DeadLetter(
            dead_id=dead_id(self._stage, record.topic, record.partition, record.offset),
            stage=self._stage,
            reason=reason,
            detail=" ".join(detail.split())[:_DETAIL],
            origin_topic=record.topic,
            origin_partition=record.partition,
            origin_offset=record.offset,
            trace_id=trace_id or f"{record.topic}-{record.partition}-{record.offset}",
            at=from_ms(self._clock.now_ms()),
        )
        headers = tuple(encode_dead(letter, list(record.headers)))
        return Outgoing(self._topic, record.key, record.value, headers)
