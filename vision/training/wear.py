"""What cameras do to pictures: a clean tile in, one with changed light, blur, noise and compression damage out."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.types import Image

_CASTS, _CAST_ODDS = (0.07, 0.3, 0.7), (0.73, 0.19, 0.08)
"""Spread of the channels' gains (natural logarithm): by day, in the evening, and where all is lit by one lamp."""


def wear(picture: Image, rng: np.random.Generator) -> Image:
    """Each kind of damage with its own odds, in the order in which light, lens, sensor and encoder do it."""
    if rng.random() < 0.8:
        picture = _light(picture, rng)
    draw = rng.random()
    if draw < 0.12:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)  # type: ignore[assignment]
    elif draw < 0.2:
        # a plate is a plate in paint of any colour
        picture = np.ascontiguousarray(picture[..., rng.permutation(3)])
    draw = rng.random()
    if draw < 0.22:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.4)))  # type: ignore[assignment]
    elif draw < 0.34:
        picture = cv2.filter2D(picture, -1, _streak(rng))  # type: ignore[assignment]
    if rng.random() < 0.4:
        picture = _noise(picture, rng)
    if rng.random() < 0.45:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return picture


def _light(picture: Image, rng: np.random.Generator) -> Image:
    """Gamma, gain, colour cast, and now and then night or haze, as one table per channel."""
    levels = np.linspace(0, 1, 256)[None].repeat(3, axis=0)
    draw = rng.random()
    gamma = float(np.exp(rng.normal(0, 0.3)))
    if draw < 0.14:
        gamma = float(rng.uniform(1.5, 3.0))
    levels = levels**gamma
    gain = rng.uniform(0.3, 0.9) if draw < 0.14 else np.exp(rng.normal(0, 0.2))
    cast = np.exp(rng.normal(0, rng.choice(_CASTS, p=_CAST_ODDS), 3))
    levels = levels * gain * cast[:, None]
    if rng.random() < 0.1:
        veil = rng.uniform(0.1, 0.45)
        levels = veil + levels * (1 - veil)
    table = np.clip(levels * 255, 0, 255).astype(np.uint8).T.reshape(1, 256, 3)
    return cv2.LUT(picture, table)  # type: ignore[return-value]


def _streak(rng: np.random.Generator) -> NDArray[np.float32]:
    """A motion blur kernel, 3 to 9 pixels long, mostly level."""
    length = int(rng.integers(3, 10))
    angle = rng.normal(0, 0.35)
    kernel = np.zeros((9, 9), np.float32)
    for step in np.linspace(-length / 2 + 0.5, length / 2 - 0.5, 2 * length):
        kernel[round(4 + step * np.sin(angle)), round(4 + step * np.cos(angle))] += 1
    return kernel / kernel.sum()


def _noise(picture: Image, rng: np.random.Generator) -> Image:
    sigma = float(np.exp(rng.uniform(np.log(2.0), np.log(16.0))))
    seed = int(rng.integers(2**31))
    cv2.setRNGSeed(seed)
    grain = np.empty(picture.shape, np.int16)
    cv2.randn(grain, 0.0, sigma)  # type: ignore[call-overload]
    if rng.random() < 0.4:
        grain[:] = grain[..., :1]
    return np.clip(picture + grain, 0, 255).astype(np.uint8)
