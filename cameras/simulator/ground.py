"""The road surface and what lies flat beside it: textures once per drive, one remap per band of distance per frame."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Camera, Floats, View
from cameras.simulator.light import Light

Image = NDArray[np.uint8]

PERIOD_M = 96.0
"""The surface repeats after this many metres along the road."""
LEFT_M, RIGHT_M = -15.0, 18.0
"""The texture's sides, metres right of the road's middle."""
_CELL = 0.03
_BANDS = ((1.5, 7.0, 0, 0), (7.0, 13.0, 1, 0), (13.0, 24.0, 3, 0), (24.0, 48.0, 5, 1), (48.0, 220.0, 6, 2))
"""Near, far (metres), halvings along and across."""

ROAD_LEFT, ROAD_RIGHT = -5.3, 8.05
_SEPARATIONS = ((0.0, "solid"), (3.0, "dashed"), (6.0, "short"), (-3.25, "short"))


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[int, int], amount: float) -> Floats:
    """Smooth noise that repeats along the road."""
    small = rng.normal(0, amount, (max(2, shape[0] // cell[0]), max(2, shape[1] // cell[1]))).astype(np.float32)
    small = np.concatenate([small, small[:1]])
    grown = cv2.resize(small, (shape[1], shape[0] + shape[0] // (len(small) - 1)), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown[: shape[0]], np.float32)


@lru_cache(maxsize=2)
def _albedo(seed: int, leafy: bool) -> Image:
    """The surface under an even white light."""
    rng = np.random.default_rng([seed, 1])
    rows, columns = round(PERIOD_M / _CELL), round((RIGHT_M - LEFT_M) / _CELL)
    x = (LEFT_M + (np.arange(columns) + 0.5) * _CELL).astype(np.float32)
    asphalt = 84 + _noise(rng, (rows, columns), (1, 1), 9.0) + _noise(rng, (rows, columns), (3, 3), 6.0)
    asphalt += _noise(rng, (rows, columns), (160, 30), 5.0) + _noise(rng, (rows, columns), (700, 12), 2.5)
    for lane in (1.5, 4.5, -1.6):
        for track in (-0.75, 0.75):
            asphalt += -7.0 * np.exp(-(((x - lane - track) / 0.3) ** 2))
        asphalt += -5.0 * np.exp(-(((x - lane) / 0.22) ** 2))
    _patches(asphalt, rng)
    image = np.repeat(asphalt[..., None], 3, axis=2) * np.array([1.0, 0.985, 0.97], np.float32)
    _markings(image, rng)
    _sides(image, x, rng, leafy)
    return np.clip(image, 0, 255).astype(np.uint8)


def road_texture(seed: int, light: Light, leafy: bool, tree_shadows: bool) -> Image:
    """The surface from above, one row every 3 cm: row 0 is at 0 m, columns from LEFT_M to RIGHT_M."""
    image = _albedo(seed, leafy)
    lit = np.array(light.ambient) * 1.02 + np.array(light.sun_colour) * light.sun[1]
    if light.night:
        # the headlight cone darkens it again, by pixel
        lit = np.full(3, 1.15)
    factors = np.append(lit * (0.72 if light.wet else 1.0), 0.0)
    image = np.asarray(cv2.multiply(image, factors), np.uint8)
    return _dapple(image, np.random.default_rng([seed, 2])) if tree_shadows else image


def _patches(asphalt: Floats, rng: np.random.Generator) -> None:
    """Mended places, cracks and manhole covers."""
    rows, columns = asphalt.shape
    for _ in range(9):
        r, c = int(rng.integers(rows - 300)), int(rng.integers(columns // 3, 2 * columns // 3))
        h, w = int(rng.integers(60, 300)), int(rng.integers(20, 70))
        asphalt[r : r + h, c : c + w] += float(rng.uniform(-14, 9))
    for _ in range(26):
        points = np.cumsum(rng.normal(0, 14, (14, 2)) + rng.normal(0, 7, 2), axis=0)
        points += [rng.uniform(0.3, 0.7) * columns, rng.uniform(0, rows)]
        cv2.polylines(asphalt, [points.astype(np.int32)], False, float(rng.uniform(38, 60)), 1, cv2.LINE_AA)
    for _ in range(5):
        centre = (int(rng.uniform(0.35, 0.7) * columns), int(rng.integers(40, rows - 40)))
        cv2.circle(asphalt, centre, 11, 62.0, -1, cv2.LINE_AA)
        cv2.circle(asphalt, centre, 11, 46.0, 2, cv2.LINE_AA)


def _markings(image: Floats, rng: np.random.Generator) -> None:
    rows = image.shape[0]
    worn = np.clip(0.86 + _noise(rng, (rows, image.shape[1]), (4, 4), 0.12), 0.25, 1)[..., None]
    paint = np.zeros(image.shape[:2], np.float32)

    def column(x: float) -> int:
        return round((x - LEFT_M) / _CELL)

    for x, style in _SEPARATIONS:
        if style == "solid":
            for shift in (-0.12, 0.12):
                paint[:, column(x + shift - 0.06) : column(x + shift + 0.06)] = 1
            continue
        line, period = (3.0, 9.6) if style == "dashed" else (1.0, 2.4)
        for start in np.arange(0, PERIOD_M - 0.01, period):
            r0, r1 = round(start / _CELL), round((start + line) / _CELL)
            paint[r0:r1, column(x - 0.06) : column(x + 0.06)] = 1 if style == "dashed" else 0.75
    alpha = paint[..., None] * worn
    image *= 1 - alpha
    image += alpha * 205


def _sides(image: Floats, x: Floats, rng: np.random.Generator, leafy: bool) -> None:
    """Gutter, kerb, pavement and what is behind it."""
    shape = image.shape[:2]
    rows = shape[0]
    slabs = 148 + _noise(rng, shape, (2, 2), 5.0) + _noise(rng, shape, (50, 20), 6.0)
    along = (np.arange(rows) * _CELL)[:, None]
    joint = ((along % 0.6) < 0.035) | ((np.abs(x)[None] % 0.6) < 0.035)
    slabs = np.where(joint, slabs * 0.8, slabs)
    grass = 92 + _noise(rng, shape, (1, 1), 15.0) + _noise(rng, shape, (5, 5), 12.0) + _noise(rng, shape, (60, 60), 9.0)
    grass_bgr = grass[..., None] * np.array([0.52, 1.05, 0.86], np.float32)
    stone = 168 + _noise(rng, shape, (30, 1), 7.0)
    stone = np.where((along % 1.0) < 0.03, stone * 0.6, stone)
    slabs_bgr = slabs[..., None] * np.array([0.94, 0.98, 1.0], np.float32)
    for outside in (x - ROAD_RIGHT, ROAD_LEFT - x):
        for low, high, what in ((-0.3, 0.0, "gutter"), (0.0, 0.16, "kerb"), (0.16, 20.0, "pavement")):
            pick = np.flatnonzero((outside > low) & (outside <= high))
            if what == "gutter":
                image[:, pick] *= 0.82
            elif what == "kerb":
                image[:, pick] = stone[:, pick, None] * np.array([0.97, 0.99, 1.0], np.float32)
            else:
                image[:, pick] = slabs_bgr[:, pick]
        if leafy:
            strip = np.flatnonzero((outside > 0.9) & (outside < 2.3))
            image[:, strip] = grass_bgr[:, strip]
        far = np.flatnonzero(outside > 5.2)
        image[:, far] = grass_bgr[:, far]


def _dapple(image: Image, rng: np.random.Generator) -> Image:
    """Shadows of the trees and house edges across the road."""
    rows, columns = image.shape[:2]
    mask = np.zeros((rows // 4, columns // 4), np.uint8)
    for start in np.arange(4, PERIOD_M - 8, 11.5):
        base = start + float(rng.uniform(-2, 2))
        for _ in range(46):
            along, across = rng.normal(base, 1.7), abs(rng.normal(0, 4.2))
            x = RIGHT_M - 6.0 - across * 1.6
            centre = (int((x - LEFT_M) / _CELL / 4), int(along / _CELL / 4))
            axes = (int(rng.uniform(3, 13)), int(rng.uniform(3, 10)))
            cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 132, -1, cv2.LINE_AA)
    through = 255 - cv2.resize(cv2.GaussianBlur(mask, (0, 0), 1.2), (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, cv2.merge([through, through, through]), scale=1 / 255), np.uint8)


@dataclass
class _Band:
    rows: slice
    """Rows of the picture, for an unshaken camera."""
    texture: Image
    """Three periods minus a bit, so that a slice never wraps."""
    cell_along: float
    cell_across: float
    map_y: Floats
    map_x: Floats
    """Column of the texture for a straight road seen from its middle."""
    depth: Floats


class Ground:
    """Draws the road for one camera. `left_hand`: the road is mirrored."""

    def __init__(self, camera: Camera, texture: Image) -> None:
        self._camera = camera
        self._bands = [self._band(*b, texture) for b in _BANDS]
        self.top = min(b.rows.start for b in self._bands)
        """First row that belongs to the ground."""

    def _band(self, near: float, far: float, along: int, across: int, texture: Image) -> _Band:
        camera = self._camera
        ch = camera.focal * camera.mount_height
        first = max(int(np.ceil(camera.horizon + ch / far - 0.5)), int(camera.horizon) + 2)
        last = min(int(np.ceil(camera.horizon + ch / near - 0.5)), camera.height + 24)
        small = texture
        size = (texture.shape[1] >> across, texture.shape[0] >> along)
        if along or across:
            small = cv2.resize(texture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        cell_along, cell_across = PERIOD_M / small.shape[0], (RIGHT_M - LEFT_M) / small.shape[1]
        rows_needed = int(np.ceil(far / cell_along)) + 4
        copies = 1 + int(np.ceil(rows_needed / small.shape[0]))
        tall = np.concatenate([small] * copies)
        depth = camera.row_depth(np.arange(first, last, dtype=np.float32) + 0.5)
        columns = (np.arange(camera.width, dtype=np.float32) + 0.5 - camera.centre_x) / camera.focal
        map_x = (depth[:, None] * columns[None] - LEFT_M) / cell_across - 0.5
        map_y = np.repeat(((depth - near) / cell_along)[:, None], camera.width, axis=1)
        return _Band(
            slice(first, last), tall, cell_along, cell_across, map_y.astype(np.float32), map_x.astype(np.float32), depth
        )

    def draw(self, canvas: Image, view: View) -> None:
        """Fill every row below the horizon."""
        near = {id(b): start for b, (start, *_rest) in zip(self._bands, _BANDS, strict=True)}
        for band in self._bands:
            top, bottom = band.rows.start + view.shake, min(band.rows.stop + view.shake, canvas.shape[0])
            count = bottom - top
            if count <= 0:
                continue
            start = ((view.s + near[id(band)]) % PERIOD_M) / band.cell_along
            whole = int(start)
            shift = (view.lateral - np.asarray(view.bend(band.depth[:count]))) / band.cell_across
            map_x = band.map_x[:count] + shift[:, None].astype(np.float32)
            map_y = band.map_y[:count] + np.float32(start - whole)
            period = round(PERIOD_M / band.cell_along)
            source = band.texture[whole : whole + min(len(band.texture) - whole, period * 4)]
            cv2.remap(source, map_x, map_y, cv2.INTER_LINEAR, dst=canvas[top:bottom], borderMode=cv2.BORDER_REPLICATE)
