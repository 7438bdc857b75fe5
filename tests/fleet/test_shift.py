"""A drive played twice: other times, higher numbers, the same pictures; and the demo's hotlist."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cameras.sources import SourceError
from cameras.sources.recording import open_recording
from fleet.drive import demo_hotlist
from fleet.shift import Shift, ShiftedSource, shift_to_now
from plumbing.clock import ManualClock


def _drive(folder: Path, cameras: int = 2, frames: int = 3) -> Path:
    for camera in range(cameras):
        home = folder / f"camera-{camera}"
        home.mkdir(parents=True)
        lines = []
        for seq in range(frames):
            cv2.imwrite(str(home / f"{seq}.jpg"), np.full((16, 24, 3), 10 * seq, np.uint8))
            at = 1000 + 200 * seq + camera
            lines.append(json.dumps({"file": f"{seq}.jpg", "seq": seq, "captured_at": at, "width": 24, "height": 16}))
        (home / "frames.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(("at_end", "first"), [(False, 1_700_000_000_000), (True, 1_699_999_999_599)])
def test_the_drive_begins_or_ends_now(tmp_path: Path, at_end: bool, first: int) -> None:
    clock = ManualClock()
    cameras = open_recording(_drive(tmp_path), cameras=None, rebase=False, clock=clock)
    shift = shift_to_now(cameras, clock, at_end=at_end)
    played = [list(ShiftedSource(camera, shift)) for camera in cameras]
    assert [message.captured_at for message in played[0]] == [first, first + 200, first + 400]
    assert played[1][0].captured_at == first + 1, "one shift for all cameras"
    clock.advance(1.0)
    again = list(ShiftedSource(cameras[0], shift_to_now(cameras, clock, at_end=at_end)))
    assert min(message.seq for message in again) > max(message.seq for message in played[0])
    assert [message.value for message in again] == [message.value for message in played[0]]


def test_nothing_to_shift_and_an_index_that_is_torn(tmp_path: Path) -> None:
    clock = ManualClock()
    assert shift_to_now([], clock, at_end=False) == Shift()
    cameras = open_recording(_drive(tmp_path), cameras=1, rebase=False, clock=clock)
    (tmp_path / "camera-0" / "frames.jsonl").write_text('{"file": "0.j')
    with pytest.raises(SourceError, match="its last line cannot be read"):
        shift_to_now(cameras, clock, at_end=True)


def test_the_demo_hotlist_holds_plates_of_the_drive_and_a_pattern(tmp_path: Path) -> None:
    with (tmp_path / "truth.jsonl").open("w") as file:
        for number in range(20):
            line = {
                "camera_id": "c", "vehicle_id": f"v{number}", "plate": f"AB{number:02}CD", "region": "DE",
                "first_seen": number * 1000, "last_seen": number * 1000 + 900, "frames_visible": 5,
                "max_plate_height_px": 30.0, "legible_frames": 0 if number % 4 == 0 else 4,
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")
    entries = demo_hotlist(tmp_path)
    assert len(entries) == 6
    assert [entry.is_pattern for entry in entries] == [False] * 5 + [True]
    assert "AB00CD" not in {entry.entry for entry in entries}, "nobody could read it"
