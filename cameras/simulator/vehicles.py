"""Painting one vehicle into a frame: a body, a place and a light in, polygons on the canvas out."""

from dataclasses import dataclass
from functools import cached_property
from math import cos, exp, sin

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
    SIDES,
    SKIN,
)
from cameras.simulator.models import Model, model

Image = NDArray[np.uint8]

_PAINTS = (
    (232, 232, 230), (222, 224, 226), (178, 178, 176), (150, 150, 152), (92, 90, 88), (44, 42, 42), (30, 28, 28),
    (112, 72, 34), (150, 98, 52), (36, 34, 158), (40, 36, 108), (58, 78, 50), (150, 172, 190), (48, 100, 180),
)  # fmt: skip
_BASE = {
    GLASS: (34, 31, 28), PLASTIC: (46, 46, 46), RUBBER: (30, 30, 31), METAL: (186, 184, 182), LAMP_RED: (36, 28, 170),
    LAMP_WHITE: (224, 226, 228), LAMP_AMBER: (40, 128, 232), SKIN: (140, 165, 205), CHASSIS: (22, 22, 23),
}  # fmt: skip
_GLOSS = {PAINT: 0.2, GLASS: 0.46, METAL: 0.25, LAMP_RED: 0.12, LAMP_WHITE: 0.25, CARGO: 0.03}
_LAMPS = (LAMP_RED, LAMP_WHITE)
_SUB = 4
"""Sub-pixel bits of cv2's polygons."""


@dataclass(frozen=True)
class Look:
    """A vehicle's own appearance: its body and the colours of every polygon under one light."""

    model: Model
    faces: Floats
    """F x 3 colours of the hull's faces."""
    details: Floats
    """D x 3."""
    under: Floats
    """U x 3."""
    lamps: NDArray[np.int64]
    """Which details shine when switched on."""
    sides: dict[str, list[int]]
    """Which details lie on which side."""


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
    if light.night:
        # there is little to mirror
        mirrored = mirrored * 0.22
    shine = gloss[:, None] * (0.35 + 0.65 * np.clip(up, 0, 1))
    glint = np.clip(sun - 0.86, 0, 1) * 620 * gloss[:, None]
    return np.clip(colour * (1 - 0.6 * shine) + mirrored * shine + glint, 0, 255).astype(np.float32)


def _turned(normals: Floats, oncoming: bool) -> Floats:
    return normals * np.array([-1, 1, -1], np.float32) if oncoming else normals


def make_look(kind: str, seed: int, light: Light, oncoming: bool, coarse: bool) -> Look:
    """The appearance of one vehicle; `seed` chooses its colours."""
    rng = np.random.default_rng(seed)
    body = model(kind, coarse)
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
    materials = np.array([d.material for d in body.details])
    normals = _turned(np.array([facing[d.side] for d in body.details], np.float32), oncoming)
    details = _lit(normals, palette[materials], gloss[materials], light)
    details *= np.array([d.light for d in body.details], np.float32)[:, None]
    under = np.array([base[d.material] for d in body.under], np.float32).reshape(-1, 3)
    return Look(
        body,
        faces,
        np.clip(details, 0, 255),
        under * np.array(light.ambient, np.float32) * 0.5,
        np.flatnonzero(np.isin(materials, _LAMPS)),
        {side: [i for i, d in enumerate(body.details) if d.side == side] for side in SIDES},
    )


@dataclass(frozen=True)
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

    def sees(self, side: str) -> bool:
        """True when the camera can see that side."""
        x, _, z = self.eye
        body = self.look.model
        if side in ("left", "right"):
            return body.kind != "motorcycle" and (-x if side == "left" else x) > body.half_width
        return side == "any" or (-z if side == "rear" else z) > body.half_length

    @cached_property
    def hull(self) -> NDArray[np.int32]:
        """Outline on the picture, N x 1 x 2 in units of 1/16 pixel."""
        seen = self.pixels[self.depth > 0.6]
        if len(seen) < 3:
            return np.zeros((0, 1, 2), np.int32)
        fixed = (np.clip(seen, -30000, 30000) * (1 << _SUB)).astype(np.int32, order="C")
        return np.asarray(cv2.convexHull(fixed), np.int32)


def place(look: Look, camera: Camera, view: View, ahead: float, right: float, yaw: float) -> Placed | None:
    """Where a vehicle is on the picture; None: nowhere."""
    space = view.place(look.model.points, ahead, right, yaw)
    if space[:, 2].max() < 1.2:
        return None
    pixels = camera.project(space, view.shake)
    x0, y0 = pixels.min(axis=0).tolist()
    x1, y1 = pixels.max(axis=0).tolist()
    box = (max(0, int(x0) - 1), max(0, int(y0) - 1), min(camera.width, int(x1) + 3), min(camera.height, int(y1) + 3))
    if x1 < 0 or y1 < 0 or box[0] >= box[2] or box[1] >= box[3]:
        return None
    turn = yaw + view.curvature * max(ahead, 0.0)
    c, s = cos(turn), sin(turn)
    dx, dz = -(right - view.lateral + float(view.bend(max(ahead, 0.0)))), -ahead
    eye = (dx * c - dz * s, camera.mount_height, dx * s + dz * c)
    return Placed(look, pixels, space[:, 2], eye, ahead, box)


def _tones(colours: Floats, factor: float, fade: float, haze: tuple[float, float, float]) -> list[list[float]]:
    """Colours lit by `factor` and faded into the haze, as cv2 wants them."""
    tones: list[list[float]] = (colours * (factor * (1 - fade)) + np.array(haze, np.float32) * fade).tolist()
    return tones


def paint(canvas: Image, placed: Placed, light: Light, lamp_light: float, braking: bool) -> None:
    """Draw the body.

    Args:
        lamp_light: what our headlights add at night, factor on the colours.
        braking: its brake lights are on.
    """
    look, body = placed.look, placed.look.model
    fade = 1 - exp(-max(placed.ahead, 0.0) / light.haze_m)
    fixed = (np.clip(placed.pixels, -8000, 8000) * (1 << _SUB)).astype(np.int32, order="C")
    fill, line = cv2.fillConvexPoly, cv2.LINE_AA
    if not body.coarse:
        for part, tone in zip(body.under, _tones(look.under, lamp_light, fade, light.haze), strict=True):
            fill(canvas, fixed[part.first : part.last], tone, line, _SUB)
    a, b, c, d = body.quads.T
    x, y, z = placed.pixels[:, 0], placed.pixels[:, 1], placed.depth
    area = (x[c] - x[a]) * (y[d] - y[b]) - (y[c] - y[a]) * (x[d] - x[b])
    depth = z[a] + z[c]
    ok = np.flatnonzero((area > 0.3) & (depth > 1.4))
    order = ok[np.argsort(-depth[ok], kind="stable")]
    for quad, tone in zip(
        fixed[body.quads[order]], _tones(look.faces[order], lamp_light, fade, light.haze), strict=True
    ):
        fill(canvas, quad, tone, line, _SUB)
    picked = [i for side in SIDES if placed.sees(side) for i in look.sides[side]]
    if body.kind == "motorcycle" and placed.eye[2] > 0:
        picked = look.sides["any"][::-1] + look.sides["front"]
    colours = look.details * lamp_light
    if light.night or light.wet or braking:
        for i in look.lamps:
            colours[i] = _lamp(colours[i], body.details[i].material, light, braking)
    for i, tone in zip(picked, _tones(colours[picked], 1.0, fade, light.haze), strict=True):
        part = body.details[i]
        fill(canvas, fixed[part.first : part.last], tone, line, _SUB)


def _lamp(tone: Floats, material: int, light: Light, braking: bool) -> Floats:
    """Colour of a lamp's glass."""
    if material == LAMP_WHITE:
        return np.array([235, 245, 255], np.float32) if light.night or light.wet else tone
    if braking:
        return np.array([90, 80, 255], np.float32)
    return np.array([50, 40, 215], np.float32) if light.night or light.wet else tone


def cast_edge(canvas: Image, placed: Placed, camera: Camera, view: View, right: float, yaw: float, at: float) -> None:
    """Darken the part of a vehicle that lies in the shadow of a house or a tree: left of a slanted edge.

    Args:
        at: where the edge meets the road, metres right of the vehicle's middle.
    """
    body = placed.look.model
    near = -body.half_length if placed.eye[2] < 0 else body.half_length
    flip = 1.0 if placed.eye[2] < 0 else -1.0
    line = np.array([[flip * at, 0.0, near], [flip * (at + 0.9), 2.0, near]], np.float32)
    foot, top = camera.project(view.place(line, placed.ahead, right, yaw), view.shake).tolist()
    x0, y0, x1, y1 = placed.box
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    if mask.size == 0 or len(placed.hull) < 3:
        return
    slope = (top[0] - foot[0]) / min(top[1] - foot[1], -1e-3)
    upper, lower = foot[0] + (y0 - foot[1]) * slope - x0, foot[0] + (y1 - foot[1]) * slope - x0
    dark = np.clip(np.array([[-9, 0], [upper, 0], [lower, y1 - y0], [-9, y1 - y0]]), -9, 4000)
    cv2.fillConvexPoly(mask, (dark * 16).astype(np.int32), 116, cv2.LINE_AA, _SUB)
    body_mask = np.zeros_like(mask)
    cv2.fillConvexPoly(body_mask, placed.hull - np.array([x0 * 16, y0 * 16], np.int32), 116, cv2.LINE_AA, _SUB)
    through = 255 - cv2.blur(cv2.min(mask, body_mask), (3, 3))
    region = canvas[y0:y1, x0:x1]
    cv2.multiply(region, cv2.merge([through, through, through]), dst=region, scale=1 / 255)


_SHADOW = cv2.GaussianBlur(
    cv2.copyMakeBorder(np.full((96, 96), 255, np.uint8), 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=0), (0, 0), 6
)


def shadow(canvas: Image, placed: Placed, camera: Camera, view: View, right: float, yaw: float, light: Light) -> None:
    """Darken the road under and beside a vehicle, softly where it is near enough to tell."""
    body = placed.look.model
    w, half = body.half_width * 1.12, body.half_length * 1.06
    lean = -light.sun[0] / max(light.sun[1], 0.3) * 0.8 if sum(light.sun_colour) > 1.2 else 0.0
    left, out = -w + min(lean, 0.0), w + max(lean, 0.0)
    ground = np.array([[left, 0, half], [out, 0, half], [out, 0, -half], [left, 0, -half]], np.float32)
    space = view.place(ground, placed.ahead, right, yaw)
    if space[:, 2].min() < 0.8:
        space[:, 2] = np.maximum(space[:, 2], 0.8)
    quad = camera.project(space, view.shake)
    if body.coarse:
        tone = np.array(light.haze) * (1 - exp(-placed.ahead / light.haze_m)) + 22.0 * np.array(light.ambient)
        cv2.fillConvexPoly(canvas, (quad * 16).astype(np.int32), tone.tolist(), cv2.LINE_AA, _SUB)
        return
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
