"""Plates straightened: pictures and four corners (or those of an upright box) in, crops of one size out.

The crop shows the plate plus a margin on every side, stretched to the wanted size whatever the plate's shape: the
reader sees all plates at the same width and height. What lies outside the picture repeats its edge.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.types import Image

MARGIN = 0.06
"""Default margin, as a fraction of the plate's width and height, on each side. What a reader likes best is for `val` to
say, with plates where the detector finds them (`vision.training.mounting`): reader-v4 read most at 0.03, v5 at this."""

Corners = NDArray[np.float32]
"""4 x 2, clockwise from the plate's own top left; the edges of pixel (0, 0) lie at -0.5 and 0.5."""


def box_corners(x: float, y: float, width: float, height: float) -> Corners:
    """Corners of an upright box whose left upper edge lies at x, y (pixel edges, as annotations count them)."""
    left, top = x - 0.5, y - 0.5
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def crop_transform(corners: Corners, size: tuple[int, int], margin: float = MARGIN) -> NDArray[np.float64]:
    """The 3 x 3 homography from picture pixels to pixels of a crop of `size` (height, width).

    Raises ValueError when the corners span no area.
    """
    height, width = size
    quad = _checked(corners)
    dx, dy = width * margin / (1 + 2 * margin), height * margin / (1 + 2 * margin)
    target = np.array(
        [[dx, dy], [width - dx, dy], [width - dx, height - dy], [dx, height - dy]], np.float32
    ) - np.float32(0.5)
    return np.asarray(cv2.getPerspectiveTransform(quad, target), np.float64)


def rectify(image: Image, corners: Corners, size: tuple[int, int], margin: float = MARGIN) -> Image:
    """One crop of `size` (height, width).

    A plate much larger than the crop is shrunk by area first, so that nothing flickers between pixels. Raises
    ValueError when the corners span no area.
    """
    source, quad = _shrink(image, _checked(corners), size)
    transform = crop_transform(quad, size, margin)
    crop = cv2.warpPerspective(
        source, transform, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def _checked(corners: Corners) -> Corners:
    quad = np.asarray(corners, np.float32).reshape(4, 2)
    if not np.isfinite(quad).all() or abs(cv2.contourArea(quad)) < 1e-3:
        raise ValueError(f"corners {quad.tolist()} span no area")
    return quad


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a picture that is shrunk by area before a large plate is straightened."""

    left: int
    top: int
    right: int
    bottom: int
    height: int
    width: int
    """What the part is shrunk to."""
    corners: Corners
    """The plate's, on the shrunk part."""


def plan_cut(width: int, height: int, corners: Corners, size: tuple[int, int]) -> Cut | None:
    """Where a picture of width x height is to be cut and shrunk for a crop of `size`; None when the plate is small.

    Raises ValueError when the corners span no area.
    """
    quad = _checked(corners)
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    factor = min(max(sides[0], sides[2]) / size[1], max(sides[1], sides[3]) / size[0])
    if factor < 1.6:
        return None
    reach = 0.5 * np.maximum(quad.max(axis=0) - quad.min(axis=0), 1.0)
    low = np.floor(np.clip(quad.min(axis=0) - reach, 0, None)).astype(int)
    high = np.ceil(np.minimum(quad.max(axis=0) + reach, [width, height])).astype(int)
    if (high <= low).any():
        return None
    across, down = (high - low).tolist()
    new = (max(1, round(across / factor)), max(1, round(down / factor)))
    moved = (quad - low + 0.5) * np.array([new[0] / across, new[1] / down]) - 0.5
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    return Cut(left, top, right, bottom, new[1], new[0], moved.astype(np.float32))


def _shrink(image: Image, quad: Corners, size: tuple[int, int]) -> tuple[Image, Corners]:
    """Cut the neighbourhood of a plate that is more than 1.6 times the crop's size and shrink it by area."""
    cut = plan_cut(image.shape[1], image.shape[0], quad, size)
    if cut is None:
        return image, quad
    part = image[cut.top : cut.bottom, cut.left : cut.right]
    return np.asarray(cv2.resize(part, (cut.width, cut.height), interpolation=cv2.INTER_AREA), np.uint8), cut.corners
