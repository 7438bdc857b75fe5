"""What the project adds to kafka-python's consumer, where the contract of the bus does not reach."""

import time
import uuid

import pytest
from kafka.cluster import ClusterMetadata
from kafka.future import Future
from msgspec.structs import replace as with_fields

from plumbing import kafka_bus
from plumbing.kafka_bus import KafkaBusConsumer, create_topics
from schemas.topics import READS


def test_a_lost_question_for_partitions_is_asked_again(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may forget to ask for the topic it has just subscribed to; nothing wakes it but the age."""
    topic = f"asked-{uuid.uuid4().hex[:8]}"
    create_topics(kafka, [with_fields(READS, name=topic, partitions=3)])
    monkeypatch.setattr(kafka_bus, "METADATA_AGE_S", 0.5)
    consumer = KafkaBusConsumer(kafka, f"group-{topic}", "asker")

    # the client has other, slower ways to ask again: without the setting this test would only take longer
    assert consumer._consumer.config["metadata_max_age_ms"] == 500

    def lost(cluster: ClusterMetadata) -> Future:
        cluster.start_refresh_loop()
        return Future()

    monkeypatch.setattr(ClusterMetadata, "request_update", lost)
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + 60
        while not consumer.assignment():
            assert time.monotonic() < deadline, "the consumer never asked which partitions there are"
            consumer.poll(0.1)
        assert len(consumer.assignment()) == 3
    finally:
        monkeypatch.undo()
        consumer.close()
