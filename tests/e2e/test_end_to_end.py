"""The real Kafka, Ray, Faust and chDB through `platefleet`, as a person runs them: frames in, SQL and alerts out.

Simulated drives carry their truth; the real photographs are those of the data pack's `val` split.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from kafka import KafkaConsumer

from fleet.score import Pass, Score, Seen, read_truth, score
from schemas.topics import ALERTS, TOPICS

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 240.0
"""Longest wait for anything; far more than it takes, since other work may share the machine."""


ALERT_KEYS = {
    "alert_id", "hotlist_id", "entry", "plate", "match", "camera_id", "seen_at", "confidence", "lat", "lon",
    "sighting_id",
}  # fmt: skip


class Shell:
    """`platefleet` with a data folder of its own."""

    def __init__(self, data_dir: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATEFLEET_")}
        self.data_dir = data_dir
        self.env = clean | {
            "PLATEFLEET_DATA_DIR": str(data_dir),
            "PLATEFLEET_KAFKA_PORT": "0",
            "PLATEFLEET_STORE_PORT": "0",
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "fleet", *arguments],
            cwd=ROOT, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end, and return what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}\n{self.logs()}"
        assert "Traceback" not in err
        return out if code == 0 else err

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a SELECT."""
        return [json.loads(line) for line in self("query", "--format", "JSONEachRow", sql).splitlines()]

    def logs(self) -> str:
        """The ends of all logs, for a failing test."""
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in (self.data_dir / "run").glob("*.log"))


def _until(true: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT_S
    while not (value := true()):
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"
        time.sleep(0.2)
    return value


def _seen(row: dict[str, Any]) -> Seen:
    return Seen(row["sighting_id"], row["camera_id"], row["plate"], int(row["first_ms"]), int(row["last_ms"]))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("platefleet") / "data")


@pytest.fixture(scope="module")
def drive(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras for twelve seconds of good light."""
    folder = tmp_path_factory.mktemp("drive") / "drive"
    shell(
        "simulate", "--seed", "11", "--cameras", "2", "--seconds", "12", "--fps", "5", "--condition", "sun",
        "--out", str(folder),
    )  # fmt: skip
    return folder


def _well_seen(drive: Path) -> list[Pass]:
    """The truth, where a pass counts as legible when a person could read its plate in three frames."""
    return [
        one if one.legible_frames >= 3 else msgspec.structs.replace(one, legible_frames=0)
        for one in read_truth(drive / "truth.jsonl")
    ]


def _wanted(drive: Path) -> list[Pass]:
    """Passes that the hotlist names: those seen best, one per plate."""
    best = sorted(read_truth(drive / "truth.jsonl"), key=lambda one: (-one.legible_frames, one.plate))
    return list({one.plate: one for one in best if one.legible_frames >= 3}.values())[:4]


@pytest.fixture(scope="module")
def report(shell: Shell, drive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `up --exit --json` tells of the drive."""
    hotlist = tmp_path_factory.mktemp("hotlist") / "wanted.csv"
    lines = [f"{one.plate},high,seen best" for one in _wanted(drive)]
    hotlist.write_text("\n".join(["plate,priority,reason", *lines]))
    printed = shell("up", "--source", str(drive), "--speed", "max", "--exit", "--json", "--hotlist", str(hotlist))
    told: dict[str, Any] = json.loads(printed)
    return told


def _judge(shell: Shell, drive: Path) -> Score:
    rows = shell.rows(
        "SELECT toString(sighting_id) AS sighting_id, camera_id, plate, status, frames, "
        "toUnixTimestamp64Milli(first_seen) AS first_ms, toUnixTimestamp64Milli(last_seen) AS last_ms "
        "FROM sightings WHERE startsWith(camera_id, 'camera-')"
    )
    assert {row["status"] for row in rows} == {"final"}
    return score(_well_seen(drive), map(_seen, rows))


def test_sightings_in_sql_are_the_passes_of_the_truth(shell: Shell, drive: Path, report: dict[str, Any]) -> None:
    result = _judge(shell, drive)
    assert result.legible >= 5, "a drive that tests nothing"
    assert result.right_share >= 0.7, f"right {result.right} of {result.legible}, missed {result.missed}"
    assert len(result.doubled) <= 0.2 * result.sightings, result.doubled
    assert report["frames"] == 120
    assert report["truth"]["right"] + report["truth"]["right_though_hardly_legible"] == result.right + result.bonus


def test_every_frame_was_read_once_and_none_was_lost(shell: Shell, drive: Path, report: dict[str, Any]) -> None:
    (counts,) = shell.rows("SELECT count() AS cameras, sum(frames) AS frames, sum(missing) AS missing FROM cameras")
    assert {name: int(value) for name, value in counts.items()} == {"cameras": 2, "frames": 120, "missing": 0}
    (twice,) = shell.rows("SELECT count() AS n, uniqExact(camera_id, seq, frame_index, rank) AS u FROM reads")
    assert twice["n"] == twice["u"]
    (columns,) = shell.rows(
        "SELECT sighting_id, camera_id, plate, confidence, region, candidates, first_seen, last_seen, frames, "
        "lat, lon, heading, speed, model_version, revision FROM sightings LIMIT 1"
    )
    assert columns["lat"] is not None


@pytest.fixture(scope="module")
def running(shell: Shell, report: dict[str, Any]) -> Iterator["subprocess.Popen[str]"]:
    """A second `up` on the same folder, without cameras."""
    process = shell.start("up", "--source", "none")
    told = shell.data_dir / "running.json"
    _until(lambda: told.exists() or process.poll() is not None, "the second `up` serves")
    assert process.poll() is None, process.communicate()[1] + shell.logs()
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_S)


def _brokers(shell: Shell) -> str:
    return str(json.loads((shell.data_dir / "running.json").read_text())["brokers"])


def test_alerts_lie_on_the_topic_for_any_kafka_client(
    shell: Shell, drive: Path, running: "subprocess.Popen[str]"
) -> None:
    consumer = KafkaConsumer(
        ALERTS.name, bootstrap_servers=_brokers(shell), auto_offset_reset="earliest", consumer_timeout_ms=5000
    )
    alerts = [json.loads(record.value) for record in consumer]
    consumer.close()
    raised = {alert["alert_id"]: alert for alert in alerts if alert["status"] == "raised"}
    assert len(raised) == len({(alert["entry"], alert["sighting_id"]) for alert in raised.values()})
    assert all(alert.keys() >= ALERT_KEYS for alert in alerts)
    wanted = {one.plate for one in _wanted(drive)}
    hit = {alert["entry"] for alert in raised.values()}
    assert hit <= wanted
    assert len(hit) >= 0.6 * len(wanted), f"alerts for {hit} of {wanted}"
    in_sql = {row["id"] for row in shell.rows("SELECT toString(alert_id) AS id FROM alerts")}
    assert in_sql == {alert["alert_id"] for alert in alerts}


def test_a_second_up_on_the_same_folder_is_refused(shell: Shell, running: "subprocess.Popen[str]") -> None:
    told = shell("up", "--source", "none", code=1)
    assert told.splitlines()[-1].startswith("platefleet: platefleet is already up on")


def test_commands_find_what_runs(shell: Shell, running: "subprocess.Popen[str]") -> None:
    shell("hotlist", "add", "ZZ 99*", "--list", "spare", "--reason", "test")
    entries = [json.loads(line) for line in shell("hotlist", "list", "--list", "spare", "--json").splitlines()]
    assert [entry["entry"] for entry in entries] == ["ZZ99*"]
    shell("hotlist", "remove", "ZZ99*", "--list", "spare")
    assert shell("hotlist", "list", "--list", "spare", "--json") == ""
    assert "not on list spare" in shell("hotlist", "remove", "ZZ99*", "--list", "spare", code=1)
    assert json.loads(shell("topics", "--json"))["created"] == []
    assert {topic.name for topic in TOPICS} == set(json.loads(shell("topics", "--json"))["topics"])
    states = [json.loads(line)["state"] for line in shell("migrate", "--status", "--json").splitlines()]
    assert set(states) <= {"applied", "skipped"}
    assert "Code: 62" in shell("query", "SELEC 1", code=1)


def test_a_broken_frame_becomes_a_dead_letter_and_its_neighbours_are_read(
    shell: Shell, running: "subprocess.Popen[str]", drive: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    whole = sorted((drive / "camera-01").glob("*.jpg"))[:3]
    for number, path in enumerate(whole):
        shutil.copy(path, folder / f"{number}.jpg")
    # a header and size that are fine, and half of the picture
    (folder / "1.jpg").write_bytes(whole[1].read_bytes()[:20_000])
    before = len(shell("dead", "list", "--json").splitlines())
    printed = shell("publish", str(folder), "--speed", "max", "--json", "--prefix", "torn")
    done = json.loads(printed.splitlines()[-1])
    sent = done["frames"]
    seen = _until(
        lambda: [
            row
            for row in shell.rows("SELECT frames FROM cameras WHERE camera_id = 'torn-01'")
            if int(row["frames"]) + len(shell("dead", "list", "--json").splitlines()) - before >= sent
        ],
        "every frame is read or dead",
    )
    assert int(seen[0]["frames"]) == 2


@pytest.mark.data
def test_real_photographs_become_sightings_of_one_frame(
    shell: Shell, running: "subprocess.Popen[str]", data_pack: Path, tmp_path: Path
) -> None:
    from vision.training.data import load_scenes

    # photographs with one readable plate, no plate twice, evenly over all sources
    known = {one.plates[0].text: one for one in load_scenes("val", root=data_pack) if len(one.plates or ()) == 1}
    scenes = [one for text, one in known.items() if text]
    chosen = scenes[:: max(1, len(scenes) // 30)][:30]
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, scene in enumerate(chosen):
        shutil.copy(scene.image, folder / f"{number:03d}{scene.image.suffix}")
    shell("publish", str(folder), "--speed", "max", "--cameras", "2", "--prefix", "photo")
    _until(
        lambda: (
            sum(
                int(row["frames"])
                for row in shell.rows("SELECT frames FROM cameras WHERE startsWith(camera_id, 'photo-')")
            )
            >= len(chosen)
        ),
        "all photographs are read",
    )
    truth = {scene.plates[0].text for scene in chosen if scene.plates}

    def found() -> set[str]:
        rows = shell.rows("SELECT plate, frames FROM sightings WHERE startsWith(camera_id, 'photo-')")
        right = [row for row in rows if row["plate"] in truth]
        assert {int(row["frames"]) for row in right} <= {1}
        return {row["plate"] for row in right}

    _until(lambda: len(found()) >= 0.4 * len(truth), f"four in ten of {sorted(truth)} are sightings")


def test_interrupt_leaves_no_process_and_the_store_can_be_asked_at_once(
    shell: Shell, running: "subprocess.Popen[str]"
) -> None:
    family = psutil.Process(running.pid).children(recursive=True)
    assert len(family) >= 6, "Kafka, store, workers, streams, Ray"
    running.send_signal(signal.SIGINT)
    running.wait(WAIT_S)
    gone, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert len(gone) == len(family)
    assert shell.rows("SELECT count() > 0 AS there FROM sightings") == [{"there": 1}]
    assert list(shell.data_dir.rglob("*.tmp")) == []
