"""The reads of one frame, made fit for tracking: which are usable, which are cut, which find a plate twice. Pure."""

import math
from collections.abc import Sequence

from schemas.read import FrameReads, PlateRead

_SAME_BOX = 0.5
_NEAR_WIDTHS = 2.5
"""Two boxes of a frame that say the same, so many plate widths apart at most, are one plate found twice."""
_EDGE = 0.15
"""Plate heights from the picture's edge within which a plate may be cut."""
_EARTH_M = 6_371_000.0
_DEGREE_M = math.radians(_EARTH_M)


def sane_place(frame: FrameReads) -> FrameReads:
    """The frame without a position that is not on the globe."""
    lat, lon = frame.lat, frame.lon
    if lat is None and lon is None:
        return frame
    if lat is not None and lon is not None and -90 <= lat <= 90 and -180 <= lon <= 180:
        return frame
    values = {name: getattr(frame, name) for name in frame.__struct_fields__}
    return FrameReads(**(values | {"lat": None, "lon": None}))


def cut(read: PlateRead, frame: FrameReads) -> bool:
    """True when the plate may go on beyond the picture's edge: what is read there is a piece of it.

    Stills are exempt: a photograph may be cropped to the plate.
    """
    x, y, w, h = read.box
    margin = _EDGE * h
    inside = x > margin and y > margin and x + w < frame.width - margin and y + h < frame.height - margin
    return not inside and not frame.still


def distinct(reads: Sequence[PlateRead]) -> list[int]:
    """Ranks of the reads, without those that find a plate a second time or have no usable box."""
    ranks = [rank for rank, read in enumerate(reads) if _finite(read)]
    if len(ranks) < 2:
        return ranks
    ranks.sort(key=lambda rank: (-reads[rank].confidence, rank))
    kept: list[int] = []
    for rank in ranks:
        for other in kept:
            if _found_twice(reads[rank], reads[other]):
                break
        else:
            kept.append(rank)
    kept.sort()
    return kept


def within_metres(a: tuple[float, float], b: tuple[float, float], most: float) -> bool:
    """True when the distance over ground is `most` metres or less."""
    # two thirds of it each way are surely less: no need for angles
    near = most / _DEGREE_M * 0.66
    return (abs(a[0] - b[0]) < near and abs(a[1] - b[1]) < near) or metres(a, b) <= most


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Distance over ground; flat, which is enough for hundreds of metres."""
    north = math.radians(b[0] - a[0])
    east = math.radians((b[1] - a[1] + 180) % 360 - 180) * math.cos(math.radians((a[0] + b[0]) / 2))
    return _EARTH_M * math.hypot(north, east)


def _found_twice(a: PlateRead, b: PlateRead) -> bool:
    if _overlap(a, b) >= _SAME_BOX:
        return True
    if not a.plate or a.plate != b.plate:
        return False
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.box, b.box
    apart = math.hypot(ax + aw / 2 - bx - bw / 2, ay + ah / 2 - by - bh / 2)
    return apart <= _NEAR_WIDTHS * max(aw, bw)


def _overlap(a: PlateRead, b: PlateRead) -> float:
    ax, ay, aw, ah = a.box
    bx, by, bw, bh = b.box
    if ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay:
        return 0.0
    w = min(ax + aw, bx + bw) - max(ax, bx)
    h = min(ay + ah, by + bh) - max(ay, by)
    return w * h / (aw * ah + bw * bh - w * h)


def _finite(read: PlateRead) -> bool:
    x, y, w, h = read.box
    return math.isfinite(x) and math.isfinite(y) and 0.0 < w < math.inf and 0.0 < h < math.inf
