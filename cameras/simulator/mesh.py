"""Bodies of polygons: lofted hulls, discs and flat details. In: measures in metres. Out: `Mesh`.

A vehicle's own frame: X to its right, Y up from the road, Z ahead, origin on the road under its middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cameras.simulator.geometry import Floats

PAINT, GLASS, PLASTIC, RUBBER, METAL, LAMP_RED, LAMP_WHITE, LAMP_AMBER, CLOTH, SKIN, CHASSIS, CARGO = range(12)


@dataclass(frozen=True, slots=True)
class Station:
    """One cross-section of a hull."""

    z: float
    bottom: float
    belt: float
    """Height of the side where the windows begin."""
    top: float
    half: float
    """Half width at its widest."""
    half_top: float


SIDES = ("any", "left", "right", "rear", "front")


@dataclass(frozen=True, slots=True)
class Detail:
    """A flat convex polygon on one side of a body: points `first` to `last`, exclusive."""

    side: str
    first: int
    last: int
    material: int
    light: float


@dataclass
class Mesh:
    """Polygons with materials; details lie on one face of the hull and are drawn after it.

    A coarse mesh is for vehicles far away: fewer faces, no small things.
    """

    coarse: bool = False
    points: list[Floats] = field(default_factory=list)
    quads: list[tuple[int, int, int, int]] = field(default_factory=list)
    quad_material: list[int] = field(default_factory=list)
    under: list[Detail] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    _count: int = 0

    def add(self, points: Floats) -> int:
        """Append N x 3 points; the index of the first."""
        first = self._count
        self.points.append(points.astype(np.float32))
        self._count += len(points)
        return first

    def quad(self, corners: Sequence[Sequence[float]], material: int) -> None:
        """One four-cornered face, clockwise seen from outside."""
        first = self.add(np.array(corners, np.float32))
        self.quads.append((first, first + 1, first + 2, first + 3))
        self.quad_material.append(material)

    def box(self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], material: int) -> None:
        """An upright box without a floor."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        self.quad([(x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)], material)
        self.quad([(x1, y1, z1), (x0, y1, z1), (x0, y0, z1), (x1, y0, z1)], material)
        self.quad([(x0, y1, z1), (x0, y1, z0), (x0, y0, z0), (x0, y0, z1)], material)
        self.quad([(x1, y1, z0), (x1, y1, z1), (x1, y0, z1), (x1, y0, z0)], material)
        self.quad([(x0, y1, z1), (x1, y1, z1), (x1, y1, z0), (x0, y1, z0)], material)

    def detail(
        self, side: str, corners: Sequence[Sequence[float]], material: int, light: float = 1.0, small: bool = False
    ) -> None:
        """A flat convex polygon of any number of corners; `small` ones are left out of a coarse mesh."""
        if small and self.coarse:
            return
        first = self.add(np.array(corners, np.float32))
        self.details.append(Detail(side, first, first + len(corners), material, light))

    def shade(self, corners: Sequence[Sequence[float]], material: int) -> None:
        """A polygon drawn before everything else: what is seen under and behind the hull."""
        first = self.add(np.array(corners, np.float32))
        self.under.append(Detail("any", first, first + len(corners), material, 1.0))

    def disc(
        self,
        side: str,
        centre: tuple[float, float, float],
        radius: float,
        material: int,
        light: float,
        small: bool = False,
    ) -> None:
        """A circle that stands along the vehicle (a wheel seen from the side)."""
        a = np.linspace(0, 2 * np.pi, 10 if self.coarse else 20, endpoint=False)
        ring = [(centre[0], centre[1] + radius * float(np.sin(t)), centre[2] + radius * float(np.cos(t))) for t in a]
        self.detail(side, ring, material, light, small)

    def mirrored(
        self, corners: Sequence[tuple[float, float, float]], side: str, material: int, light: float, small: bool = False
    ) -> None:
        """A detail and its mirror image in the vehicle's middle; for sides, `side` is `left` and becomes both."""
        other = [(-x, y, z) for x, y, z in corners]
        self.detail(side, corners, material, light, small)
        self.detail("right" if side == "left" else side, other, material, light, small)


def ring(station: Station) -> Floats:
    """Fifteen points around a cross-section, from the bottom left over the roof to the bottom right."""
    s, side = station, station.belt - station.bottom
    half = [
        (s.half * 0.9, s.bottom),
        (s.half * 0.985, s.bottom + 0.18 * side),
        (s.half, s.bottom + 0.45 * side),
        (s.half * 0.995, s.bottom + 0.8 * side),
        (s.half * 0.965, s.belt),
        (s.half_top, s.top - min(0.06, (s.top - s.belt) * 0.5)),
        (s.half_top * 0.8, s.top),
    ]
    left = [(-x, y, s.z) for x, y in half]
    right = [(x, y, s.z) for x, y in reversed(half)]
    return np.array([*left, (0.0, s.top + 0.012, s.z), *right], np.float32)


def loft(mesh: Mesh, stations: Sequence[Station], sides: str, tops: str, keep: Sequence[int] = ()) -> None:
    """A hull through the stations, rear first.

    Args:
        sides: a letter per gap between stations: `g` windows above the belt, `p` none.
        tops: a letter per gap: `g` the upper face is a windscreen or rear window, `p` roof or bonnet.
        keep: the stations that a coarse mesh needs; none: all.
    """
    if mesh.coarse and keep:
        sides, tops = "".join(sides[i] for i in keep[:-1]), "".join(tops[i] for i in keep[:-1])
        stations = [stations[i] for i in keep]
    picked = [0, 2, 4, 5, 7, 9, 10, 12, 14] if mesh.coarse else list(range(15))
    rings = [ring(s)[picked] for s in stations]
    belt, last = picked.index(4), len(picked) - 1
    for a, b, side, top in zip(rings, rings[1:], sides, tops, strict=False):
        for i in range(last):
            glass = (i in (belt, last - 1 - belt) and side == "g") or (belt < i < last - 1 - belt and top == "g")
            mesh.quad([b[i], b[i + 1], a[i + 1], a[i]], GLASS if glass else PAINT)
    for end, sign in ((rings[0], 1), (rings[-1], -1)):
        for i in range(last // 2):
            j = last - i
            if i == last // 2 - 1:
                corners = [end[i], end[i + 1], end[j], end[j]]
            else:
                corners = [end[i + 1], end[j - 1], end[j], end[i]]
            mesh.quad(corners[::sign], PAINT)
