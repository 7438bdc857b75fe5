"""Who sees what: hidden vehicles and plates, turned plates, and whether a plate can still be read in the picture."""

from collections.abc import Iterable
from math import acos, degrees, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator.geometry import Floats
from cameras.simulator.vehicles import Placed

CELL_PX = 8
"""Pixels of a cell of the map of what is hidden behind nearer vehicles."""


def turned_away(space: Floats, eye_height: float) -> float:
    """Angle between a plate's normal and the line to the lens, degrees. `space`: its corners in the camera's frame."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz), (dx, dy, dz) = space.tolist()
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, dx - ax, dy - ay, dz - az
    normal = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    middle = ((ax + cx) / 2, (ay + cy) / 2 - eye_height, (az + cz) / 2)
    dot = sum(a * b for a, b in zip(normal, middle, strict=True))
    return degrees(acos(max(-1.0, min(1.0, -dot / max(hypot(*normal) * hypot(*middle), 1e-9)))))


def fill_inside(taken: NDArray[np.uint8], placed: Placed) -> None:
    """Mark the cells that lie wholly behind a vehicle: a box well inside its outline."""
    x0, y0, x1, y1 = placed.box
    w, h = x1 - x0, y1 - y0
    left, right = int(np.ceil((x0 + 0.2 * w) / CELL_PX)), int((x1 - 0.2 * w) // CELL_PX)
    top, bottom = int(np.ceil((y0 + 0.12 * h) / CELL_PX)), int((y1 - 0.16 * h) // CELL_PX)
    taken[top:bottom, left:right] = 1
    # between the sills the body is as wide as its box
    left, right = int(np.ceil((x0 + 0.04 * w) / CELL_PX)), int((x1 - 0.04 * w) // CELL_PX)
    top = int(np.ceil((y0 + 0.5 * h) / CELL_PX))
    taken[top:bottom, left:right] = 1


def hidden_share(corners: Floats, mine: Placed, everyone: Iterable[Placed]) -> float:
    """Share of the plate that nearer vehicles cover, 0..1."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    nearer = [
        other
        for other in everyone
        if other.ahead < mine.ahead - 0.5
        and other.box[0] < high[0]
        and other.box[2] > low[0]
        and other.box[1] < high[1]
        and other.box[3] > low[1]
    ]
    if not nearer:
        return 0.0
    scale = 48.0 / max(float(high[1] - low[1]), 1.0)
    shape = (52, int((high[0] - low[0]) * scale) + 4)
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, ((corners - low) * scale).round().astype(np.int32), 1)
    whole = int(mask.sum())
    for other in nearer:
        hull = ((other.hull[:, 0].astype(np.float32) / 16 - low) * scale).round()
        cv2.fillConvexPoly(mask, np.clip(hull, -30000, 30000).astype(np.int32), 0)
    return 1.0 - int(mask.sum()) / max(whole, 1)


def part_inside(corners: Floats, size: tuple[int, int]) -> float:
    """How much of the box around the corners lies in a picture of `size` (width, height), 0..1: 1 where all do."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    seen = np.clip(high, 0, np.array(size) - 1) - np.clip(low, 0, np.array(size) - 1)
    return float((seen / np.maximum(high - low, 1e-6)).prod())


def contrast(picture: NDArray[np.uint8], corners: Floats) -> float:
    """Standard deviation of the grey levels on a plate as it was recorded, without its outermost rim."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    x0, y0, x1, y1 = int(low[0]), int(low[1]), int(np.ceil(high[0])) + 1, int(np.ceil(high[1])) + 1
    grey = cv2.cvtColor(picture[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY)
    mask = np.zeros(grey.shape, np.uint8)
    middle = corners.mean(axis=0)
    inner = (middle + 0.86 * (corners - middle) - np.array([x0, y0], np.float32)) * 16
    cv2.fillConvexPoly(mask, inner.round().astype(np.int32), 255, cv2.LINE_8, 4)
    return float(cv2.meanStdDev(grey, mask=mask)[1][0, 0])
