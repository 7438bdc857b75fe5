"""A streams process on a real broker, with topics of its own, for tests that look at it from outside."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer, TopicPartition

from plumbing.clock import from_ms
from plumbing.kafka_admin import create_topics
from plumbing.kafka_bus import KafkaBusProducer
from schemas import topics as declared
from schemas.codec import decode_reads, encode_json, encode_reads
from schemas.hotlist import HotlistEntry
from schemas.read import ReadsMessage
from schemas.sighting import Sighting
from streams.progress import Progress
from streams.settings import Topics
from streams.track import CameraState, new_state
from streams.tracker import step

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 3


def wait_for(what: str, done: Callable[[], bool], timeout: float = 40.0) -> None:
    """Ask until `done` says yes."""
    end = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.1)


def read_log(brokers: str, topic: str) -> list[Any]:
    """All records of a topic, in offset order per partition; none while the topic is not there."""
    consumer = KafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            return []
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        out: list[Any] = []
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for records in consumer.poll(500).values():
                out += records
        return sorted(out, key=lambda r: (r.partition, r.offset))
    finally:
        consumer.close()


def undisturbed(brokers: str, topic: str) -> list[Sighting]:
    """Every revision that the pure tracker tells of a topic of reads, in order: what a run without a death tells."""
    states: dict[str, CameraState] = {}
    out: list[Sighting] = []
    for record in read_log(brokers, topic):
        message = decode_reads(record.value)
        state = states.get(message.camera_id) or new_state(message.camera_id)
        states[message.camera_id], told = step(state, message, record.offset, record.timestamp)
        out += told
    return out


@dataclass
class Place:
    """Topics, folders and group names of one test."""

    brokers: str
    folder: Path
    topics: Topics
    app_id: str
    producer: KafkaBusProducer

    @classmethod
    def make(cls, brokers: str, folder: Path) -> Place:
        """Create the topics."""
        mark = uuid4().hex[:8]
        names = {field.name: f"{mark}.{field.name}" for field in fields(Topics)}
        by_name = {topic.name.removeprefix("fleet."): topic for topic in declared.TOPICS}
        wanted = [_renamed(by_name[short], name) for short, name in names.items()]
        create_topics(brokers, wanted)
        return cls(brokers, folder, Topics(**names), f"test-{mark}", KafkaBusProducer(brokers, "test"))

    def send_reads(self, messages: Iterable[ReadsMessage]) -> None:
        """Send and wait."""
        sent = [self.producer.send(self.topics.reads, encode_reads(m), key=m.camera_id.encode()) for m in messages]
        for future in sent:
            future.result(20)

    def list_plate(self, text: str, hotlist_id: str = "stolen") -> None:
        """Put an entry on the hotlist."""
        entry = HotlistEntry(hotlist_id=hotlist_id, entry=text, added_at=from_ms(0))
        self.producer.send(self.topics.hotlist, encode_json(entry), key=entry.key.encode()).result(20)

    def log(self, topic: str) -> list[Any]:
        """All records of a topic, partition by partition."""
        return read_log(self.brokers, topic)

    def drain(self, roles: Sequence[str], timeout: float = 40.0) -> None:
        """Wait until the roles have finished with everything."""
        with Progress(self.brokers, self.app_id, roles=roles, topics=self.topics) as progress:
            wait_for("drained", progress.drained, timeout)

    def close(self) -> None:
        """Let go of the connection."""
        self.producer.close()


def _renamed(topic: declared.Topic, name: str) -> declared.Topic:
    values = {field: getattr(topic, field) for field in topic.__struct_fields__}
    partitions = PARTITIONS if topic.partitions > 1 else 1
    return declared.Topic(**(values | {"name": name, "partitions": partitions}))


class Process:
    """`python -m streams` as a child; `kill` is SIGKILL."""

    def __init__(self, place: Place, roles: Sequence[str], instance: str = "streams-0", **more: object) -> None:
        settings = {
            "brokers": place.brokers,
            "data_dir": str(place.folder / instance),
            "app_id": place.app_id,
            "instance_id": instance,
            "roles": list(roles),
            "topics": asdict(place.topics),
            **more,
        }
        self.log = place.folder / f"{instance}.log"
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "streams", json.dumps(settings)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def ready(self) -> Process:
        """Wait until it has its partitions and its state."""
        assert self._child.stdout is not None
        # not select(): a long test run may hold more than 1,024 files
        answer = select.poll()
        answer.register(self._child.stdout, select.POLLIN)
        line = self._child.stdout.readline() if answer.poll(60_000) else b""
        if line != b"ready\n":
            self.kill()
            raise AssertionError(f"the streams did not come up: {self.log.read_text()[-3000:]}")
        return self

    def kill(self) -> None:
        """End it as a crash would."""
        self._child.kill()
        self._child.wait(10)

    def stop(self) -> int:
        """End it as an orchestrator would; its exit status."""
        self._child.terminate()
        return self._child.wait(10)

    def wait(self) -> int:
        """Wait until it ends by itself; its exit status."""
        return self._child.wait(20)

    def __enter__(self) -> Process:
        return self.ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self.kill()
        if self._child.stdout is not None:
            self._child.stdout.close()


def ask(store_url: str, *queries: str) -> list[list[dict[str, Any]]]:
    """Rows of queries; a process of its own asks, since chDB opens one folder per process."""
    code = (
        "import json, sys; from store import open_store; s = open_store(sys.argv[1]);"
        "print(json.dumps([s.query(q) for q in sys.argv[2:]], default=str)); s.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, store_url, *queries], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answer: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return answer


def migrate_store(store_url: str) -> None:
    """Create the tables."""
    code = "import sys; from store import open_store, migrate; s = open_store(sys.argv[1]); migrate(s); s.close()"
    subprocess.run([sys.executable, "-c", code, store_url], cwd=ROOT, check=True, timeout=60)
