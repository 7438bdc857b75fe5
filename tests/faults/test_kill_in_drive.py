"""kill -9 of a reader actor and of the Faust worker in the middle of a drive: nothing is lost, nothing is doubled.

The drive carries its truth, so three accounts must agree: every frame that was rendered is on fleet.reads; the
sightings in SQL are those that the pure tracker makes of these reads when nothing dies; and each hotlist entry has one
alert per sighting of its plate.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "streams"))

from running import read_log, undisturbed, wait_for

from cameras.simulator import simulate
from fleet.local_kafka import LocalKafka
from schemas.alert import Alert
from schemas.codec import decode_json, decode_reads
from schemas.read import FrameReads
from schemas.sighting import Sighting
from store import open_store
from streams.progress import close_all, drained

pytestmark = [pytest.mark.faults, pytest.mark.timeout(420)]
CAMERAS, SECONDS, FPS = 2, 24, 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with LocalKafka(tmp_path / "kafka") as kafka:
        yield kafka.brokers


def test_readers_and_streams_die(broker: str, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    simulate(drive, seed=5, cameras=CAMERAS, seconds=SECONDS, fps=FPS)
    truth = [json.loads(line) for line in (drive / "truth.jsonl").read_text().splitlines()]
    wanted = sorted({one["plate"] for one in truth if one["legible_frames"] >= 3})
    assert wanted, "the drive shows no legible plate: nothing would be proved"
    hotlist = tmp_path / "wanted.txt"
    hotlist.write_text("\n".join(wanted) + "\n")
    with (tmp_path / "up.err").open("wb") as err:
        up = subprocess.Popen(
            [sys.executable, "-m", "fleet", "up", "--source", str(drive), "--hotlist", str(hotlist)],
            env={**os.environ, "PLATEFLEET_DATA_DIR": str(tmp_path / "data"), "PLATEFLEET_BROKERS": broker},
            stderr=err,
        )
    try:
        _kill_in_turn(up, broker)
        wait_for("the drive read", lambda: _read_all(broker), 150)
        close_all(broker, {one["camera_id"] for one in truth})
        wait_for("all of it in SQL", lambda: drained(broker), 90)
        rows = _sql(tmp_path / "data", "SELECT toString(sighting_id) AS id, plate, frames, status FROM sightings")
        counts = _sql(tmp_path / "data", "SELECT count() AS n, uniqExact(alert_id) AS ids FROM alerts")[0]
    finally:
        up.terminate()
        up.wait(15)
    reads = [decode_reads(r.value) for r in read_log(broker, "fleet.reads")]
    assert {(r.camera_id, r.seq) for r in reads if isinstance(r, FrameReads)} == _rendered(drive)
    expected = _remaining(undisturbed(broker, "fleet.reads"))
    shown = {(str(r["id"]), r["plate"], r["frames"]) for r in rows}
    assert shown == expected, f"only in SQL {shown - expected}, missing from SQL {expected - shown}"
    assert len({r["id"] for r in rows}) == len(rows)
    assert expected, "no sighting at all: nothing was proved"
    raised = [decode_json(r.value, Alert) for r in read_log(broker, "fleet.alerts")]
    hit = {name for name, plate, _ in expected if plate in wanted}
    standing = _standing(raised)
    assert {alert.sighting_id for alert in standing if alert.match == "exact"} >= hit
    assert max(Counter((a.sighting_id, a.entry) for a in standing).values(), default=0) == 1
    assert counts["n"] == counts["ids"]


def _kill_in_turn(up: "subprocess.Popen[bytes]", broker: str) -> None:
    """A reader, then the streams, then both again, each while frames are coming in."""
    wait_for("first reads", lambda: _count(broker, "fleet.reads") > 2 * FPS, 90)
    for name in ("ReaderActor", "fleet streams", "ReaderActor", "fleet streams"):
        _find(up, name).kill()
        seen = _count(broker, "fleet.reads")
        wait_for(f"reads after the death of {name}", lambda seen=seen: _count(broker, "fleet.reads") > seen + FPS, 60)


def _find(up: "subprocess.Popen[bytes]", name: str) -> psutil.Process:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.Process(up.pid).children(recursive=True):
            try:
                if name in " ".join(process.cmdline()):
                    return process
            except psutil.Error:
                continue
        time.sleep(0.1)
    raise AssertionError(f"no process {name} below up")


def _read_all(broker: str) -> bool:
    """Every frame of the drive is on fleet.reads."""
    frames = (_frame(record) for record in read_log(broker, "fleet.reads"))
    return len({(f.camera_id, f.seq) for f in frames if f is not None}) == CAMERAS * round(SECONDS * FPS)


def _frame(record: "object") -> FrameReads | None:
    message = decode_reads(record.value)  # type: ignore[attr-defined]
    return message if isinstance(message, FrameReads) else None


def _rendered(drive: Path) -> set[tuple[str, int]]:
    return {
        (folder.name, json.loads(line)["seq"])
        for folder in drive.glob("camera-*")
        for line in (folder / "frames.jsonl").read_text().splitlines()
    }


def _remaining(told: Iterable[Sighting]) -> set[tuple[str, str, int]]:
    """(sighting, plate, frames) of the last revisions; withdrawn ones are gone."""
    last: dict[str, Sighting] = {}
    for sighting in told:
        if sighting.status != "withdrawn":
            last[sighting.sighting_id] = sighting
        elif sighting.sighting_id in last and last[sighting.sighting_id].plate == sighting.plate:
            del last[sighting.sighting_id]
    return {(s.sighting_id, s.plate, s.frames) for s in last.values()}


def _standing(alerts: list[Alert]) -> list[Alert]:
    """One per alert_id, without those that were withdrawn later."""
    last: dict[str, Alert] = {}
    for alert in alerts:
        known = last.get(alert.alert_id)
        if known is None or alert.revision >= known.revision:
            last[alert.alert_id] = alert
    return [alert for alert in last.values() if alert.status == "raised"]


def _count(broker: str, topic: str) -> int:
    return len(read_log(broker, topic))


def _sql(data: Path, sql: str) -> list[dict[str, object]]:
    running = json.loads((data / "running.json").read_text())
    store = open_store(running["store_url"])
    try:
        return store.query(sql)
    finally:
        store.close()
