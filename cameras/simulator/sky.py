"""Sky, clouds and the far skyline: one strip for the full turn, painted once per drive and copied per frame."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Camera, Floats, View
from cameras.simulator.light import Light

Image = NDArray[np.uint8]


def sky_strip(camera: Camera, light: Light, rng: np.random.Generator, cloudy: bool) -> Image:
    """All of sky and skyline: as many columns as a full turn has pixels, some rows below the horizon."""
    width, height = round(2 * np.pi * camera.focal), round(camera.horizon) + 40
    ramp = (np.linspace(0, 1, height, dtype=np.float32) ** 1.3)[:, None, None]
    sky = np.array(light.sky_top, np.float32) * (1 - ramp) + np.array(light.sky_low, np.float32) * ramp
    strip = np.repeat(sky, width, axis=1)
    cloud = np.zeros((height, width), np.float32)
    for cells, amount in ((5, 1.0), (11, 0.5), (23, 0.27), (47, 0.14)):
        small = rng.random((max(2, cells // 2), cells * 3)).astype(np.float32)
        small = np.concatenate([small, small[:, :1]], axis=1)
        cloud += amount * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    density = np.clip((cloud - (0.9 if cloudy else 1.06)) * (1.6 if cloudy else 2.4), 0, 1)[..., None]
    tone = np.array(light.sky_low, np.float32) * (0.86 if cloudy else 1.06)
    strip += (np.clip(tone, 0, 252) - strip) * density * (0.7 if cloudy else 0.85)
    _skyline(strip, camera, light, rng)
    return np.clip(strip, 0, 255).astype(np.uint8)


def _skyline(strip: Floats, camera: Camera, light: Light, rng: np.random.Generator) -> None:
    """Far hills, trees and blocks, half lost in the haze."""
    base, width = round(camera.horizon), strip.shape[1]
    haze = np.array(light.haze, np.float32)
    unit = camera.focal / 1000
    for share, tone, high in ((0.72, (96, 92, 84), 52), (0.5, (62, 84, 70), 30)):
        colour = haze * share + np.array(tone, np.float32) * (1 - share) * float(np.mean(light.ambient) + 0.1)
        x = 0
        while x < width:
            if share > 0.6:
                w, h = int(rng.uniform(30, 110) * unit), int(rng.uniform(0.25, 1.0) * high * unit)
                strip[base - h : base, x : x + w] = colour * float(rng.uniform(0.94, 1.05))
                x += w + int(rng.uniform(-8, 40) * unit)
            else:
                w, h = int(rng.uniform(18, 60) * unit), int(rng.uniform(0.35, 1.0) * high * unit)
                tint = tuple(float(v) for v in colour * float(rng.uniform(0.9, 1.06)))
                cv2.ellipse(strip, (x, base), (w, h), 0, 180, 360, tint, -1, cv2.LINE_AA)
                x += int(w * 0.9)
    strip[base:] = haze * 0.82


def draw_sky(canvas: Image, strip: Image, camera: Camera, view: View, heading: float, bottom: int) -> None:
    """Copy the part of the strip that lies ahead. `heading` in radians, `bottom`: last row wanted, exclusive."""
    start = round(heading * camera.focal) % strip.shape[1]
    rows = min(bottom + view.shake, strip.shape[0] - 24 + view.shake)
    top = max(0, -view.shake)
    source = strip[top : top + rows] if view.shake <= 0 else strip[:rows]
    offset = max(0, view.shake)
    count = min(rows - offset, len(source))
    first = min(strip.shape[1] - start, camera.width)
    canvas[offset : offset + count, :first] = source[:count, start : start + first]
    if first < camera.width:
        canvas[offset : offset + count, first:] = source[:count, : camera.width - first]
    if offset:
        canvas[:offset] = canvas[offset]
