"""A worker with real Kafka and real Ray, and what tests ask of it."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import psutil
from msgspec.structs import replace as with_fields

from plumbing.bus import Record, TopicPartition
from plumbing.kafka_bus import KafkaBusConsumer, KafkaBusProducer, create_topics
from schemas.codec import decode_dead, decode_reads, encode_frame_header
from schemas.dead import DeadLetter
from schemas.read import FrameReads
from schemas.topics import DEAD, FRAMES, READS
from tests.workers.fakes import header_of
from workers.service import run
from workers.settings import ReaderSettings, WorkerSettings

PARTITIONS = 4
PATIENCE = 120.0


def wait_for(met: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Return when `met` is true; the test fails when it is not within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not met():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.02)


def reader_processes() -> list[psutil.Process]:
    """The reader actors that this process's Ray has started."""
    return [p for p in psutil.Process().children(recursive=True) if _is_reader(p)]


def _is_reader(process: psutil.Process) -> bool:
    try:
        return any("ReaderActor" in part for part in process.cmdline())
    except psutil.Error:
        return False


def settings_for(brokers: str, tag: str) -> WorkerSettings:
    """Two quick readers on the topics of a tag."""
    return WorkerSettings(
        brokers,
        group=f"workers-{tag}",
        instance_id="worker-0",
        readers=2,
        reader=ReaderSettings(factory="tests.workers.fakes:slow_barcode"),
        batch_frames=8,
        max_in_flight=48,
        frames_topic=f"fleet.frames-{tag}",
        reads_topic=f"fleet.reads-{tag}",
        dead_topic=f"fleet.dead-{tag}",
        metrics_port=0,
    )


class Topics:
    """Topics of one test and what lies in them."""

    def __init__(self, brokers: str) -> None:
        self.brokers, self.tag = brokers, uuid.uuid4().hex[:8]
        create_topics(
            brokers,
            [with_fields(topic, name=self.name(topic.name), partitions=n) for topic, n in _WANTED],
        )
        self.producer = KafkaBusProducer(brokers, "cameras")
        self.published = 0
        self._asker: KafkaBusConsumer | None = None
        self._watchers: dict[str, tuple[KafkaBusConsumer, list[Record]]] = {}

    def name(self, topic: str) -> str:
        return f"{topic}-{self.tag}"

    def settings(self, **changes: Any) -> WorkerSettings:
        """Two quick readers on these topics."""
        return replace(settings_for(self.brokers, self.tag), **changes)

    def publish(
        self, value: bytes, camera: str, seq: int, headers: Mapping[str, bytes] | None = None, **c: Any
    ) -> None:
        """One frame; `c` changes header fields, `headers` raw headers."""
        made = dict(encode_frame_header(header_of(value, camera, seq, **c))) | dict(headers or {})
        self.published += 1
        self.producer.send(self.name("fleet.frames"), value, key=camera.encode(), headers=list(made.items()))

    def records(self, topic: str) -> list[Record]:
        """All that has come to a topic so far."""
        if topic not in self._watchers:
            consumer = KafkaBusConsumer(self.brokers, f"test-{topic}-{self.tag}", "test")
            consumer.subscribe([self.name(topic)])
            self._watchers[topic] = (consumer, [])
        consumer, seen = self._watchers[topic]
        seen += consumer.poll(0.1, 2_000)
        return seen

    def reads(self) -> list[FrameReads]:
        """All messages of fleet.reads, in the order of their partitions."""
        decoded = [decode_reads(record.value or b"") for record in self.records("fleet.reads")]
        return [message for message in decoded if isinstance(message, FrameReads)]

    def dead(self) -> list[tuple[DeadLetter, Record]]:
        """All dead letters."""
        return [(decode_dead(record.headers)[0], record) for record in self.records("fleet.dead")]

    def left(self) -> int:
        """Frames that the group has not committed."""
        self.producer.flush(PATIENCE)
        if self._asker is None:
            self._asker = KafkaBusConsumer(self.brokers, f"workers-{self.tag}", "asker")
        partitions = [TopicPartition(self.name("fleet.frames"), number) for number in range(PARTITIONS)]
        return self.published - sum(self._asker.committed(partition) or 0 for partition in partitions)

    def close(self) -> None:
        for consumer, _ in self._watchers.values():
            consumer.close()
        if self._asker is not None:
            self._asker.close()
        self.producer.close()


_WANTED = ((FRAMES, PARTITIONS), (READS, PARTITIONS), (DEAD, 1))


class RunningWorker:
    """`workers.service.run` on a thread."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._stop = threading.Event()
        self._ready = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(settings,))
        self._thread.start()

    def _run(self, settings: WorkerSettings) -> None:
        try:
            run(settings, self._stop, self._ready.set)
        except Exception as error:  # noqa: BLE001 - handed to the test
            self.error = error
        finally:
            self._ready.set()

    def wait_ready(self) -> "RunningWorker":
        assert self._ready.wait(PATIENCE)
        assert self.error is None, self.error
        return self

    def stop(self) -> float:
        """Stop it; seconds that took."""
        begin = time.monotonic()
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the worker does not end"
        return time.monotonic() - begin
