"""What vision hands out (frozen results) and the two protocols that make a pipeline: Detector and Reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Height x width x 3, BGR, 0..255."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One plate found in a picture; pixels of the picture that was given."""

    corners: NDArray[np.float32]
    """4 x 2, clockwise from the plate's own top left."""
    confidence: float
    """0..1."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of the upright box around the corners."""
        return box_of(self.corners)


def box_of(corners: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """x, y, width, height of the upright box around corners, 4 x 2."""
    x0, y0 = corners.min(axis=0)
    x1, y1 = corners.max(axis=0)
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)


@dataclass(frozen=True, slots=True)
class PlateText:
    """What a rectified crop says."""

    plate: str
    """A-Z and 0-9, empty when nothing can be read."""
    confidence: float
    """Calibrated probability that `plate` is right as a whole, 0..1."""
    char_probs: tuple[tuple[tuple[str, float], ...], ...]
    """Per character of `plate` the likeliest symbols and their probabilities, best first."""
    candidates: tuple[tuple[str, float], ...]
    """Whole texts and their probabilities, best first; the first is `plate`, also where doubt has left that empty."""
    region: str = ""
    region_confidence: float = 0.0
    legibility: float = 1.0


@dataclass(frozen=True, slots=True)
class PlateResult:
    """One plate of one picture, found, straightened and read."""

    detection: Detection
    text: PlateText
    crop: Image
    """The rectified crop that was read."""
    sharpness: float
    """Variance of the Laplacian of the grey crop."""


class Detector(Protocol):
    """Pictures of any sizes to plates, batch in, batch out."""

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        """One list per picture, best first."""


class Reader(Protocol):
    """Rectified crops to texts, batch in, batch out."""

    crop_size: tuple[int, int]
    """Height, width in pixels of the crops that `read` wants."""

    def read(self, crops: Sequence[Image], again: Sequence[bool] | None = None) -> list[PlateText]:
        """One text per crop, in order.

        Args:
            crops: straightened plates of `crop_size`.
            again: per crop, whether it may be looked at again when its text leaves doubt; None: all may.
        """
