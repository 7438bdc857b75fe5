"""A simulated drive through vision and the tracker against its truth."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cameras.simulator import simulate
from fleet.cli import cli
from fleet.drive_score import DriveScore, judge_frame
from vision.types import Detection, PlateResult, PlateText


def result(text: str, x: float, y: float, width: float = 60.0) -> PlateResult:
    height = width / 4
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)
    said = PlateText(text, 0.9, (), ((text, 0.9),))
    return PlateResult(Detection(corners, 0.9), said, np.zeros((48, 144, 3), np.uint8), 100.0)


def plate(text: str, x: float, y: float, legible: bool = True) -> dict[str, object]:
    corners = [[x, y], [x + 60, y], [x + 60, y + 15], [x, y + 15]]
    return {"plate": text, "corners": corners, "legible": legible}


def test_a_frame_is_judged_by_place_and_text() -> None:
    truth = [plate("RIGHT1", 0, 0), plate("WRONG1", 100, 0), plate("MISSED", 200, 0), plate("BLUR11", 300, 0, False)]
    results = [result("RIGHT1", 2, 1), result("WR0NG1", 101, 0), result("BLVR11", 300, 0), result("SIGN", 0, 200)]
    total = DriveScore()
    judge_frame(truth, [*results, result("", 100, 200)], total)
    assert (total.frames, total.plates, total.found, total.read, total.elsewhere) == (1, 3, 2, 1, 1)


def test_a_drive_is_scored_per_frame_and_per_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEFLEET_DATA_DIR", str(tmp_path / "data"))
    drive = tmp_path / "drive"
    simulate(drive, seed=101, cameras=1, seconds=6, fps=3)
    done = CliRunner().invoke(cli, ["evaluate", "--drive", str(drive), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    got = json.loads(done.stdout)
    rows = [json.loads(line) for line in (drive / "truth_frames.jsonl").read_text().splitlines()]
    passes = [json.loads(line) for line in (drive / "truth.jsonl").read_text().splitlines()]
    assert got["frames"] == 18
    assert got["plates"] == sum(row["legible"] for row in rows) > 0
    assert got["plates"] >= got["found"] >= got["read"] > 0
    assert got["passes"] == sum(one["legible_frames"] > 0 for one in passes)
    assert got["right"] + got["wrong"] + got["missed"] == got["passes"]
    assert got["sightings"] >= got["right"] > 0


def test_no_drive_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["evaluate", "--drive", str(tmp_path)])
    assert isinstance(done.exception, ValueError), "main tells it in one line"
    assert "name a folder that `platefleet simulate` wrote" in str(done.exception)
