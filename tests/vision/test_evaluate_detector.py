"""The judge of the detector: who found what, at which threshold, and what the numbers mean."""

import json
from pathlib import Path

import numpy as np
import pytest

from vision.training.data import DEFAULT_ROOT, PlateLabel, Scene
from vision.training.detector_extras import EXTRAS, TEST_SLIPS, VAL_SLIPS
from vision.training.evaluate_detector import average_precision, best_threshold, iou, labelled, match, summarise
from vision.types import Detection


def scene(*boxes: tuple[float, float, float, float], source: str = "open-lpr") -> Scene:
    plates = tuple(PlateLabel(box, None, None) for box in boxes)
    return Scene(Path("x.jpg"), source, 200, 100, plates, None, "val")


def found(x: float, y: float, w: float, h: float, confidence: float) -> Detection:
    corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)
    return Detection(corners, confidence)


def test_overlap_of_boxes() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (20, 0, 10, 10)) == 0


def test_each_detection_finds_one_plate_and_each_plate_is_found_once() -> None:
    outcome = match(
        scene((10, 10, 40, 10), (100, 50, 40, 10)),
        [found(11, 10, 40, 10, 0.9), found(12, 11, 40, 10, 0.8), found(60, 80, 20, 10, 0.3)],
    )
    assert outcome.plates == 2
    assert outcome.scores == [(0.9, True), (0.8, False), (0.3, False)]
    table = summarise([outcome], 0.5)
    assert table["all"] == table["open-lpr"]
    assert table["all"]["recall"] == 50.0
    assert table["all"]["false_per_100"] == 100.0
    assert summarise([outcome], 0.2)["all"]["false_per_100"] == 200.0


def test_what_lies_at_an_unsure_plate_is_left_out() -> None:
    plates = (PlateLabel((10, 10, 40, 10), None, None), PlateLabel((100, 50, 40, 10), None, None, unsure=True))
    picture = Scene(Path("x.jpg"), "open-lpr", 200, 100, plates, None, "val")
    outcome = match(picture, [found(11, 10, 40, 10, 0.9), found(101, 50, 40, 10, 0.8), found(60, 80, 20, 10, 0.3)])
    assert outcome.plates == 1
    assert outcome.scores == [(0.9, True), (0.3, False)]


@pytest.mark.data
@pytest.mark.skipif(not DEFAULT_ROOT.is_dir(), reason="../shared/data, the pack of photographs, is not there")
def test_further_plates_are_of_pictures_of_their_split() -> None:
    # by the manifest alone: test's pictures are opened by `evaluate` and nobody else
    manifest = [json.loads(line) for line in (DEFAULT_ROOT / "scenes.jsonl").read_text().splitlines()]
    for file, split in ((EXTRAS, "train"), (VAL_SLIPS, "val"), (TEST_SLIPS, "test")):
        names = {row["image"] for row in manifest if row["split"] == split}
        listing = json.loads(file.read_text())
        assert {name for part in listing.values() for name in part} <= names


def test_a_picture_without_plates_has_no_recall_but_false_boxes() -> None:
    table = summarise([match(scene(source="openalpr-train-detector-neg"), [found(0, 0, 9, 9, 0.7)])], 0.5)
    assert table["all"]["recall"] is None
    assert table["all"]["false_per_100"] == 100.0


def test_average_precision_and_the_best_threshold() -> None:
    perfect = match(scene((10, 10, 40, 10)), [found(10, 10, 40, 10, 0.62), found(90, 10, 40, 10, 0.22)])
    assert average_precision([perfect]) == pytest.approx(1.0)
    assert 0.22 < best_threshold([perfect]) <= 0.62
    blind = match(scene((10, 10, 40, 10)), [])
    assert average_precision([blind]) == 0
    assert average_precision([perfect, blind]) == pytest.approx(0.5)


def test_scenes_without_boxes_are_not_judged() -> None:
    text_only = Scene(Path("y.jpg"), "nomeroff-examples", 9, 9, (PlateLabel(None, None, "AB1"),), None, "val")
    unlabelled = Scene(Path("z.jpg"), "chirag-anpr", 9, 9, None, None, "train")
    assert labelled([text_only, unlabelled, scene()]) == [scene()]
