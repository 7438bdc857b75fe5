"""One run of `up`. In: a source. Out: live lines, and a report when it ends.

Machine     Kafka, store, workers, streams          fleet/launch.py
cameras     `platefleet publish` as a process       fleet/commands/publish.py
Monitor     what a user sees, and when              fleet/monitor.py
drain       until nothing is under way              fleet/drain.py
Report      tables or JSON                          fleet/summary.py
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fleet.drain import drain
from fleet.errors import CommandError
from fleet.hotlists import HotlistBus
from fleet.launch import Machine
from fleet.memory import MemoryWatch
from fleet.monitor import Monitor
from fleet.rooms import worker_settings
from fleet.score import read_truth
from fleet.settings import Settings
from fleet.summary import Report, collect, compare, count_dead, latencies
from fleet.supervise import LaunchError, ProcessService
from plumbing.clock import from_ms
from schemas.alert import Alert
from schemas.hotlist import HotlistEntry
from schemas.sighting import Sighting
from schemas.topics import FRAMES


class Interrupted(Exception):
    """The person wants it to end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run shall do."""

    source: str
    """Folder, file or address; empty: no cameras of our own."""
    cameras: int | None
    speed: str
    now: bool
    """Play a recording as if it were driven now."""
    exit: bool
    """End when the source is at its end and all of it is in SQL."""
    hotlist: tuple[HotlistEntry, ...] = ()
    truth: Path | None = None
    started: float = 0.0
    """`time.monotonic` of the command's start, rendering left out."""
    prefix: str | None = None
    """Of the names of cameras that have none."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where lines go."""

    note: Callable[[str], None]
    """For a person, on standard error."""
    sighting: Callable[[Sighting], None]
    alert: Callable[[Alert], None]


class Run:
    """One `up` from start to end.

    Args:
        settings: of the whole.
        plan: what to do.
        screen: where lines go.
        stop: set when the person wants it to end.
    """

    def __init__(self, settings: Settings, plan: Plan, screen: Screen, stop: threading.Event) -> None:
        self._settings, self._plan, self._screen, self._stop = settings, plan, screen, stop
        self._machine = Machine(settings, plan.speed, screen.note)
        self._began = datetime.now(UTC)

    def go(self) -> Report | None:
        """Run; None when the person ended it, or when nothing was to be reported.

        Raises:
            CommandError, LaunchError, BusError, StoreError: in one line each.
        """
        memory = MemoryWatch()
        try:
            self._machine.start(self._stop, self._import_hotlist)
            self._on()
            self._screen.note(
                f"up: Kafka {self._machine.brokers}, SQL {self._machine.local_store_url or 'external'}, "
                f"logs in {self._machine.folder}"
            )
            if not self._plan.source:
                self._stay()
                return None
            return self._with_cameras(memory)
        except Interrupted:
            return None
        finally:
            memory.close()
            self._machine.stop()

    def _import_hotlist(self) -> None:
        if self._plan.hotlist:
            HotlistBus(self._machine.brokers, self._machine.security).put(self._plan.hotlist)

    def _on(self) -> None:
        """Go on, unless the person or a dead process says otherwise."""
        if self._stop.is_set():
            raise Interrupted
        self._machine.check()

    def _stay(self) -> None:
        while True:
            self._on()
            self._stop.wait(0.5)

    def _with_cameras(self, memory: MemoryWatch) -> Report | None:
        machine, plan = self._machine, self._plan
        live = plan.now and plan.speed == "realtime"
        monitor = Monitor(
            machine.brokers,
            machine.store_url,
            machine.security,
            self._screen.sighting,
            self._screen.alert,
            measure=live and plan.exit,
        )
        monitor.start()
        try:
            cameras = _Cameras(machine.camera_process(plan.source, _arguments(plan)), self._screen.note)
            while not cameras.ended():
                self._on()
                self._stop.wait(0.1)
            cameras.check()
            if not plan.exit:
                self._screen.note(_WHAT_NEXT)
                self._stay()
            self._screen.note("the source is at its end; waiting until all of it is read and in SQL")
            self._drain(cameras)
            seconds = time.monotonic() - cameras.begun
            first = monitor.seen.first_sighting
            report = self._report(cameras, seconds)
            report.latency = latencies(monitor.seen) if live else {}
            report.start_seconds = round(first - plan.started, 2) if first else None
            report.memory_bytes = memory.most
            return report
        finally:
            monitor.stop()

    def _drain(self, cameras: "_Cameras") -> None:
        chosen = worker_settings(self._settings, self._machine.brokers)
        drain(
            self._machine.brokers,
            cameras.names,
            self._machine.security,
            worker_group=chosen.group,
            frames_topic=FRAMES.name,
            go_on=self._on,
        )

    def _report(self, cameras: "_Cameras", seconds: float) -> Report:
        passes = read_truth(self._plan.truth, cameras.shift_ms) if self._plan.truth else []
        since, until = _ALL_TIME
        if passes:
            since = from_ms(min(one.first_seen for one in passes)) - timedelta(minutes=1)
            until = from_ms(max(one.last_seen for one in passes)) + timedelta(minutes=1)
        elif self._plan.now:
            since = datetime.now(UTC) - timedelta(seconds=seconds + 60)
        sightings, alerts = collect(self._machine.store_url, cameras.names, since, until)
        report = Report(cameras.frames, seconds, sightings, alerts)
        report.source_errors = cameras.errors
        report.dead_letters = count_dead(self._machine.store_url, self._began)
        if passes:
            report.truth = compare([one for one in passes if one.camera_id in cameras.names], sightings)
        return report


_ALL_TIME = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_WHAT_NEXT = (
    "the source is at its end; everything stays up until Ctrl-C. In another terminal:\n"
    "  platefleet query 'SELECT plate, camera_id, first_seen, frames FROM sightings ORDER BY first_seen'\n"
    "  platefleet alerts --from-beginning\n"
    "  platefleet hotlist add 'AB12*' --reason 'look out'"
)


def _arguments(plan: Plan) -> list[str]:
    count = [] if plan.cameras is None else ["--cameras", str(plan.cameras)]
    prefix = [] if plan.prefix is None else ["--prefix", plan.prefix]
    return ["--speed", plan.speed, *count, *prefix, *(["--now"] if plan.now else [])]


class _Cameras:
    """The publisher's process, and what it tells of itself."""

    def __init__(self, process: ProcessService, note: Callable[[str], None]) -> None:
        self._process = process
        self._note = note
        self._read = 0
        self.names: Sequence[str] = ()
        self.shift_ms = 0
        self.begun = time.monotonic()
        """When the first frame was about to be sent: the start of the publisher's process comes before."""
        self.frames = 0
        self.errors = 0
        """Pictures and files that could not be sent."""
        self._done: dict[str, Any] = {}

    def ended(self) -> bool:
        """True when the process has ended and all that it told is known."""
        ended = not self._process.alive
        with suppress(OSError):
            with self._process.log.open("rb") as log:
                log.seek(self._read)
                data = log.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                self._take(line)
        return ended

    def _take(self, line: str) -> None:
        if not line.startswith("{"):
            if line.startswith("platefleet: ") and self.names:
                self._note(line.partition(": ")[2])
            return
        event = json.loads(line)
        if event.get("event") == "started":
            self.names, self.shift_ms = event["cameras"], event["shift_ms"]
            self.begun = time.monotonic()
        elif event.get("event") in ("progress", "done"):
            self.frames = event["frames"]
        if event.get("event") == "done":
            self._done = event
            self.errors = len(event["errors"])

    def check(self) -> None:
        """Raises:
        CommandError: the source could not be opened.
        LaunchError: the process died in the middle.
        """
        if not self.names:
            raise CommandError(self._process.why_dead().partition(": ")[2])
        if not self._done:
            raise LaunchError(self._process.why_dead())
