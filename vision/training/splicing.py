"""New texts from real plates: two plates of one kind in, the left of one beside the right of the other out.

A few hundred real plates are soon known by heart, neighbouring characters and all. A network that reads already says
where each plate's characters lie; plates that it misreads (or whose label is wrong) are left out.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vision.alphabet import align, greedy, softmax
from vision.reader import BodyKind, ReaderNet, prepare_batch
from vision.rectify import Corners, rectify
from vision.types import Image

_SIZE = (72, 216)
"""Height, width in pixels at which the halves are joined."""
_SURROUND = 0.2
"""What is kept around the plate, as a fraction of its size on each side."""

_BEHIND: dict[BodyKind, float] = {"plain": 0.8, "lcnet": -1.3}
"""Columns from a character's middle to its step, by the reader's body: one tells it when most of the character has been
seen, the other when it begins (2.1 columns earlier, within 0.3, on 1,192 plates of `train`)."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Where one plate's text can be cut."""

    pattern: str
    """Source and text with A for letters and 9 for digits: only equals are joined."""
    places: tuple[float, ...]
    """Of the cut before the second, third ... character, 0..1 across the plate."""


def pattern_of(source: str, text: str) -> str:
    """What two plates must share to be joined."""
    return source + ":" + re.sub("[0-9]", "9", re.sub("[A-Z]", "A", text))


def find_gaps(network: ReaderNet, crops: Sequence[Image], facts: Sequence[tuple[float, str, str]]) -> list[Gaps | None]:
    """For each crop (of the reader's size, cut on its annotation) its gaps; `facts` are its margin, text and source.

    None for a plate of two rows and for one that the network does not read as its label says.
    """
    network.eval()
    device, behind = next(network.parameters()).device, _BEHIND[network.architecture.body]
    out: list[Gaps | None] = []
    with torch.inference_mode():
        for start in range(0, len(crops), 64):
            batch = prepare_batch(torch.from_numpy(np.stack(crops[start : start + 64])).to(device))
            logits = network(batch).logits.float().cpu().numpy()
            out.extend(_gaps(row, behind, *fact) for row, fact in zip(logits, facts[start : start + 64], strict=True))
    return out


def _gaps(logits: NDArray[np.float32], behind: float, margin: float, text: str, source: str) -> Gaps | None:
    if len(text) < 3 or greedy(logits) != text:
        return None
    runs = align(softmax(logits), text)
    columns = len(logits) // 2
    slot = runs[0][0] // columns
    if runs[-1][1] > (slot + 1) * columns:
        return None
    middles = [((first + end) / 2 - slot * columns - behind) / columns for first, end in runs]
    inside = [(x * (1 + 2 * margin)) - margin for x in middles]
    return Gaps(pattern_of(source, text), tuple((a + b) / 2 for a, b in itertools.pairwise(inside)))


def splice(left: tuple[Image, Corners, Gaps], right: tuple[Image, Corners, Gaps], cut: int) -> tuple[Image, Corners]:
    """The first `cut` characters of `left` beside the rest of `right`: a picture with surroundings, and its corners."""
    height, width = _SIZE
    parts = [rectify(picture, corners, _SIZE, _SURROUND).astype(np.float32) for picture, corners, _ in (left, right)]
    inner = np.s_[round(0.2 * height) : round(0.8 * height), round(0.2 * width) : round(0.8 * width)]
    mean = [part[inner].mean(axis=(0, 1)) for part in parts]
    spread = [part[inner].std() + 4.0 for part in parts]
    parts[1] = (parts[1] - mean[1]) * (spread[0] / spread[1]) + mean[0]
    at = [round((_SURROUND + gaps.places[cut - 1]) / (1 + 2 * _SURROUND) * width) for _, _, gaps in (left, right)]
    joined = np.concatenate([parts[0][:, : at[0]], parts[1][:, at[1] :]], axis=1)
    soft = cv2.blur(joined, (3, 1))
    joined[:, at[0] - 1 : at[0] + 1] = soft[:, at[0] - 1 : at[0] + 1]
    dx, dy = width * _SURROUND / (1 + 2 * _SURROUND), height * _SURROUND / (1 + 2 * _SURROUND)
    x1 = joined.shape[1] - dx
    corners = np.array([[dx, dy], [x1, dy], [x1, height - dy], [dx, height - dy]], np.float32) - np.float32(0.5)
    return np.clip(joined, 0, 255).astype(np.uint8), corners
