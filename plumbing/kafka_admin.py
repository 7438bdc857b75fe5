"""A Kafka cluster from outside: is it there, how does one log on to it, which topics has it, create what is missing."""

import logging
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import kafka.errors as kafka_errors
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from plumbing.bus import BusError, TopicPartition

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a client that is being made waits for a broker's first answer."""


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """How to log on to the cluster; the default is plain text without a password."""

    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    mechanism: str | None = None
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __repr__(self) -> str:
        return f"KafkaSecurity(protocol={self.protocol!r}, mechanism={self.mechanism!r}, username={self.username!r})"

    def options(self) -> dict[str, Any]:
        """The same as arguments of a kafka-python client; what is not set is left out."""
        named = {
            "security_protocol": self.protocol,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.ca_file,
            "ssl_certfile": self.certificate_file,
            "ssl_keyfile": self.key_file,
        }
        return {name: value for name, value in named.items() if value is not None}


NO_SECURITY = KafkaSecurity()


class TopicLike(Protocol):
    """What must be known of a topic to create it."""

    @property
    def name(self) -> str:
        """Name on the broker."""

    @property
    def partitions(self) -> int:
        """Number of partitions."""

    def config(self) -> dict[str, str]:
        """The broker's settings for the topic."""


def split_brokers(brokers: str) -> list[tuple[str, int]]:
    """`host:port,host:port` to pairs.

    Raises:
        BusError: the text is empty, or a part is not host:port.
    """
    pairs = []
    for part in filter(None, (piece.strip() for piece in brokers.split(","))):
        host, _, port = part.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise BusError(f"Kafka address {part!r} is not host:port; write for example localhost:9092")
        pairs.append((host.strip("[]"), int(port)))
    if not pairs:
        raise BusError("no Kafka address is given; write for example localhost:9092")
    return pairs


def one_line(error: BaseException) -> str:
    """Kind and text of an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unreachable(brokers: str, why: object) -> BusError:
    """The error for a broker that does not answer."""
    return BusError(f"no Kafka broker answers at {brokers} ({why}); start it, or mend the address")


def require_socket(brokers: str, timeout: float) -> None:
    """Return when one of `brokers` accepts a TCP connection.

    Asked before any Kafka client is made: the client itself would log a page of retries first.

    Raises:
        BusError: none did within `timeout` seconds, or the addresses are malformed.
    """
    pairs = split_brokers(brokers)
    deadline = time.monotonic() + timeout
    while True:
        for host, port in pairs:
            left = max(0.2, deadline - time.monotonic())
            try:
                socket.create_connection((host, port), timeout=min(2.0, left)).close()
            except OSError as error:
                why = error
            else:
                return
        if time.monotonic() >= deadline:
            raise unreachable(brokers, why.strerror or why)
        time.sleep(0.1)


def _admin(brokers: str, timeout: float, security: KafkaSecurity) -> KafkaAdminClient:
    require_socket(brokers, timeout)
    try:
        return KafkaAdminClient(
            bootstrap_servers=brokers,
            client_id="platefleet-admin",
            bootstrap_timeout_ms=int(max(1.0, timeout) * 1000),
            request_timeout_ms=10_000,
            **security.options(),
        )
    except (kafka_errors.KafkaError, OSError, ValueError) as error:
        raise unreachable(brokers, one_line(error)) from error


def wait_for_broker(brokers: str, timeout: float = 30.0, security: KafkaSecurity = NO_SECURITY) -> None:
    """Return when a broker answers metadata requests.

    Raises:
        BusError: none did within `timeout` seconds.
    """
    list_topics(brokers, timeout=timeout, security=security)


def list_topics(brokers: str, timeout: float = PATIENCE_S, security: KafkaSecurity = NO_SECURITY) -> dict[str, int]:
    """Name -> number of partitions of every topic of the cluster.

    Raises:
        BusError: the cluster cannot be reached or refuses.
    """
    deadline = time.monotonic() + timeout
    while True:
        admin = _admin(brokers, max(0.5, deadline - time.monotonic()), security)
        try:
            return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
        except (kafka_errors.KafkaError, OSError) as error:
            # a broker that has just started accepts connections a moment before it can answer
            if time.monotonic() >= deadline:
                raise unreachable(brokers, one_line(error)) from error
            time.sleep(0.1)
        finally:
            admin.close()


def topic_limit(
    brokers: str, topic: str, timeout: float = PATIENCE_S, security: KafkaSecurity = NO_SECURITY
) -> int | None:
    """Bytes of the largest message that a topic takes; None when the cluster does not tell (no right to ask).

    Raises:
        BusError: the cluster cannot be reached.
    """
    return _number_of(brokers, topic, "max.message.bytes", timeout, security)


def topic_retention(
    brokers: str, topic: str, timeout: float = PATIENCE_S, security: KafkaSecurity = NO_SECURITY
) -> int | None:
    """Milliseconds that a topic keeps its messages, -1 for ever; None when the cluster does not tell.

    Raises:
        BusError: the cluster cannot be reached.
    """
    return _number_of(brokers, topic, "retention.ms", timeout, security)


def _number_of(brokers: str, topic: str, name: str, timeout: float, security: KafkaSecurity) -> int | None:
    admin = _admin(brokers, timeout, security)
    try:
        wanted = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
        answer = admin.describe_configs([wanted], config_filter="all")
        return int(answer["topic"][topic][name]["value"])
    except kafka_errors.AuthorizationError:
        return None
    except (kafka_errors.KafkaError, OSError, LookupError) as error:
        log.warning("topic %s at %s: its %s is not known (%s)", topic, brokers, name, one_line(error))
        return None
    finally:
        admin.close()


def delete_records(
    brokers: str,
    before: Mapping[TopicPartition, int],
    timeout: float = 15.0,
    security: KafkaSecurity = NO_SECURITY,
) -> None:
    """Delete for good what lies before these offsets. A consumer that has not read it yet goes on after it.

    Raises:
        BusError: the cluster cannot be reached or refuses; some partitions may be done.
    """
    if not before:
        return
    admin = _admin(brokers, timeout, security)
    try:
        wanted = {KafkaPartition(p.topic, p.partition): offset for p, offset in before.items()}
        admin.delete_records(wanted, timeout_ms=int(timeout * 1000))
    except (kafka_errors.KafkaError, OSError) as error:
        raise BusError(f"cannot delete records at {brokers} ({one_line(error)})") from error
    finally:
        admin.close()


def create_topics(
    brokers: str,
    topics: Iterable[TopicLike],
    *,
    partitions: Mapping[str, int] | None = None,
    replication: int = 1,
    timeout: float = 15.0,
    security: KafkaSecurity = NO_SECURITY,
) -> list[str]:
    """Create those of `topics` that do not exist, wait until they have leaders, and say which were created.

    Topics that exist are left as they are; another number of partitions than wanted is logged, since changing
    it would move keys. `partitions` overrides the number by topic name.

    Raises:
        BusError: the cluster cannot be reached, or refuses a topic (its name and the reason are in the text).
    """
    wanted = {topic.name: topic for topic in topics}
    count = {name: (partitions or {}).get(name, topic.partitions) for name, topic in wanted.items()}
    existing = list_topics(brokers, timeout=timeout, security=security)
    for name in wanted.keys() & existing.keys():
        if existing[name] != count[name]:
            log.warning("topic %s has %d partitions, %d are set; left as it is", name, existing[name], count[name])
    missing = [name for name in wanted if name not in existing]
    if missing:
        specs = {
            name: {
                "num_partitions": count[name],
                "replication_factor": replication,
                "configs": wanted[name].config(),
            }
            for name in missing
        }
        _create(brokers, specs, timeout, security)
    return missing


def _create(brokers: str, specs: dict[str, dict[str, Any]], timeout: float, security: KafkaSecurity) -> None:
    admin = _admin(brokers, timeout, security)
    try:
        answer = admin.create_topics(specs, timeout_ms=int(timeout * 1000), raise_errors=False)
        refused = [
            f"{topic['name']}: {topic.get('error_message') or kafka_errors.for_code(topic['error_code']).__name__}"
            for topic in answer["topics"]
            # another process may have created it in between
            if topic["error_code"] not in (0, kafka_errors.TopicAlreadyExistsError.errno)
        ]
        if refused:
            raise BusError(f"Kafka at {brokers} refuses to create topics ({'; '.join(refused)})")
        admin.wait_for_topics(list(specs), timeout_ms=int(timeout * 1000))
    except (kafka_errors.KafkaError, OSError, RuntimeError) as error:
        raise BusError(f"cannot create topics at {brokers} ({one_line(error)})") from error
    finally:
        admin.close()


def delete_topics(
    brokers: str, names: Collection[str], timeout: float = 15.0, security: KafkaSecurity = NO_SECURITY
) -> None:
    """Delete topics; a name that does not exist is passed over.

    Raises:
        BusError: the cluster cannot be reached or refuses.
    """
    present = [name for name in names if name in list_topics(brokers, timeout=timeout, security=security)]
    if not present:
        return
    admin = _admin(brokers, timeout, security)
    try:
        admin.delete_topics(present, timeout_ms=int(timeout * 1000))
    except (kafka_errors.KafkaError, OSError) as error:
        raise BusError(f"cannot delete topics at {brokers} ({one_line(error)})") from error
    finally:
        admin.close()


def offsets_since(
    brokers: str, topic: str, since_ms: int, timeout: float = PATIENCE_S, security: KafkaSecurity = NO_SECURITY
) -> dict[TopicPartition, int]:
    """Of each partition the first offset whose record is of that time or later; its end when there is none.

    Raises:
        BusError: the cluster cannot be reached, or the topic does not exist.
    """
    known = list_topics(brokers, timeout=timeout, security=security)
    if topic not in known:
        raise BusError(f"topic {topic} does not exist at {brokers}")
    partitions = [KafkaPartition(topic, number) for number in range(known[topic])]
    admin = _admin(brokers, timeout, security)
    try:
        # the ends first: what comes in between is not passed over
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        found = admin.list_partition_offsets(dict.fromkeys(partitions, since_ms))
    except (kafka_errors.KafkaError, OSError) as error:
        raise BusError(f"cannot ask {brokers} for offsets of {topic} ({one_line(error)})") from error
    finally:
        admin.close()
    return {
        TopicPartition(p.topic, p.partition): found[p].offset if found[p].offset >= 0 else ends[p].offset
        for p in partitions
    }
