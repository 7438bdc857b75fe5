"""What all bodies share: wheels, doors, windows, and the finished `Model`. In: a mesh that grows. Out: a Model."""

from dataclasses import dataclass, replace
from math import cos, pi, sin

import numpy as np

from cameras.simulator.geometry import Floats
from cameras.simulator.mesh import CHASSIS, GLASS, LAMP_RED, METAL, PAINT, RUBBER, Detail, Mesh


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


def freeze(
    kind: str,
    mesh: Mesh,
    half_width: float,
    rear: tuple[float, float],
    front: tuple[float, float] | None,
    lamps: tuple[tuple[float, float], tuple[float, float]],
) -> Model:
    """A finished mesh as a Model. `rear`, `front`: height and Z of plates; `lamps`: X and height at either end."""
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


def wheels(mesh: Mesh, half: float, axles: tuple[float, ...], radius: float, depth: float = 0.22) -> None:
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


def rect(x: tuple[float, float], y: tuple[float, float], z: float) -> list[tuple[float, float, float]]:
    """An upright rectangle across the vehicle."""
    return [(x[0], y[1], z), (x[1], y[1], z), (x[1], y[0], z), (x[0], y[0], z)]


def side_rect(x: float, y: tuple[float, float], z: tuple[float, float]) -> list[tuple[float, float, float]]:
    """An upright rectangle along the vehicle."""
    return [(x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1]), (x, y[0], z[0])]


def ellipse(cx: float, cy: float, rx: float, ry: float, z: float, n: int = 16) -> list[tuple[float, float, float]]:
    """An upright ellipse across the vehicle."""
    return [(cx + rx * cos(2 * pi * k / n), cy + ry * sin(2 * pi * k / n), z) for k in range(n)]


def doors(mesh: Mesh, half: float, seams: tuple[float, ...], y: tuple[float, float]) -> None:
    """Seams and handles on both sides."""
    x = -(half + 0.006)
    for z in seams:
        mesh.mirrored(side_rect(x, y, (z - 0.012, z + 0.012)), "left", CHASSIS, 0.8, small=True)
    for z in seams[:-1]:
        mesh.mirrored(side_rect(x, (y[1] - 0.17, y[1] - 0.12), (z + 0.1, z + 0.32)), "left", PAINT, 0.62, small=True)


def window_details(
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

    mesh.detail(side, [at(-0.94, 0.93), at(0.94, 0.93), at(0.96, 0.06), at(-0.96, 0.06)], GLASS, 1.25)
    mesh.detail(side, [at(-0.94, 0.93), at(0.94, 0.93), at(0.945, 0.6), at(-0.945, 0.72)], GLASS, 1.8, small=True)
    for x in (-0.48, 0.48):
        seat = [at(x - 0.2, 0.06), at(x - 0.17, 0.34), at(x + 0.17, 0.34), at(x + 0.2, 0.06)]
        mesh.detail(side, seat, CHASSIS, 0.7, small=True)
        head = [
            at(x - 0.11, 0.36),
            at(x - 0.12, 0.55),
            at(x - 0.06, 0.62),
            at(x + 0.06, 0.62),
            at(x + 0.12, 0.55),
            at(x + 0.11, 0.36),
        ]
        mesh.detail(side, head, CHASSIS, 0.7, small=True)
    if side == "rear":
        mesh.detail(side, [at(-0.16, 0.98), at(0.16, 0.98), at(0.16, 0.93), at(-0.16, 0.93)], LAMP_RED, 0.8, small=True)
    else:
        mesh.detail(side, [at(-0.9, 0.1), at(-0.1, 0.16), at(-0.1, 0.12), at(-0.9, 0.05)], CHASSIS, 0.9, small=True)
        mesh.detail(side, [at(-0.08, 0.99), at(0.08, 0.99), at(0.08, 0.9), at(-0.08, 0.9)], CHASSIS, 0.9, small=True)
