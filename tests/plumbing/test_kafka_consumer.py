"""What the project adds to kafka-python's consumer, where the contract of the bus does not reach."""

import time
import uuid
from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient
from msgspec.structs import replace as with_fields

from plumbing import kafka_bus
from plumbing.kafka_bus import KafkaBusConsumer, create_topics
from schemas.topics import READS


def test_a_rebalance_is_finished_however_short_the_polls(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic grows: the rebalance that follows takes longer than any poll waits."""
    monkeypatch.setattr(kafka_bus, "METADATA_AGE_S", 0.3)
    topic = f"grows-{uuid.uuid4().hex[:8]}"
    create_topics(kafka, [with_fields(READS, name=topic, partitions=1)])
    consumer = KafkaBusConsumer(kafka, f"group-{topic}", "short")
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        consumer.subscribe([topic])
        for partitions in (1, 2, 3, 4):
            if partitions > 1:
                admin.create_partitions({topic: partitions})
            _poll_until(consumer, lambda n=partitions: len(consumer.assignment()) == n)
    finally:
        admin.close()
        consumer.close()


def _poll_until(consumer: KafkaBusConsumer, met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline, f"the consumer stays with {sorted(consumer.assignment())}"
        consumer.poll(0.001)
