"""The stage of one camera's drive: road, sky, houses, trees, posts under its light, and the order of painting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cameras.simulator import ground, scenery, sky
from cameras.simulator.geometry import Camera, View
from cameras.simulator.light import Conditions, Light
from cameras.simulator.traffic import light_is_green
from cameras.simulator.world import World

Image = NDArray[np.uint8]
Mover = TypeVar("Mover")

_HOUSES_M = 140.0
_PROPS_M = 85.0


@dataclass(frozen=True, slots=True)
class Prop:
    """A thing that stands on one spot."""

    s: float
    right: float
    sprite: scenery.Sprite | None
    """None: a traffic light, which changes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A house or a prop in one frame."""

    thing: scenery.House | Prop
    ahead: float


class Stage:
    """All that does not move. Two cameras of one drive have the same stage in different light."""

    def __init__(self, world: World, camera: Camera, light: Light, conditions: Conditions) -> None:
        self._camera, self._light, self._length = camera, light, world.route.length
        seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence([world.seed, 5]).spawn(5)]
        rng = np.random.default_rng(seeds[0])
        leafy = bool(rng.random() < 0.6)
        texture = ground.road_texture(seeds[1], light, leafy, "shadows" in conditions.effects)
        self._ground = ground.Ground(camera, texture)
        cloudy = conditions.daylight != "sun"
        self._strip = sky.sky_strip(camera, light, np.random.default_rng(seeds[2]), cloudy)
        lines = (ground.ROAD_LEFT - 4.4, ground.ROAD_RIGHT + 4.4)
        self._houses = scenery.make_houses(seeds[3], light, self._length, lines)
        kinds = [scenery.tree(np.random.default_rng([seeds[4], k]), light) for k in range(4)]
        trees = [scenery.make_sprite(*picture, 6.0, 8.0) for picture in kinds]
        self._props = _plant(rng, trees, scenery.lamp_post(light.night), leafy, self._length)
        self._props += [Prop(line, ground.ROAD_RIGHT + 0.6, None) for line in world.traffic.lights]

    def draw_far(self, canvas: Image, view: View, heading: float) -> None:
        """Sky and road: what everything else stands before. `heading` in radians."""
        sky.draw_sky(canvas, self._strip, self._camera, view, heading, self._ground.top)
        self._ground.draw(canvas, view)

    def draw(self, canvas: Image, standing: Standing, view: View, t: float) -> None:
        """Paint one house or prop; `t`: second of the drive."""
        thing, ahead = standing.thing, standing.ahead
        if isinstance(thing, scenery.House):
            scenery.draw_house(canvas, thing, self._camera, view, ahead, self._light)
        else:
            sprite = thing.sprite or scenery.traffic_light(light_is_green(thing.s, t))
            scenery.draw_sprite(canvas, sprite, self._camera, view, ahead, thing.right)

    def in_order(
        self, view: View, movers: Sequence[tuple[float, Mover]]
    ) -> Iterator[tuple[Mover | None, Standing | None]]:
        """Movers (with their distance) and what stands in view, farthest first; one of each pair is None."""
        items: list[tuple[float, int, Mover | None, Standing | None]] = [(z, 2, mover, None) for z, mover in movers]
        for house in self._houses:
            near = self._ahead(house.s, view)
            if -house.length < near < _HOUSES_M:
                # by its far end: whatever drives or stands along its front is before it
                items.append((near + house.length, 0, None, Standing(house, near)))
        for prop in self._props:
            ahead = self._ahead(prop.s, view)
            if 3.0 < ahead < _PROPS_M:
                items.append((ahead, 1, None, Standing(prop, ahead)))
        items.sort(key=lambda item: (-item[0], item[1]))
        return ((mover, standing) for _, _, mover, standing in items)

    def _ahead(self, s: float, view: View) -> float:
        return (s - view.s + self._length / 2) % self._length - self._length / 2


def _plant(
    rng: np.random.Generator, trees: Sequence[scenery.Sprite], post: scenery.Sprite, leafy: bool, length: float
) -> list[Prop]:
    """Trees and lamps along both sides."""
    props: list[Prop] = []
    for side in (ground.ROAD_LEFT - 1.5, ground.ROAD_RIGHT + 1.5):
        s = float(rng.uniform(0, 10))
        while s < length - 5:
            pick = trees[int(rng.integers(len(trees)))]
            props.append(Prop(s, side, pick if rng.random() < (0.85 if leafy else 0.35) else post))
            s += float(rng.uniform(11, 24))
    return props
