"""Cars: a shape's measures in, its body out."""

from dataclasses import dataclass

import numpy as np

from cameras.simulator.body import Model, doors, freeze, rect, side_rect, wheels, window_details
from cameras.simulator.mesh import CHASSIS, LAMP_AMBER, LAMP_RED, LAMP_WHITE, METAL, PAINT, PLASTIC, Mesh, Station, loft


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


def car(kind: str, coarse: bool) -> Model:
    """`hatch`, `saloon` or `suv`."""
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
    mesh.shade(rect((-h * 0.9, h * 0.9), (0.16, 0.5), -e + 0.5), CHASSIS)
    mesh.shade(rect((-h * 0.9, h * 0.9), (0.16, 0.5), e - 0.5), CHASSIS)
    wheels(mesh, h, (-e + 0.78, e - 0.85), 0.335 if kind == "suv" else 0.31)
    loft(mesh, stations, "ppggggppppp", "ppgpppgpppp", (1, 2, 3, 6, 7, 9, 11))
    _car_rear(mesh, p, -e - 0.004)
    _car_front(mesh, p, e + 0.004)
    back = -e + 0.18 + p.boot
    window_details(mesh, "rear", (deck, back), (roof - 0.05, back + p.rake), (h * 0.86, h * 0.66))
    screen = (low, e - p.bonnet - 0.3), (roof - 0.06, e - p.bonnet - 1.05)
    window_details(mesh, "front", *screen, (h * 0.84, h * 0.68))
    seams = (-e + 1.3 + p.boot * 0.6, 0.12, e - p.bonnet - 0.35)
    doors(mesh, h, seams, (0.36, b - 0.02))
    x = -(h * 0.97)
    pillar = [(x, b, 0.05), (x, b, 0.17), (-h * 0.74, roof - 0.07, 0.13), (-h * 0.74, roof - 0.07, 0.03)]
    mesh.mirrored(pillar, "left", CHASSIS, 0.9)
    mesh.mirrored(
        side_rect(-(h + 0.006), (p.clearance + 0.02, p.clearance + 0.12), (-e + 1.2, e - 1.25)), "left", PLASTIC, 0.8
    )
    for side in () if coarse else (-1, 1):
        xs = sorted((side * (h + 0.02), side * (h + 0.2)))
        mesh.box((xs[0], xs[1]), (b + 0.0, b + 0.14), (e - p.bonnet - 0.62, e - p.bonnet - 0.5), PAINT)
    rear_y = 0.52 if p.plate_on_bumper else b - 0.24
    return freeze(kind, mesh, h, (rear_y, -e - 0.012), (0.43, e + 0.012), ((h * 0.72, b - 0.14), (h * 0.66, b - 0.32)))


def _car_rear(mesh: Mesh, p: _Shape, z: float) -> None:
    h, b = p.half, p.belt
    mesh.detail("rear", rect((-h * 0.86, h * 0.86), (0.34, 0.46), z), PLASTIC, 0.9)
    mesh.detail("rear", rect((-h * 0.88, h * 0.88), (0.57, 0.585), z), CHASSIS, 0.9, small=True)
    mesh.detail("rear", rect((-0.34, 0.34), (b - 0.35, b - 0.13), z), PAINT, 0.72)
    mesh.detail("rear", rect((-0.34, 0.34), (b - 0.135, b - 0.11), z - 0.002), METAL, 0.8, small=True)
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
    mesh.mirrored(rect((h * 0.6, h * 0.82), (0.49, 0.52), z), "rear", LAMP_RED, 0.55, small=True)
    mesh.detail("rear", rect((0.4, 0.52), (0.29, 0.35), z), METAL, 0.5, small=True)
    mesh.detail("rear", rect((-0.06, 0.06), (b - 0.1, b - 0.055), z - 0.001), METAL, 1.0, small=True)


def _car_front(mesh: Mesh, p: _Shape, z: float) -> None:
    h, b = p.half, p.belt
    grille = [(-h * 0.4, b - 0.38, z), (h * 0.4, b - 0.38, z), (h * 0.34, 0.5, z), (-h * 0.34, 0.5, z)]
    mesh.detail("front", grille, CHASSIS, 0.9)
    mesh.detail("front", rect((-h * 0.36, h * 0.36), (b - 0.45, b - 0.43), z), METAL, 0.7, small=True)
    mesh.detail("front", rect((-0.07, 0.07), (b - 0.47, b - 0.385), z), METAL, 1.0, small=True)
    mesh.detail("front", rect((-h * 0.55, h * 0.55), (0.33, 0.42), z), CHASSIS, 0.8)
    mesh.mirrored(rect((h * 0.6, h * 0.78), (0.36, 0.46), z), "front", CHASSIS, 0.9, small=True)
    mesh.mirrored(rect((h * 0.64, h * 0.74), (0.385, 0.44), z + 0.001), "front", LAMP_WHITE, 0.6, small=True)
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
