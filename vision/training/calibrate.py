"""Honest confidences: logits with the truth in, the temperature that makes 0.9 mean nine in ten out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.alphabet import Decoded, decode
from vision.formats import Weigh
from vision.reader import SURE

GRID = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.65, 1.8, 2.0, 2.3, 2.6)


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error, 0..1: the mean gap of confidence and share right over bins of equal count."""
    if not len(confidence):
        return 0.0
    order = np.argsort(confidence, kind="stable")
    gaps = [
        abs(float(confidence[part].mean()) - float(right[part].mean())) * len(part)
        for part in np.array_split(order, bins)
        if len(part)
    ]
    return float(sum(gaps) / len(confidence))


def log_loss(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Mean negative log probability of what happened (right or wrong)."""
    p = np.clip(np.asarray(confidence, np.float64), 1e-4, 1 - 1e-4)
    return float(-np.where(right, np.log(p), np.log(1 - p)).mean())


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Plates that the network was not trained on, and what it said of them."""

    logits: Sequence[NDArray[np.floating]]
    """Per plate V x T x 37: the plain crop first, then its other views, if any."""
    truths: Sequence[str]
    weighs: Sequence[tuple[Weigh | None, Weigh | None]]
    """Per plate the prior on its text (see `vision.formats`), from the plain crop and from all views."""

    def part(self, which: slice) -> "LookedAt":
        """Some of the plates."""
        return LookedAt(self.logits[which], self.truths[which], self.weighs[which])

    def texts(self, temperature: float) -> list[Decoded]:
        """What production would read: the other views count where the plain crop leaves doubt."""
        found = []
        for views, (first, every) in zip(self.logits, self.weighs, strict=True):
            read = decode(views[0], temperature=temperature, weigh=first)
            if read.confidence < SURE and len(views) > 1:
                read = decode(views, temperature=temperature, weigh=every)
            found.append(read)
        return found

    def read(self, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Confidence and whether the whole text is right, per plate."""
        found = self.texts(temperature)
        right = [read.text == truth for read, truth in zip(found, self.truths, strict=True)]
        return np.array([read.confidence for read in found]), np.array(right)


def fit_temperature(judged: LookedAt, grid: Sequence[float] = GRID) -> float:
    """The temperature of `grid` with the smallest log loss of "the whole text is right"."""
    if not grid:
        raise ValueError("no temperatures to try")
    return min(grid, key=lambda temperature: log_loss(*judged.read(temperature)))


def crossed_error(judged: LookedAt, grid: Sequence[float] = GRID) -> float:
    """The calibration error where each half of the plates is judged at the temperature that the other half chose."""
    halves = judged.part(slice(0, None, 2)), judged.part(slice(1, None, 2))
    read = [here.read(fit_temperature(other, grid)) for here, other in (halves, halves[::-1])]
    return calibration_error(np.concatenate([c for c, _ in read]), np.concatenate([r for _, r in read]))
