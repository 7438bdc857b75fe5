"""The commands of docker-compose.yml, started as they stand there on this machine, until a frame comes out read.

Only addresses and folders are others: what the containers would find by name is put in its place.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from test_compose import SERVICES, filled

from cameras.simulator import simulate
from fleet.local_kafka import LocalKafka
from plumbing.kafka_bus import KafkaBusConsumer, list_topics
from schemas.codec import decode_reads
from schemas.topics import READS, TOPICS

BIN = Path(sys.executable).parent
HEAD_CPUS = "--num-cpus=0"


def own_address() -> str:
    """This machine's address as Ray will see it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


class Host:
    """Stands in for the container engine."""

    def __init__(self, brokers: str, ray_port: int, folder: Path) -> None:
        self.folder = folder
        self._names = {
            "kafka:9092": brokers,
            "ray-head:6379": f"{own_address()}:{ray_port}",
            "--port=6379": f"--port={ray_port}",
            # one node less than in the containers: the head has the reader's CPU, `workers` joins as it does there
            HEAD_CPUS: "--num-cpus=1",
            "/drive/demo": str(folder / "drive"),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def _here(self, text: str) -> str:
        for name, own in self._names.items():
            if name != HEAD_CPUS or text == HEAD_CPUS:
                text = text.replace(name, own)
        return text

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Start a service; its output goes to a file of its name."""
        service = SERVICES[name]
        values = {"RAY_WORKER_CPUS": "1", "READERS": "1"}
        words = [*service.get("entrypoint", ["platefleet"]), *service["command"], *more]
        command = [self._here(filled(str(word), values)) for word in words]
        command = [word.replace("/tmp/ready", str(self.ready(name))) for word in command]
        given = {key: self._here(filled(str(value), values)) for key, value in service.get("environment", {}).items()}
        given["PLATEFLEET_DATA_DIR"] = str(self.folder / name)
        given.pop("PLATEFLEET_METRICS_PORT", None)
        token = {"RAY_AUTH_TOKEN": "invented" * 4} if "RAY_AUTH_TOKEN" in given else {}
        environment = {**os.environ, **given, **token, "PATH": f"{BIN}:{os.environ['PATH']}"}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
        self._running.append(process)
        return process

    def ready(self, name: str) -> Path:
        """The file that says that a service serves."""
        return self.folder / f"{name}.ready"

    def log(self, name: str) -> str:
        """What the service has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def job(self, name: str) -> None:
        """Run a service to its end."""
        assert self.start(name).wait(120) == 0, self.log(name)

    def wait(self, process: subprocess.Popen[bytes], name: str, condition: Callable[[], bool]) -> None:
        """Until the condition holds; fails as soon as the process has ended."""
        end = time.monotonic() + 150
        while not condition():
            assert process.poll() is None, f"{name}: {self.log(name)}"
            assert time.monotonic() < end, f"{name} does not serve: {self.log(name)}"
            time.sleep(0.1)

    def end(self) -> None:
        """Stop what was started, and Ray's own processes, which know the folder."""
        mark = str(self.folder)
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for one in psutil.process_iter(["cmdline"]):
            if any(mark in word for word in one.info["cmdline"] or []):
                one.kill()


@pytest.fixture
def host(free_port: Callable[[], int]) -> Iterator[Host]:
    # Ray's sockets lie in it: a path of more than 107 bytes would be too long for them
    folder = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))
    try:
        with LocalKafka(folder / "k") as broker:
            found = Host(broker.brokers, free_port(), folder)
            try:
                yield found
            finally:
                found.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.faults  # a Ray cluster of its own: too heavy for every run
@pytest.mark.timeout(400)
def test_the_services_carry_a_frame_from_the_camera_to_its_reads(host: Host) -> None:
    head = host.start("ray-head", f"--temp-dir={host.folder / 'ray'}")
    simulate(host.folder / "drive", seed=3, cameras=1, seconds=2, fps=4, width=640, height=360)
    host.job("topics")
    brokers = host._names["kafka:9092"]
    assert {topic.name for topic in TOPICS} <= list_topics(brokers).keys()

    health = [host._here(word) for word in SERVICES["ray-head"]["healthcheck"]["test"][1:]]
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "invented" * 4}
    environment = {**os.environ, **secret, "PATH": f"{BIN}:{os.environ['PATH']}"}
    quiet = subprocess.DEVNULL
    host.wait(
        head, "ray-head", lambda: subprocess.run(health, env=environment, stdout=quiet, stderr=quiet).returncode == 0
    )
    workers = host.start("workers")
    tracker = host.start("tracker")
    host.wait(workers, "workers", host.ready("workers").exists)
    host.wait(tracker, "tracker", host.ready("tracker").exists)
    host.job("demo-cameras")

    consumer = KafkaBusConsumer(brokers, "test", "test")
    consumer.subscribe([READS.name])
    seen: set[int] = set()

    def all_read() -> bool:
        for record in consumer.poll(0.5):
            message = decode_reads(record.value or b"")
            seen.update([message.seq] if hasattr(message, "frame_offset") else [])
        return len(seen) == 8

    try:
        host.wait(workers, "workers", all_read)
    finally:
        consumer.close()
