"""The vehicles that drive about: a kind in, its body (`Model`) out, with the places where its plates hang."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, pi, sin

import numpy as np

from cameras.simulator.geometry import Floats
from cameras.simulator.mesh import (
    CARGO,
    CHASSIS,
    CLOTH,
    GLASS,
    LAMP_AMBER,
    LAMP_RED,
    LAMP_WHITE,
    METAL,
    PAINT,
    PLASTIC,
    RUBBER,
    SKIN,
    Detail,
    Mesh,
    Station,
    loft,
)


@dataclass(frozen=True)
class Model:
    """A body ready to be placed: arrays, not objects."""

    kind: str
    points: Floats
    quads: np.ndarray
    quad_material: np.ndarray
    normals: Floats
    """Of the quads, unit length."""
    under: list[Detail]
    details: list[Detail]
    half_length: float
    half_width: float
    height: float
    rear_plate: tuple[float, float]
    """Height of the plate's middle above the road, and its Z."""
    front_plate: tuple[float, float] | None
    lamps_rear: tuple[tuple[float, float], ...]
    lamps_front: tuple[tuple[float, float], ...]
    coarse: bool


def _freeze(
    kind: str,
    mesh: Mesh,
    half_width: float,
    rear: tuple[float, float],
    front: tuple[float, float] | None,
    lamps: tuple[tuple[float, float], tuple[float, float]],
) -> Model:
    loose = np.concatenate(mesh.points)
    corners = loose[np.array(mesh.quads, np.int32).reshape(-1, 4)]
    # neighbouring faces share their corners: a third of the points to project
    shared, where = np.unique(corners.reshape(-1, 3).round(4), axis=0, return_inverse=True)
    quads = where.reshape(-1, 4).astype(np.int32)
    flat = [*mesh.under, *mesh.details]
    starts = len(shared) + np.cumsum([0] + [d.last - d.first for d in flat])
    moved = [replace(d, first=int(a), last=int(a) + d.last - d.first) for d, a in zip(flat, starts, strict=False)]
    points = np.concatenate([shared, *(loose[d.first : d.last] for d in flat)]).astype(np.float32)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    return Model(
        kind,
        points,
        quads,
        np.array(mesh.quad_material, np.int32),
        normals.astype(np.float32),
        moved[: len(mesh.under)],
        moved[len(mesh.under) :],
        float(np.abs(points[:, 2]).max()),
        half_width,
        float(points[:, 1].max()),
        rear,
        front,
        ((-lamps[0][0], lamps[0][1]), lamps[0]),
        ((-lamps[1][0], lamps[1][1]), lamps[1]),
        mesh.coarse,
    )


def _wheels(mesh: Mesh, half: float, axles: tuple[float, ...], radius: float, depth: float = 0.22) -> None:
    """Tyres seen from behind and in front, wheels and arches seen from the side."""
    for z in axles:
        for side in (-1, 1):
            x0, x1 = sorted((side * (half - depth - 0.03), side * (half - 0.03)))
            for face in (z - radius * 0.75, z + radius * 0.75):
                mesh.shade(
                    [(x0, radius * 1.3, face), (x1, radius * 1.3, face), (x1, 0.0, face), (x0, 0.0, face)], RUBBER
                )
            name = "left" if side < 0 else "right"
            edge = side * (half + 0.004)
            arch = [
                (edge, max(0.2, radius + 1.2 * radius * sin(a)), z + 1.2 * radius * cos(a))
                for a in np.linspace(-0.35, pi + 0.35, 14)
            ]
            mesh.detail(name, arch, CHASSIS, 0.7)
            mesh.disc(name, (edge, radius, z), radius, RUBBER, 1.0)
            mesh.disc(name, (edge, radius, z), radius * 0.66, METAL, 0.75)
            mesh.disc(name, (edge, radius, z), radius * 0.5, METAL, 0.45, small=True)
            for k in range(0 if mesh.coarse else 5):
                a = 2 * pi * k / 5 + 0.3
                spoke = [
                    (radius * r * cos(a + d), radius * r * sin(a + d))
                    for r, d in ((0.6, -0.16), (0.6, 0.16), (0.1, 0.4))
                ]
                mesh.detail(name, [(edge, radius + v, z + u) for u, v in spoke], METAL, 0.95, small=True)
            mesh.disc(name, (edge, radius, z), radius * 0.16, METAL, 0.7, small=True)


def _rect(x: tuple[float, float], y: tuple[float, float], z: float) -> list[tuple[float, float, float]]:
    return [(x[0], y[1], z), (x[1], y[1], z), (x[1], y[0], z), (x[0], y[0], z)]


def _side_rect(x: float, y: tuple[float, float], z: tuple[float, float]) -> list[tuple[float, float, float]]:
    return [(x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1]), (x, y[0], z[0])]


def _doors(mesh: Mesh, half: float, seams: tuple[float, ...], y: tuple[float, float]) -> None:
    x = -(half + 0.006)
    for z in seams:
        mesh.mirrored(_side_rect(x, y, (z - 0.012, z + 0.012)), "left", CHASSIS, 0.8, small=True)
    for z in seams[:-1]:
        mesh.mirrored(_side_rect(x, (y[1] - 0.17, y[1] - 0.12), (z + 0.1, z + 0.32)), "left", PAINT, 0.62, small=True)


@dataclass(frozen=True, slots=True)
class _Shape:
    length: float
    half: float
    height: float
    belt: float
    boot: float
    """Length of the boot lid behind the rear window, 0 for a hatchback."""
    bonnet: float
    clearance: float
    rake: float
    """How far the rear window leans."""
    plate_on_bumper: bool


_SHAPES = {
    "hatch": _Shape(4.0, 0.88, 1.47, 0.97, 0.0, 0.95, 0.19, 0.42, False),
    "saloon": _Shape(4.6, 0.9, 1.43, 0.94, 0.55, 1.15, 0.18, 0.7, False),
    "suv": _Shape(4.6, 0.94, 1.68, 1.08, 0.0, 1.05, 0.24, 0.3, False),
}


def _car(kind: str, coarse: bool) -> Model:
    p = _SHAPES[kind]
    e, b, h = p.length / 2, p.belt, p.half
    low = b + 0.03
    deck = b + (0.05 if p.boot else 0.03)
    roof = p.height
    stations = [
        Station(-e, 0.42, b - 0.06, b - 0.03, h * 0.9, h * 0.8),
        Station(-e + 0.06, 0.32, b - 0.01, deck - 0.01, h * 0.965, h * 0.86),
        Station(-e + 0.18 + p.boot, p.clearance + 0.05, b, deck, h * 0.99, h * 0.88),
        Station(-e + 0.18 + p.boot + p.rake, p.clearance, b, roof - 0.05, h, h * 0.68),
        Station(-e + 0.6 + p.boot + p.rake, p.clearance, b, roof, h, h * 0.71),
        Station(0.1, p.clearance, b, roof, h, h * 0.73),
        Station(e - p.bonnet - 1.05, p.clearance, b, roof - 0.06, h, h * 0.7),
        Station(e - p.bonnet - 0.3, p.clearance, b, low, h, h * 0.86),
        Station(e - p.bonnet * 0.5, p.clearance, b - 0.05, low - 0.06, h, h * 0.82),
        Station(e - 0.22, p.clearance + 0.02, b - 0.16, low - 0.18, h * 0.97, h * 0.78),
        Station(e - 0.06, 0.26, b - 0.26, low - 0.28, h * 0.92, h * 0.72),
        Station(e, 0.32, b - 0.34, low - 0.36, h * 0.84, h * 0.66),
    ]
    mesh = Mesh(coarse)
    mesh.shade(_rect((-h * 0.9, h * 0.9), (0.16, 0.5), -e + 0.5), CHASSIS)
    mesh.shade(_rect((-h * 0.9, h * 0.9), (0.16, 0.5), e - 0.5), CHASSIS)
    _wheels(mesh, h, (-e + 0.78, e - 0.85), 0.335 if kind == "suv" else 0.31)
    loft(mesh, stations, "ppggggppppp", "ppgpppgpppp", (1, 2, 3, 6, 7, 9, 11))
    _car_rear(mesh, p, -e - 0.004)
    _car_front(mesh, p, e + 0.004)
    back = -e + 0.18 + p.boot
    _window_details(mesh, "rear", (deck, back), (roof - 0.05, back + p.rake), (h * 0.86, h * 0.66))
    screen = (low, e - p.bonnet - 0.3), (roof - 0.06, e - p.bonnet - 1.05)
    _window_details(mesh, "front", *screen, (h * 0.84, h * 0.68))
    seams = (-e + 1.3 + p.boot * 0.6, 0.12, e - p.bonnet - 0.35)
    _doors(mesh, h, seams, (0.36, b - 0.02))
    x = -(h * 0.97)
    pillar = [(x, b, 0.05), (x, b, 0.17), (-h * 0.74, roof - 0.07, 0.13), (-h * 0.74, roof - 0.07, 0.03)]
    mesh.mirrored(pillar, "left", CHASSIS, 0.9)
    mesh.mirrored(
        _side_rect(-(h + 0.006), (p.clearance + 0.02, p.clearance + 0.12), (-e + 1.2, e - 1.25)), "left", PLASTIC, 0.8
    )
    for side in () if coarse else (-1, 1):
        xs = sorted((side * (h + 0.02), side * (h + 0.2)))
        mesh.box((xs[0], xs[1]), (b + 0.0, b + 0.14), (e - p.bonnet - 0.62, e - p.bonnet - 0.5), PAINT)
    rear_y = 0.52 if p.plate_on_bumper else b - 0.24
    return _freeze(kind, mesh, h, (rear_y, -e - 0.012), (0.43, e + 0.012), ((h * 0.72, b - 0.14), (h * 0.66, b - 0.32)))


def _window_details(
    mesh: Mesh, side: str, low: tuple[float, float], high: tuple[float, float], half: tuple[float, float]
) -> None:
    """What shows through a rear window or windscreen: dark frame, seats, and a paler strip of sky along the top.

    Args:
        low, high: (height, Z) of its lower and upper edge.
        half: half width there.
    """
    out = -0.008 if side == "rear" else 0.008

    def at(x: float, t: float) -> tuple[float, float, float]:
        w = half[0] + (half[1] - half[0]) * t
        return (x * w, low[0] + (high[0] - low[0]) * t, low[1] + (high[1] - low[1]) * t + out)

    mesh.detail(side, [at(-0.94, 0.93), at(0.94, 0.93), at(0.96, 0.06), at(-0.96, 0.06)], GLASS, 0.62)
    mesh.detail(side, [at(-0.94, 0.93), at(0.94, 0.93), at(0.945, 0.6), at(-0.945, 0.72)], GLASS, 0.8, small=True)
    for x in (-0.48, 0.48):
        seat = [at(x - 0.2, 0.06), at(x - 0.17, 0.34), at(x + 0.17, 0.34), at(x + 0.2, 0.06)]
        mesh.detail(side, seat, CHASSIS, 0.9, small=True)
        head = [at(x - 0.11, 0.36), at(x - 0.12, 0.55), at(x - 0.06, 0.62), at(x + 0.06, 0.62), at(x + 0.12, 0.55), at(x + 0.11, 0.36)]
        mesh.detail(side, head, CHASSIS, 0.9, small=True)
    if side == "rear":
        mesh.detail(side, [at(-0.16, 0.98), at(0.16, 0.98), at(0.16, 0.93), at(-0.16, 0.93)], LAMP_RED, 0.8, small=True)
    else:
        mesh.detail(side, [at(-0.9, 0.1), at(-0.1, 0.16), at(-0.1, 0.12), at(-0.9, 0.05)], CHASSIS, 0.9, small=True)
        mesh.detail(side, [at(-0.08, 0.99), at(0.08, 0.99), at(0.08, 0.9), at(-0.08, 0.9)], CHASSIS, 0.9, small=True)


def _car_rear(mesh: Mesh, p: _Shape, z: float) -> None:
    h, b = p.half, p.belt
    mesh.detail("rear", _rect((-h * 0.86, h * 0.86), (0.34, 0.46), z), PLASTIC, 0.9)
    mesh.detail("rear", _rect((-h * 0.88, h * 0.88), (0.57, 0.585), z), CHASSIS, 0.9, small=True)
    mesh.detail("rear", _rect((-0.34, 0.34), (b - 0.35, b - 0.13), z), PAINT, 0.72)
    mesh.detail("rear", _rect((-0.34, 0.34), (b - 0.135, b - 0.11), z - 0.002), METAL, 0.8, small=True)
    if p.boot:
        lamp = [(h * 0.46, b - 0.08, z), (h * 0.89, b - 0.07, z), (h * 0.9, b - 0.24, z), (h * 0.5, b - 0.22, z)]
    else:
        lamp = [(h * 0.66, b - 0.05, z), (h * 0.88, b - 0.05, z), (h * 0.91, b - 0.33, z), (h * 0.7, b - 0.3, z)]
    mesh.mirrored(lamp, "rear", CHASSIS, 1.0)
    middle = np.mean(np.array(lamp), axis=0)
    inner = [tuple(float(v) for v in middle + 0.86 * (np.array(c) - middle) - (0, 0, 0.001)) for c in lamp]
    mesh.mirrored([(c[0], c[1], c[2]) for c in inner], "rear", LAMP_RED, 0.8)
    upper = [(inner[0][0], inner[0][1], z), (inner[1][0], inner[1][1], z)]
    low = [
        ((a[0] * 0.6 + d[0] * 0.4), (a[1] * 0.6 + d[1] * 0.4), z)
        for a, d in ((inner[1], inner[2]), (inner[0], inner[3]))
    ]
    mesh.mirrored([*upper, *low], "rear", LAMP_RED, 1.25, small=True)
    amber = [
        (h * 0.84, b - 0.13, z - 0.002),
        (h * 0.88, b - 0.13, z - 0.002),
        (h * 0.885, b - 0.19, z - 0.002),
        (h * 0.84, b - 0.19, z - 0.002),
    ]
    mesh.mirrored(amber, "rear", LAMP_AMBER, 0.8, small=True)
    mesh.mirrored(_rect((h * 0.6, h * 0.82), (0.49, 0.52), z), "rear", LAMP_RED, 0.55, small=True)
    mesh.detail("rear", _rect((0.4, 0.52), (0.29, 0.35), z), METAL, 0.5, small=True)
    mesh.detail("rear", _rect((-0.06, 0.06), (b - 0.1, b - 0.055), z - 0.001), METAL, 1.0, small=True)


def _car_front(mesh: Mesh, p: _Shape, z: float) -> None:
    h, b = p.half, p.belt
    grille = [(-h * 0.4, b - 0.38, z), (h * 0.4, b - 0.38, z), (h * 0.34, 0.5, z), (-h * 0.34, 0.5, z)]
    mesh.detail("front", grille, CHASSIS, 0.9)
    mesh.detail("front", _rect((-h * 0.36, h * 0.36), (b - 0.45, b - 0.43), z), METAL, 0.7, small=True)
    mesh.detail("front", _rect((-0.07, 0.07), (b - 0.47, b - 0.385), z), METAL, 1.0, small=True)
    mesh.detail("front", _rect((-h * 0.55, h * 0.55), (0.33, 0.42), z), CHASSIS, 0.8)
    mesh.mirrored(_rect((h * 0.6, h * 0.78), (0.36, 0.46), z), "front", CHASSIS, 0.9, small=True)
    mesh.mirrored(_rect((h * 0.64, h * 0.74), (0.385, 0.44), z + 0.001), "front", LAMP_WHITE, 0.6, small=True)
    y = b - 0.3
    lamp = [
        (h * 0.46, y - 0.02, z - 0.0),
        (h * 0.84, y + 0.04, z - 0.05),
        (h * 0.86, y - 0.1, z - 0.03),
        (h * 0.5, y - 0.13, z),
    ]
    mesh.mirrored(lamp, "front", CHASSIS, 1.2)
    middle = np.mean(np.array(lamp), axis=0)
    inner = [tuple(float(v) for v in middle + 0.84 * (np.array(c) - middle)) for c in lamp]
    mesh.mirrored([(c[0], c[1], c[2]) for c in inner], "front", LAMP_WHITE, 0.85)


def _van(coarse: bool) -> Model:
    h, e = 0.98, 2.7
    stations = [
        Station(-e, 0.5, 1.15, 1.98, h * 0.96, h * 0.84),
        Station(-e + 0.08, 0.4, 1.17, 2.04, h, h * 0.88),
        Station(-e + 1.2, 0.28, 1.18, 2.07, h, h * 0.9),
        Station(0.3, 0.28, 1.18, 2.07, h, h * 0.9),
        Station(1.0, 0.28, 1.16, 2.02, h, h * 0.88),
        Station(1.75, 0.28, 1.12, 1.18, h * 0.99, h * 0.84),
        Station(2.3, 0.28, 0.98, 1.02, h * 0.96, h * 0.8),
        Station(2.62, 0.3, 0.8, 0.84, h * 0.92, h * 0.76),
        Station(e, 0.36, 0.7, 0.72, h * 0.84, h * 0.7),
    ]
    mesh = Mesh(coarse)
    mesh.shade(_rect((-h * 0.9, h * 0.9), (0.2, 0.6), -e + 0.5), CHASSIS)
    mesh.shade(_rect((-h * 0.9, h * 0.9), (0.2, 0.6), e - 0.5), CHASSIS)
    _wheels(mesh, h, (-e + 1.0, e - 0.95), 0.34)
    loft(mesh, stations, "pppgpppp", "ppppgppp", (1, 3, 4, 5, 8))
    z = -e - 0.004
    mesh.mirrored(_rect((0.06, h * 0.76), (1.28, 1.82), z), "rear", GLASS, 0.8)
    mesh.detail("rear", _rect((-0.012, 0.012), (0.6, 1.97), z), CHASSIS, 0.8, small=True)
    mesh.detail("rear", _rect((-h * 0.9, h * 0.9), (0.42, 0.58), z), PLASTIC, 1.0)
    mesh.mirrored(_rect((h * 0.83, h * 0.945), (0.85, 1.42), z - 0.001), "rear", LAMP_RED, 0.85)
    mesh.mirrored(_rect((h * 0.84, h * 0.935), (1.08, 1.2), z - 0.002), "rear", LAMP_AMBER, 0.8, small=True)
    mesh.detail("rear", _rect((-0.34, 0.34), (0.82, 1.02), z - 0.001), PAINT, 0.75)
    z = e + 0.004
    mesh.detail("front", _rect((-0.5, 0.5), (0.56, 0.68), z), CHASSIS, 0.9)
    mesh.detail("front", _rect((-0.75, 0.75), (0.37, 0.46), z), CHASSIS, 0.8)
    mesh.mirrored(
        [(0.55, 0.82, z - 0.1), (0.84, 0.86, z - 0.16), (0.84, 0.66, z - 0.05), (0.58, 0.64, z)],
        "front",
        LAMP_WHITE,
        0.8,
    )
    _window_details(mesh, "front", (1.2, 1.72), (2.0, 1.02), (h * 0.82, h * 0.84))
    _doors(mesh, h, (-0.9, 0.35, 1.5), (0.45, 1.14))
    for side in () if coarse else (-1, 1):
        xs = sorted((side * (h + 0.02), side * (h + 0.24)))
        mesh.box((xs[0], xs[1]), (1.15, 1.42), (1.38, 1.5), PLASTIC)
    return _freeze("van", mesh, h, (0.92, -e - 0.014), (0.5, e + 0.012), ((h * 0.88, 1.1), (h * 0.7, 0.74)))


def _truck(coarse: bool) -> Model:
    h, e = 1.2, 4.1
    mesh = Mesh(coarse)
    mesh.shade(_rect((-1.1, 1.1), (0.45, 1.1), -e + 0.7), CHASSIS)
    mesh.shade(_rect((-1.1, 1.1), (0.35, 0.9), e - 0.4), CHASSIS)
    _wheels(mesh, h, (-e + 1.6, e - 1.2), 0.46, 0.42)
    box = [Station(z, 1.02, 2.3, 3.35, h, h) for z in (-e, -e + 0.05, -2.4, -0.6, 1.2, 1.9)]
    for a, b in zip(box, box[1:], strict=False):
        for x in (-h, h):
            corners = [(x, 3.35, b.z), (x, 3.35, a.z), (x, 1.02, a.z), (x, 1.02, b.z)]
            mesh.quad(corners if x < 0 else [corners[1], corners[0], corners[3], corners[2]], CARGO)
        mesh.quad([(-h, 3.35, b.z), (h, 3.35, b.z), (h, 3.35, a.z), (-h, 3.35, a.z)], CARGO)
    for y0, y1 in ((1.02, 1.8), (1.8, 2.6), (2.6, 3.35)):
        mesh.quad([(-h, y1, -e), (h, y1, -e), (h, y0, -e), (-h, y0, -e)], CARGO)
    mesh.quad([(h, 3.35, 1.9), (-h, 3.35, 1.9), (-h, 1.02, 1.9), (h, 1.02, 1.9)], CARGO)
    cab = [
        Station(2.1, 0.75, 1.6, 2.75, 1.12, 1.0),
        Station(2.9, 0.6, 1.6, 2.8, 1.15, 1.04),
        Station(3.6, 0.5, 1.6, 2.7, 1.15, 1.02),
        Station(e - 0.12, 0.45, 1.5, 1.62, 1.12, 1.0),
        Station(e, 0.5, 1.4, 1.45, 1.05, 0.95),
    ]
    loft(mesh, cab, "pggpp", "ppgp")
    z = -e - 0.004
    for x in (-1.14, -0.01, 1.12):
        mesh.detail("rear", _rect((x, x + 0.03), (1.05, 3.32), z), METAL, 0.55, small=True)
    for x in (-0.75, -0.3, 0.28, 0.73):
        mesh.detail("rear", _rect((x, x + 0.035), (1.08, 3.2), z - 0.001), METAL, 0.7, small=True)
    for y in (1.05, 3.25):
        mesh.detail("rear", _rect((-h, h), (y, y + 0.07), z - 0.001), METAL, 0.6, small=True)
    for y in (1.35, 1.75):
        mesh.detail("rear", _rect((-0.4, 0.4), (y, y + 0.03), z - 0.002), METAL, 0.9, small=True)
    mesh.detail("rear", _rect((-1.16, 1.16), (0.5, 0.66), z), CHASSIS, 1.3)
    mesh.detail("rear", _rect((-1.16, 1.16), (0.86, 1.0), z), CHASSIS, 1.0)
    mesh.mirrored(_rect((0.72, 1.14), (0.87, 0.99), z - 0.001), "rear", LAMP_RED, 0.9)
    mesh.mirrored(_rect((0.6, 0.72), (0.87, 0.99), z - 0.001), "rear", LAMP_AMBER, 0.9)
    for k in range(6):
        x = -1.1 + 0.4 * k
        mesh.detail("rear", _rect((x, x + 0.2), (0.55, 0.6), z - 0.001), LAMP_RED if k % 2 else METAL, 0.8, small=True)
    z = e + 0.004
    mesh.detail("front", _rect((-0.7, 0.7), (0.95, 1.36), z), CHASSIS, 1.0)
    for y in (1.02, 1.14, 1.26):
        mesh.detail("front", _rect((-0.68, 0.68), (y, y + 0.03), z + 0.001), METAL, 0.6, small=True)
    mesh.mirrored(_rect((0.74, 1.02), (0.68, 0.9), z), "front", LAMP_WHITE, 0.8)
    _window_details(mesh, "front", (1.64, e - 0.14), (2.68, 3.62), (0.98, 0.98))
    for side in (-1, 1):
        xs = sorted((side * 1.2, side * 1.42))
        mesh.box((xs[0], xs[1]), (1.7, 2.3), (3.5, 3.6), CHASSIS)
        rail = _side_rect(side * 1.18, (0.55, 0.95), (-1.6, 2.1))
        mesh.detail("left" if side < 0 else "right", rail, METAL, 0.6)
    return _freeze("truck", mesh, h, (0.74, -e - 0.016), (0.6, e + 0.012), ((0.95, 0.93), (0.88, 0.78)))


def _ellipse(cx: float, cy: float, rx: float, ry: float, z: float, n: int = 16) -> list[tuple[float, float, float]]:
    return [(cx + rx * cos(2 * pi * k / n), cy + ry * sin(2 * pi * k / n), z) for k in range(n)]


def _motorcycle(coarse: bool) -> Model:
    """Rider and machine as slices across: seen from behind and in front, hardly from the side."""
    mesh = Mesh(coarse)
    half = 0.4
    slices: list[tuple[float, list[tuple[float, float, float]], int, float]] = [
        (0.75, _ellipse(0, 0.31, 0.07, 0.31, 0.75), RUBBER, 1.0),
        (0.7, _rect((-0.1, 0.1), (0.35, 0.95), 0.7), METAL, 0.6),
        (0.62, [(-0.2, 1.06, 0.62), (0.2, 1.06, 0.62), (0.15, 0.72, 0.62), (-0.15, 0.72, 0.62)], PAINT, 0.9),
        (0.5, _rect((-0.4, 0.4), (1.0, 1.04), 0.5), CHASSIS, 1.2),
        (0.48, _ellipse(-0.42, 1.16, 0.07, 0.05, 0.48), CHASSIS, 1.2),
        (0.48, _ellipse(0.42, 1.16, 0.07, 0.05, 0.48), CHASSIS, 1.2),
        (0.3, [(-0.38, 1.06, 0.3), (-0.28, 1.06, 0.3), (-0.2, 1.38, 0.2), (-0.27, 1.36, 0.2)], CLOTH, 0.7),
        (0.3, [(0.28, 1.06, 0.3), (0.38, 1.06, 0.3), (0.27, 1.36, 0.2), (0.2, 1.38, 0.2)], CLOTH, 0.7),
        (0.2, [(-0.3, 0.8, 0.2), (-0.12, 0.86, 0.2), (-0.14, 0.3, 0.1), (-0.26, 0.3, 0.1)], CLOTH, 0.5),
        (0.2, [(0.12, 0.86, 0.2), (0.3, 0.8, 0.2), (0.26, 0.3, 0.1), (0.14, 0.3, 0.1)], CLOTH, 0.5),
        (0.2, _ellipse(-0.2, 0.27, 0.06, 0.08, 0.1), CHASSIS, 1.0),
        (0.2, _ellipse(0.2, 0.27, 0.06, 0.08, 0.1), CHASSIS, 1.0),
        (0.1, [(-0.2, 0.8, 0.05), (0.2, 0.8, 0.05), (0.24, 1.34, 0.1), (0.14, 1.46, 0.1), (-0.14, 1.46, 0.1), (-0.24, 1.34, 0.1)], CLOTH, 0.9),
        (0.08, [(-0.14, 0.84, 0.04), (0.06, 0.84, 0.04), (0.1, 1.4, 0.08), (-0.1, 1.42, 0.08), (-0.19, 1.3, 0.08)], CLOTH, 1.15),
        (0.1, _rect((-0.06, 0.06), (1.4, 1.5), 0.1), SKIN, 0.8),
        (0.05, _ellipse(0, 1.6, 0.13, 0.155, 0.1), PAINT, 0.9),
        (0.04, _ellipse(-0.02, 1.63, 0.085, 0.1, 0.09), PAINT, 1.25),
        (-0.35, [(-0.17, 0.86, -0.4), (0.17, 0.86, -0.4), (0.12, 0.62, -0.4), (-0.12, 0.62, -0.4)], PAINT, 0.8),
        (-0.6, _ellipse(0, 0.31, 0.085, 0.31, -0.6), RUBBER, 1.0),
        (-0.65, [(-0.12, 0.84, -0.85), (0.12, 0.84, -0.85), (0.1, 0.68, -0.85), (-0.1, 0.68, -0.85)], PAINT, 0.65),
        (-0.9, _rect((-0.09, 0.09), (0.74, 0.8), -0.9), LAMP_RED, 1.1),
        (-0.91, _rect((-0.12, 0.12), (0.42, 0.7), -0.9), CHASSIS, 0.9),
    ]  # fmt: skip
    for _, corners, material, light in slices:
        mesh.detail("any", corners, material, light)
    mesh.detail("front", _ellipse(0, 0.88, 0.1, 0.08, 0.8), LAMP_WHITE, 0.9)
    mesh.detail("front", _ellipse(0, 1.6, 0.1, 0.07, 0.2), GLASS, 0.7)
    mesh.quad([(0, 0, 0)] * 4, CHASSIS)
    return _freeze("motorcycle", mesh, half, (0.57, -0.92), None, ((0.0, 0.77), (0.0, 0.88)))


@lru_cache(maxsize=16)
def model(kind: str, coarse: bool = False) -> Model:
    """The body of `hatch`, `saloon`, `suv`, `van`, `truck` or `motorcycle`; coarse for far away."""
    if kind == "van":
        return _van(coarse)
    if kind == "truck":
        return _truck(coarse)
    return _motorcycle(coarse) if kind == "motorcycle" else _car(kind, coarse)
