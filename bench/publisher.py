"""What the publisher costs: frames/s of 60 kB into the bus in memory, and into Kafka against kafka-python alone.

    python -m bench.publisher [--frames N] [--brokers HOST:PORT] [--json]

Without `--brokers` a Kafka of its own is started. The yardstick is kafka-python's KafkaProducer with the same settings
and the same messages, but nothing around it; both take turns, and the ratio is that of their best rounds.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import msgspec
from kafka import KafkaProducer

from cameras.publisher import PublishSettings, publish
from cameras.sources import SourceMessage
from fleet.local_kafka import LocalKafka
from plumbing.kafka_bus import KafkaBusProducer, create_topics, delete_topics
from plumbing.memory_bus import MemoryBus
from schemas.codec import encode_frame_header
from schemas.topics import FRAMES, Topic

SIZE = 60_000
CAMERAS = 4
ROUNDS = 3


class Frames:
    """One camera's frames, ready in memory."""

    live = False

    def __init__(self, camera_id: str, messages: list[SourceMessage]) -> None:
        self.name = self.camera_id = camera_id
        self.total: int | None = len(messages)
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._messages = messages

    def __iter__(self) -> Iterator[SourceMessage]:
        """The frames."""
        return iter(self._messages)

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--brokers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        brokers = options.brokers
        if not brokers:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            brokers = stack.enter_context(LocalKafka(folder)).brokers
        found = measure(brokers, options.frames)
    if options.json:
        print(json.dumps(found))
    else:
        print("frames/s of 60 kB        ")
        print(f"  into memory            {found['memory']:8.0f}")
        print(f"  into Kafka             {found['publisher']:8.0f}")
        print(f"  kafka-python alone     {found['kafka_python']:8.0f}")
        print(f"ratio                    {found['ratio']:8.2f}")


def measure(brokers: str, frames: int) -> dict[str, float]:
    """Frames/s of each way, best of ROUNDS, in turns."""
    best = {"memory": 0.0, "publisher": 0.0, "kafka_python": 0.0}
    sources = make_sources(frames)
    ways: dict[str, Callable[[], float]] = {
        "memory": lambda: in_memory(sources),
        "publisher": lambda: on_kafka(brokers, sources, bare=False),
        "kafka_python": lambda: on_kafka(brokers, sources, bare=True),
    }
    for _ in range(ROUNDS):
        for name, way in ways.items():
            best[name] = max(best[name], frames / way())
    return {**best, "ratio": best["publisher"] / best["kafka_python"], "frames": float(frames)}


def make_sources(frames: int) -> list[Frames]:
    """Frames of random bytes, as JPEG looks to a compressor."""
    found = []
    for number in range(CAMERAS):
        name = f"bench-{number}"
        values = [os.urandom(SIZE) for _ in range(16)]
        found.append(
            Frames(
                name,
                [
                    SourceMessage(values[n % 16], name, n, n * 100 + number, "jpeg", 1280, 720, 1.0, 2.0, 90.0, 10.0)
                    for n in range(frames // CAMERAS)
                ],
            )
        )
    return found


def in_memory(sources: list[Frames]) -> float:
    """Seconds to publish all into the bus in memory."""
    bus = MemoryBus()
    bus.create_topics([FRAMES])
    start = time.perf_counter()
    publish(sources, bus.producer(), speed="max")
    return time.perf_counter() - start


def on_kafka(brokers: str, sources: list[Frames], *, bare: bool) -> float:
    """Seconds to publish all into a fresh topic, by the publisher or by kafka-python alone."""
    topic: Topic = msgspec.structs.replace(FRAMES, name=f"bench-{uuid4().hex[:8]}")
    create_topics(brokers, [topic])
    try:
        return _bare(brokers, topic.name, sources) if bare else _publisher(brokers, topic.name, sources)
    finally:
        delete_topics(brokers, [topic.name])


def _publisher(brokers: str, topic: str, sources: list[Frames]) -> float:
    producer = KafkaBusProducer(brokers, "bench")
    try:
        start = time.perf_counter()
        done = publish(sources, producer, speed="max", settings=PublishSettings(topic=topic))
        taken = time.perf_counter() - start
    finally:
        producer.close()
    assert done.complete
    return taken


def _bare(brokers: str, topic: str, sources: list[Frames]) -> float:
    ready = [
        (message.value, source.camera_id.encode(), encode_frame_header(message.header()))
        for source in sources
        for message in source
    ]
    producer = KafkaProducer(
        bootstrap_servers=brokers, acks="all", linger_ms=5, batch_size=512 << 10, max_request_size=32 << 20
    )
    try:
        start = time.perf_counter()
        pending = []
        for value, key, headers in ready:
            pending.append(producer.send(topic, value, key, headers))
            if len(pending) > 200:
                # bounded as the publisher is
                pending.pop(0).get(60)
        producer.flush()
        return time.perf_counter() - start
    finally:
        producer.close()


if __name__ == "__main__":
    main()
