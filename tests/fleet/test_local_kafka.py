"""The real broker: starts, keeps what it was given, says why it does not start, and dies with its parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fleet.local_kafka import HOST, LocalKafka, LocalKafkaError, free_port, reason_of
from plumbing.kafka_admin import create_topics, list_topics
from schemas.topics import TOPICS


def test_second_start_on_another_port_finds_the_topics_of_the_first(tmp_path: Path) -> None:
    with LocalKafka(tmp_path / "kafka") as first:
        create_topics(first.brokers, TOPICS)
        with pytest.raises(LocalKafkaError, match="in use by another process"):
            LocalKafka(tmp_path / "kafka").start()
        with pytest.raises(LocalKafkaError, match=f"port {first.brokers.split(':')[1]} .* is in use"):
            LocalKafka(tmp_path / "other", port=int(first.brokers.split(":")[1])).start()
        address = first.brokers
    told = first.log.read_text()
    with LocalKafka(tmp_path / "kafka") as second:
        assert first.previous_log.read_text() == told, "why it ended can still be read"
        assert second.brokers != address
        assert {topic.name: topic.partitions for topic in TOPICS}.items() <= list_topics(second.brokers).items()


def test_broker_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from fleet.local_kafka import LocalKafka\n"
        "kafka = LocalKafka(Path(sys.argv[1])).start(); print(kafka.child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "k")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    broker = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while broker.is_running() and broker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the broker outlived its parent"
        time.sleep(0.05)


def test_missing_jars_without_network_are_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(LocalKafkaError, match=r"cannot fetch Kafka's jars.*PLATEFLEET_BROKERS") as caught:
        LocalKafka(tmp_path / "kafka", cache=tmp_path / "cache").start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("java.io.IOException: No space left on device", "the disk is full"),
        ("java.net.BindException: Address already in use", "its port is in use"),
        ("2026-01-01 ERROR Something new (kafka.Kafka)", "ERROR Something new"),
        ("", "no reason in its log"),
    ],
)
def test_reason_of_a_death(log: str, reason: str) -> None:
    assert reason in reason_of(log)


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, free_port()))
