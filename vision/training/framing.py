"""Frames around number plates: a plate's picture in, the picture with a frame and the plate's corners in it out.

Most plates of the US and many of Europe sit in a holder that says a dealer's, a team's or a college's name above or
below, and whose lips hide some of the plate's edge with what stands there. A detector must find the plate in it, and a
reader must not read the frame.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.plates.glyphs import words
from vision.rectify import box_corners
from vision.types import Image

_LOWEST = 60
"""Pixels of height that a plate gets before it is framed: the frame's words need some."""
_WORDS = (
    "AUTOHAUS", "motors", "TOYOTA", "www.cars.com", "Best Ford", "DEALER 555", "Garage Nord", "HONDA CITY", "ALUMNI",
    "STATE UNIVERSITY", "CHEVROLET", "Your friends at Miller", "SPRINGFIELD", "Volvo of Riverside", "Go Wildcats",
    "www.example.com", "555-0134", "WORLD CHAMPIONS", "Mercedes-Benz", "My other car is a boat", "U.S. VETERAN",
)  # fmt: skip
_FONTS = ("overpass-700", "barlow-condensed-700", "liberation-sans-bold", "dejavu-sans-bold")
_BLACK, _CHROME = 0.6, 0.25
"""How often a frame is that; the others have a colour."""


def framed(plate: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
    """The plate (H x W x 3) in a frame, and its corners 4 x 2 (pixel edges) there: of all of it, hidden edges too."""
    if plate.shape[0] < _LOWEST:
        factor = _LOWEST / plate.shape[0]
        plate = np.asarray(cv2.resize(plate, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR), np.uint8)
    height, width = plate.shape[:2]
    side, top, bottom = (round(height * float(rng.uniform(0.0, most))) for most in (0.09, 0.2, 0.22))
    lip_side, lip_top, lip_bottom = (
        round(height * float(rng.uniform(0.0, most))) if rng.random() < 0.7 else 0 for most in (0.05, 0.09, 0.09)
    )
    draw = rng.random()
    chrome = _BLACK <= draw < _BLACK + _CHROME
    tone = rng.uniform(120, 230) if chrome else rng.uniform(5, 50) if draw < _BLACK else rng.uniform(40, 140)
    out = np.empty((height + top + bottom, width + 2 * side, 3), np.float32)
    out[:] = tone + rng.normal(0, 6 if chrome or draw < _BLACK else 40, 3)
    if chrome:
        # shines unevenly
        above, below = rng.uniform(0.6, 1.1), rng.uniform(0.6, 1.1)
        out *= np.linspace(above, below, out.shape[0], dtype=np.float32)[:, None, None]
    upper, lower = slice(0, top + lip_top), slice(out.shape[0] - bottom - lip_bottom, out.shape[0])
    for strip in (upper, lower):
        if rng.random() < 0.7:
            _write(out[strip], rng)
    inside = plate[lip_top : height - lip_bottom, lip_side : width - lip_side]
    out[top + lip_top :, side + lip_side :][: inside.shape[0], : inside.shape[1]] = inside
    return np.clip(out, 0, 255).astype(np.uint8), box_corners(side, top, width, height) + 0.5


def _write(strip: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A word or two along the middle of a strip that is high enough, light on dark or dark on light."""
    if strip.shape[0] < 7:
        return
    ink = rng.uniform(180, 250) if strip.mean() < 110 else rng.uniform(5, 50)
    mask = words(_FONTS[int(rng.integers(len(_FONTS)))], _WORDS[int(rng.integers(len(_WORDS)))], strip.shape[0] - 4)
    mask = mask[: strip.shape[0] - 2, : strip.shape[1]]
    left = (strip.shape[1] - mask.shape[1]) // 2
    part = strip[1 : 1 + mask.shape[0], left : left + mask.shape[1]]
    part += (ink - part) * (mask[..., None].astype(np.float32) / 255)
