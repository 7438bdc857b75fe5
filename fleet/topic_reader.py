"""Topics from their beginning to their present end. In: names. Out: their records."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing

from fleet.errors import CommandError
from plumbing.bus import Record, TopicPartition
from plumbing.kafka_bus import KafkaBusConsumer, KafkaSecurity, list_topics

_PATIENCE = 300
"""Polls of 0.1 s without a record: on a busy machine a group takes ten seconds and more to be given its partitions."""


def require_topic(brokers: str, topic: str, security: KafkaSecurity) -> None:
    """Return when the topic exists.

    Raises:
        CommandError: it does not.
        BusError: no broker answers.
    """
    if topic not in list_topics(brokers, security=security):
        raise CommandError(f"topic {topic} does not exist at {brokers}; create it by `platefleet topics`")


def read_topic(brokers: str, topic: str, security: KafkaSecurity, group: str = "") -> Iterator[Record]:
    """Every record up to the end as it is when it is reached.

    Args:
        group: start where this group has committed; else at the beginning.

    Raises:
        CommandError: the topic does not exist, or its partitions are never given to us.
        BusError: no broker answers.
    """
    require_topic(brokers, topic, security)
    yield from read_topics(brokers, [topic], security, group)


def read_topics(brokers: str, topics: Sequence[str], security: KafkaSecurity, group: str = "") -> Iterator[Record]:
    """As `read_topic`, of several that exist."""
    name = group or f"platefleet-cli-{uuid.uuid4()}"
    with closing(KafkaBusConsumer(brokers, name, "platefleet-cli", security=security)) as consumer:
        if group:
            consumer.subscribe(topics)
        else:
            # nobody shares the partitions: waiting for a group to give them out takes seconds
            known = list_topics(brokers, security=security)
            consumer.assign([TopicPartition(topic, number) for topic in topics for number in range(known[topic])])
        quiet = 0
        while quiet < _PATIENCE:
            records = consumer.poll(0.1)
            yield from records
            quiet = 0 if records else quiet + 1
            if not records and consumer.assignment() and not any(consumer.lag().values()):
                return
        shown = ", ".join(topics)
        raise CommandError(f"topic {shown} at {brokers} gives nothing; is another command reading it as group {name}?")
