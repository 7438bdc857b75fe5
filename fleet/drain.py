"""Waiting until nothing is under way. In: addresses. Out: lags, until all are zero and every sighting is final."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from plumbing.bus import BusError
from plumbing.kafka_admin import PATIENCE_S, KafkaSecurity, one_line, require_socket, unreachable
from streams.progress import Progress, close_all

PERIOD_S = 0.25


class GroupLag:
    """How far a group is behind on a topic; keeps its connection between questions.

    Raises:
        BusError: the cluster does not answer.
    """

    def __init__(self, brokers: str, group: str, topic: str, security: KafkaSecurity) -> None:
        self._brokers, self._group, self._topic = brokers, group, topic
        require_socket(brokers, PATIENCE_S)
        try:
            self._admin = KafkaAdminClient(
                bootstrap_servers=brokers, client_id="platefleet-drain", **security.options()
            )
        except (KafkaError, OSError, ValueError) as error:
            raise unreachable(brokers, one_line(error)) from error

    def messages(self) -> int:
        """Messages of the topic that the group has not committed.

        Raises:
            BusError: the cluster does not answer.
        """
        try:
            # committed first, ends after: zero means zero
            answer = self._admin.list_group_offsets([self._group])[self._group]
            committed = {part: meta.offset for part, meta in answer.items()}
            (description,) = self._admin.describe_topics([self._topic])
            parts = [TopicPartition(self._topic, part["partition_index"]) for part in description["partitions"]]
            begins = self._admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.EARLIEST))
            ends = self._admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.LATEST))
        except (KafkaError, OSError, ValueError) as error:
            raise unreachable(self._brokers, one_line(error)) from error
        return sum(max(0, ends[part].offset - max(begins[part].offset, committed.get(part, 0))) for part in parts)

    def close(self) -> None:
        """Let go of the connection."""
        self._admin.close()


def drain(
    brokers: str,
    cameras: Iterable[str],
    security: KafkaSecurity,
    *,
    worker_group: str,
    frames_topic: str,
    go_on: Callable[[], None],
    stall_s: float = 120.0,
) -> None:
    """Return when every frame is read, every sighting final, and all of it in SQL.

    Args:
        go_on: called between questions; raises to end the wait.
        stall_s: seconds without any progress after which the wait is an error.

    Raises:
        BusError: the cluster does not answer, or nothing moves any more.
    """
    with closing(GroupLag(brokers, worker_group, frames_topic, security)) as workers:
        _settle(workers.messages, "frames", go_on, stall_s)
    # what was read is on the topic before these commands, which close what is open
    close_all(brokers, cameras, security=security)
    with Progress(brokers, security=security) as progress:
        _settle(lambda: sum(progress.lag().values()), "messages", go_on, stall_s)


def _settle(lag: Callable[[], int], what: str, go_on: Callable[[], None], stall_s: float) -> None:
    last, moved = -1, time.monotonic()
    while left := lag():
        go_on()
        if left != last:
            last, moved = left, time.monotonic()
        elif time.monotonic() - moved > stall_s:
            raise BusError(f"{left} {what} have not moved for {stall_s:.0f} s; see the logs of workers and streams")
        time.sleep(PERIOD_S)
