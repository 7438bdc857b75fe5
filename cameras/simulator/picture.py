"""One camera's frames: a world and a frame number in, a picture and the truth about its plates out."""

from dataclasses import dataclass
from math import hypot, pi

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras.simulator import vehicles, weather
from cameras.simulator.geometry import Camera, Floats, View, quad_height
from cameras.simulator.light import Conditions, light_for
from cameras.simulator.plates import paint_plate, plate_corners
from cameras.simulator.route import Pose
from cameras.simulator.sightline import CELL_PX, contrast, fill_inside, hidden_share, part_inside, turned_away
from cameras.simulator.stage import Stage
from cameras.simulator.truth import (
    MAX_HIDDEN,
    MAX_HIDDEN_LEGIBLE,
    MAX_SMEAR,
    MAX_TURN_DEG,
    MIN_CONTRAST,
    MIN_LEGIBLE_PX,
    MIN_PART,
    MIN_TOLD_PX,
    MIN_VISIBLE_PX,
    Observation,
)
from cameras.simulator.world import World, sprite

Image = NDArray[np.uint8]

_SEE_M = 95.0
_EYE_AHEAD_M = 0.35
"""The lens sits this far ahead of the vehicle's middle."""
_SHUTTER_S = {"sun": 1 / 640, "overcast": 1 / 320, "dusk": 1 / 160, "night": 1 / 110}
_COARSE_M = 24.0
"""Vehicles farther than this are drawn with fewer faces."""


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """Where the camera was."""

    seq: int
    captured_at: int
    pose: Pose
    speed: float


@dataclass
class _Seen:
    actor: int
    ahead: float
    right: float
    yaw: float
    placed: vehicles.Placed
    closing: float
    """Metres per second that it comes nearer."""
    braking: bool


@dataclass(frozen=True, slots=True)
class _PlateSeen:
    """A plate in the frame that is being painted."""

    actor: int
    end: str
    corners: Floats
    height: float
    turned: float
    hidden: float
    smear: float


class CameraView:
    """Renders one camera of a drive; frames may be asked for in any order."""

    def __init__(self, world: World, number: int, conditions: Conditions, size: tuple[int, int]) -> None:
        self._world, self._number, self.conditions = world, number, conditions
        self.camera_id = f"camera-{number + 1:02d}"
        rng = np.random.default_rng(np.random.SeedSequence([world.seed, 77, number]))
        self._light = light_for(conditions, rng)
        self._camera = Camera(*size)
        self._actor = world.traffic.camera_actor(number)
        self._clock_ms = int(rng.integers(0, 90))
        self._stage = Stage(world, self._camera, self._light, conditions)
        self._lens = weather.Lens(self._camera, conditions, self._light, rng)
        self._cone = weather.headlight_cone(self._camera) if self._light.night else None
        self._glows = {
            "red": weather.glow_sprite(96, (0.12, 0.1, 0.75)),
            "white": weather.glow_sprite(160, (0.82, 0.92, 1.0), spikes=True),
            "lamp": weather.glow_sprite(96, (0.45, 0.75, 0.95)),
        }
        self._looks: dict[tuple[int, bool], vehicles.Look] = {}
        self._shutter = _SHUTTER_S[conditions.daylight] * (3.2 if "motion_blur" in conditions.effects else 1.0)
        self._canvas = np.empty((self._camera.height, self._camera.width, 3), np.uint8)

    def info(self, frame: int) -> FrameInfo:
        """Time, position, heading and speed of a frame."""
        traffic, world = self._world.traffic, self._world
        s = float(traffic.s[frame, self._actor]) + _EYE_AHEAD_M
        pose = world.route.pose_at(s, float(traffic.lateral[frame, self._actor]))
        at = world.start_ms + self._clock_ms + round(frame * 1000 / world.fps)
        return FrameInfo(frame, at, pose, round(float(traffic.speed[frame, self._actor]), 3))

    def view(self, frame: int) -> View:
        """How the road lies before the camera."""
        traffic = self._world.traffic
        s = float(traffic.s[frame, self._actor]) + _EYE_AHEAD_M
        speed = float(traffic.speed[frame, self._actor])
        jolt = np.random.default_rng([self._world.seed, self._number, frame]).normal(0, 1)
        shake = round(float(np.clip(jolt * 0.13 * speed, -4, 4)) * self._camera.width / 1280)
        lateral = float(traffic.lateral[frame, self._actor])
        return View(s, lateral, self._world.route.curvature_at(s + 12.0), shake, speed)

    def render(self, frame: int, plates: bool = True) -> tuple[Image, list[Observation]]:
        """The picture (valid until the next call) and what is true of it. `plates=False` leaves the plates blank."""
        view, canvas = self.view(frame), self._canvas
        info = self.info(frame)
        t = frame / self._world.fps
        self._stage.draw_far(canvas, view, float(np.radians(info.pose.heading)))
        if self._cone is not None:
            cv2.multiply(canvas, self._cone, dst=canvas, scale=1 / 255)
        seen = self._vehicles(frame, view)
        told: list[_PlateSeen] = []
        # the painter's way: farthest first
        for vehicle, thing in self._stage.in_order(view, [(v.ahead, v) for v in seen]):
            if thing is not None:
                self._stage.draw(canvas, thing, view, t)
            elif vehicle is not None:
                told += self._draw_vehicle(canvas, vehicle, seen, view, plates)
        self._lens.finish(canvas, frame, t)
        return canvas, [self._observe(plate, info) for plate in told]

    def _vehicles(self, frame: int, view: View) -> list[_Seen]:
        """All that may be seen, nearest first; who is wholly behind others is left out."""
        traffic, length = self._world.traffic, self._world.route.length
        ahead = (traffic.s[frame] - view.s + length / 2) % length - length / 2
        near = np.flatnonzero((ahead > -7.0) & (ahead < _SEE_M))
        near = near[np.argsort(ahead[near], kind="stable")]
        taken = np.zeros((self._camera.height // CELL_PX + 2, self._camera.width // CELL_PX + 2), np.uint8)
        out = []
        for index in near.tolist():
            if index == self._actor:
                continue
            actor = traffic.actors[index]
            turn = float(traffic.yaw[frame, index]) + (pi if actor.oncoming else 0.0)
            right, z = float(traffic.lateral[frame, index]), float(ahead[index])
            placed = vehicles.place(self._look(index, z > _COARSE_M), self._camera, view, z, right, turn)
            if placed is None:
                continue
            x0, y0, x1, y1 = (v // CELL_PX for v in placed.box)
            if taken[y0 : y1 + 1, x0 : x1 + 1].all():
                continue
            if x1 - x0 > 2:
                fill_inside(taken, placed)
            speed, before = float(traffic.speed[frame, index]), float(traffic.speed[max(frame - 1, 0), index])
            braking = not actor.parked and (speed < before - 0.15 or speed < 0.2)
            closing = view.speed + (speed if actor.oncoming else -speed)
            out.append(_Seen(index, z, right, turn, placed, closing, braking))
        return out

    def _look(self, index: int, coarse: bool) -> vehicles.Look:
        key = (index, coarse)
        if key not in self._looks:
            actor, wearer = self._world.traffic.actors[index], self._world.wearers[index]
            self._looks[key] = vehicles.make_look(actor.kind, wearer.seed, self._light, actor.oncoming, coarse)
        return self._looks[key]

    def _draw_vehicle(
        self, canvas: Image, seen: _Seen, everyone: list[_Seen], view: View, plates: bool
    ) -> list[_PlateSeen]:
        light, camera = self._light, self._camera
        actor = self._world.traffic.actors[seen.actor]
        away = seen.right - view.lateral + float(view.bend(max(seen.ahead, 0.0)))
        beam = weather.headlight_at(seen.ahead - actor.length / 2, away) if light.night else 0.0
        vehicles.shadow(canvas, seen.placed, camera, view, seen.right, seen.yaw, light)
        vehicles.paint(canvas, seen.placed, light, 1.0 + 6.5 * beam, seen.braking)
        rows = []
        for end in ("rear", "front"):
            if not seen.placed.sees(end):
                continue
            row = self._plate(canvas, seen, end, everyone, view, beam, plates)
            if row is not None:
                rows.append(row)
        if "shadows" in self.conditions.effects and seen.ahead < _COARSE_M:
            edge = _shadow_edge(view.s + seen.ahead)
            if edge is not None:
                vehicles.cast_edge(canvas, seen.placed, camera, view, seen.right, seen.yaw, edge)
        self._smear(canvas, seen)
        if light.night or light.wet:
            self._shine(canvas, seen, actor.oncoming, actor.parked, view)
        return rows

    def _smear(self, canvas: Image, seen: _Seen) -> None:
        """Motion blur of the vehicle as a whole: as its nearest visible end moves."""
        box = seen.placed.box
        dx, dy = self._motion(seen, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(seen.ahead - 2.0, 2.5))
        weather.streak_region(canvas, box, dx, dy)

    def _motion(self, seen: _Seen, point: tuple[float, float], depth: float) -> tuple[float, float]:
        """Pixels that a point of the vehicle moves while the shutter is open."""
        share = seen.closing * self._shutter / depth
        return (point[0] - self._camera.centre_x) * share, (point[1] - self._camera.horizon) * share

    def _shine(self, canvas: Image, seen: _Seen, oncoming: bool, parked: bool, view: View) -> None:
        """Blooms of its lamps."""
        if parked:
            return
        body = seen.placed.look.model
        lamps, z, name = (
            (body.lamps_front, body.half_length, "white") if oncoming else (body.lamps_rear, -body.half_length, "red")
        )
        points = np.array([[x, y, z] for x, y in lamps], np.float32)
        space = view.place(points, seen.ahead, seen.right, seen.yaw)
        if space[:, 2].min() < 2.0:
            return
        scale = self._camera.focal / float(space[:, 2].mean())
        size = (1.9 if oncoming else 0.9) * (1.0 if self._light.night else 0.6)
        if self._light.wet:
            self._mirror(canvas, space, view, name, scale)
        for x, y in self._camera.project(space, view.shake):
            weather.add_glow(canvas, self._glows[name], float(x), float(y), min(300, round(size * scale) + 10))

    def _mirror(self, canvas: Image, space: Floats, view: View, name: str, scale: float) -> None:
        """The wet road's reflection of lamps: a streak below each, as far under the road as they are above it."""
        below = space * np.array([1.0, -1.0, 1.0], np.float32)
        for x, y in self._camera.project(below, view.shake):
            weather.add_streak(canvas, self._glows[name], float(x), float(y), min(220, round(1.3 * scale) + 8))

    def _plate(
        self, canvas: Image, seen: _Seen, end: str, everyone: list[_Seen], view: View, beam: float, plates: bool
    ) -> _PlateSeen | None:
        """Paint one plate; None when there is none to tell of."""
        picture = sprite(self._world.wearers[seen.actor])
        local = plate_corners(seen.placed.look.model, picture, end)
        if local is None:
            return None
        space = view.place(local, seen.ahead, seen.right, seen.yaw)
        if space[:, 2].min() < 1.0:
            return None
        turned = turned_away(space, self._camera.mount_height)
        corners = self._camera.project(space, view.shake)
        height = quad_height(corners)
        x, y = corners[:, 0], corners[:, 1]
        if (
            turned > 88.0
            or height < 2.0
            or x.max() < 0
            or x.min() > self._camera.width
            or y.min() > self._camera.height
        ):
            return None
        if plates:
            veil = 1 - float(np.exp(-seen.ahead / self._light.haze_m))
            paint_plate(canvas, picture, corners, self._plate_gain(seen, end, beam), veil * 0.8)
        if height < MIN_TOLD_PX:
            return None
        hidden = hidden_share(corners, seen.placed, (other.placed for other in everyone))
        motion = self._motion(seen, (float(x.mean()), float(y.mean())), float(space[:, 2].mean()))
        return _PlateSeen(seen.actor, end, corners, height, turned, hidden, hypot(*motion))

    def _observe(self, plate: _PlateSeen, info: FrameInfo) -> Observation:
        """What is true of a plate, judged in the finished picture."""
        wearer, actor = self._world.wearers[plate.actor], self._world.traffic.actors[plate.actor]
        part = part_inside(plate.corners, (self._camera.width, self._camera.height))
        in_view = (
            part >= MIN_PART
            and plate.turned <= MAX_TURN_DEG
            and plate.height >= MIN_VISIBLE_PX
            and plate.hidden <= MAX_HIDDEN
        )
        visible = in_view and part == 1.0
        levels = contrast(self._canvas, plate.corners) if visible else 0.0
        covered = wearer.cover == "opaque"
        legible = (
            visible
            and not covered
            and not sprite(wearer).buried
            and plate.height >= MIN_LEGIBLE_PX
            and plate.hidden <= MAX_HIDDEN_LEGIBLE
            and plate.smear <= max(1.5, MAX_SMEAR * plate.height)
            and levels >= MIN_CONTRAST
        )
        return Observation(
            camera_id=self.camera_id,
            seq=info.seq,
            captured_at=info.captured_at,
            vehicle_id=wearer.vehicle_id,
            plate=wearer.spec.text,
            region=wearer.spec.region,
            kind=actor.kind,
            end=plate.end,
            corners=plate.corners,
            height_px=plate.height,
            occluded=plate.hidden,
            in_view=in_view,
            visible=visible,
            legible=legible,
            covered=covered,
            conditions=(*self.conditions.names, *wearer.conditions),
            smear_px=plate.smear,
            contrast=levels,
        )

    def _plate_gain(self, seen: _Seen, end: str, beam: float) -> Floats:
        """How brightly the plate is lit, BGR factors."""
        light = self._light
        facing = np.array([np.sin(seen.yaw), 0.0, np.cos(seen.yaw)]) * (-1.0 if end == "rear" else 1.0)
        sun = max(0.0, float(facing @ np.array(light.sun)))
        gain = np.array(light.ambient) * 0.98 + np.array(light.sun_colour) * sun
        if light.night:
            # plates throw the headlights' beam straight back
            gain = gain + np.array([0.86, 0.94, 1.0]) * min(1.05, 0.14 + 1.25 * beam)
        return np.minimum(gain, 1.15).astype(np.float32)


def _shadow_edge(s: float) -> float | None:
    """Where a shadow's edge crosses a vehicle that stands at `s`, metres right of its middle; None: all in the sun."""
    along = s % 27.0
    return None if along > 15.0 else along * 0.45 - 2.6
