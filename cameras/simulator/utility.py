"""Vans, lorries and motorcycles: their bodies."""

from itertools import pairwise

from cameras.simulator.body import Model, doors, ellipse, freeze, rect, side_rect, wheels, window_details
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
    Mesh,
    Station,
    loft,
)


def van(coarse: bool) -> Model:
    """A panel van."""
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
    mesh.shade(rect((-h * 0.9, h * 0.9), (0.2, 0.6), -e + 0.5), CHASSIS)
    mesh.shade(rect((-h * 0.9, h * 0.9), (0.2, 0.6), e - 0.5), CHASSIS)
    wheels(mesh, h, (-e + 1.0, e - 0.95), 0.34)
    loft(mesh, stations, "pppgpppp", "ppppgppp", (1, 3, 4, 5, 8))
    z = -e - 0.004
    mesh.mirrored(rect((0.06, h * 0.76), (1.28, 1.82), z), "rear", GLASS, 0.8)
    mesh.detail("rear", rect((-0.012, 0.012), (0.6, 1.97), z), CHASSIS, 0.8, small=True)
    mesh.detail("rear", rect((-h * 0.9, h * 0.9), (0.42, 0.58), z), PLASTIC, 1.0)
    mesh.mirrored(rect((h * 0.83, h * 0.945), (0.85, 1.42), z - 0.001), "rear", LAMP_RED, 0.85)
    mesh.mirrored(rect((h * 0.84, h * 0.935), (1.08, 1.2), z - 0.002), "rear", LAMP_AMBER, 0.8, small=True)
    mesh.detail("rear", rect((-0.34, 0.34), (0.82, 1.02), z - 0.001), PAINT, 0.75)
    z = e + 0.004
    mesh.detail("front", rect((-0.5, 0.5), (0.56, 0.68), z), CHASSIS, 0.9)
    mesh.detail("front", rect((-0.75, 0.75), (0.37, 0.46), z), CHASSIS, 0.8)
    mesh.mirrored(
        [(0.55, 0.82, z - 0.1), (0.84, 0.86, z - 0.16), (0.84, 0.66, z - 0.05), (0.58, 0.64, z)],
        "front",
        LAMP_WHITE,
        0.8,
    )
    window_details(mesh, "front", (1.2, 1.72), (2.0, 1.02), (h * 0.82, h * 0.84))
    doors(mesh, h, (-0.9, 0.35, 1.5), (0.45, 1.14))
    for side in () if coarse else (-1, 1):
        xs = sorted((side * (h + 0.02), side * (h + 0.24)))
        mesh.box((xs[0], xs[1]), (1.15, 1.42), (1.38, 1.5), PLASTIC)
    return freeze("van", mesh, h, (0.92, -e - 0.014), (0.5, e + 0.012), ((h * 0.88, 1.1), (h * 0.7, 0.74)))


def truck(coarse: bool) -> Model:
    """A two-axle lorry with a box."""
    h, e = 1.2, 4.1
    mesh = Mesh(coarse)
    mesh.shade(rect((-1.1, 1.1), (0.45, 1.1), -e + 0.7), CHASSIS)
    mesh.shade(rect((-1.1, 1.1), (0.35, 0.9), e - 0.4), CHASSIS)
    wheels(mesh, h, (-e + 1.6, e - 1.2), 0.46, 0.42)
    box = [Station(z, 1.02, 2.3, 3.35, h, h) for z in (-e, -e + 0.05, -2.4, -0.6, 1.2, 1.9)]
    for a, b in pairwise(box):
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
        mesh.detail("rear", rect((x, x + 0.03), (1.05, 3.32), z), METAL, 0.55, small=True)
    for x in (-0.75, -0.3, 0.28, 0.73):
        mesh.detail("rear", rect((x, x + 0.035), (1.08, 3.2), z - 0.001), METAL, 0.7, small=True)
    for y in (1.05, 3.25):
        mesh.detail("rear", rect((-h, h), (y, y + 0.07), z - 0.001), METAL, 0.6, small=True)
    for y in (1.35, 1.75):
        mesh.detail("rear", rect((-0.4, 0.4), (y, y + 0.03), z - 0.002), METAL, 0.9, small=True)
    mesh.detail("rear", rect((-1.16, 1.16), (0.5, 0.66), z), CHASSIS, 1.3)
    mesh.detail("rear", rect((-1.16, 1.16), (0.86, 1.0), z), CHASSIS, 1.0)
    mesh.mirrored(rect((0.72, 1.14), (0.87, 0.99), z - 0.001), "rear", LAMP_RED, 0.9)
    mesh.mirrored(rect((0.6, 0.72), (0.87, 0.99), z - 0.001), "rear", LAMP_AMBER, 0.9)
    for k in range(6):
        x = -1.1 + 0.4 * k
        mesh.detail("rear", rect((x, x + 0.2), (0.55, 0.6), z - 0.001), LAMP_RED if k % 2 else METAL, 0.8, small=True)
    z = e + 0.004
    mesh.detail("front", rect((-0.7, 0.7), (0.95, 1.36), z), CHASSIS, 1.0)
    for y in (1.02, 1.14, 1.26):
        mesh.detail("front", rect((-0.68, 0.68), (y, y + 0.03), z + 0.001), METAL, 0.6, small=True)
    mesh.mirrored(rect((0.74, 1.02), (0.68, 0.9), z), "front", LAMP_WHITE, 0.8)
    window_details(mesh, "front", (1.64, e - 0.14), (2.68, 3.62), (0.98, 0.98))
    for side in (-1, 1):
        xs = sorted((side * 1.2, side * 1.42))
        mesh.box((xs[0], xs[1]), (1.7, 2.3), (3.5, 3.6), CHASSIS)
        rail = side_rect(side * 1.18, (0.55, 0.95), (-1.6, 2.1))
        mesh.detail("left" if side < 0 else "right", rail, METAL, 0.6)
    return freeze("truck", mesh, h, (0.74, -e - 0.016), (0.6, e + 0.012), ((0.95, 0.93), (0.88, 0.78)))


def motorcycle(coarse: bool) -> Model:
    """Rider and machine as slices across: seen from behind and in front, hardly from the side."""
    mesh = Mesh(coarse)
    half = 0.4
    slices: list[tuple[float, list[tuple[float, float, float]], int, float]] = [
        (0.5, rect((-0.4, 0.4), (1.0, 1.04), 0.5), CHASSIS, 1.2),
        (0.48, ellipse(-0.42, 1.16, 0.07, 0.05, 0.48), CHASSIS, 1.2),
        (0.48, ellipse(0.42, 1.16, 0.07, 0.05, 0.48), CHASSIS, 1.2),
        (0.3, [(-0.38, 1.06, 0.3), (-0.28, 1.06, 0.3), (-0.2, 1.38, 0.2), (-0.27, 1.36, 0.2)], CLOTH, 0.7),
        (0.3, [(0.28, 1.06, 0.3), (0.38, 1.06, 0.3), (0.27, 1.36, 0.2), (0.2, 1.38, 0.2)], CLOTH, 0.7),
        (0.2, [(-0.3, 0.8, 0.2), (-0.12, 0.86, 0.2), (-0.14, 0.3, 0.1), (-0.26, 0.3, 0.1)], CLOTH, 0.5),
        (0.2, [(0.12, 0.86, 0.2), (0.3, 0.8, 0.2), (0.26, 0.3, 0.1), (0.14, 0.3, 0.1)], CLOTH, 0.5),
        (0.2, ellipse(-0.2, 0.27, 0.06, 0.08, 0.1), CHASSIS, 1.0),
        (0.2, ellipse(0.2, 0.27, 0.06, 0.08, 0.1), CHASSIS, 1.0),
        (0.1, [(-0.2, 0.8, 0.05), (0.2, 0.8, 0.05),
         (0.24, 1.34, 0.1), (0.14, 1.46, 0.1), (-0.14, 1.46, 0.1), (-0.24, 1.34, 0.1)], CLOTH, 0.9),
        (0.08, [(-0.14, 0.84, 0.04), (0.06, 0.84, 0.04),
         (0.1, 1.4, 0.08), (-0.1, 1.42, 0.08), (-0.19, 1.3, 0.08)], CLOTH, 1.15),
        (0.1, rect((-0.06, 0.06), (1.4, 1.5), 0.1), SKIN, 0.8),
        (0.05, ellipse(0, 1.6, 0.13, 0.155, 0.1), PAINT, 0.9),
        (0.04, ellipse(-0.02, 1.63, 0.085, 0.1, 0.09), PAINT, 1.25),
        (-0.35, [(-0.17, 0.86, -0.4), (0.17, 0.86, -0.4), (0.12, 0.62, -0.4), (-0.12, 0.62, -0.4)], PAINT, 0.8),
        (-0.6, ellipse(0, 0.31, 0.085, 0.31, -0.6), RUBBER, 1.0),
        (-0.65, [(-0.12, 0.84, -0.85), (0.12, 0.84, -0.85), (0.1, 0.68, -0.85), (-0.1, 0.68, -0.85)], PAINT, 0.65),
        (-0.9, rect((-0.09, 0.09), (0.74, 0.8), -0.9), LAMP_RED, 1.1),
        (-0.91, rect((-0.12, 0.12), (0.42, 0.7), -0.9), CHASSIS, 0.9),
    ]  # fmt: skip
    for _, corners, material, light in slices:
        mesh.detail("any", corners, material, light)
    # front-only parts come last: they are nearest then
    mesh.detail("front", ellipse(0, 0.88, 0.1, 0.08, 0.8), LAMP_WHITE, 0.9)
    mesh.detail("front", ellipse(0, 1.6, 0.1, 0.07, 0.2), GLASS, 0.7)
    wheel, fork = ellipse(0, 0.31, 0.07, 0.31, 0.75), rect((-0.1, 0.1), (0.35, 0.95), 0.7)
    fairing = [(-0.2, 1.06, 0.72), (0.2, 1.06, 0.72), (0.15, 0.72, 0.74), (-0.15, 0.72, 0.74)]
    for corners, material in ((wheel, RUBBER), (fork, METAL), (fairing, PAINT)):
        mesh.shade(corners, material)
        mesh.detail("front", corners, material, 0.8)
    mesh.box((-0.16, 0.16), (0.28, 0.74), (-0.3, 0.5), CHASSIS)
    mesh.box((-0.12, 0.12), (0.7, 0.84), (-0.82, 0.1), PAINT)
    mesh.box((-0.05, 0.05), (0.24, 0.36), (-0.66, -0.3), METAL)
    return freeze("motorcycle", mesh, half, (0.57, -0.92), None, ((0.0, 0.77), (0.0, 0.88)))
