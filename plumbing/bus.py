"""The bus as the rooms see it: what Kafka (kafka_bus) and its twin in memory (memory_bus) both promise."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol


class BusError(Exception):
    """The bus cannot do what was asked; the text says what, where and what to do about it."""


class MessageTooLargeError(BusError):
    """The topic does not take a message of this size; the producer goes on."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One message as it lies on the bus."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Sent(NamedTuple):
    """Where an acknowledged message lies."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Producer(Protocol):
    """Sends with all acknowledgements; keys choose the partition by murmur2, as every Kafka client can."""

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
        """Queue one message. The future ends when the broker has it, or with a BusError: then close this producer and
        make a new one, because it may refuse all that follows.

        Blocks while the bound of unacknowledged messages is reached.

        Raises:
            MessageTooLargeError: the topic does not take a message of this size.
            BusError: the topic does not exist, or the producer is closed.
        """

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every queued message is acknowledged or failed.

        Raises:
            BusError: not all were acknowledged within `timeout` seconds.
        """

    def close(self, timeout: float = 10.0) -> None:
        """Flush and let go of the connections. A second call does nothing."""


class RebalanceListener(Protocol):
    """Told when partitions come and go, only while `poll` or `close` of its consumer runs.

    It may come on a thread of the bus's own while the caller waits in `poll`: it must not block, and of the
    consumer it may call `commit`, `pause`, `resume` and `assignment` only.
    """

    def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are ours from now on."""

    def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions go to another member; a last commit for them is still possible here."""


class Consumer(Protocol):
    """Member of a consumer group with manual commits. One thread at a time."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener | None = None) -> None:
        """Join the group for these topics."""

    def poll(self, timeout: float, max_records: int = 500) -> list[Record]:
        """Up to `max_records` new records, in offset order per partition; empty after `timeout` seconds."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the offset of the *next* record wanted per partition.

        Raises:
            BusError: the group has moved on; the records will be read again by the partitions' new owner.
        """

    def committed(self, partition: TopicPartition) -> int | None:
        """The offset last committed by the group, None when there is none."""

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """`poll` gives nothing of these until they are resumed, and keeps the membership."""

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Undo `pause`."""

    def assignment(self) -> set[TopicPartition]:
        """The partitions that are ours now."""

    def lag(self) -> dict[TopicPartition, int]:
        """Records between the position and the end, per assigned partition."""

    def close(self) -> None:
        """Leave the group without a commit. A second call does nothing."""
