"""What the reader learns from: real plates cut from the data pack, varied and joined, and invented ones.

In: the manifests and a seed. Out: crops of the reader's size with text, region and legibility.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.alphabet import SYMBOLS
from vision.plates import REGIONS
from vision.plates.us_states import STATES
from vision.rectify import MARGIN, box_corners, rectify
from vision.training.data import AS_STORED, Licence, TestOpening, load_crops, load_scenes
from vision.training.evaluate_detector import iou
from vision.training.reader_extras import plates_of, text_of
from vision.training.splicing import Gaps, splice
from vision.training.synth import degrade, loosen, synth_crop
from vision.types import Detector, Image, box_of

Split = str
UNKNOWN_REGION = -1
_STATE_CODES = {"".join(filter(str.isalpha, facts[0])).upper(): code for code, facts in STATES.items()}
_CONTEXT = 0.35
"""How much of a scene around a plate is kept, as a fraction of the plate's size."""
SAME_PLATE = 0.4
"""Overlap (IoU) from which on a detection is of the annotated plate."""
_AS_SEEN = 0.5
"""How often a plate that detectors find is cut as they find it, and not as it is annotated."""
_FAVOURED = {
    "chirag-anpr": 1.3,
    "nanonets": 1.5,
    "open-lpr": 1.3,
    "openalpr-train-detector-br": 0.8,
    "openalpr-train-detector-eu": 1.4,
    "robertlucian": 1.3,
}


@dataclass(frozen=True, slots=True)
class RealPlate:
    """A real plate with some of its surroundings, as compressed bytes so that thousands fit into memory."""

    data: bytes
    corners: NDArray[np.float32]
    """In the pixels of the decoded picture."""
    text: str
    source: str
    country: str | None
    image: Path
    """The picture's file."""
    margin: float
    """What production would add around the corners: nothing for a picture that is itself a crop."""
    pixels: Image | None = None
    """The picture where it is at hand and not in `data`."""
    place: tuple[float, float, float] | None = None
    """Of a plate that was cut from a whole picture: left and top of the part in its pixels, and the part's scale."""
    seen: tuple[NDArray[np.float32], ...] = ()
    """The plate's corners as detectors find them, in the pixels of the decoded picture."""

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """x, y, width, height of the plate in the whole picture's pixels; None where the picture is the plate."""
        if self.place is None:
            return None
        left, top, scale = self.place
        x, y, width, height = box_of(self.corners)
        return left + x / scale, top + y / scale, width / scale, height / scale

    def picture(self) -> Image:
        """The part of the picture that holds the plate, H x W x 3, BGR."""
        if self.pixels is not None:
            return self.pixels
        decoded = cv2.imdecode(np.frombuffer(self.data, np.uint8), AS_STORED)
        if decoded is None:
            raise ValueError(f"{self.image} is not a picture that can be decoded")
        return np.asarray(decoded, np.uint8)


@dataclass(frozen=True, slots=True)
class Sample:
    """One crop to learn from."""

    crop: Image
    text: str
    region: int
    """Index into `REGIONS`, or -1."""
    legible: bool
    real: bool


def load_real_plates(
    split: Split, *, root: Path | None = None, licence: Licence = "any", opening: TestOpening | None = None
) -> list[RealPlate]:
    """Every plate of the split that has a text and a place: crops as they are, scenes cut around the plate."""
    plates = []
    for crop in load_crops(split, root=root, licence=licence, opening=opening):  # type: ignore[arg-type]
        text = text_of(crop)
        if text is None or not _readable(text):
            continue
        data = crop.image.read_bytes()
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), AS_STORED)
        if picture is None:
            raise ValueError(f"{crop.image} is not a picture that can be decoded")
        corners = box_corners(0, 0, picture.shape[1], picture.shape[0])
        plates.append(RealPlate(data, corners, text, crop.source, crop.country, crop.image, 0.0))
    for scene in load_scenes(split, root=root, licence=licence, opening=opening):  # type: ignore[arg-type]
        wanted = [p for p in plates_of(scene) if p.label.box and _readable(p.label.text or "")]
        image = cv2.imread(str(scene.image), AS_STORED) if wanted else None
        for plate in wanted:
            if image is None or plate.label.box is None or plate.label.text is None:
                raise ValueError(f"{scene.image} is not a picture that can be decoded")
            part, corners, place = cut_around(np.asarray(image, np.uint8), plate.label.box)
            data = cv2.imencode(".png", part)[1].tobytes()
            plates.append(
                RealPlate(
                    data, corners, plate.label.text, scene.source, plate.country, scene.image, MARGIN, place=place
                )
            )  # fmt: skip
    return plates


def _readable(text: str) -> bool:
    return 1 <= len(text) <= 12 and all(sign in SYMBOLS for sign in text)


def cut_around(
    image: Image, box: tuple[float, float, float, float]
) -> tuple[Image, NDArray[np.float32], tuple[float, float, float]]:
    """The part of a scene around a box, the box's corners in it, and the part's place (see `RealPlate`)."""
    x, y, width, height = box
    left, top = max(0, int(x - _CONTEXT * width)), max(0, int(y - _CONTEXT * height))
    right, bottom = int(np.ceil(x + (1 + _CONTEXT) * width)), int(np.ceil(y + (1 + _CONTEXT) * height))
    part = image[top:bottom, left:right]
    scale = min(1.0, 400 / part.shape[1])
    if scale < 1:
        part = np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    corners = box_corners((x - left) * scale, (y - top) * scale, width * scale, height * scale)
    return part, corners, (float(left), float(top), scale)


def in_part(corners: NDArray[np.float32], place: tuple[float, float, float]) -> NDArray[np.float32]:
    """A detection's corners (which count from the picture's edge) in pixels of the part at `place`."""
    left, top, scale = place
    return ((corners - (left, top)) * scale - 0.5).astype(np.float32)


def seen_corners(plates: Sequence[RealPlate], detectors: Sequence[Detector]) -> list[tuple[NDArray[np.float32], ...]]:
    """For each plate that was cut from a scene its corners as each detector finds them; none where it does not."""
    out: list[tuple[NDArray[np.float32], ...]] = []
    scene, found = None, []
    for plate in plates:
        if plate.place is None:
            out.append(())
            continue
        if plate.image != scene:
            scene, image = plate.image, cv2.imread(str(plate.image), AS_STORED)
            found = [one for detector in detectors for one in detector.detect([np.asarray(image, np.uint8)])[0]]
        box = box_of(plate.corners)
        moved = [in_part(one.corners, plate.place) for one in found]
        out.append(tuple(quad for quad in moved if iou(box_of(quad), box) >= SAME_PLATE))
    return out


def region_index(country: str | None) -> int:
    """Index of a manifest's country in `REGIONS`; -1 when it is unknown or says less than a country or state.

    Some sources write a state's name and a plate class (`US-NEWYORK_TLC`).
    """
    if country in REGIONS:
        return REGIONS.index(country)
    state = (country or "").removeprefix("US-").split("_")[0]
    return REGIONS.index(f"US-{_STATE_CODES[state]}") if state in _STATE_CODES else UNKNOWN_REGION


def source_odds(plates: Sequence[RealPlate]) -> NDArray[np.float64]:
    """How often each plate is drawn: a source's share grows with the root of its size, so that none drowns the rest."""
    counts: dict[str, int] = {}
    for plate in plates:
        counts[plate.source] = counts.get(plate.source, 0) + 1
    odds = np.array([_FAVOURED.get(p.source, 1.0) / np.sqrt(counts[p.source]) for p in plates])
    return np.asarray(odds / odds.sum(), np.float64)


class RealPool:
    """Real plates to draw from; with `gaps` (see `vision.training.splicing`) also joined from two of a kind."""

    def __init__(self, plates: Sequence[RealPlate], gaps: Sequence[Gaps | None] = ()) -> None:
        self.plates = plates
        self._odds = source_odds(plates) if plates else np.zeros(0)
        self._gaps = list(gaps) or [None] * len(plates)
        self._kin: dict[str, list[int]] = {}
        for k, found in enumerate(self._gaps):
            if found:
                self._kin.setdefault(found.pattern, []).append(k)

    def draw(self, rng: np.random.Generator, spliced: float) -> RealPlate:
        """A plate, joined from two with probability `spliced` where there is another of its kind."""
        first = int(rng.choice(len(self.plates), p=self._odds))
        plate, gaps = self.plates[first], self._gaps[first]
        if gaps is None or rng.random() >= spliced:
            return plate
        kin = self._kin[gaps.pattern]
        second = kin[int(rng.integers(len(kin)))]
        other, others = self.plates[second], self._gaps[second]
        if others is None or other.text == plate.text:
            return plate
        cut = int(rng.integers(1, len(plate.text)))
        picture, corners = splice((plate.picture(), plate.corners, gaps), (other.picture(), other.corners, others), cut)
        text = plate.text[:cut] + other.text[cut:]
        return replace(plate, pixels=picture, corners=corners, text=text, seen=())


def real_crop(plate: RealPlate, size: tuple[int, int], rng: np.random.Generator | None = None) -> Image:
    """The plate's crop: exactly on its annotation, or with `rng` jittered and degraded for training."""
    picture = plate.picture()
    if rng is None:
        return rectify(picture, plate.corners, size, plate.margin)
    as_seen = bool(plate.seen) and rng.random() < _AS_SEEN
    corners = plate.seen[int(rng.integers(len(plate.seen)))] if as_seen else plate.corners
    if rng.random() < 0.25:
        # a plate seen from further away
        shrink = float(rng.uniform(0.45, 0.9))
        lowest = 14.0 / max(1.0, float(np.ptp(plate.corners[:, 1])))
        shrink = min(1.0, max(shrink, lowest))
        small = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        corners = (corners + 0.5) * np.float32(shrink) - np.float32(0.5)
        picture = np.asarray(small, np.uint8)
    if rng.random() < 0.05:
        # light signs on dark ground, whatever this source has
        picture = 255 - picture
    level = float(rng.uniform(0, 0.6))
    if rng.random() < 0.7:
        picture = degrade(picture, rng, level)
    quad = _tilt(loosen(corners, rng, level, upright=0.1 if as_seen else 0.5), rng)
    return rectify(picture, quad, size, margin=float(rng.uniform(0.0, 0.1)))


def _tilt(corners: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn and shear the corners a little: the same plate seen by a slightly different camera."""
    middle = corners.mean(axis=0)
    angle = float(np.clip(rng.normal(0, 0.045), -0.15, 0.15))
    shear = float(np.clip(rng.normal(0, 0.07), -0.25, 0.25))
    turn = np.array([[np.cos(angle), -np.sin(angle) + shear], [np.sin(angle), np.cos(angle)]])
    return np.asarray((corners - middle) @ turn.T + middle, np.float32)


def make_sample(
    rng: np.random.Generator,
    size: tuple[int, int],
    difficulty: float,
    pool: RealPool,
    real_share: float,
    spliced: float = 0.0,
) -> Sample:
    """One sample, real with probability `real_share` (when there are real plates); see `RealPool.draw`."""
    if pool.plates and rng.random() < real_share:
        plate = pool.draw(rng, spliced)
        return Sample(real_crop(plate, size, rng), plate.text, region_index(plate.country), True, True)
    made = synth_crop(rng, difficulty, size, illegible=0.04)
    return Sample(made.crop, made.text, REGIONS.index(made.region), made.legible, False)
