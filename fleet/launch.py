"""Everything on one machine. In: settings. Out: Kafka, store, workers and streams that serve, and their orderly end.

What the settings name from outside (PLATEFLEET_BROKERS, PLATEFLEET_STORE_URL, PLATEFLEET_RAY_ADDRESS) is used and
not started. All processes start at once and wait for each other: the slowest decides, not the sum.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from fleet.children import ChildError
from fleet.local_kafka import LocalKafka, free_port, port_in_use
from fleet.rooms import kafka_security, topic_partitions
from fleet.running import DataLock, Running, with_login
from fleet.settings import Settings, child_environment
from fleet.supervise import (
    KafkaService,
    LaunchError,
    ProcessService,
    Service,
    Supervisor,
    adopt_orphans,
    descendants,
    end_all,
)
from plumbing.kafka_bus import create_topics
from schemas.topics import TOPICS

READY_S = 120.0
DEFAULT_KAFKA_PORT = 9092
DEFAULT_STORE_PORT = 8123


class Machine:
    """The processes of one machine; `start` once, `stop` always.

    Args:
        settings: of the whole.
        speed: `realtime` leaves a core to everything but the readers, `max` does not.
        tell: takes a line for the person at the terminal.
    """

    def __init__(self, settings: Settings, speed: str, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._speed = speed
        self._tell = tell
        self._lock: DataLock | None = None
        self._services: dict[str, Service] = {}
        self.supervisor = Supervisor(tell)
        self.security = kafka_security(settings)
        self.brokers = settings.brokers
        self.store_url = settings.store_url.get_secret_value() if settings.store_url else ""
        self.local_store_url = ""
        """Of the embedded store, without a password; empty where the store is external."""
        self.folder = settings.data_dir / "run"
        """Logs and ready files."""

    def start(self, stop: threading.Event, prepare: Callable[[], None] = lambda: None) -> None:
        """Start all, and return when all serve, or when `stop` is set.

        Args:
            prepare: called when the topics are there, before the first frame is read.

        Raises:
            CommandError: another `up` has the data folder.
            LaunchError: a process does not start; its reason is in the text.
            BusError: an external Kafka does not answer or refuses.
        """
        adopt_orphans()
        self._lock = DataLock(self._settings.data_dir)
        self._make_folder()
        kafka = self._local_kafka()
        store = self._store_service()
        services = [one for one in (store, self._workers(), self._streams(), self._deliver()) if one is not None]
        with ThreadPoolExecutor(1, thread_name_prefix="kafka-start") as pool:
            broker = pool.submit(self._start_kafka, kafka, prepare)
            for service in services:
                self._run(service)
            broker.result()
        self._wait(services, stop)
        self._lock.tell(Running(pid=os.getpid(), brokers=self.brokers, store_url=self.local_store_url))

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in (*self.folder.glob("*.log"), *self.folder.glob("*.ready")):
                old.unlink()
        except OSError as error:
            raise LaunchError(f"cannot write {self.folder}: {(error.strerror or str(error)).lower()}") from error

    def _local_kafka(self) -> KafkaService | None:
        if self.brokers:
            return None
        port = _choose_port(self._settings.kafka_port, DEFAULT_KAFKA_PORT, "Kafka", "PLATEFLEET_KAFKA_PORT")
        self.brokers = f"127.0.0.1:{port}"
        kafka = LocalKafka(
            self._settings.data_dir / "kafka",
            port,
            self._settings.kafka_heap,
            cache=self._settings.cache_dir,
            on_fetch=lambda done, total: (
                self._tell(f"fetching Kafka, once: {done} of {total} jars") if done in (1, total) else None
            ),
        )
        return KafkaService(kafka)

    def _start_kafka(self, kafka: KafkaService | None, prepare: Callable[[], None]) -> None:
        if kafka is not None:
            kafka.start()
            self._services[kafka.name] = kafka
            self.supervisor.add(kafka)
        create_topics(
            self.brokers,
            TOPICS,
            partitions=topic_partitions(self._settings),
            replication=self._settings.replication,
            security=self.security,
        )
        prepare()

    def _store_service(self) -> ProcessService | None:
        if self.store_url:
            return None
        host = self._settings.store_host
        port = _choose_port(self._settings.store_port, DEFAULT_STORE_PORT, "the store", "PLATEFLEET_STORE_PORT")
        self.local_store_url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
        self.store_url = with_login(self._settings, self.local_store_url)
        return self._service("store", ["store", "--port", str(port)], grace=2.5)

    def _workers(self) -> ProcessService:
        name = self._settings.worker_id or "workers-0"
        arguments = ["workers", "--brokers", self.brokers, "--speed", self._speed]
        return self._service("workers", arguments, PLATEFLEET_WORKER_ID=name)

    def _streams(self) -> ProcessService:
        # never a password in a command line: the process adds it from its settings
        store = ["--store-url", self.local_store_url] if self.local_store_url else []
        return self._service("streams", ["streams", "--brokers", self.brokers, *store])

    def _deliver(self) -> ProcessService | None:
        if not self._settings.targets:
            return None
        return self._service("deliver", ["deliver", "--brokers", self.brokers])

    def _service(self, name: str, arguments: Sequence[str], *, grace: float = 6.0, **extra: str) -> ProcessService:
        ready = ["--ready-file", str(self.folder / f"{name}.ready")]
        command = [sys.executable, "-m", "fleet", *arguments, *ready]
        return ProcessService(name, command, self.folder, child_environment(self._settings, **extra), grace)

    def _run(self, service: ProcessService) -> None:
        try:
            service.start()
        except ChildError as error:
            raise LaunchError(str(error)) from error
        self._services[service.name] = service

    def _wait(self, services: Sequence[ProcessService], stop: threading.Event) -> None:
        deadline = time.monotonic() + READY_S
        waiting = list(services)
        while waiting and not stop.wait(0.05):
            for service in list(waiting):
                if service.ready_file.exists():
                    waiting.remove(service)
                    self.supervisor.add(service)
                elif not service.alive:
                    raise LaunchError(service.why_dead())
                elif time.monotonic() > deadline:
                    raise LaunchError(f"{service.name} did not start within {READY_S:.0f} s; its log is {service.log}")

    def camera_process(self, source: str, arguments: Sequence[str]) -> ProcessService:
        """Start the publisher; it is not started again when it ends."""
        # an address may hold a password, which never stands in a command line
        environment = child_environment(self._settings, PLATEFLEET_SOURCE=source)
        command = [sys.executable, "-m", "fleet", "publish", "--json", "--brokers", self.brokers, *arguments]
        service = ProcessService("cameras", command, self.folder, environment, grace=5.0)
        self._run(service)
        return service

    def check(self) -> None:
        """Raises:
        LaunchError: a process died too often and was given up.
        """
        if self.supervisor.failed.is_set():
            raise LaunchError(self.supervisor.failure)

    def stop(self) -> None:
        """End everything within ten seconds: those who write first, then those they write to."""
        self.supervisor.end()
        family = descendants()
        with ThreadPoolExecutor(4, thread_name_prefix="stop") as pool:
            for names in (("cameras", "workers", "streams", "deliver"), ("store", "kafka")):
                list(pool.map(lambda name: self._services[name].stop(), [n for n in names if n in self._services]))
        end_all([*family, *descendants()])
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _choose_port(wanted: int | None, default: int, what: str, setting: str) -> int:
    if wanted is None:
        return free_port() if port_in_use(default) else default
    if wanted and port_in_use(wanted):
        raise LaunchError(
            f"port {wanted} is in use; set {setting} to another one for {what}, or stop what listens there"
        )
    return wanted or free_port()
