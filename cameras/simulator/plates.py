"""Plates on vehicles: an invented plate in, its picture in true perspective on the frame and its corners out."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Floats, quad_height
from cameras.simulator.models import Model
from vision.plates import PlateSpec, plate_size, render_plate

Image = NDArray[np.uint8]

_SOURCE_PX = 144
"""Height at which a plate is drawn once; every frame shrinks from there."""
_LEVELS = 5
_OVERSAMPLE = 3
_BURIED = 0.8
_TINY_PX = 6.5
"""Below this height nobody can read a plate, and a plain warp of its smallest picture will do."""


@dataclass(frozen=True)
class PlateSprite:
    """A plate as it hangs on its vehicle, at falling sizes."""

    spec: PlateSpec
    width_m: float
    height_m: float
    levels: tuple[Image, ...]
    """BGR, each half the size of the one before."""
    dirty: bool
    buried: bool
    """So dirty that characters are gone."""
    cover: str
    """`` none, `tinted` a smoked pane that can be read through, `opaque` a cloth or case that cannot."""


def make_sprite(spec: PlateSpec, seed: int, dirty: bool, cover: str) -> PlateSprite:
    """Draw a plate with what lies on it."""
    rng = np.random.default_rng(seed)
    flat = render_plate(spec, height_px=_SOURCE_PX)
    buried = False
    if dirty:
        flat, buried = _soil(flat, rng)
    if cover == "tinted":
        flat = (flat * 0.42 + 22).astype(np.uint8)
        flat[: flat.shape[0] // 3] += 18
    elif cover == "opaque":
        flat = _cloth(flat.shape, rng)
    width, height = plate_size(spec)
    levels = [flat]
    while len(levels) < _LEVELS:
        last = levels[-1]
        size = (max(2, last.shape[1] // 2), max(2, last.shape[0] // 2))
        levels.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
    return PlateSprite(spec, width, height, tuple(levels), dirty, buried, cover)


def _soil(flat: Image, rng: np.random.Generator) -> tuple[Image, bool]:
    """Splashes of mud, thicker towards the lower edge; True when a character's worth is hidden."""
    h, w = flat.shape[:2]
    coarse, fine = rng.random((max(3, h // 24), max(4, w // 24))), rng.random((h // 6, w // 6))
    noise = cv2.resize(coarse.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC) + 0.45 * cv2.resize(
        fine.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC
    )
    ramp = np.linspace(0.0, 0.42, h, dtype=np.float32)[:, None]
    bare, most = float(rng.uniform(0.3, 0.62)), float(rng.uniform(0.55, 0.98))
    cover = np.clip((noise * 0.62 + ramp - bare) * 2.2, 0, most)[..., None]
    mud = np.array([52, 72, 92], np.float32) * float(rng.uniform(0.8, 1.2))
    soiled = np.clip(flat * (1 - cover) + mud * cover, 0, 255).astype(np.uint8)
    # over the middle, averaged over about a character
    thick = cv2.blur(cover[..., 0], (max(1, h // 3), max(1, h // 2)))[h // 4 : -h // 4, w // 12 : -w // 12]
    return soiled, bool(thick.max() > _BURIED)


def _cloth(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """A dark folded sheet."""
    tone = float(rng.uniform(24, 90))
    folds = np.sin(np.linspace(0, float(rng.uniform(9, 20)), shape[1]) + float(rng.uniform(0, 6)))[None, :, None]
    grain = rng.normal(0, 3, (shape[0], shape[1], 1))
    return np.clip(np.broadcast_to(tone * (1 + 0.2 * folds) + grain, shape), 0, 255).astype(np.uint8)


def plate_corners(model: Model, sprite: PlateSprite, end: str) -> Floats | None:
    """Corners in the vehicle's frame, clockwise from the plate's own top left; None where that end has no plate."""
    if end == "rear":
        y, z = model.rear_plate
        w = sprite.width_m / 2
    elif model.front_plate is not None:
        y, z = model.front_plate
        w = -sprite.width_m / 2
    else:
        return None
    h = sprite.height_m / 2
    return np.array([[-w, y + h, z], [w, y + h, z], [w, y - h, z], [-w, y - h, z]], np.float32)


def paint_plate(canvas: Image, sprite: PlateSprite, corners: Floats, gain: Floats, veil: float = 0.0) -> None:
    """Warp the plate onto the picture.

    Args:
        corners: 4 x 2 pixels.
        gain: three factors (BGR), how brightly it is lit.
        veil: 0..1, fading into a light haze.
    """
    height, width = canvas.shape[:2]
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + 2
    x0, y0, x1, y1 = int(x0), int(y0), min(int(x1), width), min(int(y1), height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    tall = quad_height(corners)
    if tall < _TINY_PX:
        _paint_tiny(canvas, sprite.levels[-1], corners, (x0, y0, x1, y1), gain, veil)
        return
    wanted = tall * _OVERSAMPLE
    level = next((im for im in reversed(sprite.levels) if im.shape[0] >= wanted), sprite.levels[0])
    if level.shape[0] > wanted:
        scale = wanted / level.shape[0]
        size = (max(2, round(level.shape[1] * scale)), max(2, round(level.shape[0] * scale)))
        level = cv2.resize(level, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    h, w = level.shape[:2]
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - 0.5
    target = (corners - np.array([x0, y0], np.float32)) * _OVERSAMPLE - 0.5
    matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
    size = ((x1 - x0) * _OVERSAMPLE, (y1 - y0) * _OVERSAMPLE)
    fine = cv2.warpPerspective(level, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(mask, (target * 16).round().astype(np.int32), 255, cv2.LINE_8, 4)
    small = (x1 - x0, y1 - y0)
    plate = cv2.resize(fine, small, interpolation=cv2.INTER_AREA).astype(np.float32) * gain
    if veil > 0:
        plate += (200.0 - plate) * veil
    alpha = (cv2.resize(mask, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)[..., None]
    region = canvas[y0:y1, x0:x1]
    region[:] = np.clip(region * (1 - alpha) + plate * alpha + 0.5, 0, 255).astype(np.uint8)


def _paint_tiny(
    canvas: Image, small: Image, corners: Floats, box: tuple[int, int, int, int], gain: Floats, veil: float
) -> None:
    x0, y0, x1, y1 = box
    h, w = small.shape[:2]
    lit = np.clip(small * (gain * (1 - veil)) + 200.0 * veil, 0, 255).astype(np.uint8)
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(
        source, (corners - np.array([x0 + 0.5, y0 + 0.5], np.float32)).astype(np.float32)
    )
    region = canvas[y0:y1, x0:x1]
    cv2.warpPerspective(lit, matrix, (x1 - x0, y1 - y0), dst=region, borderMode=cv2.BORDER_TRANSPARENT)
