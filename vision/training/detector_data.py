"""Training samples for the detector: in come annotated scenes, rendered plates and plate crops, out come batches.

A sample is a tile cut from a scene at a random zoom, so that plates of every size occur, with plates of other
countries pasted in perspective over its own or beside them, words that are no plates, and the damage that cameras do.
Pictures are H x W x 3 uint8 BGR, labels are pixels of the tile. Everything is drawn from one numpy generator.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.detector import STRIDE
from vision.training.data import AS_STORED, STRETCHED, Crop, PlateLabel, Scene
from vision.training.pasting import Label, lay_words, paste_plates
from vision.training.wear import wear
from vision.types import Image

PARTIAL = frozenset({"chirag-anpr", "nomeroff-examples", "open-lpr", "robertlucian"})
"""Sources whose pictures show plates that nobody annotated."""
TIGHT = frozenset({"openalpr-benchmarks-us-states"})
"""Sources of crops that are cut at the plate's edge."""
_SOURCE_WEIGHTS = {
    "robertlucian": 1.6,
    "open-lpr": 1.0,
    "nanonets": 1.8,
    "roboflow-openimages-techkhid": 1.8,
    "egypt-motorcycles": 2.5,
    "alpr-unconstrained": 1.0,
    "openalpr-train-detector-neg": 0.35,
    "simulator": 0.45,
}
_SLACK = {
    "chirag-anpr": (0.03, 0.05),
    "egypt-motorcycles": (0.03, 0.05),
    "nanonets": (0.02, 0.03),
    "nomeroff-examples": (0.03, 0.05),
    "open-lpr": (0.04, 0.07),
    "robertlucian": (0.02, 0.04),
    "roboflow-openimages-techkhid": (0.02, 0.03),
}
"""How loosely a source draws its boxes, in width and height. Inside that, plates whose corners are known teach where
the edges are; with more room than this boxes end up small and shifted on the photographs."""
_SMALLEST = (9.0, 4.0)
"""Width and height in tile pixels below which a plate is neither wanted nor punished."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one shape and what the network should say about them."""

    pictures: NDArray[np.uint8]
    """B x H x W x 3."""
    heat: NDArray[np.float32]
    """B x H/8 x W/8: 1 at the cell of a plate's middle, falling off around it."""
    weight: NDArray[np.float32]
    """B x H/8 x W/8: 0 where the truth is unknown."""
    partial: NDArray[np.bool_]
    """B: further plates may be in the picture."""
    cells: NDArray[np.int64]
    """N x 3: picture, row, column of the cells that should tell a box."""
    boxes: NDArray[np.float32]
    """N x 4: middle x, y, width, height in tile pixels."""
    corners: NDArray[np.float32]
    """N x 4 x 2 in units of the box."""
    box_weight: NDArray[np.float32]
    """N."""
    slack: NDArray[np.float32]
    """N x 2: how far inside the box the true edges may lie, as fractions of its width and height."""
    corner_weight: NDArray[np.float32]
    """N: 0 where only the box is known."""


class SampleMaker:
    """Draws samples without end from scenes held in memory: decoding costs as much as all else."""

    def __init__(self, scenes: Sequence[Scene], crops: Sequence[Crop], seed: int) -> None:
        usable = [s for s in scenes if s.plates is not None and all(p.box or p.corners for p in s.plates)]
        if not usable:
            raise ValueError("no annotated scene to train from")
        self._scenes = usable
        self._pictures = [_sizes(_read(scene.image)) for scene in usable]
        weights = np.array([_SOURCE_WEIGHTS.get(scene.source, 1.0) for scene in usable])
        self._odds = weights / weights.sum()
        self._crops = _pictures(crop for crop in crops if crop.source not in TIGHT)
        self._tight_crops = _pictures(crop for crop in crops if crop.source in TIGHT)
        self._rng = np.random.default_rng(seed)

    def batches(self, shapes: Sequence[tuple[int, int, int, float]]) -> Iterator[Batch]:
        """Batches for ever; `shapes` are (pictures, height, width, odds)."""
        odds = np.array([shape[3] for shape in shapes])
        while True:
            count, height, width, _ = shapes[int(self._rng.choice(len(shapes), p=odds / odds.sum()))]
            yield collate([self.sample(height, width) for _ in range(count)])

    def sample(self, height: int, width: int) -> tuple[Image, list[Label], bool]:
        """One tile, its labels, and whether further plates may be in it."""
        rng = self._rng
        index = int(rng.choice(len(self._scenes), p=self._odds))
        scene = self._scenes[index]
        affine = _view(scene, height, width, rng)
        tile = _warp(self._pictures[index], affine, height, width, rng)
        labels = [label for plate in scene.plates or () if (label := _label(plate, affine, scene.source)) is not None]
        if rng.random() < 0.5:
            tile = paste_plates(tile, labels, rng, self._crops, self._tight_crops)
        if rng.random() < 0.3:
            tile = lay_words(tile, labels, rng)
        if rng.random() < 0.5:
            tile = np.ascontiguousarray(tile[:, ::-1])
            for label in labels:
                label.flip(width)
        return wear(tile, rng), labels, scene.source in PARTIAL


def collate(samples: Sequence[tuple[Image, list[Label], bool]]) -> Batch:
    """Samples of one shape to a batch with the targets on the network's grid."""
    height, width = samples[0][0].shape[:2]
    rows, columns = height // STRIDE, width // STRIDE
    heat = np.zeros((len(samples), rows, columns), np.float32)
    weight = np.ones_like(heat)
    cells, boxes, corners, box_weight, slack, corner_weight = [], [], [], [], [], []
    for number, (_, labels, _) in enumerate(samples):
        for label in labels:
            x, y, w, h = label.middle_box()
            if not _wanted(label, height, width):
                _mask(weight[number], x, y, w, h)
                continue
            bell, top, left = _bell(x, y, w, h, rows, columns)
            part = heat[number, top : top + bell.shape[0], left : left + bell.shape[1]]
            for row, column in np.argwhere((bell > 0.3) & (bell > part)):
                cells.append((number, top + row, left + column))
                boxes.append((x, y, w, h))
                corners.append(label.relative_corners())
                box_weight.append(label.box_weight * bell[row, column])
                slack.append(label.slack)
                corner_weight.append(label.corner_weight * bell[row, column])
            np.maximum(part, bell, out=part)
    return Batch(
        pictures=np.stack([picture for picture, _, _ in samples]),
        heat=heat,
        weight=weight,
        partial=np.array([partial for _, _, partial in samples]),
        cells=np.array(cells, np.int64).reshape(-1, 3),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        corners=np.array(corners, np.float32).reshape(-1, 4, 2),
        box_weight=np.array(box_weight, np.float32),
        slack=np.array(slack, np.float32).reshape(-1, 2),
        corner_weight=np.array(corner_weight, np.float32),
    )


def _bell(x: float, y: float, w: float, h: float, rows: int, columns: int) -> tuple[NDArray[np.float32], int, int]:
    """A bump that is exactly 1 in the cell of (x, y), and where its top left cell lies."""
    column, row = min(int(x / STRIDE), columns - 1), min(int(y / STRIDE), rows - 1)
    spread_x, spread_y = max(0.5, 0.12 * w / STRIDE), max(0.5, 0.14 * h / STRIDE)
    reach_x, reach_y = int(3 * spread_x + 0.5), int(3 * spread_y + 0.5)
    top, left = max(0, row - reach_y), max(0, column - reach_x)
    bottom, right = min(rows, row + reach_y + 1), min(columns, column + reach_x + 1)
    dy = (np.arange(top, bottom) - row)[:, None] / spread_y
    dx = (np.arange(left, right) - column)[None] / spread_x
    return np.exp(-0.5 * (dx * dx + dy * dy)).astype(np.float32), top, left


def _wanted(label: Label, height: int, width: int) -> bool:
    x, y, w, h = label.middle_box()
    wide = min(x + w / 2, width) - max(x - w / 2, 0)
    high = min(y + h / 2, height) - max(y - h / 2, 0)
    seen = max(wide, 0) * max(high, 0) / max(w * h, 1e-6)
    inside = 0 <= x < width and 0 <= y < height
    return inside and seen > 0.8 and w >= _SMALLEST[0] and h >= _SMALLEST[1] and not label.ignore


def _mask(weight: NDArray[np.float32], x: float, y: float, w: float, h: float) -> None:
    rows, columns = weight.shape
    top, bottom = int(max(0, (y - h / 2) // STRIDE)), int(min(rows, (y + h / 2) // STRIDE + 1))
    left, right = int(max(0, (x - w / 2) // STRIDE)), int(min(columns, (x + w / 2) // STRIDE + 1))
    if bottom > top and right > left:
        weight[top:bottom, left:right] = 0


def _view(scene: Scene, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random 2 x 3 map from the scene's pixels to a tile's: zoom on a plate, slight turn and stretch."""
    known = [plate for plate in scene.plates or () if not plate.unsure]
    plates = [box for plate in known if (box := _box_of(plate)) is not None]
    fit_x, fit_y = width / scene.width, height / scene.height
    whole = max(min(fit_x, fit_y), 0.75 * (fit_x * fit_y) ** 0.5)  # an upright picture would leave most of a tile empty
    stretch = float(np.exp(rng.normal(0, 0.08)))
    if scene.source in STRETCHED:
        # half stay so, as users' may be
        stretch *= float(rng.uniform(1.0, 1.6)) if rng.random() < 0.5 else 1.0
    if plates and rng.random() < 0.8:
        x, y, w, h = plates[int(rng.integers(len(plates)))]
        near = rng.random() < 0.1
        wanted = float(
            rng.uniform(0.7, 1.0) * width if near else np.exp(rng.uniform(np.log(14.0), np.log(0.8 * width)))
        )
        scale = wanted / max(w, 1.6 * h)
        scale = float(np.clip(scale, 0.7 * whole, max(2.2, whole)))
        focus = (x + w / 2, y + h / 2)
        place = (rng.uniform(0.08, 0.92) * width, rng.uniform(0.08, 0.92) * height)
    else:
        scale = float(np.exp(rng.uniform(np.log(0.9 * whole), np.log(max(1.3, 1.5 * whole)))))
        focus = (rng.uniform(0, scene.width), rng.uniform(0, scene.height))
        place = (width / 2, height / 2)
    angle = 0.0
    if rng.random() < 0.4 or all(plate.corners for plate in known):
        # an upright box says less of a turned plate
        spread, most = (7.0, 14.0) if rng.random() < 0.25 else (2.0, 5.0)
        angle = float(np.clip(rng.normal(0, spread), -most, most)) * np.pi / 180
    sx, sy = scale * stretch**0.5, scale / stretch**0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([sx, sy])
    # keep the tile filled with the scene where the scene is large enough
    shift = np.array(place) - turn @ np.array(focus)
    for axis, (size, extent) in enumerate(((width, scene.width * sx), (height, scene.height * sy))):
        low, high = min(0.0, size - extent), max(0.0, size - extent)
        shift[axis] = np.clip(shift[axis], low, high)
    return np.column_stack([turn, shift]).astype(np.float32)


def _warp(
    sizes: Sequence[Image], affine: NDArray[np.float32], height: int, width: int, rng: np.random.Generator
) -> Image:
    matrix = affine.astype(np.float64)
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    whole, picture = sizes[0], sizes[0] if zoom > 0.6 else sizes[-1]
    matrix[:, 0] *= whole.shape[1] / picture.shape[1]
    matrix[:, 1] *= whole.shape[0] / picture.shape[0]
    zoom *= whole.shape[1] / picture.shape[1]
    grey = int(rng.integers(0, 160))
    # a mirrored plate would be a plate without a label, so reflection only fills thin borders
    mirror = zoom * picture.shape[1] >= width and rng.random() < 0.3
    if zoom < 0.6:
        # straight sampling would skip pixels; production shrinks by area or by halves too
        small = (max(1, round(picture.shape[1] * zoom)), max(1, round(picture.shape[0] * zoom)))
        matrix[:, 0] *= picture.shape[1] / small[0]
        matrix[:, 1] *= picture.shape[0] / small[1]
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.warpAffine(  # type: ignore[return-value]
        picture,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT,
        borderValue=(grey, grey, grey),
    )


def _label(plate: PlateLabel, affine: NDArray[np.float32], source: str) -> Label | None:
    if plate.corners is not None:
        points = np.array(plate.corners, np.float32) @ affine[:, :2].T + affine[:, 2]
        return Label(points.astype(np.float32), ignore=plate.unsure)
    box = _box_of(plate)
    if box is None:
        return None
    x, y, w, h = box
    middle = affine[:, :2] @ np.array([x + w / 2, y + h / 2]) + affine[:, 2]
    # the box of the turned box; a plate that was slanted the other way fills less of it
    (xx, xy), (yx, yy) = np.abs(affine[:, :2])
    wide, high = float(w * xx + h * xy), float(w * yx + h * yy)
    label = Label.from_box(float(middle[0]), float(middle[1]), wide, high)
    loose = _SLACK.get(source, (0.0, 0.0))
    label.slack = (loose[0] + float(h * xy) / wide / 2, loose[1] + float(w * yx) / high / 2)
    label.ignore = plate.unsure
    return label


def _box_of(plate: PlateLabel) -> tuple[float, float, float, float] | None:
    if plate.box is not None:
        return plate.box
    if plate.corners is None:
        return None
    low, high = np.min(plate.corners, axis=0), np.max(plate.corners, axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _pictures(crops: Iterable[Crop]) -> list[Image]:
    return [picture for crop in crops if (picture := cv2.imread(str(crop.image))) is not None]  # type: ignore[misc]


def _sizes(picture: Image) -> tuple[Image, ...]:
    """The picture and, of a large one, its half: most views of it are small, and shrinking is the dearest step."""
    if picture.shape[0] * picture.shape[1] < 300_000:
        return (picture,)
    half = (picture.shape[1] // 2, picture.shape[0] // 2)
    return picture, cv2.resize(picture, half, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path), AS_STORED)
    if picture is None:
        raise ValueError(f"cannot read training picture {path}")
    return picture  # type: ignore[return-value]
