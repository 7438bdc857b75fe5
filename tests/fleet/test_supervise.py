"""Children and their supervisor, with real processes: death, restart, giving up, ends that leave nothing behind."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.children import Child, ChildError
from fleet.local_kafka import LocalKafka
from fleet.supervise import RESTARTS, KafkaService, LaunchError, ProcessService, Supervisor

_SLEEP = "import time; time.sleep(600)"
_FAMILY = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "print(child.pid, flush=True); time.sleep(600)"
)
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def _until(true: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _service(folder: Path, program: str, name: str = "one") -> ProcessService:
    return ProcessService(name, [sys.executable, "-c", program], folder, {"PATH": "/usr/bin:/bin"}, grace=0.5)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(lines: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(lines.append)
    yield made
    made.end()


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    child = Child("deaf", [sys.executable, "-c", _STUBBORN], tmp_path / "log").start()
    _until(lambda: child.tail(), "it listens no longer")
    child.stop(grace=0.2)
    assert child.returncode == -signal.SIGKILL


def test_what_cannot_be_started_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="cannot start ghost: No such file"):
        Child("ghost", [sys.executable], tmp_path / "no-folder" / "log").start()
    child = Child("ghost", ["/nowhere/program"], tmp_path / "log").start()
    assert child.wait(10.0)
    assert child.returncode not in (0, None)
    assert "/nowhere/program" in child.tail()[-1]


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from fleet.children import Child\n"
        f"child = Child('x', [sys.executable, '-c', {_SLEEP!r}], Path(sys.argv[1])).start()\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parents[2]
    parent = Child(
        "parent", [sys.executable, "-c", program, str(tmp_path / "inner")], tmp_path / "log", cwd=root
    ).start()
    _until(lambda: parent.tail(), "the parent tells its child")
    pid = int(parent.tail()[-1])
    assert not _gone(pid)
    psutil.Process(parent.pid).kill()
    _until(lambda: _gone(pid), "the child died too")


def test_a_killed_service_is_started_again_and_its_family_goes(
    tmp_path: Path, supervisor: Supervisor, lines: list[str]
) -> None:
    service = _service(tmp_path, _FAMILY)
    service.start()
    supervisor.add(service)
    _until(lambda: service.log.read_text().strip(), "its child is there")
    grandchild = int(service.log.read_text().split()[0])
    _until(lambda: supervisor._families.get("one"), "the supervisor knows the family")
    first = service.pid
    assert first is not None
    psutil.Process(first).kill()
    _until(lambda: service.pid not in (None, first), "it runs again")
    assert "killed by SIGKILL" in lines[0]
    assert "starting it again (1 of 5)" in lines[0]
    _until(lambda: _gone(grandchild), "what the dead one had started is ended")
    supervisor.end()
    _until(lambda: len(service.log.read_text().split()) == 2, "the second one has a child too")
    second = int(service.log.read_text().split()[-1])
    service.stop()
    psutil.Process(second).kill()


def test_a_service_that_dies_again_and_again_is_given_up(
    tmp_path: Path, supervisor: Supervisor, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_ending", _Impatient())
    service = _service(tmp_path, "import sys; sys.exit('platefleet: the flux is gone')")
    service.start()
    supervisor.add(service)
    assert supervisor.failed.wait(30)
    assert len(lines) == RESTARTS
    assert "the flux is gone" in supervisor.failure
    assert "given up" in supervisor.failure


def test_a_service_that_cannot_be_started_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot start one: No such file"):
        _service(tmp_path / "no-folder", _SLEEP).start()
    (tmp_path / "one.ready").mkdir()
    with pytest.raises(LaunchError, match=r"cannot start one: .*: .*one\.ready"):
        _service(tmp_path, _SLEEP).start()


def test_a_service_that_cannot_be_started_again_ends_all(tmp_path: Path, supervisor: Supervisor) -> None:
    service = _service(tmp_path, "")
    service.start()
    assert service.wait(10)
    service.log.unlink()
    service.log.mkdir()
    supervisor.add(service)
    assert supervisor.failed.wait(10)
    assert "cannot start one: Is a directory" in supervisor.failure


def test_an_error_that_nobody_foresaw_ends_all_and_not_the_watch_alone(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = _service(tmp_path, _SLEEP)
    monkeypatch.setattr(service, "why_dead", lambda: 1 / 0)
    supervisor.add(service)
    assert supervisor.failed.wait(10)
    assert "ZeroDivisionError" in supervisor.failure


def test_the_log_of_a_dead_kafka_is_named_by_both_its_names(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    kafka.log.write_text("java.io.IOException: No space left on device")
    why = KafkaService(kafka).why_dead()
    assert f"(log: {tmp_path}/kafka.log, after a restart kafka.log.previous)" in why


class _Impatient(threading.Event):
    """Waits a tenth as long: the rule is tested, not the patience."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else min(timeout, 0.05))
