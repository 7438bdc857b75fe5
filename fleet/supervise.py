"""Keeps the processes of one machine alive. In: services. Out: a line when one dies, a restart, an orderly end.

A service that dies is started again after a wait that doubles; one that dies too often is given up, which ends all.
"""

import ctypes
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from fleet.children import Child, ChildError
from fleet.local_kafka import LocalKafka, LocalKafkaError

log = logging.getLogger(__name__)

RESTARTS = 5
PERIOD_S = 120.0
"""A service may be started again RESTARTS times within PERIOD_S."""
_NOTE_S = 2.0
_PR_SET_CHILD_SUBREAPER = 36


class LaunchError(Exception):
    """The processes cannot be started or kept alive; the text says which, why and where its log is."""


class Service(Protocol):
    """Something that runs, and can be started again."""

    name: str

    def start(self) -> None:
        """Start it, also after a death.

        Raises:
            LaunchError: it cannot be started.
        """

    @property
    def alive(self) -> bool:
        """True while it runs."""

    @property
    def pid(self) -> int | None:
        """Process id, None when it does not run."""

    def why_dead(self) -> str:
        """One line on its end."""

    def stop(self) -> None:
        """End it; returns when it is gone."""


class ProcessService:
    """A command of this project in a process of its own.

    Args:
        name: for messages, and of its log and ready file.
        command: program and arguments.
        folder: for log and ready file.
        env: environment.
        grace: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, env: dict[str, str], grace: float = 5.0
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.ready_file = folder / f"{name}.ready"
        self._command = list(command)
        self._env = env
        self._grace = grace
        self._child: Child | None = None

    def start(self) -> None:
        """As `Service.start`; the ready file is taken away first."""
        try:
            self.ready_file.unlink(missing_ok=True)
            self._child = Child(self.name, self._command, self.log, env=self._env).start()
        except ChildError as error:
            raise LaunchError(str(error)) from error
        except OSError as error:
            raise LaunchError(f"cannot start {self.name}: {error.strerror}: {self.ready_file}") from error

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int | None:
        """Process id, None when it does not run."""
        return self._child.pid if self._child is not None and self.alive else None

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        return self._child.returncode if self._child is not None else None

    def wait(self, timeout: float) -> bool:
        """True when the process ended within `timeout` seconds."""
        return self._child is None or self._child.wait(timeout)

    def why_dead(self) -> str:
        """Its own last word, or its exit code."""
        lines = self._child.tail(40) if self._child else []
        told = [line.partition("platefleet: ")[2] for line in lines if line.startswith("platefleet: ")]
        code = self.returncode
        how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        reason = told[-1] if told else how
        return f"{self.name}: {reason} (log: {self.log})"

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for all that it started."""
        if self._child is not None:
            self._child.stop(self._grace)


class KafkaService:
    """The local Kafka as a service; it keeps its port over restarts."""

    name = "kafka"

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka

    def start(self) -> None:
        """Start the broker and wait until it serves."""
        try:
            self.kafka.stop()
            self.kafka.start()
        except LocalKafkaError as error:
            raise LaunchError(str(error)) from error

    @property
    def alive(self) -> bool:
        """True while the broker runs."""
        return self.kafka.child is not None and self.kafka.child.alive

    @property
    def pid(self) -> int | None:
        """Process id, None when it does not run."""
        return self.kafka.child.pid if self.kafka.child is not None and self.alive else None

    def why_dead(self) -> str:
        """One line on its end."""
        kafka = self.kafka
        return f"kafka: {kafka.reason()} (log: {kafka.log}, after a restart {kafka.previous_log.name})"

    def stop(self) -> None:
        """Stop the broker."""
        self.kafka.stop(3.0)


def adopt_orphans() -> None:
    """Make this process the parent of what its children leave behind, such as Ray's processes after a kill."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[psutil.Process]:
    """All processes under this one."""
    return psutil.Process().children(recursive=True)


def end_all(processes: Sequence[psutil.Process]) -> int:
    """Kill what still runs of `processes`, and return how many that were."""
    left = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=2.0)
    return len(left)


class Supervisor:
    """Watches services from a thread of its own.

    Args:
        tell: takes a line for the person at the terminal.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._services: list[Service] = []
        self._deaths: dict[str, list[float]] = {}
        self._families: dict[str, list[psutil.Process]] = {}
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self.failed = threading.Event()
        self.failure = ""
        """Why a service was given up, once `failed` is set."""

    def add(self, service: Service) -> None:
        """Watch a service that has been started."""
        with self._lock:
            self._services.append(service)
        if not self._thread.is_alive():
            self._thread.start()

    def _watch(self) -> None:
        try:
            self._watch_all()
        except Exception as error:
            log.exception("the supervisor of the services has failed")
            self._give_up(f"the supervisor has failed and can start nothing again ({type(error).__name__}: {error})")

    def _watch_all(self) -> None:
        noted = 0.0
        while not self._ending.wait(0.2):
            with self._lock:
                services = list(self._services)
            for service in services:
                if not service.alive and not self._ending.is_set() and not self.failed.is_set():
                    self._again(service)
            if time.monotonic() - noted > _NOTE_S:
                noted = time.monotonic()
                for service in services:
                    self._note_family(service)

    def _again(self, service: Service) -> None:
        now = time.monotonic()
        recent = [moment for moment in self._deaths.get(service.name, []) if now - moment < PERIOD_S]
        self._deaths[service.name] = [*recent, now]
        why = service.why_dead()
        if len(recent) >= RESTARTS:
            self._give_up(f"{why}; it died {RESTARTS + 1} times within {PERIOD_S:.0f} s and is given up")
            return
        self._tell(f"{why}; starting it again ({len(recent) + 1} of {RESTARTS})")
        if self._ending.wait(0.5 * 2 ** len(recent) - 0.5):
            return
        end_all(self._families.pop(service.name, []))
        try:
            service.start()
        except LaunchError as error:
            self._give_up(str(error))

    def _note_family(self, service: Service) -> None:
        """Remember what a service has started, so that it can be ended with it."""
        pid = service.pid
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                self._families[service.name] = psutil.Process(pid).children(recursive=True)

    def _give_up(self, why: str) -> None:
        self.failure = why
        self.failed.set()

    def end(self) -> None:
        """Watch no longer; nothing is started again from now on."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
