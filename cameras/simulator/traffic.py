"""The traffic on the round: who drives, parks or weaves where, at every moment of the drive.

In: seed, route length, number of cameras, times. Out: `Traffic`, the positions of all road users at those times. One
world for all cameras, so a vehicle that two cameras meet is the same vehicle. Driving is the Intelligent Driver Model:
queues at the red lights, gaps, being overtaken and catching up all come from it.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LANE_LEFT, LANE_RIGHT, SPLIT, ONCOMING, PARKED_RIGHT, PARKED_LEFT = range(6)
LANE_CENTRE = (1.5, 4.5, 3.0, -1.6, 6.95, -4.25)
"""Metres right of the road's middle (right-hand traffic; mirrored where they drive on the left)."""
STEP_S = 0.05
GREEN_S, CYCLE_S = 17.0, 32.0
LIGHT_EVERY_M = 320.0

LENGTH_M = {"hatch": 4.0, "saloon": 4.6, "suv": 4.6, "van": 5.4, "truck": 8.2, "motorcycle": 2.1}
_MIX = (("hatch", 0.36), ("saloon", 0.27), ("suv", 0.2), ("van", 0.11), ("truck", 0.06))


@dataclass(frozen=True, slots=True)
class Actor:
    """One road user; fixed for the whole drive."""

    index: int
    kind: str
    lane: int
    length: float
    is_camera: int = -1
    """Number of the camera that it carries, from 0, or -1."""

    @property
    def oncoming(self) -> bool:
        """True when it points against the cameras' direction of travel."""
        return self.lane in (ONCOMING, PARKED_LEFT)

    @property
    def parked(self) -> bool:
        """True when it stands at the kerb."""
        return self.lane in (PARKED_RIGHT, PARKED_LEFT)


@dataclass
class Traffic:
    """Where everybody is. Arrays are frames x actors; `s` is the middle of the vehicle along the route, metres."""

    length: float
    actors: list[Actor]
    s: NDArray[np.float64]
    lateral: NDArray[np.float32]
    speed: NDArray[np.float32]
    yaw: NDArray[np.float32]
    """Against the road's direction, radians to the right; oncoming ones add half a turn when drawn."""
    lights: list[float] = field(default_factory=list)
    """Stop lines of the traffic lights, metres along the route."""

    def camera_actor(self, camera: int) -> int:
        """Index of the vehicle that carries a camera."""
        return next(a.index for a in self.actors if a.is_camera == camera)


def loop_length(cameras: int, seconds: float) -> float:
    """Metres of road for a drive: long enough that a short drive meets no parked car twice."""
    return float(max(960.0, min(6400.0, 9.0 * seconds + 500.0), 170.0 * cameras))


def light_is_green(stop_line: float, t: float, oncoming: bool = False) -> bool:
    """State of the traffic light at `stop_line` at second `t`."""
    phase = (stop_line * 0.037 + (3.0 if oncoming else 0.0)) % 1.0 * CYCLE_S
    return (t + phase) % CYCLE_S < GREEN_S


def _kind(rng: np.random.Generator) -> str:
    return _MIX[int(rng.choice(len(_MIX), p=[share for _, share in _MIX]))][0]


def _fill_lane(
    rng: np.random.Generator, actors: list[Actor], at: list[float], lane: int, length: float, gap: tuple[float, float]
) -> None:
    """Put road users into a lane with random gaps (metres, bumper to bumper)."""
    q = float(rng.uniform(0, gap[1]))
    while True:
        kind = "motorcycle" if lane == SPLIT else _kind(rng)
        if lane in (PARKED_LEFT, PARKED_RIGHT) and kind == "truck":
            kind = "van"
        size = LENGTH_M[kind]
        if q + size + gap[0] > length:
            return
        actors.append(Actor(len(actors), kind, lane, size))
        at.append(q + size / 2)
        q += size + float(rng.uniform(*gap))


def _populate(rng: np.random.Generator, length: float, cameras: int) -> tuple[list[Actor], list[float]]:
    actors: list[Actor] = []
    at: list[float] = []
    _fill_lane(rng, actors, at, LANE_LEFT, length, (7.0, 26.0))
    _fill_lane(rng, actors, at, LANE_RIGHT, length, (6.0, 20.0))
    _fill_lane(rng, actors, at, SPLIT, length, (60.0, 200.0))
    _fill_lane(rng, actors, at, ONCOMING, length, (9.0, 40.0))
    _fill_lane(rng, actors, at, PARKED_RIGHT, length, (1.6, 11.0))
    _fill_lane(rng, actors, at, PARKED_LEFT, length, (1.2, 12.0))
    first = float(rng.uniform(0, length))
    for camera in range(cameras):
        lane = LANE_RIGHT if camera % 3 != 1 else LANE_LEFT
        wish = (first + camera * length / cameras * 0.62) % length
        free = [a for a in actors if a.lane == lane and a.is_camera < 0 and a.kind != "truck"]
        chosen = min(free, key=lambda a: abs((at[a.index] - wish + length / 2) % length - length / 2))
        actors[chosen.index] = Actor(chosen.index, "suv", lane, LENGTH_M["suv"], camera)
    return actors, at


@dataclass
class _Driving:
    """State of the moving ones while the drive is played."""

    q: Floats
    """Front bumper along the lane's own direction."""
    v: Floats
    wish: Floats
    size: Floats
    lane: NDArray[np.int64]


def _accelerations(d: _Driving, lane: int, length: float, lights: Floats, t: float) -> tuple[NDArray[np.int64], Floats]:
    """IDM for one lane: who (in lane order), and their accelerations."""
    who = np.flatnonzero(d.lane == lane)
    who = who[np.argsort(d.q[who], kind="stable")]
    if len(who) == 0:
        return who, np.zeros(0)
    q, v = d.q[who], d.v[who]
    ahead = np.roll(who, -1)
    gap = (d.q[ahead] - q) % length - d.size[ahead]
    if len(who) == 1:
        gap = np.array([1e3])
    closing = v - d.v[ahead]
    oncoming = lane == ONCOMING
    for stop in lights:
        line = (length - stop) % length if oncoming else stop
        if not light_is_green(float(stop), t, oncoming):
            to_line = (line - q) % length
            braking = (to_line < 70) & (to_line > v * v / 9.0) & (to_line + 1.0 < gap)
            gap, closing = np.where(braking, to_line + 1.0, gap), np.where(braking, v, closing)
    headway = 0.55 if lane == SPLIT else 0.8
    desired = 1.9 + np.maximum(0.0, v * headway + v * closing / (2 * np.sqrt(1.6 * 2.2)))
    pull = 1 - (v / d.wish[who]) ** 4 - (desired / np.maximum(gap, 0.3)) ** 2
    return who, np.clip(1.6 * pull, -6.5, 1.8)


def _wish(rng: np.random.Generator, actor: Actor) -> float:
    """Speed that the driver would like, m/s."""
    middle = {LANE_LEFT: 11.5, LANE_RIGHT: 8.5, SPLIT: 12.0, ONCOMING: 10.0}[actor.lane]
    return float(np.clip(rng.normal(middle, 1.3), 5.5, 15.0))


def play(rng: np.random.Generator, length: float, cameras: int, times: Floats) -> Traffic:
    """The whole drive.

    Args:
        rng: all chance comes from here.
        length: of the round, metres.
        cameras: how many vehicles of the fleet.
        times: seconds, rising, at which positions are wanted.
    """
    actors, at = _populate(rng, length, cameras)
    n = len(actors)
    moving = np.array([a.index for a in actors if not a.parked])
    size = np.array([a.length for a in actors])
    lane = np.array([a.lane for a in actors])
    wish = np.array([1.0 if a.parked else _wish(rng, a) for a in actors])
    wish[[a.index for a in actors if a.is_camera >= 0]] += 0.8
    start = np.array(at) + size / 2
    d = _Driving(start[moving].copy(), 0.7 * wish[moving], wish[moving], size[moving], lane[moving])
    lights = np.arange(0.31 * LIGHT_EVERY_M, length - 60, LIGHT_EVERY_M)
    wobble = rng.uniform(0, 2 * np.pi, (2, n))
    aside = rng.normal(0, 0.16, n)
    traffic = Traffic(
        length,
        actors,
        np.empty((len(times), n)),
        np.empty((len(times), n), np.float32),
        np.zeros((len(times), n), np.float32),
        np.zeros((len(times), n), np.float32),
        [float(x) for x in lights],
    )
    against = lane[moving] == ONCOMING
    t = -12.0
    for frame, wanted in enumerate(times):
        while t < wanted - 1e-9:
            step = min(STEP_S, wanted - t)
            _advance(d, length, lights, t, step)
            t += step
        middle = d.q - d.size / 2
        traffic.s[frame] = np.array(at)
        traffic.s[frame, moving] = np.where(against, -middle, middle)
        parked_left = lane == PARKED_LEFT
        traffic.s[frame, parked_left] = np.array(at)[parked_left]
        traffic.speed[frame, moving] = d.v
        _sideways(traffic, frame, lane, wobble, aside, moving)
    return traffic


def _advance(d: _Driving, length: float, lights: Floats, t: float, step: float) -> None:
    for lane in (LANE_LEFT, LANE_RIGHT, SPLIT, ONCOMING):
        who, a = _accelerations(d, lane, length, lights, t)
        if lane == SPLIT and len(who):
            # between the lanes: quicker than the queue, but not by much
            a = np.minimum(a, np.maximum((_lane_speed(d, who, length) + 4.5 - d.v[who]) / 0.8, -5.0))
        before = d.v[who]
        after = np.maximum(before + a * step, 0.0)
        d.q[who] += (before + after) / 2 * step
        d.v[who] = after


def _lane_speed(d: _Driving, who: NDArray[np.int64], length: float) -> Floats:
    """Mean speed of the cars around each motorcycle."""
    out = np.empty(len(who))
    cars = (d.lane == LANE_LEFT) | (d.lane == LANE_RIGHT)
    for i, w in enumerate(who):
        near = cars & (np.abs((d.q - d.q[w] + length / 2) % length - length / 2) < 12)
        out[i] = d.v[near].mean() if near.any() else 11.0
    return out


def _sideways(
    traffic: Traffic, frame: int, lane: NDArray[np.int64], wobble: Floats, aside: Floats, moving: NDArray[np.int64]
) -> None:
    """Nobody drives on a ruler: a slow wander inside the lane, and the yaw that goes with it."""
    s = traffic.s[frame]
    amount = np.where(lane == SPLIT, 0.22, 0.14)
    away, slope = np.zeros(len(s)), np.zeros(len(s))
    for phase, wave in ((wobble[0], 61.0), (wobble[1], 23.0)):
        away += amount * 0.6 * np.sin(s / wave * 2 * np.pi + phase)
        slope += amount * 0.6 * 2 * np.pi / wave * np.cos(s / wave * 2 * np.pi + phase)
    still = np.ones(len(s), bool)
    still[moving] = False
    away[still] = 0.0
    slope[still] = aside[still] * 0.12
    traffic.lateral[frame] = np.array(LANE_CENTRE)[lane] + away + aside
    traffic.yaw[frame] = slope
