"""The bus on Apache Kafka: Producer and Consumer of `plumbing.bus` on kafka-python. Settings come as arguments."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata

from plumbing.bus import BusError, MessageTooLargeError, RebalanceListener, Record, Sent, TopicPartition
from plumbing.kafka_admin import (
    NO_SECURITY,
    PATIENCE_S,
    KafkaSecurity,
    create_topics,
    delete_topics,
    list_topics,
    one_line,
    require_socket,
    topic_limit,
    unreachable,
    wait_for_broker,
)
from plumbing.kafka_rebalance import Rebalance, finish_rebalances, ours, theirs

__all__ = [
    "NO_SECURITY",
    "KafkaBusConsumer",
    "KafkaBusProducer",
    "KafkaSecurity",
    "create_topics",
    "delete_topics",
    "list_topics",
    "wait_for_broker",
]

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 32 << 20
"""What the client itself lets pass; the topics' own limits, checked by the broker, are tighter."""
_ANSWER_MS = 4_000
"""How long a commit or a question waits for the broker: a stop must not hang on one that is away."""
METADATA_AGE_S = 5.0
"""How often a consumer asks which partitions there are. The client's default is five minutes: as long would a worker
that started before its topic, or a topic that grew, wait."""
_BATCH_OVERHEAD = 128
_HEADER_OVERHEAD = 10


def _require_crc32c() -> None:
    try:
        import crc32c  # noqa: F401
    except ImportError as error:
        raise BusError("package crc32c is missing: without it Kafka is ten times slower; pip install crc32c") from error


def _connect(make: Callable[[], Any], brokers: str) -> Any:
    _require_crc32c()
    require_socket(brokers, PATIENCE_S)
    try:
        return make()
    except (kafka_errors.KafkaError, OSError) as error:
        raise unreachable(brokers, one_line(error)) from error


class KafkaBusProducer:
    """Producer of `plumbing.bus`: all acknowledgements, idempotent, murmur2 partitions (kafka-python's default).

    Args:
        brokers: `host:port,host:port`.
        client_id: name in the broker's logs and metrics.
        max_unacknowledged: `send` blocks while so many messages are on their way.
        linger_ms: how long a batch waits for company.
        batch_size: bytes of a batch per partition.
        delivery_timeout: seconds after which a message that no broker has acknowledged has failed.
        topic_timeout: seconds that `send` waits for the partitions of a topic that it meets first.
        security: how to log on.

    A callback of a returned future runs on the client's own thread: it must not block, and must not send.
    After a future that failed make a new producer: an idempotent one may refuse all that follows.

    Raises:
        BusError: no broker answers within a few seconds.
    """

    def __init__(
        self,
        brokers: str,
        client_id: str,
        *,
        max_unacknowledged: int = 256,
        linger_ms: int = 5,
        batch_size: int = 512 << 10,
        delivery_timeout: float = 120.0,
        topic_timeout: float = 5.0,
        security: KafkaSecurity = NO_SECURITY,
    ) -> None:
        self._brokers = brokers
        self._security = security
        self._limits: dict[str, int | None] = {}
        self._free = threading.BoundedSemaphore(max_unacknowledged)
        self._closed = False
        request_ms = min(30_000, int(delivery_timeout * 1000) - linger_ms)
        self._producer = _connect(
            lambda: KafkaProducer(
                bootstrap_servers=brokers,
                client_id=client_id,
                acks="all",
                enable_idempotence=True,
                linger_ms=linger_ms,
                batch_size=batch_size,
                delivery_timeout_ms=int(delivery_timeout * 1000),
                request_timeout_ms=request_ms,
                max_request_size=MAX_REQUEST_BYTES,
                max_block_ms=int(topic_timeout * 1000),
                bootstrap_timeout_ms=int(PATIENCE_S * 1000),
                # a topic that springs up with the broker's defaults would have the wrong partitions
                allow_auto_create_topics=False,
                reconnect_backoff_max_ms=2_000,
                metrics_enabled=False,
                **security.options(),
            ),
            brokers,
        )

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
        self._check_size(topic, len(value or b"") + len(key or b""), headers)
        self._free.acquire()
        try:
            pending = self._producer.send(topic, value, key, list(headers), partition, timestamp_ms)
        except BaseException as error:
            self._free.release()
            if isinstance(error, kafka_errors.KafkaTimeoutError | kafka_errors.UnknownTopicOrPartitionError):
                raise BusError(
                    f"no partition of topic {topic} at {self._brokers}: it does not exist, or no broker answers"
                ) from error
            if isinstance(error, kafka_errors.KafkaError | ValueError | AssertionError):
                raise BusError(f"cannot send to topic {topic} at {self._brokers} ({one_line(error)})") from error
            raise
        result: Future[Sent] = Future()
        result.set_running_or_notify_cancel()

        def acknowledged(meta: Any) -> None:
            self._free.release()
            result.set_result(Sent(meta.topic, meta.partition, meta.offset, meta.timestamp))

        def failed(error: BaseException) -> None:
            self._free.release()
            result.set_exception(
                BusError(f"Kafka at {self._brokers} did not take a message for topic {topic} ({one_line(error)})")
            )

        pending.add_callback(acknowledged)
        pending.add_errback(failed)
        return result

    def _check_size(self, topic: str, size: int, headers: Sequence[tuple[str, bytes]]) -> None:
        # asked before the broker is: after one refusal an idempotent kafka-python producer fails for ever
        if topic not in self._limits:
            self._limits[topic] = topic_limit(self._brokers, topic, security=self._security)
        limit = self._limits[topic]
        total = size + _BATCH_OVERHEAD + sum(len(name.encode()) + len(raw) + _HEADER_OVERHEAD for name, raw in headers)
        if limit is not None and total > limit:
            raise MessageTooLargeError(f"topic {topic} takes messages of {limit} bytes, this one has {total}")

    def flush(self, timeout: float | None = None) -> None:
        """As `plumbing.bus.Producer.flush`."""
        try:
            self._producer.flush(timeout)
        except kafka_errors.KafkaError as error:
            raise BusError(f"not all messages were acknowledged by {self._brokers} within {timeout} s") from error

    def close(self, timeout: float = 10.0) -> None:
        """As `plumbing.bus.Producer.close`; what is not acknowledged in time fails in its future."""
        if self._closed:
            return
        self._closed = True
        try:
            self._producer.close(timeout)
        except kafka_errors.KafkaError as error:
            # kafka-python gives up its close when the flush inside it times out: end its thread all the same
            log.warning("closing the producer of %s: messages are left unacknowledged (%s)", self._brokers, error)
            self._producer._sender.force_close()
            self._producer._sender.join(1.0)


class _Deferred(AbstractContextManager[dict[TopicPartition, int]]):
    """While it is entered, commits are collected instead of sent."""

    def __init__(self, consumer: "KafkaBusConsumer") -> None:
        self._consumer = consumer
        self._offsets: dict[TopicPartition, int] = {}

    def __enter__(self) -> dict[TopicPartition, int]:
        self._consumer._deferred = self._offsets
        return self._offsets

    def __exit__(self, *_: object) -> None:
        self._consumer._deferred = None


class KafkaBusConsumer:
    """Consumer of `plumbing.bus`: manual commits, cooperative rebalancing, big fetches.

    Args:
        brokers: `host:port,host:port`.
        group: consumer group.
        client_id: name in the broker's logs.
        instance_id: stable name of this member over restarts (static membership): a restart within
            `session_timeout` keeps its partitions without a rebalance. None: an ordinary member.
        from_beginning: where to start a partition without a committed offset: its beginning, or its end.
        session_timeout: seconds without a heartbeat after which the member counts as dead.
        max_poll_interval: seconds between two polls after which it counts as dead.
        fetch_max_wait_ms: how long the broker waits for `fetch_min_bytes`.
        fetch_min_bytes: 1 for the lowest latency.
        partition_fetch_bytes: most bytes of one partition in one answer.
        fetch_bytes: most bytes of one answer.
        security: how to log on.

    Raises:
        BusError: no broker answers within a few seconds.
    """

    def __init__(
        self,
        brokers: str,
        group: str,
        client_id: str,
        *,
        instance_id: str | None = None,
        from_beginning: bool = True,
        session_timeout: float = 10.0,
        max_poll_interval: float = 300.0,
        fetch_max_wait_ms: int = 100,
        fetch_min_bytes: int = 1,
        partition_fetch_bytes: int = 4 << 20,
        fetch_bytes: int = 16 << 20,
        security: KafkaSecurity = NO_SECURITY,
    ) -> None:
        self._brokers = brokers
        self._group = group
        self._closed = False
        self._deferred: dict[TopicPartition, int] | None = None
        self._consumer = _connect(
            lambda: KafkaConsumer(
                bootstrap_servers=brokers,
                group_id=group,
                client_id=client_id,
                group_instance_id=instance_id,
                enable_auto_commit=False,
                auto_offset_reset="earliest" if from_beginning else "latest",
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                session_timeout_ms=int(session_timeout * 1000),
                heartbeat_interval_ms=int(session_timeout * 1000 / 10),
                max_poll_interval_ms=int(max_poll_interval * 1000),
                metadata_max_age_ms=int(METADATA_AGE_S * 1000),
                fetch_max_wait_ms=fetch_max_wait_ms,
                fetch_min_bytes=fetch_min_bytes,
                max_partition_fetch_bytes=partition_fetch_bytes,
                fetch_max_bytes=fetch_bytes,
                bootstrap_timeout_ms=int(PATIENCE_S * 1000),
                allow_auto_create_topics=False,
                reconnect_backoff_max_ms=2_000,
                metrics_enabled=False,
                **security.options(),
            ),
            brokers,
        )
        finish_rebalances(self._consumer)

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener | None = None) -> None:
        """As `plumbing.bus.Consumer.subscribe`."""
        self._consumer.subscribe(list(topics), listener=Rebalance(self, listener) if listener else None)

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read these partitions, in place of `subscribe`: at once, and without sharing them with the group."""
        self._consumer.assign([KafkaPartition(*partition) for partition in partitions])

    def poll(self, timeout: float, max_records: int = 500) -> list[Record]:
        """As `plumbing.bus.Consumer.poll`.

        Raises:
            BusError: the broker refuses (no right, corrupt record, fenced member).
        """
        try:
            batches = self._consumer.poll(int(timeout * 1000), max_records)
        except (kafka_errors.KafkaError, RuntimeError) as error:
            raise BusError(f"cannot read from {self._brokers} as group {self._group} ({one_line(error)})") from error
        return [
            Record(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                [(name, raw or b"") for name, raw in record.headers],
            )
            for batch in batches.values()
            for record in batch
        ]

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As `plumbing.bus.Consumer.commit`. Within `on_revoked` it is sent when that returns, and never raises."""
        if not offsets:
            return
        if self._deferred is not None:
            self._deferred.update(offsets)
            return
        try:
            self._consumer.commit(_kafka_offsets(offsets), timeout_ms=_ANSWER_MS)
        except (kafka_errors.KafkaError, RuntimeError) as error:
            raise BusError(f"group {self._group} at {self._brokers} takes no commit ({one_line(error)})") from error

    def deferred_commits(self) -> _Deferred:
        """For the rebalance adapter: collect commits while the listener runs on the client's own thread."""
        return _Deferred(self)

    async def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        """For the rebalance adapter: commit from the client's own thread; a refusal is logged."""
        try:
            await self._consumer.commit_async(_kafka_offsets(offsets))
        except kafka_errors.KafkaError as error:
            log.warning("last commit before the partitions went was refused, they are read again: %s", one_line(error))

    def committed(self, partition: TopicPartition) -> int | None:
        """As `plumbing.bus.Consumer.committed`.

        Raises:
            BusError: the broker does not answer.
        """
        try:
            offset: int | None = self._consumer.committed(KafkaPartition(*partition), timeout_ms=_ANSWER_MS)
        except (kafka_errors.KafkaError, RuntimeError) as error:
            raise BusError(f"cannot ask {self._brokers} for offsets of {self._group} ({one_line(error)})") from error
        return offset

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """As `plumbing.bus.Consumer.pause`; partitions that are no longer ours are passed over."""
        self._consumer.pause(*theirs(self.assignment() & set(partitions)))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """As `plumbing.bus.Consumer.resume`; partitions that are no longer ours are passed over."""
        self._consumer.resume(*theirs(self.assignment() & set(partitions)))

    def assignment(self) -> set[TopicPartition]:
        """As `plumbing.bus.Consumer.assignment`."""
        return set(ours(self._consumer.assignment()))

    def lag(self) -> dict[TopicPartition, int]:
        """As `plumbing.bus.Consumer.lag`; asks the broker, also for paused partitions.

        Raises:
            BusError: the broker does not answer.
        """
        partitions = list(self._consumer.assignment())
        if not partitions:
            return {}
        try:
            ends = self._consumer.end_offsets(partitions, timeout_ms=_ANSWER_MS)
            positions = {p: self._consumer.position(p, timeout_ms=_ANSWER_MS) for p in partitions}
        except (kafka_errors.KafkaError, RuntimeError) as error:
            raise BusError(f"cannot ask {self._brokers} for the ends of partitions ({one_line(error)})") from error
        return {TopicPartition(p.topic, p.partition): max(0, ends[p] - (positions[p] or 0)) for p in partitions}

    def close(self) -> None:
        """As `plumbing.bus.Consumer.close`; `on_revoked` is called for what is still ours."""
        if self._closed:
            return
        self._closed = True
        try:
            self._consumer.close(autocommit=False, timeout_ms=_ANSWER_MS)
        except (kafka_errors.KafkaError, RuntimeError) as error:
            log.warning("leaving group %s at %s: %s", self._group, self._brokers, one_line(error))


def _kafka_offsets(offsets: Mapping[TopicPartition, int]) -> dict[KafkaPartition, OffsetAndMetadata]:
    return {KafkaPartition(p.topic, p.partition): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
