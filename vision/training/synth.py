"""Invented plates as a camera would see them: a random generator and a difficulty in, crops with their texts out.

Difficulty 0 is a clean plate seen from ahead; 1 has oblique views up to 60 degrees, dirt, covers, glare, night,
infrared, blur, noise, hard compression and plates ten pixels high. In between, each fault grows rarer and milder. The
same generator state gives the same crop.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.plates import PlateSpec, random_plate, render_plate
from vision.rectify import box_corners, rectify
from vision.training.framing import framed
from vision.training.video_wear import h264, rolling_shutter
from vision.types import Image

Canvas = NDArray[np.float32]
_DRAWN = 52
"""Height in pixels at which a plate is drawn before it is put into perspective."""


@dataclass(frozen=True, slots=True)
class SynthCrop:
    """A rectified crop and what it shows."""

    crop: Image
    text: str
    region: str
    legible: bool
    """False when it is too small or blurred for anyone: its text is no target."""


def synth_crop(rng: np.random.Generator, difficulty: float, size: tuple[int, int], illegible: float = 0.0) -> SynthCrop:
    """One crop of `size` (height, width); with probability `illegible` ruined on purpose."""
    plate = random_plate(rng, any_letters=0.4)
    spec = _any_text(plate, rng) if rng.random() < 0.16 else plate
    ruined = rng.random() < illegible
    # most photographs are better than the worst ones, and what was learnt first must not be lost
    level = difficulty * float(rng.uniform(0.2, 1.0))
    flat = weather(render_plate(spec, _DRAWN, vary=0.8).astype(np.float32), rng, level)
    flat, inner = mount(flat, rng, level)
    height_px = float(rng.uniform(3.0, 6.0)) if ruined else plate_height(rng, level)
    view, corners = take_picture(flat, inner, rng, level, height_px)
    view = degrade(view, rng, level)
    crop = rectify(view, loosen(corners, rng, level), size, margin=float(rng.uniform(0.0, 0.1)))
    return SynthCrop(crop, spec.text, spec.region, not ruined)


def plate_height(rng: np.random.Generator, level: float) -> float:
    """Height in pixels at which the camera sees the plate: 30 to 56 when easy, down to 10 when hard."""
    if rng.random() < 0.75 * level:
        return float(rng.uniform(max(10.0, 30 - 20 * level), 34.0))
    return float(rng.uniform(30.0, 56.0))


def _any_text(spec: PlateSpec, rng: np.random.Generator) -> PlateSpec:
    """The same layout with every character drawn anew: no pattern may be taken for granted.

    O, I and Q are left out: where no pattern tells them from 0 and 1, many fonts do not either.
    """
    signs = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
    shown = tuple(
        "".join(signs[int(rng.integers(len(signs)))] if c.isalnum() else c for c in row) for row in spec.shown
    )
    return replace(spec, shown=shown, text="".join(c for row in shown for c in row if c.isalnum()))


def weather(plate: Canvas, rng: np.random.Generator, level: float) -> Canvas:
    """What time and light do to the plate itself: fading, dirt, a cover, shadow edges, glare, relief."""
    height, width = plate.shape[:2]
    if rng.random() < 0.5 * level:
        grey = float(rng.uniform(90, 200))
        plate = grey + (plate - grey) * float(rng.uniform(0.35, 0.9))
    if rng.random() < 0.45 * level:
        cells = (int(rng.integers(4, 24)), int(rng.integers(2, 8)))
        spots = cv2.resize(rng.random((cells[1], cells[0]), dtype=np.float32), (width, height))
        alpha = np.clip((spots - 0.55) * 3, 0, 1)[..., None] * float(rng.uniform(0.15, 0.75))
        plate = plate + (rng.uniform(30, 130, 3).astype(np.float32) - plate) * alpha
    if rng.random() < 0.3 * level:
        shift = 1 if rng.random() < 0.5 else -1
        edges = plate - np.roll(plate, (shift, shift), axis=(0, 1))
        plate = plate + edges * float(rng.uniform(0.3, 1.2))
    if rng.random() < 0.5 * level:
        plate = _shade(plate, rng)
    if rng.random() < 0.25 * level:
        plate = _glare(plate, rng)
    return plate.astype(np.float32)


def _shade(plate: Canvas, rng: np.random.Generator) -> Canvas:
    """A straight shadow edge, or light that falls off across the plate."""
    height, width = plate.shape[:2]
    angle = float(rng.uniform(0, 2 * np.pi))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    along = (x / width - rng.uniform(0.2, 0.8)) * np.cos(angle) + (y / height - rng.uniform(0.2, 0.8)) * np.sin(angle)
    sharpness = float(np.exp(rng.uniform(np.log(1.5), np.log(60))))
    lit = 1 / (1 + np.exp(-np.clip(along * sharpness, -30, 30)))
    dark = float(rng.uniform(0.25, 0.75))
    return np.asarray(plate * (dark + (1 - dark) * lit)[..., None], np.float32)


def _glare(plate: Canvas, rng: np.random.Generator) -> Canvas:
    """A bright blot, as of a headlight or the sun on a cover."""
    height, width = plate.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = rng.uniform(0, width), rng.uniform(0, height)
    rx, ry = rng.uniform(0.1, 0.5) * width, rng.uniform(0.2, 0.8) * height
    blot = np.exp(-(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2))[..., None]
    return np.asarray(plate + (255 - plate) * blot * rng.uniform(0.3, 0.85), np.float32)


def mount(plate: Canvas, rng: np.random.Generator, level: float) -> tuple[Canvas, NDArray[np.float32]]:
    """Put the plate on a car: surroundings, often a frame with a dealer's name. Returns the panel and the corners."""
    pad = round(plate.shape[0] * 0.45)
    height, width = plate.shape[:2]
    corners = box_corners(0, 0, width, height) + 0.5
    if rng.random() < 0.35 + 0.2 * level:
        picture, corners = framed(np.clip(plate, 0, 255).astype(np.uint8), rng)
        plate = picture.astype(np.float32)
        height, width = plate.shape[:2]
    tone = rng.uniform(10, 230, 3) * 0.3 + rng.uniform(10, 230) * 0.7
    panel = np.empty((height + 2 * pad, width + 2 * pad, 3), np.float32)
    panel[:] = tone.astype(np.float32)
    panel *= np.linspace(rng.uniform(0.5, 1.2), rng.uniform(0.5, 1.2), panel.shape[0], dtype=np.float32)[:, None, None]
    for _ in range(int(rng.integers(0, 4))):
        y = int(rng.integers(0, panel.shape[0]))
        panel[y : y + int(rng.integers(1, pad))] *= float(rng.uniform(0.4, 1.4))
    panel[pad : pad + height, pad : pad + width] = plate
    return panel, corners + np.float32(pad - 0.5)


def take_picture(
    panel: Canvas, inner: NDArray[np.float32], rng: np.random.Generator, level: float, height_px: float
) -> tuple[Image, NDArray[np.float32]]:
    """See the panel in perspective so that the plate is about `height_px` high; picture and the plate's corners."""
    height, width = inner[2, 1] - inner[0, 1], inner[1, 0] - inner[0, 0]
    strong = rng.random() < 0.3
    limit = np.radians((60 if strong else 30) * level + 4)
    yaw, pitch = rng.uniform(-limit, limit), rng.uniform(-0.6 * limit, 0.6 * limit)
    roll = rng.normal(0, np.radians(1.0 + 6.0 * level))
    shear = rng.normal(0, 0.02 + 0.08 * level)
    # points of the panel around the plate's middle, in plate heights, turned and projected from some metres away
    middle = inner.mean(axis=0)
    matrix = _view(yaw, pitch, roll, shear, distance=float(rng.uniform(6, 14)) * float(width / height) / 2)
    to_units = np.array([[1 / height, 0, -middle[0] / height], [0, 1 / height, -middle[1] / height], [0, 0, 1]])
    seen = cv2.perspectiveTransform(inner[None].astype(np.float64), matrix @ to_units)[0]
    tall = float(np.linalg.norm(seen[3] - seen[0]) + np.linalg.norm(seen[2] - seen[1])) / 2
    work = max(height_px, 26.0)
    scale = work / max(tall, 1e-6)
    low, high = seen.min(axis=0) * scale, seen.max(axis=0) * scale
    border = 0.25 * work + 2
    size = np.ceil(high - low + 2 * border).astype(int)
    place = np.array([[scale, 0, border - low[0]], [0, scale, border - low[1]], [0, 0, 1]])
    transform = place @ matrix @ to_units
    picture = cv2.warpPerspective(
        panel, transform, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    corners = cv2.perspectiveTransform(inner[None].astype(np.float64), transform)[0]
    if height_px < work:
        shrink = height_px / work
        new = (max(2, round(size[0] * shrink)), max(2, round(size[1] * shrink)))
        corners = (corners + 0.5) * [new[0] / size[0], new[1] / size[1]] - 0.5
        picture = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
    return np.clip(picture, 0, 255).astype(np.uint8), corners.astype(np.float32)


def _view(yaw: float, pitch: float, roll: float, shear: float, distance: float) -> NDArray[np.float64]:
    """Homography of a turned plane seen by a pinhole `distance` away, with a little roll and shear in the picture."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    plane = np.array([[cy, sy * sp, 0], [0, cp, 0], [-sy / distance, cy * sp / distance, 1]])
    turn = np.array([[np.cos(roll), -np.sin(roll) + shear, 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(turn @ plane, np.float64)


def loosen(
    corners: NDArray[np.float32], rng: np.random.Generator, level: float, upright: float = 0.5
) -> NDArray[np.float32]:
    """Corners as a detector gives them: upright box (so often as `upright`) or true corners, every edge off on its own.

    On real scenes the detector's left and right edges lie some 4 % of the width off the annotation, its upper and
    lower edges 8 % of the height, rather inside than outside.
    """
    quad = corners.copy()
    if rng.random() < upright:
        (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
        quad = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    strength = 0.35 + level
    left, right = np.clip(rng.normal(0.0, 0.038 * strength, 2), -0.1, 0.08)
    upper, lower = np.clip(rng.normal(0.0, 0.075 * strength, 2) + 0.02, -0.16, 0.14)
    across, down = quad[1] - quad[0] + quad[2] - quad[3], quad[3] - quad[0] + quad[2] - quad[1]
    moved = np.array(
        [
            left * across + upper * down,
            -right * across + upper * down,
            -right * across - lower * down,
            left * across - lower * down,
        ]
    )
    extent = quad.max(axis=0) - quad.min(axis=0)
    return np.asarray(quad + moved / 2 + rng.normal(0, 0.004 + 0.012 * level, (4, 2)) * extent, np.float32)


def degrade(picture: Image, rng: np.random.Generator, level: float) -> Image:
    """What a camera does: rolling shutter, focus and motion blur, exposure, colour, infrared, noise, compression."""
    if rng.random() < 0.1 * level:
        picture = rolling_shutter(picture, rng, float(rng.uniform(0.005, 0.03)) * picture.shape[0])
    view: Canvas = picture.astype(np.float32)
    # blur is a matter of letters, not of pixels: what only softens a near plate would wipe out a far one
    near = min(1.5, picture.shape[0] / 50)
    if rng.random() < 0.45 * level:
        sigma = float(rng.uniform(0.3, 0.4 + 1.5 * level * near))
        view = np.asarray(cv2.GaussianBlur(view, (0, 0), sigma), np.float32)
    if rng.random() < 0.3 * level:
        view = motion_blur(view, rng, float(rng.uniform(1.5, 1.5 + 5.0 * level * near)))
    view = _expose(view, rng, level)
    if rng.random() < 0.2 + 0.3 * level:
        deviation = float(rng.uniform(1, 2 + 8 * level))
        shape = view.shape if rng.random() < 0.6 else (*view.shape[:2], 1)
        view = view + rng.standard_normal(shape, dtype=np.float32) * deviation
    out = np.clip(view, 0, 255).astype(np.uint8)
    if rng.random() < 0.3 + 0.5 * level:
        quality = int(rng.uniform(80 - 55 * level, 95))
        _, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if decoded is not None:
            out = np.asarray(decoded, np.uint8)
    elif rng.random() < 0.3 * level:
        out = h264(out, rng, int(rng.uniform(24, 31 + 12 * level)))
    return out


def motion_blur(view: Canvas, rng: np.random.Generator, length: float) -> Canvas:
    """Smear along a random direction, sideways more often than not."""
    size = int(np.ceil(length)) | 1
    angle = float(rng.normal(0, 25)) if rng.random() < 0.6 else float(rng.uniform(0, 180))
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2] = 1
    turned = cv2.warpAffine(kernel, cv2.getRotationMatrix2D((size // 2, size // 2), angle, 1), (size, size))
    turned = np.asarray(turned / max(float(turned.sum()), 1e-6), np.float32)
    return np.asarray(cv2.filter2D(view, -1, turned), np.float32)


def _expose(view: Canvas, rng: np.random.Generator, level: float) -> Canvas:
    """Gain, gamma, night, infrared grey, and the casts of lamps and of cameras without an infrared filter."""
    kind = rng.random()
    if kind < 0.2 * level:
        grey = cv2.cvtColor(view, cv2.COLOR_BGR2GRAY)
        view = np.repeat(grey[..., None], 3, axis=2)
        cast = rng.uniform(0.85, 1.1, 3 if rng.random() < 0.4 else 1)
        if rng.random() < 0.3:
            cast = cast * ([0.6, 1.0, 0.7] if rng.random() < 0.5 else [1.0, 0.7, 0.7])
    elif kind < 0.35 * level:
        cast = np.array([0.85, 0.55, 1.0]) if rng.random() < 0.5 else rng.uniform(0.5, 1.0, 3)
    elif kind < 0.8:
        cast = rng.uniform(1 - 0.25 * level, 1 + 0.1 * level, 3)
    else:
        cast = np.ones(3)
    view = view * cast.astype(np.float32)
    if rng.random() < 0.3 * level:
        view = view * float(rng.uniform(0.2, 0.7)) + float(rng.uniform(0, 20))
    elif rng.random() < 0.2 * level:
        view = view * float(rng.uniform(1.0, 1.6)) + float(rng.uniform(0, 50))
    if rng.random() < 0.5 * level:
        gamma = float(rng.uniform(0.6, 1.7))
        return np.asarray(255 * (np.clip(view, 0, 255) / 255) ** gamma, np.float32)
    return np.asarray(view, np.float32)
