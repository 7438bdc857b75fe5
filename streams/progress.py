"""How far the streams are behind: lag of each role's group, and the close commands that end every open sighting."""

from collections.abc import Iterable, Sequence

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)

from plumbing.clock import Clock, SystemClock
from plumbing.kafka_admin import NO_SECURITY, PATIENCE_S, KafkaSecurity, one_line, require_socket, unreachable
from plumbing.kafka_bus import KafkaBusProducer
from schemas.codec import encode_reads
from schemas.read import CloseTracks
from streams.settings import ROLES, Topics

_TOPICS = Topics()
_NO_COORDINATOR = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)
EVERY_SEQ = (1 << 62) - 1
"""A close command with this number closes whatever is open."""


def sources(role: str, topics: Topics = _TOPICS) -> tuple[str, ...]:
    """The topics that a role consumes."""
    if role == "tracker":
        return (topics.reads,)
    if role == "vehicles":
        return (topics.sightings,)
    return (topics.reads, topics.sightings, topics.alerts, topics.hotlist, topics.cameras, topics.dead)


class Progress:
    """Asks the cluster; keeps its connection between questions. Close it after use.

    Raises:
        BusError: the cluster does not answer.
    """

    def __init__(
        self,
        brokers: str,
        app_id: str = "platefleet",
        *,
        roles: Sequence[str] = ROLES,
        topics: Topics = _TOPICS,
        security: KafkaSecurity = NO_SECURITY,
    ) -> None:
        self._brokers = brokers
        self._groups = {f"{app_id}-{role}": (role, sources(role, topics)) for role in roles}
        require_socket(brokers, PATIENCE_S)
        try:
            self._admin = KafkaAdminClient(
                bootstrap_servers=brokers, client_id="platefleet-progress", **security.options()
            )
        except (KafkaError, OSError, ValueError) as error:
            raise unreachable(brokers, one_line(error)) from error

    def lag(self) -> dict[str, int]:
        """`role:topic` -> messages that the role has not finished with.

        The committed offsets are asked for first and the ends of the topics after: when all are 0, then
        nothing was under way between the roles either.

        Raises:
            BusError: the cluster does not answer.
        """
        try:
            return self._lag()
        except (KafkaError, OSError) as error:
            raise unreachable(self._brokers, one_line(error)) from error

    def drained(self) -> bool:
        """True when every role has finished with all that lies on its topics.

        Raises:
            BusError: the cluster does not answer.
        """
        return not any(self.lag().values())

    def _lag(self) -> dict[str, int]:
        wanted = sorted({name for _, names in self._groups.values() for name in names})
        partitions = {
            topic["name"]: [TopicPartition(topic["name"], p["partition_index"]) for p in topic["partitions"]]
            for topic in self._admin.describe_topics(wanted)
        }
        committed: dict[str, dict[TopicPartition, int]] = {}
        for group in self._groups:
            try:
                answer = self._admin.list_group_offsets([group])[group]
            except _NO_COORDINATOR:
                # the broker has just started, or nobody has ever committed: as if nothing were done yet
                answer = {}
            committed[group] = {tp: meta.offset for tp, meta in answer.items()}
        every = [tp for tps in partitions.values() for tp in tps]
        begins = self._admin.list_partition_offsets(dict.fromkeys(every, OffsetSpec.EARLIEST))
        ends = self._admin.list_partition_offsets(dict.fromkeys(every, OffsetSpec.LATEST))
        out = {}
        for group, (role, names) in self._groups.items():
            for name in names:
                out[f"{role}:{name}"] = sum(
                    max(0, ends[tp].offset - max(begins[tp].offset, committed[group].get(tp, 0)))
                    for tp in partitions[name]
                )
        return out

    def close(self) -> None:
        """Let go of the connection. A second call does nothing."""
        self._admin.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lag(
    brokers: str,
    app_id: str = "platefleet",
    *,
    roles: Sequence[str] = ROLES,
    topics: Topics = _TOPICS,
    security: KafkaSecurity = NO_SECURITY,
) -> dict[str, int]:
    """`Progress.lag` asked once.

    Raises:
        BusError: the cluster does not answer.
    """
    with Progress(brokers, app_id, roles=roles, topics=topics, security=security) as progress:
        return progress.lag()


def drained(
    brokers: str,
    app_id: str = "platefleet",
    *,
    roles: Sequence[str] = ROLES,
    topics: Topics = _TOPICS,
    security: KafkaSecurity = NO_SECURITY,
) -> bool:
    """`Progress.drained` asked once.

    Raises:
        BusError: the cluster does not answer.
    """
    with Progress(brokers, app_id, roles=roles, topics=topics, security=security) as progress:
        return progress.drained()


def close_all(
    brokers: str,
    camera_ids: Iterable[str],
    *,
    topics: Topics = _TOPICS,
    clock: Clock | None = None,
    security: KafkaSecurity = NO_SECURITY,
) -> None:
    """Close every open sighting of these cameras: for a launcher whose frames are all read, instead of the silence.

    To be sent after the workers' last read is acknowledged. When `drained` then says True, every sighting is final.

    Raises:
        BusError: the cluster does not answer, or does not take a command.
    """
    now_ms = (clock or SystemClock()).now_ms()
    producer = KafkaBusProducer(brokers, "platefleet-close", security=security)
    try:
        commands = [CloseTracks(camera_id=camera, seq=EVERY_SEQ, sent_at=now_ms) for camera in camera_ids]
        sent = [
            producer.send(topics.reads, encode_reads(command), key=command.camera_id.encode()) for command in commands
        ]
        for future in sent:
            future.result(30.0)
    finally:
        producer.close()
