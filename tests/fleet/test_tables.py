"""Tables show names and reasons as they are, whatever brackets and colons others have written into them."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from delivery.courier import Status
from delivery.service import StatusFile
from fleet.cli import cli
from fleet.commands import dead, hotlist
from fleet.commands.deliver import STATUS_NAME
from fleet.summary import Report, print_report
from fleet.terminal import err, out
from plumbing.bus import Record
from plumbing.kafka_admin import NO_SECURITY
from schemas.codec import encode_dead
from schemas.dead import DeadLetter
from schemas.hotlist import HotlistEntry
from schemas.ids import dead_id

NASTY = "[/x] [abc] :car:"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (out, err):
        monkeypatch.setattr(console, "_width", 250)


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    letter = DeadLetter(
        dead_id=dead_id("worker", "fleet.frames", 0, 1),
        stage="worker",
        reason="not_an_image",
        detail=f"of camera {NASTY}",
        origin_topic="fleet.frames",
        origin_partition=0,
        origin_offset=1,
        trace_id=f"{NASTY}/1",
        at=NOW,
    )
    record = Record("fleet.dead", 0, 0, 0, None, b"", encode_dead(letter, []))
    monkeypatch.setattr(dead, "_kafka", lambda: ("b:1", NO_SECURITY))
    monkeypatch.setattr(dead, "read_topic", lambda *_: iter([record]))
    told = shown("dead", "list")
    assert f"{NASTY}/1" in told
    assert f"of camera {NASTY}" in told


def test_hotlists(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = HotlistEntry(
        hotlist_id="stolen", entry="ABC123", priority="high", reason=NASTY, added_by="[me]", added_at=NOW
    )

    class Bus:
        def records(self) -> list[HotlistEntry]:
            return [entry]

    monkeypatch.setattr(hotlist, "_bus", Bus)
    told = shown("hotlist", "list")
    assert NASTY in told
    assert "[me]" in told


def test_deliveries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEFLEET_DATA_DIR", str(tmp_path))
    status = StatusFile(0, 1, [Status("desk", error=f"answer {NASTY}")])
    (tmp_path / STATUS_NAME).write_bytes(msgspec.json.encode(status))
    assert f"answer {NASTY}" in shown("deliver", "--status")


def test_the_report_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "first_seen": NOW, "seen_at": NOW, "camera_id": NASTY, "plate": "ABC123", "confidence": 0.9, "region": "[us]",
        "frames": 3, "lat": None, "lon": None, "entry": "[AB]C*", "match": "exact", "priority": "high",
        "status": "raised",
    }  # fmt: skip
    print_report(Report(1, 1.0, [row], [row]), out)
    told = capsys.readouterr().out
    assert told.count(NASTY) == 2
    assert "[us]" in told
    assert "[AB]C*" in told


def test_the_marks_of_the_doctor_stay() -> None:
    from fleet.commands.doctor import doctor
    from fleet.doctor import Finding

    found = [Finding("disk", "ok", f"{NASTY} is free"), Finding("Ray", "warn", "no room", "make some")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fleet.doctor.examine", lambda settings: iter(found))
        told = CliRunner().invoke(doctor, catch_exceptions=False).output
    assert told.splitlines() == [f"ok   disk: {NASTY} is free", "warn Ray: no room -> make some"]
