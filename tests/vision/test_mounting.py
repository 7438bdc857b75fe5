"""Crops put on cars: they are cut where a detector sees them there, and what it does not see is left out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.plates import plate_with_text, render_plate
from vision.rectify import MARGIN, box_corners
from vision.training.data import PlateLabel, Scene
from vision.training.mounting import mounted_plates
from vision.training.reader_data import RealPlate, real_crop
from vision.types import Detection, Image

BOX = (260.0, 180.0, 120.0, 60.0)


class _Finds:
    """A detector that always finds one box, and keeps the pictures that it was shown."""

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        self._box = box
        self.shown: list[Image] = []

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        self.shown += images
        return [[Detection(box_corners(*self._box) + 0.5, 0.9)] for _ in images]


def _crop(text: str) -> RealPlate:
    picture = render_plate(plate_with_text(text, "US-NJ"), 60)
    corners = box_corners(0, 0, picture.shape[1], picture.shape[0])
    data = cv2.imencode(".png", picture)[1].tobytes()
    return RealPlate(data, corners, text, "openalpr-benchmarks-us-states", "US-NJ", Path(f"{text}.png"), 0.0)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A grey street with one plate, and one too small to be covered."""
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), np.full((400, 640, 3), 120, np.uint8))
    labels = (PlateLabel(BOX, None, "OLD111"), PlateLabel((20.0, 20.0, 20.0, 8.0), None, None))
    return Scene(path, "open-lpr", 640, 400, labels, None, "train")


def test_a_crop_lies_on_the_car_and_is_cut_where_it_is_seen(scene: Scene) -> None:
    box = (BOX[0] - 6, BOX[1] + 3, BOX[2], BOX[3])
    detector = _Finds(box)
    plates = [_crop("ABC123"), _crop("XYZ789")]
    mounted = mounted_plates(plates, [scene], [detector], seed=1)
    assert [plate.text for plate in mounted] == ["ABC123", "XYZ789"]
    assert [plate.margin for plate in mounted] == [MARGIN, MARGIN]
    street = cv2.imread(str(scene.image))
    assert street is not None
    for plate, shown in zip(mounted, detector.shown, strict=True):
        changed = np.argwhere((shown != street).any(axis=2))
        assert np.abs(changed.mean(axis=0) - (BOX[1] + BOX[3] / 2, BOX[0] + BOX[2] / 2)).max() < 8, "not over the box"
        assert plate.place is not None
        left, top, scale = plate.place
        assert np.allclose(plate.corners, (box_corners(*box) + 0.5 - (left, top)) * scale - 0.5, atol=0.01)
        seen = real_crop(plate, (48, 144))
        assert seen.std() > 20, "the crop shows no plate"
    assert np.array_equal(cv2.imread(str(scene.image)), street), "the scene itself stays as it is"


def test_the_same_seed_mounts_alike_and_another_does_not(scene: Scene) -> None:
    def parts(seed: int) -> bytes:
        return mounted_plates([_crop("ABC123")], [scene], [_Finds(BOX)], seed)[0].data

    assert parts(1) == parts(1)
    assert parts(1) != parts(2)


def test_what_is_not_seen_or_is_no_crop_is_left_out(scene: Scene) -> None:
    of_a_scene = replace(_crop("AAA111"), place=(0.0, 0.0, 1.0))
    assert mounted_plates([of_a_scene], [scene], [_Finds(BOX)], seed=1) == []
    assert mounted_plates([_crop("ABC123")], [scene], [_Finds((500.0, 300.0, 90.0, 40.0))], seed=1) == []
    bare = replace(scene, plates=())
    assert mounted_plates([_crop("ABC123")], [bare], [_Finds(BOX)], seed=1) == []
    seen_by_one = mounted_plates([_crop("ABC123")], [scene], [_Finds((5.0, 5.0, 9.0, 9.0)), _Finds(BOX)], seed=1)
    assert len(seen_by_one[0].seen) == 1
