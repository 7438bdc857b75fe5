"""What happens between scene and sensor: glare, rain, lens dirt, headlight cone, blur, exposure, noise."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Camera, Floats
from cameras.simulator.light import Conditions, Light

Image = NDArray[np.uint8]


def headlight_cone(camera: Camera) -> Image:
    """How strongly our own lights fall on the ground, by pixel: three channels, 255 is full."""
    rows = np.arange(camera.height, dtype=np.float32)[:, None]
    columns = np.arange(camera.width, dtype=np.float32)[None]
    depth = camera.row_depth(rows)
    across = (columns - camera.centre_x) / camera.focal * depth
    reach = np.exp(-((np.log(np.maximum(depth, 1.0) / 8.5)) ** 2) / 0.62)
    beam = np.exp(-((across / (1.6 + 0.17 * depth)) ** 2)) * reach
    lamps = 0.07 + 0.05 * np.exp(-((across - 5.0) ** 2) / 60)
    value = np.where(rows > camera.horizon + 2, np.clip(beam * 0.95 + lamps, 0, 1), 0.1) * 255
    cone = cv2.GaussianBlur(value.astype(np.uint8), (0, 0), 3)
    return np.asarray(cv2.merge([(cone * 0.82).astype(np.uint8), (cone * 0.95).astype(np.uint8), cone]), np.uint8)


def headlight_at(ahead: float, right: float) -> float:
    """How strongly our own lights fall on something upright, 0..1."""
    distance = max(ahead, 2.0)
    off_axis = right / (1.8 + 0.2 * distance)
    return float(min(1.0, 16.0 / (distance + 7.0)) * np.exp(-(off_axis**2) * 0.7))


def glow_sprite(size: int, tone: tuple[float, float, float], spikes: bool = False) -> Image:
    """A lamp's bloom, to be added to the picture."""
    y, x = np.mgrid[-1 : 1 : complex(size), -1 : 1 : complex(size)].astype(np.float32)
    r = np.sqrt(x * x + y * y)
    value = 0.75 * np.exp(-((r / 0.16) ** 2)) + 0.32 * np.clip(1 - r, 0, 1) ** 2.2
    if spikes:
        value += 0.25 * np.exp(-((y / 0.015) ** 2)) * np.clip(1 - np.abs(x), 0, 1)
    return np.clip(value[..., None] * np.array(tone, np.float32) * 255, 0, 255).astype(np.uint8)


_SIZED: dict[tuple[int, int], tuple[Image, Image]] = {}


def _sized(sprite: Image, size: int) -> Image:
    """A bloom at one size, kept for the next lamp."""
    kept = _SIZED.get((id(sprite), size))
    if kept is None or kept[0] is not sprite:
        if len(_SIZED) > 200:
            _SIZED.clear()
        kept = (sprite, np.asarray(cv2.resize(sprite, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8))
        _SIZED[id(sprite), size] = kept
    return kept[1]


def add_glow(canvas: Image, sprite: Image, x: float, y: float, size: int) -> None:
    """Add a bloom of `size` pixels around a point."""
    height, width = canvas.shape[:2]
    size = max(4, size // 8 * 8)
    x0, y0 = round(x - size / 2), round(y - size / 2)
    cx0, cy0, cx1, cy1 = max(0, x0), max(0, y0), min(width, x0 + size), min(height, y0 + size)
    if size < 3 or cx0 >= cx1 or cy0 >= cy1:
        return
    shown = _sized(sprite, size)
    region = canvas[cy0:cy1, cx0:cx1]
    cv2.add(region, shown[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0], dst=region)


def add_streak(canvas: Image, sprite: Image, x: float, y: float, size: int) -> None:
    """Add a bloom drawn out downwards, as a wet road shows it, dimmer than the lamp."""
    size = max(8, size // 8 * 8)
    narrow = max(3, size // 4)
    key = (id(sprite), -size)
    if key not in _SIZED or _SIZED[key][0] is not sprite:
        shrunk = cv2.resize(sprite, (narrow, size), interpolation=cv2.INTER_AREA)
        _SIZED[key] = (sprite, np.asarray(cv2.convertScaleAbs(shrunk, alpha=0.55), np.uint8))
    shown = _SIZED[key][1]
    height, width = canvas.shape[:2]
    x0, y0 = round(x - narrow / 2), round(y - size / 2)
    cx0, cy0, cx1, cy1 = max(0, x0), max(0, y0), min(width, x0 + narrow), min(height, y0 + size)
    if cx0 < cx1 and cy0 < cy1:
        region = canvas[cy0:cy1, cx0:cx1]
        cv2.add(region, shown[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0], dst=region)


def streak_region(canvas: Image, box: tuple[int, int, int, int], dx: float, dy: float) -> None:
    """Blur a box along a motion of (dx, dy) pixels: halves of the way averaged again and again."""
    x0, y0, x1, y1 = box
    length = min(float(np.hypot(dx, dy)), 48.0)
    if length < 1.3 or x1 - x0 < 3 or y1 - y0 < 3:
        return
    ux, uy = dx / np.hypot(dx, dy), dy / np.hypot(dx, dy)
    shifts: list[tuple[int, int]] = []
    while length > 0.9 and len(shifts) < 5:
        shifts.append((round(ux * length / 4), round(uy * length / 4)))
        length /= 2
    shifts = [s for s in shifts if s != (0, 0)]
    pad_x, pad_y = sum(abs(s[0]) for s in shifts), sum(abs(s[1]) for s in shifts)
    work = cv2.copyMakeBorder(canvas[y0:y1, x0:x1], pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REPLICATE)
    for sx, sy in shifts:
        h, w = work.shape[0] - 2 * abs(sy), work.shape[1] - 2 * abs(sx)
        ax, ay, bx, by = abs(sx) + sx, abs(sy) + sy, abs(sx) - sx, abs(sy) - sy
        work = cv2.addWeighted(work[ay : ay + h, ax : ax + w], 0.5, work[by : by + h, bx : bx + w], 0.5, 0)
    if shifts:
        canvas[y0:y1, x0:x1] = work


_NOISE_MEAN = np.array([12.0, 12.0, 12.0, 0.0])
_DROP_LIGHT = np.array([10.0, 10.0, 10.0, 0.0])


@dataclass
class Lens:
    """One camera's lens and sensor; the same seed gives the same drive."""

    camera: Camera
    conditions: Conditions
    light: Light
    rng: np.random.Generator
    _noise: list[Image] = field(default_factory=list)
    _rain: list[Image] = field(default_factory=list)
    _veil: Image | None = None
    _smudge: tuple[Image, Image] | None = None
    _drops: list[tuple[int, int, Image]] = field(default_factory=list)
    _curve: Floats | None = None

    def __post_init__(self) -> None:
        shape = (self.camera.height + 64, self.camera.width + 64, 3)
        strength = 5.5 if self.light.night else 3.0 if self.conditions.daylight == "dusk" else 2.0
        grey = self.rng.standard_normal((shape[0], shape[1], 1), np.float32)
        noise = np.clip(12 + strength * (grey + 0.5 * self.rng.standard_normal(shape, np.float32)), 0, 40)
        self._noise = [noise.astype(np.uint8)]
        if "rain" in self.conditions.effects:
            self._rain = [self._rain_layer() for _ in range(3)]
            self._drops = [self._drop() for _ in range(60)]
        if "glare" in self.conditions.effects:
            self._veil = self._glare()
        if "dirt" in self.conditions.effects:
            self._smudge = self._dirt()
        self._curve = self.rng.uniform(0, 2 * np.pi, 4).astype(np.float32)

    def _drop(self) -> tuple[int, int, Image]:
        """A drop on the windscreen: left, top, shape."""
        w = max(4, int(self.rng.uniform(6, 30) * self.camera.width / 1280))
        h = max(4, int(w * self.rng.uniform(1.0, 1.5)))
        mask = np.zeros((h, w), np.uint8)
        cv2.ellipse(mask, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1, -1)
        place = self.rng.uniform(0, 1, 2)
        return int(place[0] * (self.camera.width - w)), int(place[1] * (self.camera.height - h)), mask

    def _rain_layer(self) -> Image:
        w, h = self.camera.width, self.camera.height
        layer = np.zeros((h, w), np.uint8)
        for _ in range(260):
            x, y, n = self.rng.uniform(0, w), self.rng.uniform(0, h), self.rng.uniform(12, 46) * h / 720
            lean = (x - w / 2) / w * 0.5
            tone = int(self.rng.uniform(14, 46))
            cv2.line(layer, (int(x), int(y)), (int(x + n * lean), int(y + n)), tone, 1, cv2.LINE_AA)
        return np.asarray(cv2.merge([layer, layer, layer]), np.uint8)

    def _glare(self) -> Image:
        w, h = self.camera.width, self.camera.height
        sx = w / 2 + self.light.sun[0] / max(self.light.sun[2], 0.3) * self.camera.focal * 0.8
        # all of it is soft: every second pixel will do
        y, x = np.mgrid[0:h:2, 0:w:2].astype(np.float32)
        r = np.hypot(x - sx, y - 0.06 * h) / w
        value = 250 * np.exp(-((r / 0.055) ** 2)) + 120 * np.exp(-r / 0.16) + 34 * np.exp(-r / 0.8)
        angle = np.arctan2(y - 0.06 * h, x - sx)
        value += 60 * np.exp(-r / 0.22) * np.clip(np.cos(angle * 7), 0, 1) ** 14
        for step, size in ((0.45, 0.035), (0.8, 0.06), (1.25, 0.045)):
            gx, gy = sx + (w / 2 - sx) * 2 * step, 0.06 * h + (h / 2 - 0.06 * h) * 2 * step
            value += 11 * (np.hypot(x - gx, y - gy) / w < size)
        value = cv2.resize(cv2.GaussianBlur(value, (0, 0), 1), (w, h), interpolation=cv2.INTER_LINEAR)
        return np.clip(value[..., None] * np.array([0.9, 0.97, 1.0], np.float32), 0, 255).astype(np.uint8)

    def _dirt(self) -> tuple[Image, Image]:
        w, h = self.camera.width, self.camera.height
        amount = np.zeros((h // 2, w // 2), np.float32)
        for _ in range(46):
            centre = (int(self.rng.uniform(0, w / 2)), int(self.rng.uniform(0, h / 2)))
            cv2.circle(
                amount, centre, int(self.rng.uniform(2, 16)), float(self.rng.uniform(0.1, 0.42)), -1, cv2.LINE_AA
            )
        streaks = cv2.resize(self.rng.random((18, 90)).astype(np.float32), (w // 2, h // 2)) * 0.12
        film = np.clip(cv2.resize(cv2.GaussianBlur(amount, (0, 0), 4) + streaks, (w, h)), 0, 0.55)[..., None]
        keep = np.repeat((1 - film) * 255, 3, axis=2).astype(np.uint8)
        tone = np.array([112, 124, 132], np.float32) * float(np.mean(self.light.ambient) + 0.3)
        return keep, np.clip(film * tone, 0, 255).astype(np.uint8)

    def exposure(self, t: float) -> float:
        """Factor of the automatic exposure at second `t`: steady, or hunting and late under bridges."""
        if "exposure" not in self.conditions.effects or self._curve is None:
            return 1.0
        a, b, c, _ = (float(v) for v in self._curve)
        swing = 0.24 * np.sin(t * 0.9 + a) + 0.12 * np.sin(t * 2.3 + b)
        dip = 0.75 * max(0.0, float(np.sin(t * 0.35 + c)) - 0.86) / 0.14
        return float(np.clip(1.0 + swing + dip, 0.5, 1.9))

    def finish(self, canvas: Image, frame: int, t: float) -> Image:
        """Everything from windscreen to sensor; works in place and returns the canvas."""
        if self._rain:
            self._wet(canvas, frame, t)
        if self._smudge is not None:
            cv2.multiply(canvas, self._smudge[0], dst=canvas, scale=1 / 255)
            cv2.add(canvas, self._smudge[1], dst=canvas)
        if self._veil is not None:
            cv2.add(canvas, self._veil, dst=canvas)
        gain = self.exposure(t)
        if abs(gain - 1) > 0.01:
            cv2.convertScaleAbs(canvas, dst=canvas, alpha=gain)
        jump = np.random.default_rng(frame * 7919 + 13).integers(0, 64, 2)
        noise = self._noise[0][jump[0] : jump[0] + canvas.shape[0], jump[1] : jump[1] + canvas.shape[1]]
        cv2.add(canvas, noise, dst=canvas)
        cv2.subtract(canvas, _NOISE_MEAN, dst=canvas)
        return canvas

    def _wet(self, canvas: Image, frame: int, t: float) -> None:
        cv2.add(canvas, self._rain[frame % len(self._rain)], dst=canvas)
        wipe = (t % 2.6) / 2.6
        for index, (x, y, mask) in enumerate(self._drops):
            # the wiper takes the drops away, they come back one by one
            if (index % 17) / 17 > wipe:
                continue
            h, w = mask.shape
            patch = canvas[y : y + h, x : x + w]
            # a drop is a small lens: the world upside down, blurred
            turned = cv2.flip(cv2.blur(patch, (w // 4 + 1, h // 4 + 1)), 0)
            cv2.copyTo(cv2.add(turned, _DROP_LIGHT), mask, patch)
