"""The classical reader reads clean invented plates; intervals and folds are what their definitions say."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.plates import plate_with_text, render_plate
from vision.training.baselines import human_sheet, majority, simple_reader
from vision.training.judging import Judged, by_source, fold, interval
from vision.training.slices import slices_of


def test_the_simple_reader_reads_most_of_clean_plates_and_nothing_of_noise() -> None:
    read = simple_reader()
    texts = ("KXW047", "B742HLT", "CJ58RTM", "ZH94316", "WP3827Y", "TR619XN")
    right = 0
    for text in texts:
        picture = render_plate(plate_with_text(text, "DE"))
        right += read(np.asarray(cv2.resize(picture, (144, 48), interpolation=cv2.INTER_AREA), np.uint8)).endswith(text)
    assert right >= 3
    assert read(np.full((48, 144, 3), 90, np.uint8)) == ""


def test_the_majority_is_the_most_frequent_text() -> None:
    assert majority(["B", "A", "B", "A", "C"]) == "A"
    assert majority([]) == ""


def test_an_interval_holds_its_share_and_narrows_with_more_plates() -> None:
    few, many = interval([True, False] * 10), interval([True, False] * 1000)
    assert few[0] < 0.5 < few[1]
    assert few[1] - few[0] == pytest.approx(0.44, abs=0.06)
    assert many[1] - many[0] == pytest.approx(0.044, abs=0.006)
    assert interval([]) == (0.0, 1.0)
    assert interval([True] * 5) == (1.0, 1.0)


def test_figures_of_a_source() -> None:
    plates = [Judged("a", Path("1"), "AB0", "ABO", 0.9, top10=True), Judged("a", Path("2"), "AB1", "", found=False)]
    row = by_source(plates)["a"]
    assert (row["plates"], row["strict"], row["folded"], row["top10"], row["found"]) == (2, 0.0, 50.0, 50.0, 50.0)
    assert row["character_errors"] == pytest.approx(100 * 4 / 6, abs=0.01)
    assert fold("IOQ1") == "1001"


def test_slices_name_what_makes_a_plate_hard() -> None:
    sharp = np.asarray(np.random.default_rng(0).integers(0, 255, (48, 144, 3)), np.uint8)
    assert slices_of(sharp, 90, 30, None) == {"height 20 to 40 px"}
    night = slices_of(np.full((48, 144, 3), 30, np.uint8), 20, 11, None)
    assert night == {"height 0 to 12 px", "dark", "blurred"}
    assert "two rows or square" in slices_of(sharp, 30, 20, None)
    slanted = np.array([[0, 0], [100, 30], [100, 60], [0, 30]], np.float32)
    assert "oblique" in slices_of(sharp, 100, 60, slanted)
    assert "glare" in slices_of(np.full((48, 144, 3), 255, np.uint8), 200, 60, None)


def test_a_sheet_numbers_its_crops() -> None:
    sheet = human_sheet([np.full((48, 144, 3), 99, np.uint8)] * 7, columns=3)
    assert sheet.shape == (3 * (96 + 32), 3 * (288 + 12), 3)
