"""What stands beside the road: houses, trees, lamp posts and traffic lights, painted once and then placed."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Camera, Floats, View
from cameras.simulator.light import Light

Image = NDArray[np.uint8]

_HOUSE_PX_PER_M = 26
_FACE_LEVELS = 4


_WALLS = (
    (150, 176, 196),
    (176, 190, 200),
    (122, 140, 170),
    (86, 98, 150),
    (190, 196, 196),
    (140, 150, 152),
    (120, 160, 186),
    (104, 112, 120),
)


def facade(rng: np.random.Generator, light: Light) -> Image:
    """A house front, about 14 m by 13 m, lit by `light`."""
    floors, bays = int(rng.integers(3, 6)), int(rng.integers(4, 7))
    w, h = bays * 68, floors * 80 + 30
    wall = np.array(_WALLS[int(rng.integers(len(_WALLS)))], np.float32) * float(rng.uniform(0.85, 1.08))
    image = np.empty((h, w, 3), np.float32)
    image[:] = wall
    image += cv2.resize(rng.normal(0, 4, (h // 20, w // 20, 1)).astype(np.float32), (w, h))[..., None]
    image += rng.normal(0, 3.0, (h, w, 1)).astype(np.float32)
    cv2.rectangle(image, (0, 0), (w, 16), (wall * 0.72).tolist(), -1)
    cv2.rectangle(image, (0, 16), (w, 20), (wall * 0.5).tolist(), -1)
    shop = rng.random() < 0.6
    glow: list[tuple[int, int, int, int]] = []
    for floor in range(floors):
        y = 28 + floor * 80
        if floor == floors - 1 and shop:
            _shop(image, rng, y, w, glow)
            continue
        cv2.line(image, (0, y + 74), (w, y + 74), (wall * 0.86).tolist(), 3)
        for bay in range(bays):
            x = bay * 68 + 18
            frame = (wall * 1.12 + 14).clip(0, 245).tolist()
            cv2.rectangle(image, (x - 4, y + 4), (x + 36, y + 64), frame, -1)
            pane = np.array([74, 66, 58], np.float32) * float(rng.uniform(0.6, 1.35))
            cv2.rectangle(image, (x, y + 8), (x + 32, y + 60), pane.tolist(), -1)
            cv2.rectangle(image, (x, y + 8), (x + 32, y + 8 + int(rng.uniform(0, 30))), (pane * 1.6 + 20).tolist(), -1)
            cv2.line(image, (x + 16, y + 8), (x + 16, y + 60), frame, 2)
            cv2.line(image, (x, y + 26), (x + 32, y + 26), frame, 2)
            cv2.rectangle(image, (x - 6, y + 62), (x + 38, y + 67), (wall * 0.62).tolist(), -1)
            glow.append((x, y + 8, x + 32, y + 60))
    sun = max(0.0, -light.sun[2] * 0.4 + 0.35)
    image *= np.array(light.ambient, np.float32) * 0.95 + np.array(light.sun_colour, np.float32) * sun
    if light.night or sum(light.ambient) < 1.1:
        for x0, y0, x1, y1 in glow:
            if rng.random() < 0.3:
                warm = np.array([96, 170, 226], np.float32) * float(rng.uniform(0.45, 0.95))
                cv2.rectangle(image, (x0, y0), (x1, y1), warm.tolist(), -1)
                cv2.line(image, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), (warm * 0.4).tolist(), 2)
    return np.clip(image, 0, 255).astype(np.uint8)


def _shop(image: Floats, rng: np.random.Generator, y: int, w: int, glow: list[tuple[int, int, int, int]]) -> None:
    sign = rng.uniform(30, 190, 3)
    cv2.rectangle(image, (6, y + 2), (w - 6, y + 18), sign.tolist(), -1)
    x = 20
    while x < w - 60:
        letters = int(rng.uniform(8, 26))
        cv2.rectangle(image, (x, y + 7), (x + letters, y + 13), (255 - sign * 0.6).tolist(), -1)
        x += letters + int(rng.uniform(5, 50))
    for x in range(8, w - 60, 74):
        pane = np.array([60, 56, 52], np.float32) * float(rng.uniform(0.7, 1.4))
        cv2.rectangle(image, (x, y + 22), (x + 66, y + 80), pane.tolist(), -1)
        cv2.line(image, (x + 10, y + 76), (x + 44, y + 26), (pane * 1.5 + 16).tolist(), 6, cv2.LINE_AA)
        glow.append((x, y + 22, x + 66, y + 80))


def tree(rng: np.random.Generator, light: Light) -> tuple[Image, Image]:
    """A street tree 300 x 400 pixels (6 m x 8 m): colours already multiplied by coverage, and coverage."""
    h, w = 400, 300
    colour = np.zeros((h, w, 3), np.float32)
    mask = np.zeros((h, w), np.uint8)
    trunk = np.array([[w // 2 - 10, h], [w // 2 - 6, h // 2], [w // 2 + 6, h // 2], [w // 2 + 11, h]], np.int32)
    bark = np.array([52, 62, 76], np.float32)
    cv2.fillConvexPoly(mask, trunk, 255, cv2.LINE_AA)
    cv2.fillConvexPoly(colour, trunk, bark.tolist(), cv2.LINE_AA)
    leaf = np.array([46, 100, 80], np.float32) * rng.uniform(0.82, 1.12, 3)
    crown = np.zeros((h, w), np.uint8)
    blobs = [(w / 2 + 84 * a * np.cos(t), 158 + 96 * a * np.sin(t), r) for a, t, r in _blobs(rng)]
    for x, y, r in blobs:
        cv2.circle(crown, (int(x), int(y)), int(r), 255, -1, cv2.LINE_AA)
    ragged = cv2.resize(rng.normal(0, 90, (h // 5, w // 5)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    edge = cv2.GaussianBlur(crown, (0, 0), 9).astype(np.float32) + ragged * 0.3
    crown = np.asarray(cv2.GaussianBlur(((edge > 118) * 255).astype(np.uint8), (0, 0), 0.9), np.uint8)
    lit: Floats = np.full((h, w), 0.5, np.float32)
    for bx, by, r in blobs:
        # every clump is brighter on its sunny upper side
        x0, x1, y0, y1 = max(0, int(bx - r)), min(w, int(bx + r) + 1), max(0, int(by - r)), min(h, int(by + r) + 1)
        v, u = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        u, v = (u - np.float32(bx)) / np.float32(r), (v - np.float32(by)) / np.float32(r)
        shade = np.sqrt(np.clip(1 - np.hypot(u, v), 0, 1)) * (0.72 - 0.4 * v + 0.3 * light.sun[0] * u)
        lit[y0:y1, x0:x1] = np.maximum(lit[y0:y1, x0:x1], shade)
    down = np.arange(h, dtype=np.float32)[:, None]
    grain = rng.normal(0, 0.2, (h // 2, w // 2)).astype(np.float32)
    grain = cv2.resize(grain, (w, h), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    glow = ((lit + grain + 0.06 / 90 * ragged) * (1.12 - 0.34 * (down - 40) / 240)).astype(np.float32)
    share = (crown / 255.0)[..., None].astype(np.float32)
    colour = colour * (1 - share) + leaf * np.clip(glow * 1.45, 0.3, 2.2)[..., None] * share
    mask = np.maximum(mask, crown)
    colour *= np.array(light.ambient, np.float32) + np.array(light.sun_colour, np.float32) * 0.5
    return np.clip(colour, 0, 255).astype(np.uint8), mask


def _blobs(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Clumps of leaves: share of the crown's radius, angle, size in pixels; the big ones first."""
    outer = [
        (float(rng.uniform(0.55, 1.0)), float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(26, 46))) for _ in range(26)
    ]
    return [(0.0, 0.0, 92.0), *outer]


@dataclass(frozen=True)
class Sprite:
    """A picture that always faces the camera, at falling sizes."""

    levels: tuple[tuple[Image, Image], ...]
    """Colours multiplied by coverage, and what shows through (255 - coverage) in three channels."""
    width_m: float
    height_m: float


def make_sprite(colour: Image, mask: Image, width_m: float, height_m: float) -> Sprite:
    """Pre-shrink a picture."""
    levels: list[tuple[Image, Image]] = []
    while True:
        through = 255 - mask
        levels.append((colour, np.asarray(cv2.merge([through, through, through]), np.uint8)))
        if min(mask.shape) < 24:
            return Sprite(tuple(levels), width_m, height_m)
        size = (max(2, round(mask.shape[1] * 0.6)), max(2, round(mask.shape[0] * 0.6)))
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)


def draw_sprite(canvas: Image, sprite: Sprite, camera: Camera, view: View, ahead: float, right: float) -> None:
    """Blend a sprite whose foot stands on the ground `ahead`, `right` of the road's middle."""
    if ahead < 2.0:
        return
    scale = camera.focal / ahead
    x = camera.centre_x + (right - view.lateral + float(view.bend(ahead))) * scale
    foot = camera.horizon + view.shake + camera.mount_height * scale
    w, h = round(sprite.width_m * scale), round(sprite.height_m * scale)
    x0, y0 = round(x - w / 2), round(foot - h)
    cx0, cy0, cx1, cy1 = max(0, x0), max(0, y0), min(camera.width, x0 + w), min(camera.height, y0 + h)
    if w < 3 or h < 3 or cx0 >= cx1 or cy0 >= cy1:
        return
    colour, through = next((lv for lv in reversed(sprite.levels) if lv[0].shape[1] >= w), sprite.levels[0])
    part = ((cx0 - x0) / w, (cx1 - x0) / w), ((cy0 - y0) / h, (cy1 - y0) / h)
    size = (cx1 - cx0, cy1 - cy0)
    region = canvas[cy0:cy1, cx0:cx1]
    cv2.multiply(region, _shown(through, part, size), dst=region, scale=1 / 255)
    cv2.add(region, _shown(colour, part, size), dst=region)


def _shown(image: Image, part: tuple[tuple[float, float], tuple[float, float]], size: tuple[int, int]) -> Image:
    """The share `part` (across, down; 0..1) of a picture at a new size."""
    (left, right), (top, bottom) = part
    h, w = image.shape[:2]
    x0, y0 = max(0, min(round(left * w), w - 1)), max(0, min(round(top * h), h - 1))
    x1, y1 = max(round(right * w), x0 + 1), max(round(bottom * h), y0 + 1)
    return np.asarray(cv2.resize(image[y0:y1, x0:x1], size, interpolation=cv2.INTER_LINEAR), np.uint8)


@dataclass(frozen=True)
class House:
    """A block at the roadside: its front along the road and its gable across."""

    s: float
    length: float
    height: float
    line: float
    """Metres right of the road's middle where its front stands."""
    front: tuple[Image, ...]
    gable: tuple[Image, ...]
    free: bool
    """False when the next house hides its gable."""


def _pyramid(image: Image) -> tuple[Image, ...]:
    levels = [image]
    while len(levels) < _FACE_LEVELS:
        last = levels[-1]
        levels.append(
            cv2.resize(
                last, (max(2, last.shape[1] // 2), max(2, last.shape[0] // 2)), interpolation=cv2.INTER_AREA
            ).astype(np.uint8)
        )
    return tuple(levels)


def make_houses(seed: int, light: Light, length: float, lines: tuple[float, float]) -> list[House]:
    """Both sides of the round; the same houses in any light."""
    rng = np.random.default_rng([seed, 0])
    fronts = [facade(np.random.default_rng([seed, k]), light) for k in range(1, 10)]
    pyramids = [_pyramid(f) for f in fronts]
    gables = [_pyramid(np.ascontiguousarray((f * 0.66).astype(np.uint8)[:, ::-1])) for f in fronts]
    houses: list[House] = []
    for line in lines:
        s = 0.0
        while s < length - 26:
            pick = int(rng.integers(len(fronts)))
            long = fronts[pick].shape[1] / _HOUSE_PX_PER_M * float(rng.uniform(0.9, 1.2))
            high = fronts[pick].shape[0] / _HOUSE_PX_PER_M * float(rng.uniform(0.85, 1.1))
            back = float(rng.choice([0.0, 0.0, 1.2, 3.5])) * float(np.sign(line))
            last = houses[-1] if houses else None
            joined = last is not None and s - last.s - last.length < 0.1 and abs(last.line) <= abs(line + back)
            free = not (joined and last is not None and last.height >= high)
            houses.append(House(s, long, high, line + back, pyramids[pick], gables[pick], free))
            s += long + float(rng.choice([0.0, 0.0, 3.0, 9.0, 16.0]))
    return houses


def draw_house(canvas: Image, house: House, camera: Camera, view: View, ahead: float, light: Light) -> None:
    """Draw the gable that faces us, then the front along the road. `ahead` is the near end's distance."""
    side = 1.0 if house.line > 0 else -1.0
    near, far = ahead, ahead + house.length
    reach = abs(house.line - view.lateral) / (camera.width / 2 / camera.focal) * 0.8
    if far < reach:
        return
    fade = 1 - float(np.exp(-max(near, 0) / light.haze_m))

    def at(z: float, y: float, deep: float = 0.0) -> tuple[float, float, float]:
        return (house.line + side * deep - view.lateral + float(view.bend(max(z, 0.0))), y, z)

    if near > 3.0 and house.free:
        _draw_gable(canvas, house, camera, view, at(near, house.height), fade, light)
    start = max(near, min(reach * 0.8, far - 0.1), 1.5)
    cut = (start - near) / house.length
    quad = [at(far, house.height), at(start, house.height), at(start, 0), at(far, 0)]
    share = (0.0, 1.0 - cut)
    if side < 0:
        quad = [quad[1], quad[0], quad[3], quad[2]]
        share = (cut, 1.0)
    _draw_face(canvas, house.front, camera, view, quad, share, fade, light)


def _draw_gable(
    canvas: Image,
    house: House,
    camera: Camera,
    view: View,
    corner: tuple[float, float, float],
    fade: float,
    light: Light,
) -> None:
    """The wall across the road, 9 m wide, that begins at `corner`: it faces us, so a resize will do."""
    outer = corner[0] + (9.0 if house.line > 0 else -9.0)
    x0, x1 = sorted((corner[0], outer))
    (left, top), (right, bottom) = camera.project(
        np.array([[x0, corner[1], corner[2]], [x1, 0, corner[2]]], np.float32), view.shake
    ).tolist()
    w, h = right - left, bottom - top
    cx0, cy0, cx1, cy1 = max(0, round(left)), max(0, round(top)), min(camera.width, round(right)), round(bottom)
    if w < 2 or h < 2 or cx0 >= cx1 or cy0 >= cy1 or cy1 > camera.height:
        return
    image = next((lv for lv in reversed(house.gable) if lv.shape[1] * 0.65 >= w), house.gable[0])
    if fade > 0.04:
        image = _hazed(image, round(fade * 12), tuple(light.haze))
    part = ((cx0 - left) / w * 0.65, (cx1 - left) / w * 0.65), ((cy0 - top) / h, (cy1 - top) / h)
    canvas[cy0:cy1, cx0:cx1] = _shown(image, part, (cx1 - cx0, cy1 - cy0))


def _draw_face(
    canvas: Image,
    levels: tuple[Image, ...],
    camera: Camera,
    view: View,
    quad: list[tuple[float, float, float]],
    share: tuple[float, float],
    fade: float,
    light: Light,
) -> None:
    """Warp the columns `share` (0..1 each) of a face onto the picture."""
    pixels = camera.project(np.array(quad, np.float32), view.shake)
    x0, y0 = np.floor(np.clip(pixels.min(axis=0), -1, 4000)).astype(int)
    x1, y1 = np.ceil(np.clip(pixels.max(axis=0), -1, 4000)).astype(int) + 1
    x0, y0, x1, y1 = max(0, int(x0)), max(0, int(y0)), min(camera.width, int(x1)), min(camera.height, int(y1))
    if x1 - x0 < 2 or y1 - y0 < 2 or pixels[1, 0] - pixels[0, 0] < 1.5:
        return
    shown = (pixels[1, 0] - pixels[0, 0]) / (share[1] - share[0])
    wanted = min(max(shown, 2.0), max(abs(pixels[3, 1] - pixels[0, 1]), abs(pixels[2, 1] - pixels[1, 1])) * 1.2)
    image = next((lv for lv in reversed(levels) if lv.shape[1] >= wanted), levels[0])
    h, w = image.shape[:2]
    source = np.array([[share[0] * w, 0], [share[1] * w, 0], [share[1] * w, h], [share[0] * w, h]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (pixels - np.array([x0, y0], np.float32)).astype(np.float32))
    if fade > 0.04:
        image = _hazed(image, round(fade * 12), tuple(light.haze))
    region = canvas[y0:y1, x0:x1]
    cv2.warpPerspective(
        image, matrix, (x1 - x0, y1 - y0), dst=region, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )


_HAZED: dict[tuple[int, int, tuple[float, ...]], tuple[Image, Image]] = {}


def _hazed(image: Image, step: int, haze: tuple[float, ...]) -> Image:
    """`image` faded by step/12 towards the haze, kept for the next frame."""
    key = (id(image), step, haze)
    kept = _HAZED.get(key)
    if kept is None or kept[0] is not image:
        veil = np.empty_like(image)
        veil[:] = np.array(haze)
        kept = (image, cv2.addWeighted(image, 1 - step / 12, veil, step / 12, 0).astype(np.uint8))
        if len(_HAZED) > 1500:
            _HAZED.clear()
        _HAZED[key] = kept
    return kept[1]


@lru_cache(maxsize=4)
def lamp_post(night: bool) -> Sprite:
    """A street lamp of 7 m."""
    colour, mask = np.zeros((420, 120, 3), np.uint8), np.zeros((420, 120), np.uint8)
    tone = (40, 40, 40) if night else (110, 110, 108)
    for image, value in ((colour, tone), (mask, (255,))):
        cv2.line(image, (60, 419), (60, 30), value, 6, cv2.LINE_AA)
        cv2.line(image, (60, 30), (24, 12), value, 5, cv2.LINE_AA)
        cv2.ellipse(
            image,
            (20, 12),
            (16, 6),
            0,
            0,
            360,
            (190, 230, 255) if night and image is colour else value,
            -1,
            cv2.LINE_AA,
        )
    return make_sprite(colour, mask, 2.0, 7.0)


@lru_cache(maxsize=2)
def traffic_light(green: bool) -> Sprite:
    """A signal on its pole, 3.4 m."""
    colour, mask = np.zeros((340, 80, 3), np.uint8), np.zeros((340, 80), np.uint8)
    cv2.rectangle(colour, (37, 90), (43, 339), (70, 70, 70), -1)
    cv2.rectangle(mask, (37, 90), (43, 339), 255, -1)
    cv2.rectangle(colour, (22, 2), (58, 98), (26, 26, 26), -1)
    cv2.rectangle(mask, (22, 2), (58, 98), 255, -1)
    for y, tone, on in ((20, (60, 60, 250), not green), (50, (40, 170, 230), False), (80, (120, 235, 90), green)):
        lit = tone if on else tuple(int(v * 0.22) for v in tone)
        cv2.circle(colour, (40, y), 12, lit, -1, cv2.LINE_AA)
    return make_sprite(colour, mask, 0.8, 3.4)
