"""The bus in memory: the twin of `kafka_bus` for tests, with partitions, groups, rebalances and offsets.

Everything lives in one MemoryBus; producers and consumers of it may be used from several threads.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait

from kafka.partitioner.default import murmur2

from plumbing.bus import BusError, MessageTooLargeError, RebalanceListener, Record, Sent, TopicPartition
from plumbing.clock import Clock, SystemClock
from plumbing.kafka_admin import TopicLike

DEFAULT_MAX_MESSAGE_BYTES = 1 << 20


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as every Kafka client that uses murmur2 chooses it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class _Topic:
    def __init__(self, partitions: int, max_message_bytes: int) -> None:
        self.logs: list[list[Record]] = [[] for _ in range(partitions)]
        self.max_message_bytes = max_message_bytes
        self.next_without_key = 0


class _Group:
    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self.members: list[MemoryConsumer] = []
        self.owner: dict[TopicPartition, MemoryConsumer] = {}
        self.target: dict[TopicPartition, MemoryConsumer] = {}


class MemoryBus:
    """A broker in memory.

    `clock` stamps messages that bring no timestamp of their own.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, _Group] = {}
        self._held: list[tuple[Future[Sent], Sent]] | None = None
        self.refusal: Callable[[bytes | None], str] = lambda value: ""
        """Why the broker refuses a message with this value, empty when it takes it. As with Kafka a producer that was
        refused one message refuses all that follow."""
        self.changed = threading.Condition(threading.RLock())

    def create_topic(self, name: str, partitions: int, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        """Create one topic; one that exists is left as it is."""
        with self.changed:
            self._topics.setdefault(name, _Topic(partitions, max_message_bytes))

    def create_topics(self, topics: Iterable[TopicLike], partitions: Mapping[str, int] | None = None) -> None:
        """Create those of `topics` that do not exist, as `kafka_bus.create_topics`."""
        for topic in topics:
            limit = int(topic.config().get("max.message.bytes", DEFAULT_MAX_MESSAGE_BYTES))
            self.create_topic(topic.name, (partitions or {}).get(topic.name, topic.partitions), limit)

    def producer(self, *, max_unacknowledged: int = 256) -> "MemoryProducer":
        """A new producer."""
        return MemoryProducer(self, max_unacknowledged)

    def consumer(self, group: str, *, instance_id: str | None = None, from_beginning: bool = True) -> "MemoryConsumer":
        """A new consumer; arguments as of KafkaBusConsumer."""
        return MemoryConsumer(self, group, instance_id, from_beginning)

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        with self.changed:
            return [record for log in self._topics[topic].logs for record in log]

    def hold_acknowledgements(self) -> None:
        """From now on messages are stored, but their futures wait for `release_acknowledgements`."""
        with self.changed:
            if self._held is None:
                self._held = []

    def release_acknowledgements(self, error: BusError | None = None) -> int:
        """End `hold_acknowledgements`: every waiting future succeeds, or fails with `error`; returns how many."""
        with self.changed:
            held, self._held = self._held or [], None
        for future, sent in held:
            if error is None:
                future.set_result(sent)
            else:
                future.set_exception(error)
        return len(held)

    def append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        partition: int | None,
        timestamp_ms: int | None,
    ) -> "Future[Sent]":
        """Store one message; for MemoryProducer."""
        future: Future[Sent] = Future()
        future.set_running_or_notify_cancel()
        if reason := self.refusal(value):
            future.set_exception(BusError(f"the broker did not take a message for topic {topic} ({reason})"))
            return future
        with self.changed:
            log, number = self._choose(topic, key, partition)
            size = len(value or b"") + len(key or b"") + sum(len(name) + len(raw) for name, raw in headers)
            limit = self._topics[topic].max_message_bytes
            if size > limit:
                raise MessageTooLargeError(f"topic {topic} takes messages of {limit} bytes, this one has {size}")
            at = self._clock.now_ms() if timestamp_ms is None else timestamp_ms
            sent = Sent(topic, number, len(log), at)
            log.append(Record(topic, number, len(log), at, key, value, list(headers)))
            held = self._held
            if held is not None:
                held.append((future, sent))
            self.changed.notify_all()
        if held is None:
            future.set_result(sent)
        return future

    def _choose(self, name: str, key: bytes | None, partition: int | None) -> tuple[list[Record], int]:
        topic = self._topics.get(name)
        if topic is None:
            raise BusError(f"topic {name} does not exist")
        count = len(topic.logs)
        if partition is None:
            if key is None:
                topic.next_without_key += 1
                partition = topic.next_without_key % count
            else:
                partition = partition_of(key, count)
        if not 0 <= partition < count:
            raise BusError(f"topic {name} has no partition {partition}")
        return topic.logs[partition], partition

    def log_of(self, partition: TopicPartition) -> list[Record]:
        """The log of one partition; for MemoryConsumer."""
        return self._topics[partition.topic].logs[partition.partition]

    def group(self, name: str) -> _Group:
        """State of a group; for MemoryConsumer."""
        return self._groups.setdefault(name, _Group())

    def rebalance(self, group: _Group) -> None:
        """Share the partitions evenly among the members, moving as few as possible; they notice at their next poll."""
        wanted = sorted({p for member in group.members for p in self._partitions_of(member)})
        share: dict[MemoryConsumer, int] = dict.fromkeys(group.members, 0)
        group.target = {}
        loose = []
        most = -(-len(wanted) // max(1, len(group.members)))
        for partition in wanted:
            owner = group.owner.get(partition)
            if owner in share and share[owner] < most and partition.topic in owner.topics:
                group.target[partition] = owner
                share[owner] += 1
            else:
                loose.append(partition)
        for partition in loose:
            takers = [member for member in group.members if partition.topic in member.topics]
            taker = min(takers, key=lambda member: share[member])
            group.target[partition] = taker
            share[taker] += 1
        self.changed.notify_all()

    def _partitions_of(self, member: "MemoryConsumer") -> list[TopicPartition]:
        return [
            TopicPartition(name, number)
            for name in member.topics
            if name in self._topics
            for number in range(len(self._topics[name].logs))
        ]


class MemoryProducer:
    """Producer of a MemoryBus."""

    def __init__(self, bus: MemoryBus, max_unacknowledged: int) -> None:
        self._bus = bus
        self._free = threading.BoundedSemaphore(max_unacknowledged)
        self._waiting: set[Future[Sent]] = set()
        self._refused: BaseException | None = None
        self._closed = False

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> "Future[Sent]":
        """As `plumbing.bus.Producer.send`."""
        if self._closed:
            raise BusError("this producer is closed")
        if value is None and key is None:
            raise BusError(f"cannot send to topic {topic}: a message needs a key or a value")
        if self._refused:
            future: Future[Sent] = Future()
            future.set_exception(BusError(f"the producer was refused a message before ({self._refused})"))
            return future
        self._free.acquire()
        try:
            future = self._bus.append(topic, value, key, headers, partition, timestamp_ms)
        except BusError:
            self._free.release()
            raise
        self._waiting.add(future)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: "Future[Sent]") -> None:
        self._waiting.discard(future)
        self._refused = future.exception() or self._refused
        self._free.release()

    def flush(self, timeout: float | None = None) -> None:
        """As `plumbing.bus.Producer.flush`."""
        if wait(list(self._waiting), timeout).not_done:
            raise BusError(f"not all messages were acknowledged within {timeout} s")

    def close(self, timeout: float = 10.0) -> None:
        """As `plumbing.bus.Producer.close`; what is held stays held."""
        self._closed = True


class MemoryConsumer:
    """Consumer of a MemoryBus; partitions move only within `poll` and `close`, as with Kafka."""

    def __init__(self, bus: MemoryBus, group: str, instance_id: str | None, from_beginning: bool) -> None:
        self._bus = bus
        self._group_name = group
        self._group = bus.group(group)
        self._instance_id = instance_id
        self._from_beginning = from_beginning
        self._listener: RebalanceListener | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._fenced = False
        self._closed = False
        self.topics: tuple[str, ...] = ()

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener | None = None) -> None:
        """As `plumbing.bus.Consumer.subscribe`. A member of the same instance id is replaced."""
        with self._bus.changed:
            self.topics = tuple(topics)
            self._listener = listener
            if self not in self._group.members:
                twins = [m for m in self._group.members if self._instance_id and m._instance_id == self._instance_id]
                for twin in twins:
                    twin.crash()
                self._group.members.append(self)
            self._bus.rebalance(self._group)

    def crash(self) -> None:
        """Die as a killed process does, once its session has ended: no callback, no commit, partitions to others."""
        with self._bus.changed:
            self._fenced = True
            self._drop()

    def _drop(self) -> None:
        group = self._group
        if self in group.members:
            group.members.remove(self)
        group.owner = {partition: owner for partition, owner in group.owner.items() if owner is not self}
        self._positions = {}
        self._bus.rebalance(group)

    def _require_member(self) -> None:
        if self._closed:
            raise BusError(f"this consumer of group {self._group_name} is closed")
        if self._fenced:
            raise BusError(f"group {self._group_name} has moved on without this member")

    def _take_part(self) -> None:
        target, owner = self._group.target, self._group.owner
        revoked = sorted(p for p in self._positions if target.get(p) is not self)
        if revoked:
            if self._listener:
                self._listener.on_revoked(revoked)
            for partition in revoked:
                del self._positions[partition]
                owner.pop(partition, None)
            self._paused.difference_update(revoked)
            self._bus.changed.notify_all()
        assigned = sorted(p for p, member in target.items() if member is self and owner.get(p) is None)
        for partition in assigned:
            owner[partition] = self
            start = 0 if self._from_beginning else len(self._bus.log_of(partition))
            self._positions[partition] = self._group.committed.get(partition, start)
        if assigned and self._listener:
            self._listener.on_assigned(assigned)

    def poll(self, timeout: float, max_records: int = 500) -> list[Record]:
        """As `plumbing.bus.Consumer.poll`."""
        deadline = time.monotonic() + timeout
        with self._bus.changed:
            while True:
                self._require_member()
                self._take_part()
                records: list[Record] = []
                for partition, position in self._positions.items():
                    if partition not in self._paused:
                        fresh = self._bus.log_of(partition)[position : position + max_records - len(records)]
                        self._positions[partition] += len(fresh)
                        records += fresh
                left = deadline - time.monotonic()
                if records or left <= 0:
                    return records
                self._bus.changed.wait(left)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As `plumbing.bus.Consumer.commit`."""
        with self._bus.changed:
            self._require_member()
            self._group.committed.update(offsets)

    def committed(self, partition: TopicPartition) -> int | None:
        """As `plumbing.bus.Consumer.committed`."""
        with self._bus.changed:
            return self._group.committed.get(partition)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """As `plumbing.bus.Consumer.pause`."""
        self._paused.update(partition for partition in partitions if partition in self._positions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """As `plumbing.bus.Consumer.resume`."""
        self._paused.difference_update(partitions)

    def assignment(self) -> set[TopicPartition]:
        """As `plumbing.bus.Consumer.assignment`."""
        return set(self._positions)

    def lag(self) -> dict[TopicPartition, int]:
        """As `plumbing.bus.Consumer.lag`."""
        with self._bus.changed:
            return {p: len(self._bus.log_of(p)) - position for p, position in self._positions.items()}

    def close(self) -> None:
        """As `plumbing.bus.Consumer.close`."""
        with self._bus.changed:
            if self._closed or self._fenced:
                self._closed = True
                return
            if self._listener and self._positions:
                self._listener.on_revoked(sorted(self._positions))
            self._drop()
            self._closed = True
