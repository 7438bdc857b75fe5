"""Everything of a drive that all its cameras share: route, traffic, and who carries which plate."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cameras.simulator.plates import PlateSprite, make_sprite
from cameras.simulator.route import Route, build_route
from cameras.simulator.traffic import Traffic, loop_length, play
from vision.plates import REGIONS, PlateSpec, random_plate

_HOMES = (
    "DE",
    "FR",
    "ES",
    "IT",
    "NL",
    "PL",
    "RO",
    "CZ",
    "SK",
    "AT",
    "UA",
    "BR",
    "AR",
    "US-CA",
    "US-NY",
    "US-TX",
    "US-FL",
)
"""Where a drive may take place: countries that drive on the right."""
_FOREIGN_SHARE = 0.14
_START_MS = 1_767_225_600_000
"""1 January 2026."""


@dataclass(frozen=True, slots=True)
class Wearer:
    """A vehicle's plate and what is wrong with it."""

    vehicle_id: str
    spec: PlateSpec
    dirty: bool
    cover: str
    seed: int

    @property
    def conditions(self) -> tuple[str, ...]:
        """Words for the truth file."""
        words = []
        if self.dirty:
            words.append("plate_dirt")
        if self.cover:
            words.append("plate_cover" if self.cover == "opaque" else "plate_tinted")
        return tuple(words)


@dataclass(frozen=True)
class World:
    """The drive before anybody looks at it."""

    seed: int
    home: str
    route: Route
    traffic: Traffic
    wearers: list[Wearer]
    start_ms: int
    fps: float


def home_region(rng: np.random.Generator) -> str:
    """The region that most plates of the drive belong to."""
    homes = [h for h in _HOMES if h in REGIONS]
    return homes[int(rng.integers(len(homes)))]


def _spec(rng: np.random.Generator, home: str, motorcycle: bool) -> PlateSpec:
    region = home if rng.random() > _FOREIGN_SHARE else None
    kind = "motorcycle" if motorcycle else "car"
    for _ in range(12):
        try:
            return random_plate(rng, region, kind)  # type: ignore[arg-type]
        except ValueError:
            # that region has no plates of this kind: any other will do
            region = None
    return random_plate(rng, "DE", kind)  # type: ignore[arg-type]


def _wearers(rng: np.random.Generator, traffic: Traffic, home: str) -> list[Wearer]:
    taken: set[str] = set()
    wearers = []
    for actor in traffic.actors:
        spec = _spec(rng, home, actor.kind == "motorcycle")
        while spec.text in taken:
            spec = _spec(rng, home, actor.kind == "motorcycle")
        taken.add(spec.text)
        chance = float(rng.random())
        cover = "opaque" if chance < 0.035 else "tinted" if chance < 0.06 else ""
        dirty = not cover and bool(rng.random() < 0.09)
        wearers.append(Wearer(f"vehicle-{actor.index:04d}", spec, dirty, cover, int(rng.integers(2**31))))
    return wearers


def build_world(seed: int, cameras: int, seconds: float, fps: float, start_ms: int | None) -> World:
    """Play the whole drive; the same arguments give the same world."""
    streams = np.random.SeedSequence(seed).spawn(4)
    rng = np.random.default_rng(streams[0])
    home = home_region(rng)
    length = round(loop_length(cameras, seconds))
    route = build_route(np.random.default_rng(streams[1]), length, home)
    times = np.arange(frame_count(seconds, fps)) / fps
    traffic = play(np.random.default_rng(streams[2]), route.length, cameras, times)
    wearers = _wearers(np.random.default_rng(streams[3]), traffic, home)
    if start_ms is None:
        start_ms = _START_MS + int(rng.integers(0, 180 * 24 * 3600)) * 1000
    return World(seed, home, route, traffic, wearers, start_ms, fps)


def frame_count(seconds: float, fps: float) -> int:
    """Frames of each camera, at least one."""
    return max(1, round(seconds * fps))


@lru_cache(maxsize=4096)
def sprite(wearer: Wearer) -> PlateSprite:
    """The plate's picture, drawn when first needed."""
    return make_sprite(wearer.spec, wearer.seed, wearer.dirty, wearer.cover)
