"""Workers that are killed, stopped, cut from their broker or badly set: nothing is lost, and errors are one line."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.local_kafka import LocalKafka
from plumbing.bus import BusError
from tests.workers.fakes import jpeg
from tests.workers.rig import RunningWorker, Topics, reader_processes, settings_for, wait_for
from workers.pool import PoolError
from workers.service import run
from workers.settings import ReaderSettings

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = 5
FRAMES = 600


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    topics = Topics(kafka)
    yield topics
    topics.close()


def publish(topics: Topics, count: int = FRAMES) -> set[tuple[str, int]]:
    for n in range(count):
        topics.publish(jpeg(n), f"cam-{n % CAMERAS}", n)
    return {(f"cam-{n % CAMERAS}", n) for n in range(count)}


def identities(topics: Topics) -> list[tuple[str, int]]:
    return [(message.camera_id, message.seq) for message in topics.reads()]


def await_all(topics: Topics, expected: set[tuple[str, int]]) -> None:
    wait_for(lambda: topics.left() == 0, "all committed")
    wait_for(lambda: set(identities(topics)) >= expected, "all read")
    assert set(identities(topics)) == expected
    assert topics.dead() == []


class Process:
    """A worker in a process of its own."""

    def __init__(self, topics: Topics, folder: Path) -> None:
        ready = folder / f"ready-{time.monotonic_ns()}"
        self.command = [sys.executable, "-m", "tests.workers.run_worker", topics.brokers, topics.tag, str(ready)]
        self.process = subprocess.Popen(self.command, cwd=ROOT)
        wait_for(lambda: ready.exists() or self.process.poll() is not None, "the worker is ready")
        assert self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def test_a_worker_killed_in_between_is_followed_by_its_successor(topics: Topics, tmp_path: Path) -> None:
    expected = publish(topics)
    first = Process(topics, tmp_path)
    wait_for(lambda: len(topics.reads()) >= 100, "reads come")
    family = first.family()
    first.process.kill()
    first.process.wait()
    second = Process(topics, tmp_path)
    await_all(topics, expected)
    again = len(topics.reads()) - len(expected)
    limit = settings_for(topics.brokers, topics.tag)
    # what was in flight, and what was acknowledged since the last commit
    assert again <= limit.max_in_flight + 200
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(30) == 0
    wait_for(lambda: not any(process.is_running() for process in family), "Ray's processes end with their worker", 60)


def test_a_worker_stopped_in_between_leaves_nothing_half_done(topics: Topics) -> None:
    expected = publish(topics)
    first = RunningWorker(topics.settings()).wait_ready()
    wait_for(lambda: len(topics.reads()) >= 100, "reads come")
    seconds = first.stop()
    assert first.error is None
    assert seconds < 30
    assert reader_processes() == []
    done = len(topics.reads())
    assert topics.left() == len(expected) - done, "what was read is committed, the rest is not"
    second = RunningWorker(topics.settings()).wait_ready()
    await_all(topics, expected)
    assert len(topics.reads()) == len(expected), "a clean stop repeats nothing"
    second.stop()


def test_a_broker_killed_in_between(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    with LocalKafka(tmp_path / "kafka", port) as broker:
        topics = Topics(broker.brokers)
        expected = publish(topics)
        topics.producer.flush(60)
        worker = RunningWorker(topics.settings()).wait_ready()
        wait_for(lambda: len(topics.reads()) >= 100, "reads come")
        assert broker.child is not None
        broker.stop(grace=0)
    with LocalKafka(tmp_path / "kafka", port):
        await_all(topics, expected)
        assert worker.error is None
        worker.stop()
        topics.close()


def fail(settings: object, kind: type[Exception]) -> tuple[str, float]:
    begin = time.monotonic()
    with pytest.raises(kind) as caught:
        run(settings, threading.Event())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value), time.monotonic() - begin


def test_no_broker_is_told_before_ray_is_started(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    text, _ = fail(settings_for(address, "x"), BusError)
    assert address in text
    assert reader_processes() == []


def test_a_model_that_is_not_there(topics: Topics) -> None:
    text, _ = fail(topics.settings(reader=ReaderSettings(factory="tests.workers.fakes:unloadable")), PoolError)
    assert "vision/weights/nowhere" in text
    text, _ = fail(topics.settings(readers=1, num_gpus=1.0), PoolError)
    assert "GPU" in text
    assert reader_processes() == []


def test_a_ray_cluster_that_is_not_there(topics: Topics, free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    text, seconds = fail(topics.settings(ray_address=address), PoolError)
    assert address in text
    assert seconds < 60, "Ray itself would try for longer"
    text, _ = fail(topics.settings(ray_address="nowhere"), PoolError)
    assert "host:port" in text
    text, _ = fail(topics.settings(ray_address="ray://head:10001"), PoolError)
    assert "host:port" in text
