"""The round that the fleet drives: a closed, curved road with latitude, longitude and heading at every metre."""

from dataclasses import dataclass
from math import cos, radians

import numpy as np
from numpy.typing import NDArray

_METRES_PER_DEGREE = 111_320.0
_ORIGINS = {
    "DE": (52.4869, 13.4235), "FR": (48.8386, 2.3591), "IT": (45.4585, 9.2040), "ES": (40.4052, -3.6993),
    "NL": (52.3571, 4.9031), "PL": (52.2187, 21.0170), "GB": (51.4631, -0.1140), "RO": (44.4215, 26.1190),
    "CZ": (50.0705, 14.4460), "SK": (48.1450, 17.1210), "UA": (50.4350, 30.5190), "IN": (12.9560, 77.6200),
    "BR": (-23.5660, -46.6430), "AR": (-34.6190, -58.4380), "AE": (25.2290, 55.2880), "US": (39.9480, -75.1700),
    "BE": (50.8332, 4.3700), "AT": (48.1960, 16.3600), "CH": (47.3700, 8.5310), "SE": (59.3140, 18.0710),
}  # fmt: skip
"""A street corner in each country, for maps that look right."""
_DEFAULT_ORIGIN = (47.0707, 15.4395)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a camera is."""

    lat: float
    lon: float
    heading: float
    """Degrees clockwise from north, 0..360."""


@dataclass(frozen=True)
class Route:
    """A closed polyline, one point a metre."""

    length: float
    east: NDArray[np.float64]
    north: NDArray[np.float64]
    curvature: NDArray[np.float64]
    """1/m, positive to the right."""
    origin: tuple[float, float]

    def curvature_at(self, s: float) -> float:
        """Curvature in a bend's smooth form at `s` metres (any number, the road is a loop)."""
        return float(np.interp(s % self.length, np.arange(len(self.curvature)), self.curvature, period=self.length))

    def pose_at(self, s: float, lateral: float = 0.0) -> Pose:
        """Position and heading at `s` metres, `lateral` metres right of the road's middle."""
        n = len(self.east)
        i = int(s % self.length) % n
        j, f = (i + 1) % n, (s % self.length) - int(s % self.length)
        east = self.east[i] + (self.east[j] - self.east[i]) * f
        north = self.north[i] + (self.north[j] - self.north[i]) * f
        de, dn = self._tangent(i)
        de2, dn2 = self._tangent(j)
        de, dn = de + (de2 - de) * f, dn + (dn2 - dn) * f
        norm = float(np.hypot(de, dn))
        de, dn = de / norm, dn / norm
        east, north = east + dn * lateral, north - de * lateral
        lat = self.origin[0] + north / _METRES_PER_DEGREE
        lon = self.origin[1] + east / (_METRES_PER_DEGREE * cos(radians(self.origin[0])))
        heading = float(np.degrees(np.arctan2(de, dn)) % 360.0)
        return Pose(lat=round(lat, 7), lon=round(lon, 7), heading=round(heading, 2) % 360.0)

    def _tangent(self, i: int) -> tuple[float, float]:
        n = len(self.east)
        a, b = (i - 1) % n, (i + 1) % n
        return float(self.east[b] - self.east[a]), float(self.north[b] - self.north[a])


def build_route(rng: np.random.Generator, length: float, country: str = "") -> Route:
    """A closed road of about `length` metres (whole metres) with bends of different sharpness."""
    n = max(300, round(length))
    s = np.arange(n)
    bends = np.full(n, 2 * np.pi / n)
    for k in range(2, 2 + max(6, n // 150)):
        bends += rng.normal(0, 0.0042 / np.sqrt(1 + k / 6)) * np.sin(2 * np.pi * k * s / n + rng.uniform(0, 2 * np.pi))
    bends = np.clip(bends, -0.012, 0.012)
    bends += (2 * np.pi - bends.sum()) / n
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bends)
    east, north = np.cumsum(np.sin(heading)), np.cumsum(np.cos(heading))
    # the ends must meet: spread what is missing evenly along the way
    east -= (east[-1] - east[0] + np.sin(heading[0])) * s / n
    north -= (north[-1] - north[0] + np.cos(heading[0])) * s / n
    east, north = _resample(east, north, n)
    turn = np.arctan2(np.roll(east, -1) - east, np.roll(north, -1) - north)
    step = np.angle(np.exp(1j * (turn - np.roll(turn, 1))))
    window = np.hanning(27) / np.hanning(27).sum()
    curvature = np.real(np.fft.ifft(np.fft.fft(step) * np.fft.fft(np.roll(np.pad(window, (0, n - 27)), -13))))
    metres = float(np.hypot(np.roll(east, -1) - east, np.roll(north, -1) - north).mean())
    lat, lon = _ORIGINS.get(country[:2], _DEFAULT_ORIGIN)
    origin = (lat + float(rng.uniform(-0.006, 0.006)), lon + float(rng.uniform(-0.008, 0.008)))
    # scaled so that a step of the polyline is one metre exactly
    return Route(float(n), east / metres, north / metres, curvature * metres, origin)


def _resample(
    east: NDArray[np.float64], north: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The closed line again as `n` points at equal steps."""
    e, m = np.append(east, east[0]), np.append(north, north[0])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(e), np.diff(m)))])
    at = np.linspace(0, along[-1], n, endpoint=False)
    return np.interp(at, along, e), np.interp(at, along, m)
