"""Font files in, alpha masks of characters and small words out (cached: drawing outlines is the slow part)."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

FONT_FOLDER = Path(__file__).resolve().parent.parent / "fonts"
FONT_NAMES: tuple[str, ...] = tuple(sorted(p.stem for p in FONT_FOLDER.iterdir() if p.suffix in {".ttf", ".otf"}))
_CAP = 96
"""Height in pixels of the cached capitals."""

Mask = NDArray[np.uint8]


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    for suffix in (".ttf", ".otf"):
        path = FONT_FOLDER / (name + suffix)
        if path.exists():
            return ImageFont.truetype(str(path), size)
    raise ValueError(f"no font {name!r} in {FONT_FOLDER}; there are {', '.join(FONT_NAMES)}")


@lru_cache(maxsize=64)
def _capital_font(name: str) -> tuple[ImageFont.FreeTypeFont, int, int]:
    """The font at the size that makes an H `_CAP` pixels high, and where its top and bottom lie."""
    _, top, _, bottom = _font(name, 200).getbbox("H")
    font = _font(name, max(8, round(200 * _CAP / (bottom - top))))
    _, top, _, bottom = font.getbbox("H")
    return font, int(top), int(bottom)


@lru_cache(maxsize=4096)
def glyph(font_name: str, sign: str, weight: int = 0) -> Mask:
    """Alpha mask 0..255 of one character, cut to its ink sideways and to a capital's height plus 6 % up and down.

    The character's capital height is `1 / 1.12` of the mask's height. `weight` makes the strokes so many pixels of a
    96-pixel capital thicker on each side, or thinner below 0.
    """
    font, top, bottom = _capital_font(font_name)
    overshoot = round(0.06 * (bottom - top))
    width = int(font.getlength(sign)) + 40
    canvas = PilImage.new("L", (width, bottom + 60), 0)
    ImageDraw.Draw(canvas).text((20, 0), sign, fill=255, font=font)
    mask = np.asarray(canvas)
    if weight:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(weight) + 1, 2 * abs(weight) + 1))
        mask = np.asarray(cv2.dilate(mask, kernel) if weight > 0 else cv2.erode(mask, kernel), np.uint8)
    columns = np.flatnonzero(mask.max(axis=0) > 40)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if columns.size else (20, width - 20)
    return np.ascontiguousarray(mask[max(0, top - overshoot) : bottom + overshoot, left:right])


@lru_cache(maxsize=4096)
def words(font_name: str, text: str, height: int) -> Mask:
    """Alpha mask of a line of small text whose capitals are about `height` pixels high."""
    font = _font(font_name, max(6, round(height * 1.4)))
    left, top, right, bottom = font.getbbox(text)
    canvas = PilImage.new("L", (max(1, int(right - left)), max(1, int(bottom - top))), 0)
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font)
    return np.asarray(canvas).copy()


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Area-averaged when it shrinks, so that thin strokes stay."""
    size = (max(1, width), max(1, height))
    method = cv2.INTER_AREA if mask.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, size, interpolation=method), dtype=np.uint8)
