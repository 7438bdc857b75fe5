"""What a model must beat: a classical reader without learning, and the most frequent text.

`simple_reader` is the textbook way: Otsu's threshold (1979), connected components of a character's size, each
compared with glyphs of free fonts, nearest in squared distance. `majority` says the training data's most frequent
text to every plate. What people read is beside them in `human_baseline.json`, made by `human_sheet`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.alphabet import SYMBOLS
from vision.plates.glyphs import FONT_NAMES, glyph
from vision.types import Image

_CELL = (24, 16)
"""Height and width of a character when it is compared, pixels."""
_ENLARGED = 4
_TALL = (0.3, 0.95)
"""Height of a character as a fraction of the crop's."""
_WIDE = 0.25
"""Width of a character at most, as a fraction of the crop's."""
_ASPECT = (0.1, 1.1)
"""Width over height of a character."""


def majority(texts: Iterable[str]) -> str:
    """The most frequent text, the first in the alphabet of equals; empty of nothing."""
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], text)) if counts else ""


def simple_reader() -> Callable[[Image], str]:
    """A function from a straightened crop (H x W x 3, BGR) to its text: empty when no characters stand out."""
    signs, templates = _templates()

    def read(crop: Image) -> str:
        cells = _characters(crop)
        if not cells:
            return ""
        distances = ((np.stack(cells)[:, None] - templates[None]) ** 2).sum(axis=2)
        return "".join(signs[k] for k in distances.argmin(axis=1))

    return read


def _templates() -> tuple[list[str], NDArray[np.float32]]:
    signs = [sign for _ in FONT_NAMES for sign in SYMBOLS]
    cells = [_cell(glyph(font, sign)) for font in FONT_NAMES for sign in SYMBOLS]
    return signs, np.stack(cells)


def _cell(ink: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Ink 0..255, cut to its extent -> one vector of 0..1."""
    rows, columns = np.flatnonzero(ink.max(axis=1) > 40), np.flatnonzero(ink.max(axis=0) > 40)
    if rows.size and columns.size:
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = cv2.resize(ink, _CELL[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel(), np.float32) / np.float32(255)


def _characters(crop: Image) -> list[NDArray[np.float32]]:
    """The cells of what looks like characters, left to right; of dark on light and light on dark the longer line."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    _, light = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    lines = [_line(np.asarray(ink, np.uint8)) for ink in (255 - light, light)]
    return max(lines, key=len)


def _line(ink: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    height, width = ink.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    found: list[tuple[int, NDArray[np.float32]]] = []
    for number in range(1, len(stats)):
        x, y, w, h = (int(value) for value in stats[number][:4])
        if not _TALL[0] * height <= h <= _TALL[1] * height or w > _WIDE * width:
            continue
        if not _ASPECT[0] <= w / h <= _ASPECT[1]:
            continue
        part = labels[y : y + h, x : x + w] == number
        found.append((x, _cell((part * 255).astype(np.uint8))))
    return [cell for _, cell in sorted(found, key=lambda item: item[0])]


def human_sheet(crops: Sequence[Image], columns: int = 5) -> Image:
    """A page of numbered crops without their texts, for a person to read."""
    size = (288, 96)
    rows = []
    for begin in range(0, len(crops), columns):
        cells = []
        for number, crop in enumerate(crops[begin : begin + columns], start=begin + 1):
            cell = cv2.copyMakeBorder(
                cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), 26, 6, 6, 6, cv2.BORDER_CONSTANT
            )
            cv2.putText(cell, str(number), (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
            cells.append(cell)
        while len(cells) < columns:
            cells.append(np.zeros_like(cells[0]))
        rows.append(np.hstack(cells))
    return np.asarray(np.vstack(rows), np.uint8)
