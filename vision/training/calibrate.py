"""Honest confidences: logits with the truth in, the temperature that makes 0.9 mean nine in ten out. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vision.alphabet import decode

GRID = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.4)


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


def fit_temperature(
    logits: Sequence[NDArray[np.floating]] | NDArray[np.floating], truths: Sequence[str], grid: Sequence[float] = GRID
) -> tuple[float, float]:
    """The temperature of `grid` with the smallest log loss of "the whole text is right", and its calibration error.

    `logits` are T x 37 per plate, of validation plates that the network was not trained on.
    """
    best: tuple[float, float, float] | None = None
    for temperature in grid:
        read = [decode(row, temperature=temperature) for row in logits]
        confidence = np.array([r.confidence for r in read])
        right = np.array([r.text == truth for r, truth in zip(read, truths, strict=True)])
        loss = log_loss(confidence, right)
        if best is None or loss < best[0]:
            best = (loss, temperature, calibration_error(confidence, right))
    if best is None:
        raise ValueError("no temperatures to try")
    return best[1], best[2]
