"""Painting one vehicle into a frame: a body, a place and a light in, polygons on the canvas out."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Camera, Floats, View
from cameras.simulator.light import Light
from cameras.simulator.mesh import (
    CARGO,
    CHASSIS,
    CLOTH,
    GLASS,
    LAMP_AMBER,
    LAMP_RED,
    LAMP_WHITE,
    METAL,
    PAINT,
    PLASTIC,
    RUBBER,
    SKIN,
)
from cameras.simulator.models import Model, model

Image = NDArray[np.uint8]

_PAINTS = (
    (232, 232, 230), (222, 224, 226), (178, 178, 176), (150, 150, 152), (92, 90, 88), (44, 42, 42), (30, 28, 28),
    (112, 72, 34), (150, 98, 52), (36, 34, 158), (40, 36, 108), (58, 78, 50), (150, 172, 190), (48, 100, 180),
)  # fmt: skip
_BASE = {
    GLASS: (46, 42, 38), PLASTIC: (46, 46, 46), RUBBER: (30, 30, 31), METAL: (186, 184, 182), LAMP_RED: (36, 28, 170),
    LAMP_WHITE: (224, 226, 228), LAMP_AMBER: (40, 128, 232), SKIN: (140, 165, 205), CHASSIS: (22, 22, 23),
}  # fmt: skip
_GLOSS = {PAINT: 0.2, GLASS: 0.62, METAL: 0.25, LAMP_RED: 0.12, LAMP_WHITE: 0.25, CARGO: 0.03}
_LAMPS = (LAMP_RED, LAMP_WHITE)
_SUB = 4
"""Sub-pixel bits of cv2's polygons."""


@dataclass(frozen=True)
class Look:
    """A vehicle's own appearance: its body and the colours of every polygon under one light."""

    model: Model
    faces: Floats
    """F x 3 colours of the hull's faces."""
    details: dict[str, list[tuple[list[int], tuple[float, float, float], bool]]]
    """Side -> (corners, colour, shines at night)."""
    under: list[tuple[list[int], tuple[float, float, float]]]


def _lit(normal: Floats, base: Floats, gloss: Floats, light: Light) -> Floats:
    """Colours of faces: sun, sky and what shiny paint mirrors. N x 3 each, gloss N."""
    sun = np.clip(normal @ np.array(light.sun, np.float32), 0, 1)[:, None]
    up = normal[:, 1:2]
    ambient = np.array(light.ambient, np.float32) * (0.72 + 0.34 * up)
    colour = base * (ambient + np.array(light.sun_colour, np.float32) * sun)
    sky = np.array(light.sky_low, np.float32) * (1 - np.clip(up, 0, 1)) + np.array(light.sky_top, np.float32) * np.clip(
        up, 0, 1
    )
    mirrored = np.where(up > 0.06, sky, np.array(light.haze, np.float32) * 0.42)
    shine = gloss[:, None] * (0.35 + 0.65 * np.clip(up, 0, 1))
    glint = np.clip(sun - 0.86, 0, 1) * 620 * gloss[:, None]
    return np.clip(colour * (1 - 0.6 * shine) + mirrored * shine + glint, 0, 255).astype(np.float32)


def _turned(normals: Floats, oncoming: bool) -> Floats:
    return normals * np.array([-1, 1, -1], np.float32) if oncoming else normals


def make_look(kind: str, seed: int, light: Light, oncoming: bool) -> Look:
    """The appearance of one vehicle; `seed` chooses its colours."""
    rng = np.random.default_rng(seed)
    body = model(kind)
    base = dict(_BASE)
    paint = np.array(_PAINTS[int(rng.integers(len(_PAINTS)))], float) * rng.uniform(0.92, 1.06)
    if kind in ("van", "truck") and rng.random() < 0.55:
        paint = np.array([226.0, 228, 228])
    base[PAINT] = tuple(np.clip(paint, 18, 240))
    base[CARGO] = tuple(np.clip(rng.uniform(150, 225) * rng.uniform(0.92, 1.04, 3), 0, 235))
    base[CLOTH] = tuple(rng.uniform(24, 110) * rng.uniform(0.8, 1.2, 3))
    palette = np.array([base[m] for m in range(12)], np.float32)
    gloss = np.array([_GLOSS.get(m, 0.0) for m in range(12)], np.float32)
    faces = _lit(_turned(body.normals, oncoming), palette[body.quad_material], gloss[body.quad_material], light)
    facing = {"rear": (0, 0, -1), "front": (0, 0, 1), "left": (-1, 0, 0), "right": (1, 0, 0), "any": (0, 0.2, -1)}
    details = {}
    for side, polygons in body.details.items():
        normal = _turned(np.array([facing[side]], np.float32), oncoming)
        out = []
        for corners, material, brightness in polygons:
            colour = _lit(normal, palette[material][None], gloss[material][None], light)[0]
            colour = np.clip(colour * brightness, 0, 255)
            out.append((corners, (float(colour[0]), float(colour[1]), float(colour[2])), material in _LAMPS))
        details[side] = out
    dark = np.array(light.ambient) * 0.5
    under = [(c, tuple(float(v) for v in np.array(base[m]) * dark)) for c, m in body.under]
    return Look(body, faces, details, under)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Placed:
    """A vehicle in one frame."""

    look: Look
    pixels: Floats
    """All its points on the picture."""
    depth: Floats
    eye: tuple[float, float, float]
    """The camera in the vehicle's own frame."""
    ahead: float
    """Distance of its middle."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 on the picture, cut at its edges."""
    hull: NDArray[np.int32]
    """Outline on the picture, sub-pixel units."""


def place(
    look: Look, camera: Camera, view: View, ahead: float, right: float, yaw: float
) -> tuple[Placed | None, Floats]:
    """Where a vehicle is on the picture (None: nowhere); also its points in the camera's frame."""
    space = view.place(look.model.points, ahead, right, yaw)
    if space[:, 2].max() < 1.2:
        return None, space
    pixels = camera.project(space, view.shake)
    x0, y0 = np.floor(pixels.min(axis=0)).astype(int) - 1
    x1, y1 = np.ceil(pixels.max(axis=0)).astype(int) + 2
    x0, y0, x1, y1 = max(0, int(x0)), max(0, int(y0)), min(camera.width, int(x1)), min(camera.height, int(y1))
    if x0 >= x1 or y0 >= y1:
        return None, space
    turn = yaw + view.curvature * max(ahead, 0.0)
    c, s = float(np.cos(turn)), float(np.sin(turn))
    away = right - view.lateral + float(view.bend(max(ahead, 0.0)))
    dx, dz = -away, -ahead
    eye = (dx * c - dz * s, camera.mount_height, dx * s + dz * c)
    seen = pixels[space[:, 2] > 0.6]
    fixed = np.clip(seen, -30000, 30000) * (1 << _SUB)
    hull = cv2.convexHull(fixed.round().astype(np.int32)) if len(seen) > 2 else np.zeros((0, 1, 2), np.int32)
    return Placed(look, pixels, space[:, 2], eye, ahead, (x0, y0, x1, y1), hull), space


def _fade(colour: Floats, amount: float, haze: tuple[float, float, float]) -> Floats:
    return colour * (1 - amount) + np.array(haze, np.float32) * amount


def paint(canvas: Image, placed: Placed, light: Light, lamp_light: float, braking: bool) -> None:
    """Draw the body.

    Args:
        lamp_light: what our headlights add at night, factor on the colours.
        braking: its brake lights are on.
    """
    look, body = placed.look, placed.look.model
    fade = 1 - float(np.exp(-max(placed.ahead, 0.0) / light.haze_m))
    fixed = (np.clip(placed.pixels, -8000, 8000) * (1 << _SUB)).round().astype(np.int32)
    line = cv2.LINE_AA
    for corners, colour in look.under:
        tone = _fade(np.array(colour, np.float32) * lamp_light, fade, light.haze)
        cv2.fillConvexPoly(canvas, fixed[corners], tone.tolist(), line, _SUB)
    quads = fixed[body.quads]
    q = placed.pixels[body.quads]
    area = (q[:, 2, 0] - q[:, 0, 0]) * (q[:, 3, 1] - q[:, 1, 1]) - (q[:, 2, 1] - q[:, 0, 1]) * (q[:, 3, 0] - q[:, 1, 0])
    depth = placed.depth[body.quads]
    ok = np.flatnonzero((area > 0.02) & (depth.max(axis=1) > 0.7))
    order = ok[np.argsort(-depth[ok].mean(axis=1), kind="stable")]
    tones = _fade(look.faces[order] * lamp_light, fade, light.haze).tolist()
    for index, tone in zip(order.tolist(), tones, strict=True):
        cv2.fillConvexPoly(canvas, quads[index], tone, line, _SUB)
    ex, _, ez = placed.eye
    for side, seen in (
        ("any", True),
        ("left", ex < -body.half_width),
        ("right", ex > body.half_width),
        ("rear", ez < -body.half_length),
        ("front", ez > body.half_length),
    ):
        if not seen or (body.kind == "motorcycle" and side in ("left", "right")):
            continue
        polygons = look.details[side]
        if side == "any" and ez > 0:
            polygons = polygons[::-1]
        for corners, colour, shines in polygons:
            tone = np.array(colour, np.float32)
            tone = _lamp(tone, side, light, braking) if shines else tone * lamp_light
            cv2.fillConvexPoly(canvas, fixed[corners], _fade(tone, fade, light.haze).tolist(), line, _SUB)


def _lamp(tone: Floats, side: str, light: Light, braking: bool) -> Floats:
    """Colour of a lamp's glass."""
    if side == "front":
        return np.array([235, 245, 255], np.float32) if light.night or light.wet else tone
    if braking:
        return np.array([90, 80, 255], np.float32)
    return np.array([50, 40, 215], np.float32) if light.night or light.wet else tone


_SHADOW = cv2.GaussianBlur(
    cv2.copyMakeBorder(np.full((96, 96), 255, np.uint8), 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=0), (0, 0), 6
)


def shadow(canvas: Image, placed: Placed, camera: Camera, view: View, right: float, yaw: float, light: Light) -> None:
    """Darken the road under and beside a vehicle."""
    body = placed.look.model
    w, half = body.half_width * 1.12, body.half_length * 1.06
    lean = -light.sun[0] / max(light.sun[1], 0.3) * 0.8 if sum(light.sun_colour) > 1.2 else 0.0
    ground = np.array([[-w + min(lean, 0), 0, half], [w + max(lean, 0), 0, half], [w + max(lean, 0), 0, -half], [-w + min(lean, 0), 0, -half]], np.float32)  # fmt: skip
    space = view.place(ground, placed.ahead, right, yaw)
    if space[:, 2].min() < 0.8:
        space[:, 2] = np.maximum(space[:, 2], 0.8)
    quad = camera.project(space, view.shake)
    x0, y0 = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 2, 0)
    x1, y1 = np.ceil(quad.max(axis=0)).astype(int) + 3
    x1, y1 = min(int(x1), camera.width), min(int(y1), camera.height)
    if x1 - x0 < 3 or y1 - y0 < 2:
        return
    source = np.array([[12, 12], [116, 12], [116, 116], [12, 116]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, quad - np.array([x0, y0], np.float32))
    mask = cv2.warpPerspective(_SHADOW, matrix, (x1 - int(x0), y1 - int(y0)))
    keep = cv2.convertScaleAbs(mask, alpha=-light.shadow * 1.25 if light.shadow < 0.7 else -0.85, beta=255)
    region = canvas[y0:y1, x0:x1]
    cv2.multiply(region, cv2.merge([keep, keep, keep]), dst=region, scale=1 / 255)
