"""Waiting until nothing is under way. In: addresses. Out: lags, until all are zero and every sighting is final."""

import time
from collections.abc import Callable, Iterable

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from plumbing.bus import BusError
from plumbing.kafka_admin import PATIENCE_S, KafkaSecurity, one_line, require_socket, unreachable
from streams.progress import Progress, close_all


def group_lag(brokers: str, group: str, topic: str, security: KafkaSecurity) -> int:
    """Messages of a topic that a group has not committed.

    Raises:
        BusError: the cluster does not answer.
    """
    require_socket(brokers, PATIENCE_S)
    try:
        admin = KafkaAdminClient(bootstrap_servers=brokers, client_id="platefleet-drain", **security.options())
        try:
            # committed first, ends after: zero means zero
            committed = {tp: meta.offset for tp, meta in admin.list_group_offsets([group])[group].items()}
            (description,) = admin.describe_topics([topic])
            parts = [TopicPartition(topic, part["partition_index"]) for part in description["partitions"]]
            begins = admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.EARLIEST))
            ends = admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.LATEST))
        finally:
            admin.close()
    except (KafkaError, OSError, ValueError) as error:
        raise unreachable(brokers, one_line(error)) from error
    return sum(max(0, ends[tp].offset - max(begins[tp].offset, committed.get(tp, 0))) for tp in parts)


def drain(
    brokers: str,
    cameras: Iterable[str],
    security: KafkaSecurity,
    *,
    worker_group: str,
    frames_topic: str,
    go_on: Callable[[], None],
    tell: Callable[[int], None],
    stall_s: float = 120.0,
) -> None:
    """Return when every frame is read, every sighting final, and all of it in SQL.

    Args:
        go_on: called between questions; raises to end the wait.
        tell: called with the number of messages still under way.
        stall_s: seconds without any progress after which the wait is an error.

    Raises:
        BusError: the cluster does not answer, or nothing moves any more.
    """
    watch = _Watch(stall_s)

    def settle(lag: Callable[[], int]) -> None:
        while left := lag():
            tell(left)
            watch.look(left)
            go_on()
            time.sleep(0.2)

    settle(lambda: group_lag(brokers, worker_group, frames_topic, security))
    with Progress(brokers, security=security) as progress:
        # what was read must be tracked before the commands that close tracks are sent
        close_all(brokers, cameras, security=security)
        settle(lambda: sum(progress.lag().values()))
    tell(0)


class _Watch:
    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._left = -1
        self._moved = time.monotonic()

    def look(self, left: int) -> None:
        now = time.monotonic()
        if left != self._left:
            self._left, self._moved = left, now
        elif now - self._moved > self._stall_s:
            raise BusError(
                f"{left} messages have not moved for {self._stall_s:.0f} s; see the logs of workers and streams"
            )
