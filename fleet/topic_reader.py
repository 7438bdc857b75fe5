"""A topic from its beginning to its present end. In: a topic's name. Out: its records."""

import uuid
from collections.abc import Iterator
from contextlib import closing

from fleet.errors import CommandError
from plumbing.bus import Record
from plumbing.kafka_bus import KafkaBusConsumer, KafkaSecurity, list_topics

_PATIENCE = 100


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
    name = group or f"platefleet-cli-{uuid.uuid4()}"
    with closing(KafkaBusConsumer(brokers, name, "platefleet-cli", security=security)) as consumer:
        consumer.subscribe([topic])
        quiet = 0
        while quiet < _PATIENCE:
            records = consumer.poll(0.1)
            yield from records
            quiet = 0 if records else quiet + 1
            if not records and consumer.assignment() and not any(consumer.lag().values()):
                return
        raise CommandError(f"topic {topic} at {brokers} gives nothing; is another command reading it as group {name}?")
