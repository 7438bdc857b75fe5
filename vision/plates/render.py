"""A `PlateSpec` in, its flat, clean picture out: what a scanner would see of the plate on a desk."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.plates.glyphs import FONT_NAMES, Mask, glyph, resize_mask, words
from vision.plates.layouts import Layout
from vision.plates.spec import PlateSpec
from vision.types import Image

_SMALL_FONTS = ("overpass-700", "barlow-condensed-700", "saira-condensed-700", "liberation-sans-bold")
_GAPS = {" ": 0.34, "-": 0.42, ".": 0.3, "~": 0.6}
"""Width of what stands between characters, in capital heights."""


def plate_size(spec: PlateSpec) -> tuple[float, float]:
    """Width and height in metres of the real thing."""
    width, height = spec.layout.size
    return width / 1000, height / 1000


def render_plate(spec: PlateSpec, height_px: int = 96, vary: float = 0.0) -> Image:
    """Draw the plate `height_px` pixels high, without background around it; BGR.

    The same specification always gives the same picture. `vary`, 0..1, is how often the drawing departs from the
    layout (another font, thicker or thinner strokes, an emblem with small letters beside the number), so that who
    learns from it does not lean on the few fonts there are. Raises ValueError below 12 pixels.
    """
    if height_px < 12:
        raise ValueError(
            f"height_px is {height_px}, a plate is drawn at 12 pixels or more: draw it larger and shrink it"
        )
    look = spec.layout
    rng = np.random.default_rng(spec.seed)
    width_px = round(height_px * look.size[0] / look.size[1])
    ground = look.ground[int(rng.integers(len(look.ground)))]
    canvas = _ground(ground, height_px, width_px)
    ink = _ink(look, ground, rng)
    if look.emblem == "picture" and rng.random() < 0.35:
        _scenery(canvas, rng)
    _border(canvas, ink, rng)
    left, top, right, bottom = _furniture(canvas, look, ink, rng)
    departure = np.random.default_rng([spec.seed, 1])
    if look.emblem == "picture" and departure.random() < 0.3 * vary:
        left, right = _side_emblem(canvas, (left, top, right, bottom), ink, departure)
    _number(canvas, spec, look, ink, (left, top, right, bottom), rng, departure, vary)
    if look.emblem == "picture" and rng.random() < 0.5:
        _stickers(canvas, rng)
    if rng.random() < 0.5:
        _bolts(canvas, look, rng)
    return np.clip(canvas, 0, 255).astype(np.uint8)


Canvas = NDArray[np.float32]
Colour = NDArray[np.float32]


def _bgr(colour: str) -> Colour:
    return np.array([int(colour[i : i + 2], 16) for i in (4, 2, 0)], dtype=np.float32)


def _ground(colours: tuple[str, ...], height: int, width: int) -> Canvas:
    stops = np.stack([_bgr(c) for c in colours])
    at = np.linspace(0, len(colours) - 1, height)
    rows = np.stack([np.interp(at, np.arange(len(colours)), stops[:, c]) for c in range(3)], axis=1)
    return np.repeat(rows[:, None, :], width, axis=1).astype(np.float32)


def _ink(look: Layout, ground: tuple[str, ...], rng: np.random.Generator) -> Colour:
    """The ink with some contrast to the middle of the ground; dark or light when none of the layout's has."""
    middle = float(_bgr(ground[len(ground) // 2]).mean())
    fitting = [c for c in look.ink if abs(float(_bgr(c).mean()) - middle) > 60]
    if fitting:
        return _bgr(fitting[int(rng.integers(len(fitting)))])
    return _bgr("f0f0ee" if middle < 128 else "141414")


def _paint(canvas: Canvas, mask: Mask, x: int, y: int, colour: Colour, strength: float = 1.0) -> None:
    """Blend `colour` into `canvas` where `mask` is, cut at the canvas's edges."""
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + mask.shape[1]), min(height, y + mask.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = mask[y0 - y : y1 - y, x0 - x : x1 - x, None].astype(np.float32) * (strength / 255)
    canvas[y0:y1, x0:x1] += (colour - canvas[y0:y1, x0:x1]) * alpha


def _border(canvas: Canvas, ink: Colour, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    thickness = max(1, round(height * 0.02))
    inset = round(height * rng.choice([0.0, 0.015, 0.03]))
    if rng.random() < 0.65:
        colour = tuple(float(v) for v in ink)
        cv2.rectangle(canvas, (inset, inset), (width - 1 - inset, height - 1 - inset), colour, thickness)


def _words_in(canvas: Canvas, text: str, box: tuple[int, int, int, int], colour: Colour, font: str) -> None:
    """Small text centred in a box (left, top, right, bottom), shrunk to fit."""
    left, top, right, bottom = box
    if not text or right - left < 4 or bottom - top < 4:
        return
    mask = words(font, text, bottom - top)
    scale = min(1.0, (right - left) / mask.shape[1], (bottom - top) / mask.shape[0])
    mask = resize_mask(mask, round(mask.shape[0] * scale), round(mask.shape[1] * scale))
    _paint(canvas, mask, (left + right - mask.shape[1]) // 2, (top + bottom - mask.shape[0]) // 2, colour)


def _furniture(
    canvas: Canvas, look: Layout, ink: Colour, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw band, header and footer; return the box that is left for the number."""
    height, width = canvas.shape[:2]
    font = _SMALL_FONTS[int(rng.integers(len(_SMALL_FONTS)))]
    left, top, right, bottom = 0.03 * width, 0.08 * height, 0.97 * width, 0.93 * height
    white = np.full(3, 245, np.float32)
    unit = min(height, width * 112 / 520)
    if look.band in {"left", "both"} and rng.random() < 0.93:
        band = round(unit * 0.38)
        canvas[:, :band] = _bgr(look.band_colour)
        for k in range(10):
            angle = 2 * np.pi * k / 10
            centre = (band * (0.5 + 0.3 * np.cos(angle)), height * 0.32 + band * 0.3 * np.sin(angle))
            cv2.circle(canvas, (int(centre[0]), int(centre[1])), max(0, round(unit * 0.02)), (30.0, 210.0, 245.0), -1)
        _words_in(canvas, look.band_text, (2, round(height * 0.6), band - 2, round(height * 0.88)), white, font)
        left = band + 0.015 * width
        if look.band == "both":
            canvas[:, -band:] = _bgr(look.band_colour)
            right = width - band - 0.015 * width
    elif look.band == "top":
        band = round(height * 0.21)
        canvas[:band] = _bgr("1d3a8a")
        _words_in(canvas, look.band_text, (round(width * 0.2), 1, round(width * 0.8), band - 1), white, font)
        top = band + 0.04 * height
    if look.header:
        header = look.header[int(rng.integers(len(look.header)))]
        size = float(rng.uniform(0.13, 0.18)) * height
        _words_in(
            canvas,
            header,
            (round(width * 0.18), round(0.05 * height), round(width * 0.82), round(0.05 * height + size)),
            ink,
            font,
        )
        top = max(top, 0.05 * height + size + 0.04 * height)
    if look.footer:
        footer = look.footer[int(rng.integers(len(look.footer)))]
        size = float(rng.uniform(0.1, 0.13)) * height
        y1 = 0.96 * height
        _words_in(canvas, footer, (round(width * 0.15), round(y1 - size), round(width * 0.85), round(y1)), ink, font)
        bottom = y1 - size - 0.04 * height
    return left, top, right, bottom


def _side_emblem(
    canvas: Canvas, box: tuple[float, float, float, float], ink: Colour, rng: np.random.Generator
) -> tuple[float, float]:
    """An emblem or two small letters, one over the other, at a side of the number; the left and right that remain."""
    left, top, right, bottom = box
    width = (right - left) * float(rng.uniform(0.12, 0.24))
    at_left = rng.random() < 0.7
    x0 = left if at_left else right - width
    middle = (round(x0 + width / 2), round((top + bottom) / 2))
    height = bottom - top
    if rng.random() < 0.4:
        _drawing(canvas, middle, (0.9 * width, min(height, 1.5 * width)), ink, rng)
    elif rng.random() < 0.6:
        tint = tuple(float(v) for v in rng.uniform(20, 230, 3))
        axes = (max(2, round(width * 0.42)), max(2, round(min(height, 1.6 * width) * 0.42)))
        cv2.ellipse(canvas, middle, axes, float(rng.uniform(0, 180)), 0, float(rng.uniform(180, 360)), tint, -1)
    if rng.random() < 0.6:
        font = _SMALL_FONTS[int(rng.integers(len(_SMALL_FONTS)))]
        signs = rng.choice(list("ABCDEFGHKLMNPRSTUVWX0123456789"), int(rng.integers(2, 4)))
        step = height * 0.8 / len(signs)
        for k, sign in enumerate(signs):
            y = top + 0.1 * height + k * step
            _words_in(canvas, str(sign), (round(x0), round(y), round(x0 + width), round(y + 0.85 * step)), ink, font)
    return (left + width, right) if at_left else (left, right - width)


@dataclass(frozen=True, slots=True)
class _Pen:
    """How a plate's number is written."""

    font: str
    ink: Colour
    emblem: str
    spacing: float
    """Between characters, in capital heights."""
    stretch: float
    """Characters' widths, relative to the font's own."""
    weight: int
    """Thickening of the strokes, see `vision.plates.glyphs.glyph`."""
    relief: float
    """Strength of the embossed edge, 0..1."""
    drawing: np.random.Generator | None
    """Draws what stands in the number's gap, nearly as large as a character; None: what the pattern says."""


def _number(
    canvas: Canvas,
    spec: PlateSpec,
    look: Layout,
    ink: Colour,
    box: tuple[float, float, float, float],
    rng: np.random.Generator,
    departure: np.random.Generator,
    vary: float,
) -> None:
    """Write the rows of the number into the box (left, top, right, bottom)."""
    left, top, right, bottom = box
    font = look.fonts[int(rng.integers(len(look.fonts)))]
    if departure.random() < 0.4 * vary:
        font = FONT_NAMES[int(departure.integers(len(FONT_NAMES)))]
    weight = int(departure.choice((-2, -1, 1, 2, 3, 4))) if departure.random() < 0.5 * vary else 0
    spacing = float(rng.uniform(0.08, 0.15))
    room = bottom - top
    if spec.rows == 1:
        cap = min(look.char_height * canvas.shape[0], 0.96 * room)
    else:
        cap = min(room * 0.44, look.char_height * canvas.shape[0])
    stretch = float(rng.uniform(0.92, 1.12))
    relief = float(rng.uniform(0.0, 0.5)) if rng.random() < 0.6 else 0.0
    if departure.random() < 0.4 * vary:
        stretch *= float(departure.uniform(0.8, 1.25))
    drawing = look.emblem == "picture" and departure.random() < 0.45 * vary
    pen = _Pen(font, ink, look.emblem, spacing, stretch, weight, relief, departure if drawing else None)
    for k, row in enumerate(spec.shown):
        centre = top + room * ((k + 0.5) / spec.rows)
        _row(canvas, row, pen, (left, right), centre, cap, rng)


def _row(
    canvas: Canvas,
    row: str,
    pen: _Pen,
    span: tuple[float, float],
    centre: float,
    cap: float,
    rng: np.random.Generator,
) -> None:
    """One row: characters keep their own widths, the whole is narrowed or spread to suit the span."""
    gaps = [k for k, c in enumerate(row) if not c.isalnum()]
    drawn = gaps[int(pen.drawing.integers(len(gaps)))] if pen.drawing and gaps else -1
    room_for_it = cap * float(pen.drawing.uniform(0.4, 1.0)) if pen.drawing else 0.0
    masks = {c: glyph(pen.font, c, pen.weight) for c in set(row) if c.isalnum()}
    unit = cap * 1.12
    widths = [
        masks[c].shape[1] * unit / masks[c].shape[0] * pen.stretch
        if c in masks
        else (room_for_it if k == drawn else _GAPS.get(c, 0.3) * cap)
        for k, c in enumerate(row)
    ]
    natural = sum(widths) + pen.spacing * cap * (len(row) - 1)
    room = span[1] - span[0]
    squeeze = min(1.0, 0.97 * room / natural)
    if squeeze < 0.72:
        unit, cap = unit * squeeze / 0.72, cap * squeeze / 0.72
    spread = min(1.35, 0.9 * room / (natural * squeeze)) if natural * squeeze < 0.9 * room else 1.0
    gap = (pen.spacing * cap + (spread - 1.0) * natural / max(1, len(row)) * float(rng.uniform(0.3, 1.0))) * squeeze
    total = sum(widths) * squeeze + gap * (len(row) - 1)
    x = span[0] + (room - total) / 2
    y = round(centre - unit / 2)
    for k, (sign, width) in enumerate(zip(row, widths, strict=True)):
        width *= squeeze
        if sign in masks:
            _character(canvas, resize_mask(masks[sign], round(unit), round(width)), round(x), y, pen)
        elif pen.drawing and k == drawn:
            _drawing(canvas, (x + width / 2, centre), (width, cap), pen.ink, pen.drawing)
        else:
            _separator(canvas, sign, (x + width / 2, centre), cap, pen, rng)
        x += width + gap


def _character(canvas: Canvas, mask: Mask, x: int, y: int, pen: _Pen) -> None:
    if pen.relief:
        _paint(canvas, mask, x + 1, y + 1, np.full(3, 20, np.float32), pen.relief)
        _paint(canvas, mask, x - 1, y - 1, np.full(3, 255, np.float32), pen.relief)
    _paint(canvas, mask, x, y, pen.ink)


def _separator(
    canvas: Canvas, sign: str, at: tuple[float, float], cap: float, pen: _Pen, rng: np.random.Generator
) -> None:
    """A dash, a dot or, for `~`, an emblem around the point `at`."""
    x, y = at
    colour = tuple(float(v) for v in pen.ink)
    if sign == "-":
        half, thick = cap * 0.14, max(1, round(cap * 0.11))
        cv2.line(canvas, (round(x - half), round(y)), (round(x + half), round(y)), colour, thick)
    elif sign == ".":
        cv2.circle(canvas, (round(x), round(y)), max(1, round(cap * 0.07)), colour, -1)
    elif sign == "~":
        tint = tuple(float(v) for v in rng.uniform(20, 230, 3))
        if pen.emblem == "seal":
            for dy in (-0.26, 0.26):
                radius = max(1, round(cap * 0.16))
                fill = tint if dy < 0 else (190.0, 190.0, 190.0)
                cv2.circle(canvas, (round(x), round(y + dy * cap)), radius, fill, -1)
        elif pen.emblem == "picture":
            corners = rng.normal(0, 1, (7, 2)) * [cap * 0.12, cap * 0.2] + [x, y]
            cv2.fillPoly(canvas, [corners.astype(np.int32)], tint)
        else:
            cv2.circle(canvas, (round(x), round(y)), max(1, round(cap * 0.15)), tint, -1)


def _drawing(
    canvas: Canvas, at: tuple[float, float], size: tuple[float, float], ink: Colour, rng: np.random.Generator
) -> None:
    """A seal, a fruit, a tower, a head, a badge: some shapes of a few colours, about as large as a character."""
    picture = canvas.copy()
    tints = [*rng.uniform(10, 245, (2, 3)).astype(np.float32), ink]
    reach = np.array(size) * rng.uniform((0.7, 0.55), (1.05, 1.1)) / 2
    for number in range(int(rng.integers(1, 6))):
        colour = tuple(float(v) for v in tints[int(rng.integers(len(tints)))])
        # the first shape is the drawing's body, the others are its parts
        own = reach * (1.0 if number == 0 else rng.uniform(0.2, 0.7, 2))
        middle = np.array(at) + (0.0 if number == 0 else rng.uniform(-0.7, 0.7, 2)) * (reach - own)
        axes = np.maximum(1, np.round(own)).astype(int)
        centre = np.round(middle).astype(int)
        kind = int(rng.integers(5))
        thickness = -1 if rng.random() < 0.7 else max(1, round(0.12 * size[1]))
        if kind < 2:
            turn, end = float(rng.uniform(-30, 30)), 360.0 if kind == 0 else float(rng.uniform(150, 330))
            cv2.ellipse(picture, centre.tolist(), axes.tolist(), turn, 0, end, colour, thickness)
        elif kind == 2:
            cv2.rectangle(picture, (centre - axes).tolist(), (centre + axes).tolist(), colour, thickness)
        elif kind == 3:
            corners = middle + rng.uniform(-1, 1, (int(rng.integers(3, 9)), 2)) * own
            cv2.fillPoly(picture, [np.round(corners).astype(np.int32)], colour)
        else:
            start, end_at = middle + rng.uniform(-1, 1, (2, 2)) * own
            cv2.line(picture, np.round(start).astype(int).tolist(), np.round(end_at).astype(int).tolist(), colour,
                     max(1, round(float(rng.uniform(0.06, 0.16)) * size[1])))  # fmt: skip
    canvas += (picture - canvas) * float(rng.uniform(0.35, 1.0))


def _scenery(canvas: Canvas, rng: np.random.Generator) -> None:
    """A faint hill line or a large soft emblem behind the number, as on decorated plates."""
    height, width = canvas.shape[:2]
    drawing = canvas.copy()
    tint = tuple(float(v) for v in rng.uniform(60, 240, 3))
    if rng.random() < 0.5:
        at = np.linspace(0, width, 9)
        hills = height * rng.uniform(0.35, 0.85) + rng.normal(0, height * 0.1, 9)
        polygon = np.concatenate([np.stack([at, hills], 1), [[width, height], [0, height]]])
        cv2.fillPoly(drawing, [polygon.astype(np.int32)], tint)
    else:
        centre = (int(rng.uniform(0.1, 0.9) * width), int(rng.uniform(0.3, 0.7) * height))
        axes = (int(rng.uniform(0.1, 0.3) * height), int(rng.uniform(0.1, 0.4) * height))
        cv2.ellipse(drawing, centre, axes, float(rng.uniform(0, 180)), 0, 360, tint, -1)
    strength = float(rng.uniform(0.15, 0.55))
    canvas += (drawing - canvas) * strength


def _stickers(canvas: Canvas, rng: np.random.Generator) -> None:
    """Registration stickers with small figures in upper corners."""
    height, width = canvas.shape[:2]
    size_y, size_x = round(height * 0.17), round(height * 0.22)
    for right in (False, True):
        if rng.random() < 0.5:
            continue
        x = width - size_x - round(0.04 * width) if right else round(0.04 * width)
        y = round(height * rng.choice([0.05, 0.05, 0.78]))
        colour = rng.uniform(40, 240, 3).astype(np.float32)
        canvas[y : y + size_y, x : x + size_x] = colour
        text = str(rng.choice(["JAN", "APR", "JUL", "OCT", "12", "09", "24", "98"]))
        contrast = np.full(3, 20.0 if colour.mean() > 120 else 240.0, np.float32)
        _words_in(canvas, text, (x + 1, y + 1, x + size_x - 1, y + size_y - 1), contrast, _SMALL_FONTS[0])


def _bolts(canvas: Canvas, look: Layout, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    radius = max(1, round(height * 0.03))
    tone = float(rng.uniform(60, 220))
    us_like = look.size[0] / look.size[1] < 2.6
    ys = (0.09, 0.91) if us_like and rng.random() < 0.5 else ((0.09,) if us_like else (0.5,))
    x_at = float(rng.uniform(0.16, 0.25)) if us_like else 0.02
    for y in ys:
        for x in (x_at, 1 - x_at):
            cv2.circle(canvas, (round(x * width), round(y * height)), radius, (tone, tone, tone), -1)
