"""What makes a plate hard to read, told from its picture and place. In: a plate. Out: names of slices, pure.

The limits are fixed numbers, not quantiles, so that a slice means the same on every split and on other pictures.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.types import Image

_HEIGHTS = (12, 20, 40)
_DARK = 60.0
_GLARE = 0.15
_BLURRED = 120.0
_TWO_ROWS = 1.7
_SLANT = 10.0
_OBLIQUE = 0.75


def slices_of(crop: Image, box_width: float, box_height: float, corners: NDArray[np.float32] | None) -> frozenset[str]:
    """The slices of one plate.

    Args:
        crop: the plate straightened, BGR.
        box_width: of the upright box in the picture, pixels.
        box_height: likewise.
        corners: 4 x 2 in the picture where they are known, clockwise from the plate's own top left.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    names = {_height(box_height)}
    if grey.mean() < _DARK:
        names.add("dark")
    if (grey > 250).mean() > _GLARE:
        names.add("glare")
    if cv2.Laplacian(grey, cv2.CV_64F).var() < _BLURRED:
        names.add("blurred")
    if box_width / max(1.0, box_height) < _TWO_ROWS:
        names.add("two rows or square")
    if corners is not None and _oblique(corners):
        names.add("oblique")
    return frozenset(names)


def _height(pixels: float) -> str:
    below = next((limit for limit in _HEIGHTS if pixels < limit), None)
    if below is None:
        return f"height {_HEIGHTS[-1]} px and more"
    above = max((limit for limit in _HEIGHTS if limit < below), default=0)
    return f"height {above} to {below} px"


def _oblique(corners: NDArray[np.float32]) -> bool:
    """True when the top edge slants by more than 10 degrees, or one side is a quarter shorter than the other."""
    edge = corners[1] - corners[0]
    slant = abs(math.degrees(math.atan2(float(edge[1]), float(edge[0]))))
    left = float(np.linalg.norm(corners[3] - corners[0]))
    right = float(np.linalg.norm(corners[2] - corners[1]))
    return slant > _SLANT or min(left, right) < _OBLIQUE * max(left, right)
