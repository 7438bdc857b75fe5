"""Real plates that came as crops, put where cars have theirs: crops and scenes in, plates cut as production cuts them.

No annotated scene shows a plate of the US, and those of some other countries are only there as crops. A reader that
has only seen them cut at their edge reads them worse where a detector finds them: a little off, with what is around.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.rectify import MARGIN
from vision.training.data import STRETCHED, Scene
from vision.training.evaluate_detector import iou, read_picture
from vision.training.pasting import Label, lay_plate, turned_plate
from vision.training.reader_data import SAME_PLATE, RealPlate, cut_around, in_part
from vision.types import Detector, Image, box_of

_WIDTHS = (48.0, 260.0)
"""Pixels: plates of the scenes that are covered by another one."""
_FRAMED = 0.5
"""How often a plate gets a frame with a dealer's name, as most of the US have one."""
_BATCH = 16


def mounted_plates(
    plates: Sequence[RealPlate], scenes: Sequence[Scene], detectors: Sequence[Detector], seed: int
) -> list[RealPlate]:
    """Each plate once, laid over a plate of some scene, with its corners as the detectors find them.

    Plates that no detector finds, and those that are no crops, are left out; without a place in any scene all are.
    """
    rng = np.random.default_rng(seed)
    places = [
        (k, label.box)
        for k, scene in enumerate(scenes)
        for label in scene.plates or ()
        if label.box is not None and _usable(scene, label.box[2])
    ]
    pictures: dict[int, Image] = {}
    out: list[RealPlate] = []
    crops = [plate for plate in plates if plate.place is None] if places else []
    for start in range(0, len(crops), _BATCH):
        part = crops[start : start + _BATCH]
        laid = []
        for plate in part:
            number, box = places[int(rng.integers(len(places)))]
            if number not in pictures:
                pictures[number] = read_picture(scenes[number])
            laid.append(_lay_over(pictures[number], plate.picture(), box, rng))
        found = [detector.detect([picture for picture, _ in laid]) for detector in detectors]
        for k, (plate, (picture, quad)) in enumerate(zip(part, laid, strict=True)):
            seen = [one.corners for each in found for one in each[k] if iou(one.box, box_of(quad)) >= SAME_PLATE]
            if seen:
                out.append(_mounted(plate, picture, quad, seen))
    return out


def _usable(scene: Scene, width: float) -> bool:
    return _WIDTHS[0] <= width <= _WIDTHS[1] and scene.source not in STRETCHED


def _lay_over(
    picture: Image, plate: Image, box: tuple[float, float, float, float], rng: np.random.Generator
) -> tuple[Image, NDArray[np.float32]]:
    """The picture with the plate over the box, and the plate's corners (pixel edges)."""
    x, y, width, height = box
    picture = picture.copy()
    quad = turned_plate(plate.shape[1] / plate.shape[0], rng, yaw=18)
    size = np.ptp(quad, axis=0)
    quad = quad * max(width / size[0], 0.8 * height / size[1]) * float(rng.uniform(0.9, 1.15))
    quad = (quad + np.array([x + width / 2, y + height / 2])).astype(np.float32)
    lay_plate(picture, plate, quad, rng, Label.from_corners(quad), frames=_FRAMED)
    return picture, quad


def _mounted(
    plate: RealPlate, picture: Image, quad: NDArray[np.float32], seen: Sequence[NDArray[np.float32]]
) -> RealPlate:
    part, _, place = cut_around(picture, box_of(quad))
    data = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    moved = tuple(in_part(corners, place) for corners in seen)
    return replace(plate, data=data, corners=moved[0], margin=MARGIN, seen=moved, place=place)
