"""Plates and words laid into pictures: a tile and its labels in, the tile with invented plates and their labels out.

Pasted plates bring the four corners that photographs lack, and the countries that no annotated scene shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.plates import REGIONS, random_plate, render_plate
from vision.plates.glyphs import words
from vision.rectify import box_corners
from vision.training.framing import framed
from vision.types import Image

Quad = NDArray[np.float32]
_FONTS = ("barlow-condensed-700", "overpass-700", "liberation-sans-bold", "dejavu-sans-bold", "bebas-neue-bold")
_US = [region for region in REGIONS if region.startswith("US")]
_FRAMED = 0.3
"""How often a plate that is laid into a tile has a frame."""


@dataclass(slots=True)
class Label:
    """One plate of a tile: corners 4 x 2 (of the box when only that is known) and how far each part is trusted."""

    corners: Quad
    box_weight: float = 1.0
    corner_weight: float = 1.0
    slack: tuple[float, float] = (0.0, 0.0)
    """How far inside these the true edges may lie, as fractions of the box's width and height."""
    ignore: bool = False

    @classmethod
    def from_corners(cls, corners: NDArray[np.floating]) -> "Label":
        return cls(np.asarray(corners, np.float32))

    @classmethod
    def from_box(cls, x: float, y: float, w: float, h: float) -> "Label":
        """From the middle, width and height of an upright box."""
        unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], np.float32)
        return cls(unit * np.array([w, h], np.float32) + np.array([x, y], np.float32), corner_weight=0.0)

    def middle_box(self) -> tuple[float, float, float, float]:
        """Middle x, y, width, height of the upright box."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        middle, size = (low + high) / 2, high - low
        return float(middle[0]), float(middle[1]), float(size[0]), float(size[1])

    def relative_corners(self) -> Quad:
        """Corners in units of the box."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        return ((self.corners - low) / np.maximum(high - low, 1e-3)).astype(np.float32)

    def flip(self, width: int) -> None:
        """Mirror left and right; the first corner stays the top left one."""
        mirrored = self.corners * np.array([-1, 1], np.float32) + np.array([width, 0], np.float32)
        self.corners = mirrored[[1, 0, 3, 2]]


def paste_plates(
    tile: Image,
    labels: list[Label],
    rng: np.random.Generator,
    crops: Sequence[Image] = (),
    tight_crops: Sequence[Image] = (),
) -> Image:
    """Lay plates over some of the tile's own and up to two beside them; `labels` is changed to match.

    `tight_crops` are pictures of plates cut at their edge, `crops` are cut more loosely (only their middle is told).
    """
    tile = tile.copy()
    height, width = tile.shape[:2]
    for number, label in enumerate(labels):
        x, y, w, h = label.middle_box()
        inside = w / 2 < x < width - w / 2 and h / 2 < y < height - h / 2
        if inside and min(w, 2.5 * h) > 12 and rng.random() < 0.6:
            plate, new = _some_plate(rng, crops, tight_crops, h)
            aspect = plate.shape[1] / plate.shape[0]
            quad = turned_plate(aspect, rng, yaw=22)
            size = quad.max(axis=0) - quad.min(axis=0)
            quad = quad * max(w / size[0], h / size[1]) * rng.uniform(1.0, 1.12) + np.array([x, y], np.float32)
            labels[number] = lay_plate(tile, plate, quad, rng, new, frames=_FRAMED)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.45, 0.4, 0.15]))):
        wanted = float(np.exp(rng.uniform(np.log(14.0), np.log(0.55 * width))))
        plate, new = _some_plate(rng, crops, tight_crops, wanted / 3)
        quad = turned_plate(plate.shape[1] / plate.shape[0], rng, yaw=58)
        size = quad.max(axis=0) - quad.min(axis=0)
        quad *= wanted / max(size[0], 1.6 * size[1])
        reach = (quad.max(axis=0) - quad.min(axis=0)) / 2
        if (reach * 2 > (width - 4, height - 4)).any():
            continue
        middle = rng.uniform(reach + 1, np.array([width, height]) - reach - 1)
        if any(_near(other, middle, reach) for other in labels):
            continue
        quad = (quad - (quad.max(axis=0) + quad.min(axis=0)) / 2 + middle).astype(np.float32)
        if rng.random() < 0.6:
            _mount(tile, quad, rng)
        labels.append(lay_plate(tile, plate, quad, rng, new, frames=_FRAMED))
    return tile


def _near(label: Label, middle: NDArray[np.float64], reach: NDArray[np.float32]) -> bool:
    x, y, w, h = label.middle_box()
    return bool(abs(x - middle[0]) < w / 2 + reach[0] + 4 and abs(y - middle[1]) < h / 2 + reach[1] + 4)


def _some_plate(
    rng: np.random.Generator, crops: Sequence[Image], tight_crops: Sequence[Image], height: float
) -> tuple[Image, Label]:
    """A plate's picture, and a label that says how far its edges are its corners."""
    draw = rng.random()
    trust = Label(np.zeros((4, 2), np.float32))
    if draw < 0.08 and crops:
        trust.box_weight = trust.corner_weight = 0.0
        return crops[int(rng.integers(len(crops)))], trust
    if draw < 0.33 and tight_crops:
        return tight_crops[int(rng.integers(len(tight_crops)))], trust
    # no annotated scene shows a US plate, so they come more often than their share
    region = _US[int(rng.integers(len(_US)))] if rng.random() < 0.35 else None
    return render_plate(random_plate(rng, region=region), int(np.clip(1.4 * height, 16, 96))), trust


def turned_plate(aspect: float, rng: np.random.Generator, yaw: float) -> Quad:
    """A flat plate of height 1 seen by a camera at a random angle, in its own plane's units around the origin."""
    a, b, c = np.radians([rng.normal(0, yaw / 2), rng.normal(0, 8), rng.normal(0, 3.5)])
    a = np.clip(a, -np.radians(62), np.radians(62))
    points = np.array([[-aspect, -1, 0], [aspect, -1, 0], [aspect, 1, 0], [-aspect, 1, 0]]) / 2
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    points = points @ (turn_z @ turn_x @ turn_y).T
    away = rng.uniform(4, 14) * max(aspect, 1.0)
    return (points[:, :2] * (away / (away + points[:, 2:]))).astype(np.float32)


def lay_plate(
    tile: Image, plate: Image, quad: Quad, rng: np.random.Generator, label: Label, frames: float = 0.0
) -> Label:
    """Paint `plate` into `tile` on `quad`, lit and blurred like its surroundings, with probability `frames` in a frame
    (see `framed`) that lies around `quad`; returns the label."""
    height, width = tile.shape[:2]
    label.corners = quad.astype(np.float32)
    if rng.random() < frames:
        plate, inner = framed(plate, rng)
        outer = box_corners(0, 0, plate.shape[1], plate.shape[0]) + 0.5
        matrix = cv2.getPerspectiveTransform(inner, label.corners)
        quad = cv2.perspectiveTransform(outer[None], matrix)[0]
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + 4, (width, height))
    if (high - low < 4).any():
        label.ignore = True
        return label
    patch = tile[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    # a plate much larger than its place would alias when sampled
    reach = max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]))
    if plate.shape[0] > 2 * reach:
        factor = max(1.5 * reach / plate.shape[0], 8 / plate.shape[1])
        plate = cv2.resize(plate, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    h, w = plate.shape[:2]
    matrix = cv2.getPerspectiveTransform(box_corners(0, 0, w, h), (quad - low - 0.5).astype(np.float32))
    size = (patch.shape[1], patch.shape[0])
    paint = cv2.warpPerspective(plate.astype(np.float32), matrix, size, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round((quad - low - 0.5) * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    around = patch.mean(axis=(0, 1)) + 1
    glow = float(np.clip(around.mean() * np.exp(rng.uniform(np.log(0.7), np.log(2.6))), 20, 225))
    gain = glow / max(float(plate.mean()), 8.0)
    tint = (around / around.mean()) ** rng.uniform(0, 0.7)
    paint = np.clip(paint * (gain * tint).astype(np.float32), 0, 255)
    if rng.random() < 0.3:
        paint *= _shade(size, rng)
    alpha = mask.astype(np.float32) / 255
    sigma = float(rng.choice([0.35, 0.6, 0.9, 1.3], p=[0.3, 0.35, 0.25, 0.1]))
    mixed = patch + (paint - patch) * cv2.GaussianBlur(alpha, (0, 0), 0.4)[..., None]
    mixed = cv2.GaussianBlur(mixed, (0, 0), sigma)
    soft = cv2.GaussianBlur(cv2.dilate(alpha, np.ones((3, 3), np.uint8)), (0, 0), 0.7)[..., None]
    tile[low[1] : high[1], low[0] : high[0]] = np.clip(patch + (mixed - patch) * soft, 0, 255).astype(np.uint8)
    return label


def _shade(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """A soft-edged shadow or glare across a patch: H x W x 1 factors."""
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    angle = rng.uniform(0, 2 * np.pi)
    side = 1 / (1 + np.exp(-(x * np.cos(angle) + y * np.sin(angle) + rng.uniform(-0.5, 0.5)) * rng.uniform(2, 30)))
    return (1 + (rng.uniform(0.35, 1.5) - 1) * side)[..., None].astype(np.float32)


def _mount(tile: Image, quad: Quad, rng: np.random.Generator) -> None:
    """Something behind a plate that looks like a bumper, a boot lid or a holder."""
    middle = quad.mean(axis=0)
    back = middle + (quad - middle) * rng.uniform(1.05, 2.2, 2).astype(np.float32)
    tone = rng.uniform(10, 200)
    colour = np.clip(rng.normal(tone, 25, 3), 0, 255)
    patch = tile.copy()
    cv2.fillConvexPoly(patch, np.round(back * 16).astype(np.int32), colour.tolist(), cv2.LINE_AA, 4)
    part = float(rng.uniform(0.5, 1.0))
    cv2.addWeighted(patch, part, tile, 1 - part, 0, dst=tile)


_WORDS = (
    "HOTEL TAXI STOP POLICE BAKERY PHARMACY SALE EXIT SCHOOL BUS PARKING OPEN BANK Cafe Diesel Turbo HYBRID Rent-a-car "
    "SPEED LIMIT ONE WAY NO ENTRY AUTO SERVICE www.example.com call 555-0134 +40 21 555 0172 4x4 TDI V6 LTD 24h GTI "
    "quattro AUTOMOTIVE photo by CARS MOTORS XL 320d SUV SPORT eco LINE drive safe blog media TRUCK LOGISTICS"
)


def lay_words(tile: Image, labels: Sequence[Label], rng: np.random.Generator) -> Image:
    """Signs, badges, shop names, phone numbers and time stamps: text that is no plate, kept off the plates."""
    tile = tile.copy()
    height, width = tile.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        text = " ".join(rng.choice(_WORDS.split(), int(rng.integers(1, 4))))
        if rng.random() < 0.25:
            day = f"20{rng.integers(10, 30)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
            text = f"{day} {rng.integers(24):02d}:15:42"
        mask = words(_FONTS[int(rng.integers(len(_FONTS)))], text, int(np.exp(rng.uniform(np.log(6), np.log(44)))))
        h, w = mask.shape
        if w + 24 >= width or h + 24 >= height:
            continue
        x, y = int(rng.integers(2, width - w - 2)), int(rng.integers(2, height - h - 2))
        middle = np.array([x + w / 2, y + h / 2])
        if any(_near(label, middle, np.array([w / 2 + 14, h / 2 + 14], np.float32)) for label in labels):
            continue
        ink = rng.integers(0, 256, 3)
        if rng.random() < 0.35:
            ground = (ink + rng.integers(80, 176)) % 256
            pad = int(rng.integers(2, 12))
            cv2.rectangle(tile, (x - pad, y - pad), (x + w + pad, y + h + pad), ground.tolist(), -1)
        alpha = mask.astype(np.float32)[..., None] / max(float(mask.max()), 1e-3) * rng.uniform(0.6, 1.0)
        part = tile[y : y + h, x : x + w]
        tile[y : y + h, x : x + w] = (part + (ink - part) * alpha).astype(np.uint8)
    return tile
