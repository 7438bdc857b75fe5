"""`up` under attack: killed by force it leaves nothing behind, and what it starts comes back when it is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 180.0

pytestmark = pytest.mark.faults


def _until(true: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT_S
    while not (value := true()):
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"
        time.sleep(0.1)
    return value


def _service(up: psutil.Process, name: str) -> psutil.Process | None:
    for child in up.children():
        try:
            line = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if name in line or (name == "kafka" and "kafka.Kafka" in line):
            return child
    return None


@pytest.fixture
def up(tmp_path: Path) -> Iterator[psutil.Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATEFLEET_")}
    own = {"PLATEFLEET_DATA_DIR": str(tmp_path), "PLATEFLEET_KAFKA_PORT": "0", "PLATEFLEET_STORE_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet", "up", "--source", "none"],
        cwd=ROOT, env=clean | own, stdout=subprocess.DEVNULL, stderr=(tmp_path / "up.err").open("wb"),
    )  # fmt: skip
    _until(lambda: (tmp_path / "running.json").exists() or process.poll() is not None, "it serves")
    assert process.poll() is None, (tmp_path / "up.err").read_text()
    yield psutil.Process(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait(WAIT_S)


def test_killed_by_force_it_leaves_no_process(up: psutil.Process) -> None:
    family = up.children(recursive=True)
    assert len(family) >= 6
    up.kill()
    # the kernel ends our own at once; Ray's agents notice by themselves that their node is gone
    _, alive = psutil.wait_procs(family, timeout=WAIT_S)
    assert alive == []


@pytest.mark.parametrize("name", ["kafka", "store", "workers", "streams"])
def test_a_killed_process_comes_back(up: psutil.Process, tmp_path: Path, name: str) -> None:
    first = _service(up, name)
    assert first is not None
    first.kill()

    def back() -> bool:
        again = _service(up, name)
        return again is not None and again.pid != first.pid

    _until(back, f"{name} runs again")
    if name != "kafka":
        _until(lambda: (tmp_path / "run" / f"{name}.ready").exists(), f"{name} serves again")
    assert "starting it again (1 of 5)" in (tmp_path / "up.err").read_text()
    assert json.loads((tmp_path / "running.json").read_text())["pid"] == up.pid
