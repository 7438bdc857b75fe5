"""The dash cam's view: road coordinates (metres) to pixels, for points, plates and the ground.

Road frame of one camera: X to the right, Y up from the road surface, Z ahead along the road, origin on the road
under the lens. A bend of the road is a sideways shift that grows with the square of the distance.
"""

from dataclasses import dataclass
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HFOV_DEG = 65.0
NEAR_Z = 0.4
"""Nothing is drawn nearer than this, metres."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole that looks along the road; its tilt is a shift of the horizon."""

    width: int
    height: int
    mount_height: float = 1.32
    """Lens above the road, metres."""
    horizon_share: float = 0.455
    """Where the horizon lies, as a share of the picture's height."""

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / tan(radians(HFOV_DEG) / 2)

    @property
    def centre_x(self) -> float:
        """Column of the vanishing point of a straight road."""
        return self.width / 2

    @property
    def horizon(self) -> float:
        """Row of the horizon."""
        return round(self.height * self.horizon_share)

    def project(self, points: Floats, shake: float = 0.0) -> Floats:
        """N x 3 points (X, Y, Z) to N x 2 pixels; Z is held at NEAR_Z. `shake` moves the horizon down, pixels."""
        z = np.maximum(points[:, 2], NEAR_Z)
        # columns lie together in memory: minima and maxima per column are then quick
        out = np.empty((2, len(points)), np.float32).T
        out[:, 0] = self.centre_x + self.focal * points[:, 0] / z
        out[:, 1] = self.horizon + shake + self.focal * (self.mount_height - points[:, 1]) / z
        return out

    def row_depth(self, row: Floats) -> Floats:
        """Distance of the ground seen in a row below the horizon, metres."""
        return (self.focal * self.mount_height / np.maximum(row - self.horizon, 1e-3)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class View:
    """How the road lies before the camera in one frame."""

    s: float
    """Camera along the route, metres."""
    lateral: float
    """Camera right of the road's middle, metres."""
    curvature: float
    """Of the road, 1/m, positive to the right."""
    shake: int
    """Horizon shift by the suspension, whole pixels, positive down."""
    speed: float
    """Metres per second."""

    def bend(self, z: Floats | float) -> Floats | float:
        """Sideways shift of the road at distance `z`."""
        return 0.5 * self.curvature * z * z

    def place(self, local: Floats, ahead: float, right: float, yaw: float) -> Floats:
        """Points of an object (its own X right, Y up, Z ahead) that stands `ahead`, `right` of the road's middle.

        `yaw` is its turn to the right against the road's direction there, radians.
        """
        turn = yaw + self.curvature * max(ahead, 0.0)
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        out = np.empty((3, len(local)), np.float32).T
        out[:, 0] = local[:, 0] * c + local[:, 2] * s + np.float32(right - self.lateral + self.bend(max(ahead, 0.0)))
        out[:, 1] = local[:, 1]
        out[:, 2] = local[:, 2] * c - local[:, 0] * s + np.float32(ahead)
        return out


def quad_height(corners: Floats) -> float:
    """Height of a plate in pixels: mean of its left and right edge. `corners` 4 x 2, clockwise from top left."""
    return float((np.linalg.norm(corners[3] - corners[0]) + np.linalg.norm(corners[2] - corners[1])) / 2)
