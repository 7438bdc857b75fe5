"""The command line from outside: help is fast, results are JSON where asked, and every error is one line."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cameras.spool import Spool
from fleet.cli import _COMMANDS, cli
from fleet.errors import one_line
from fleet.local_kafka import HOST

ROOT = Path(__file__).resolve().parents[2]


def _run(data_dir: Path, *arguments: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATEFLEET_")}
    return subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        cwd=ROOT,
        env=clean | {"PLATEFLEET_DATA_DIR": str(data_dir)} | extra,
        capture_output=True,
        text=True,
        timeout=200,
    )


def _error(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line of a failed command."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("platefleet: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0].removeprefix("platefleet: ")


def test_help_imports_no_room() -> None:
    program = (
        "import sys\nfrom fleet.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'faust', 'cv2', 'chdb', 'kafka', 'av'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in _COMMANDS)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) > 3


def test_an_unknown_setting_stops_a_command(tmp_path: Path) -> None:
    told = _error(_run(tmp_path, "topics", PLATEFLEET_BROKRES="k:9092"))
    assert told == "environment: unknown setting PLATEFLEET_BROKRES; did you mean PLATEFLEET_BROKERS?"


@pytest.mark.parametrize("command", [["topics"], ["alerts"], ["hotlist", "list"], ["dead", "list"]])
def test_without_any_kafka(tmp_path: Path, command: list[str]) -> None:
    assert _error(_run(tmp_path, *command)).startswith("no Kafka is known: nothing runs on ")


@pytest.mark.parametrize("command", [["topics", "--wait", "1"], ["alerts"], ["publish", "PICTURE"]])
def test_a_kafka_that_does_not_answer(tmp_path: Path, command: list[str]) -> None:
    picture = tmp_path / "picture.jpg"
    cv2.imwrite(str(picture), np.full((40, 60, 3), 90, np.uint8))
    arguments = [str(picture) if part == "PICTURE" else part for part in command]
    told = _error(_run(tmp_path, *arguments, PLATEFLEET_BROKERS="127.0.0.1:1"))
    assert told.startswith("no Kafka broker answers at 127.0.0.1:1")


def test_a_store_that_is_not_there_or_does_not_answer(tmp_path: Path) -> None:
    assert "nothing is stored in" in _error(_run(tmp_path, "query", "SELECT 1"))
    told = _error(_run(tmp_path, "query", "SELECT 1", PLATEFLEET_STORE_URL="http://127.0.0.1:1/"))
    assert "127.0.0.1:1" in told


def test_migrate_and_query_open_the_folder_themselves(tmp_path: Path) -> None:
    dry = _run(tmp_path, "migrate", "--dry-run")
    assert "CREATE TABLE IF NOT EXISTS sightings_raw" in dry.stdout, dry.stderr
    done = _run(tmp_path, "migrate", "--json")
    assert {json.loads(line)["state"] for line in done.stdout.splitlines()} == {"applied", "skipped"}
    found = _run(tmp_path, "query", "--format", "JSONEachRow", "SELECT count() AS n FROM sightings;")
    assert json.loads(found.stdout) == {"n": 0}
    assert "Code: 60" in _error(_run(tmp_path, "query", "SELECT * FROM nowhere"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "holds no pictures"),
        (lambda path: (path.mkdir(), (path / "a.txt").write_text("x")), "holds no pictures"),
    ],
)
@pytest.mark.parametrize("command", [["read"], ["publish"], ["up", "--exit", "--source"]])
def test_sources_that_are_none(tmp_path: Path, command: list[str], make: object, told: str) -> None:
    path = tmp_path / "source"
    assert callable(make)
    make(path)
    assert told in _error(_run(tmp_path / "data", *command, str(path), PLATEFLEET_BROKERS="127.0.0.1:1"))


def test_the_source_may_come_from_the_environment(tmp_path: Path) -> None:
    assert _error(_run(tmp_path, "publish", PLATEFLEET_BROKERS="127.0.0.1:1")).startswith("no source: name one")
    told = _error(_run(tmp_path, "publish", PLATEFLEET_BROKERS="127.0.0.1:1", PLATEFLEET_SOURCE=str(tmp_path / "gone")))
    assert told == f"{tmp_path / 'gone'}: no such file or folder"
    told = _error(_run(tmp_path, "up", "--exit", PLATEFLEET_SOURCE="rtsp://user:wo@rd@camera/front"))
    assert told == "--exit needs a source that ends; rtsp://camera/front is live"


def test_up_hands_no_password_over_in_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleet import launch
    from fleet.run import Plan, _arguments
    from fleet.settings import load_settings

    made: list[tuple[list[str], dict[str, str]]] = []

    class Noted(launch.ProcessService):
        def __init__(
            self, name: str, command: list[str], folder: Path, environment: dict[str, str], grace: float
        ) -> None:
            made.append((command, environment))

        def start(self) -> None: ...

        name = "cameras"

    monkeypatch.setattr(launch, "ProcessService", Noted)
    plan = Plan("rtsp://user:s3cret@camera/front", None, "realtime", now=False, exit=False, prefix="van-07")
    machine = launch.Machine(load_settings(data_dir=tmp_path), plan.speed, print)
    machine.camera_process(plan.source, _arguments(plan))
    ((command, environment),) = made
    assert not any("s3cret" in part for part in command)
    assert command[-2:] == ["--prefix", "van-07"]
    assert environment["PLATEFLEET_SOURCE"] == plan.source


@pytest.mark.parametrize(("prefix", "folder"), [("van-07", "van-07-01"), ("../van", "..%2Fvan-01")])
def test_every_live_camera_has_a_spool_of_its_own(tmp_path: Path, prefix: str, folder: str) -> None:
    spool = Spool(tmp_path / "spool" / folder)
    live = ["publish", "tcp://127.0.0.1:1", "--prefix", prefix]
    told = _error(_run(tmp_path, *live, PLATEFLEET_BROKERS="127.0.0.1:1"))
    assert told == f"{tmp_path}/spool/{folder}: another process has this spool; give each publisher its own"
    spool.close()


def test_up_says_which_port_is_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = _error(_run(tmp_path, "up", "--source", "none", PLATEFLEET_KAFKA_PORT=port))
        assert (
            told
            == f"port {port} is in use; set PLATEFLEET_KAFKA_PORT to another one for Kafka, or stop what listens there"
        )
    assert not (tmp_path / "running.json").exists()


def test_up_cannot_write_its_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = _error(_run(tmp_path / "file" / "data", "up", "--source", "none"))
    assert "cannot use" in told
    assert "PLATEFLEET_DATA_DIR" in told


def test_simulate_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    told = _error(_run(tmp_path, "simulate", "--out", str(tmp_path), "--seconds", "1"))
    assert "not an empty folder" in told


def test_read_goes_on_after_a_broken_picture_and_fails_at_the_end(tmp_path: Path) -> None:
    blank, torn = tmp_path / "blank.png", tmp_path / "torn.jpg"
    cv2.imwrite(str(blank), np.full((90, 160, 3), 90, np.uint8))
    cv2.imwrite(str(torn), np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8))
    torn.write_bytes(torn.read_bytes()[:900])
    done = _run(tmp_path, "read", "--json", str(torn), str(blank), PLATEFLEET_PRECISION="fp32")
    assert done.returncode == 1
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["image"] == str(torn)
    assert "cut off or damaged" in first["error"]
    assert second.keys() == {"image", "width", "height", "processing_time_ms", "results", "unread"}
    assert (second["width"], second["height"], second["results"]) == (160, 90, [])
    assert len([line for line in done.stderr.splitlines() if "cut off" in line]) == 1


def test_errors_of_any_kind_are_one_line(tmp_path: Path) -> None:
    assert one_line(OSError(28, "No space left on device", "/x/y")) == (
        "/x/y: the disk is full; free some space and try again"
    )
    assert one_line(ValueError("two\n lines")) == "two lines"
    assert one_line(KeyError("gone")) == "unexpected KeyError: 'gone'; run it again with --debug for the trace"


def test_debug_shows_the_trace(tmp_path: Path) -> None:
    done = _run(tmp_path, "topics", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
