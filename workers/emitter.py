"""Outcomes, in any order, to `fleet.reads` and `fleet.dead` in each partition's offset order, and to the ledger.

A camera lives in one partition, so its reads come in its own order. The window of outcomes that wait for an earlier
one is bounded by the number of records in flight, which the feeder bounds.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass

from msgspec.structs import replace

from plumbing import metrics
from plumbing.bus import MessageTooLargeError, Producer, Record, Sent, TopicPartition
from plumbing.clock import Clock, from_ms
from schemas.codec import encode_dead
from schemas.dead import DeadLetter
from schemas.ids import dead_id
from workers.ledger import Ledger
from workers.reading import Dead, Outcome, Reads

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Slot:
    """A record between its arrival and the last acknowledgement of what came of it."""

    record: Record
    outcome: Outcome | None = None
    open_messages: int = 0

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


class Emitter:
    """One thread calls all methods; acknowledgements may come on another.

    Args:
        producer: where to send; must take `max_unacknowledged` messages without blocking.
        ledger: is told of each record whose messages are all acknowledged.
        clock: stamps dead letters and latencies.
        reads_topic, dead_topic: where to.
        max_unacknowledged: no further record is sent while so many messages are on their way.
    """

    def __init__(
        self,
        producer: Producer,
        ledger: Ledger,
        clock: Clock,
        *,
        reads_topic: str = "fleet.reads",
        dead_topic: str = "fleet.dead",
        max_unacknowledged: int = 200,
    ) -> None:
        self._producer = producer
        self._ledger = ledger
        self._clock = clock
        self._reads_topic = reads_topic
        self._dead_topic = dead_topic
        self._max_unacknowledged = max_unacknowledged
        self._windows: dict[TopicPartition, OrderedDict[int, _Slot]] = {}
        self._acknowledged: deque[tuple[_Slot, Future[Sent]]] = deque()
        self.unacknowledged = 0

    def expect(self, record: Record) -> None:
        """An outcome for this record will come; those of later records of its partition wait for it."""
        slot = _Slot(record)
        self._windows.setdefault(slot.partition, OrderedDict())[record.offset] = slot

    def deliver(self, record: Record, outcome: Outcome) -> None:
        """The outcome of a record; of one that is not expected (its partition went away) nothing is done."""
        window = self._windows.get(TopicPartition(record.topic, record.partition))
        slot = window.get(record.offset) if window else None
        if slot is not None:
            slot.outcome = outcome

    def pump(self) -> None:
        """Send what is next in each partition.

        Raises:
            BusError: a topic does not exist, or the producer is closed.
        """
        for window in self._windows.values():
            while window and self.unacknowledged < self._max_unacknowledged:
                slot = next(iter(window.values()))
                if slot.outcome is None:
                    break
                window.popitem(last=False)
                self._send(slot, slot.outcome)

    def _send(self, slot: _Slot, outcome: Outcome) -> None:
        if isinstance(outcome, Reads):
            try:
                for message in outcome.messages:
                    self._watch(slot, self._producer.send(self._reads_topic, message, key=outcome.camera_id.encode()))
            except MessageTooLargeError as error:
                slot.outcome = outcome = Dead("internal_error", f"the reads cannot be sent: {error}")
        if isinstance(outcome, Dead):
            self._bury(slot, outcome)

    def _bury(self, slot: _Slot, dead: Dead) -> None:
        record, letter = slot.record, self._letter(slot.record, dead)
        log.warning("dead letter %s: %s: %s", letter.trace_id, letter.reason, letter.detail)
        try:
            future = self._producer.send(
                self._dead_topic, record.value or b"", key=record.key, headers=encode_dead(letter, record.headers)
            )
        except MessageTooLargeError as error:
            # the bytes stay where they came from, for as long as that topic keeps them
            letter = replace(
                letter, detail=f"{letter.detail} (kept without its {len(record.value or b'')} bytes: {error})"
            )
            future = self._producer.send(self._dead_topic, b"", key=record.key, headers=encode_dead(letter, []))
        self._watch(slot, future)

    def _watch(self, slot: _Slot, future: "Future[Sent]") -> None:
        slot.open_messages += 1
        self.unacknowledged += 1
        future.add_done_callback(lambda done: self._acknowledged.append((slot, done)))

    def _letter(self, record: Record, dead: Dead) -> DeadLetter:
        return DeadLetter(
            dead_id=dead_id("worker", record.topic, record.partition, record.offset),
            stage="worker",
            reason=dead.reason,
            detail=dead.detail,
            origin_topic=record.topic,
            origin_partition=record.partition,
            origin_offset=record.offset,
            trace_id=dead.trace_id or f"{record.topic}-{record.partition}-{record.offset}",
            at=from_ms(self._clock.now_ms()),
        )

    def settle(self) -> None:
        """Tell the ledger of what was acknowledged since the last call.

        Raises:
            BusError: a message was not taken; its record stays uncommitted, the worker must end.
        """
        while self._acknowledged:
            slot, future = self._acknowledged.popleft()
            self.unacknowledged -= 1
            error = future.exception()
            if error is not None:
                raise error
            slot.open_messages -= 1
            if slot.open_messages == 0 and self._ledger.done(slot.partition, slot.record.offset):
                self._count(slot)

    def _count(self, slot: _Slot) -> None:
        if isinstance(slot.outcome, Reads):
            metrics.WORKER_PICTURES_READ.inc(len(slot.outcome.messages))
            metrics.WORKER_PLATES_READ.inc(slot.outcome.plates)
            latency_ms = self._clock.now_ms() - slot.record.timestamp_ms
            metrics.WORKER_LATENCY_SECONDS.observe(max(0.0, latency_ms / 1000))
        elif slot.outcome is not None:
            metrics.WORKER_DEAD.labels(slot.outcome.reason).inc()

    @property
    def waiting(self) -> int:
        """Outcomes and records that are not sent yet."""
        return sum(len(window) for window in self._windows.values())

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what was not sent of these partitions."""
        for partition in partitions:
            self._windows.pop(partition, None)
