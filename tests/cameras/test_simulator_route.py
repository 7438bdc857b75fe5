"""The road and the traffic on it."""

import numpy as np
import pytest

from cameras.simulator.geometry import Camera, View
from cameras.simulator.light import parse_conditions
from cameras.simulator.picture import CameraView
from cameras.simulator.route import Route, build_route
from cameras.simulator.traffic import SPLIT, light_is_green
from cameras.simulator.world import World, build_world

METRES_PER_DEGREE = 111_320.0


@pytest.fixture(scope="module")
def route() -> Route:
    return build_route(np.random.default_rng(4), 1200, "DE")


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=8, cameras=2, seconds=60, fps=10, start_ms=None)


def test_route_is_closed_and_its_steps_are_metres(route: Route) -> None:
    steps = np.hypot(np.diff(route.east, append=route.east[0]), np.diff(route.north, append=route.north[0]))
    assert steps.max() < 1.3
    assert steps.mean() == pytest.approx(1.0, abs=0.01)


def test_bends_are_those_of_a_street(route: Route) -> None:
    assert np.abs(route.curvature).max() < 0.02
    assert route.curvature.std() > 0.001


@pytest.mark.parametrize("camera", [0, 1])
def test_speed_heading_and_positions_belong_together(world: World, camera: int) -> None:
    view = CameraView(world, camera, parse_conditions("overcast"), (160, 120))
    infos = [view.info(k) for k in range(600)]
    lat = np.array([i.pose.lat for i in infos])
    lon = np.array([i.pose.lon for i in infos])
    north, east = np.diff(lat) * METRES_PER_DEGREE, np.diff(lon) * METRES_PER_DEGREE * np.cos(np.radians(lat[0]))
    seconds = np.diff([i.captured_at for i in infos]) / 1000
    measured = np.hypot(north, east) / seconds
    told = np.array([i.speed for i in infos])
    assert np.abs(measured - (told[1:] + told[:-1]) / 2).max() < 0.9
    moving = measured > 3
    course = np.degrees(np.arctan2(east, north))[moving]
    heading = np.array([i.pose.heading for i in infos[:-1]])[moving]
    off = (course - heading + 180) % 360 - 180
    assert np.abs(off).max() < 6


def test_nobody_brakes_or_speeds_up_like_a_toy(world: World) -> None:
    acceleration = np.diff(world.traffic.speed, axis=0) * world.fps
    assert acceleration.max() < 2.5
    assert acceleration.min() > -7
    assert world.traffic.speed.max() < 22


def test_vehicles_of_a_lane_do_not_drive_through_each_other(world: World) -> None:
    traffic = world.traffic
    for lane in range(4):
        mine = [a for a in traffic.actors if a.lane == lane]
        if len(mine) < 2:
            continue
        index, half = [a.index for a in mine], np.array([a.length / 2 for a in mine])
        for frame in range(0, len(traffic.s), 50):
            s = traffic.s[frame, index] % traffic.length
            order = np.argsort(s)
            gaps = np.diff(s[order], append=s[order][0] + traffic.length)
            assert (gaps - half[order] - np.roll(half[order], -1)).min() > 0.2, (lane, frame)


def test_the_drive_has_queues_overtaking_and_a_weaving_motorcycle(world: World) -> None:
    traffic = world.traffic
    speed = traffic.speed[:, [a.index for a in traffic.actors if not a.parked]]
    assert (speed < 0.3).any()
    ego = traffic.camera_actor(0)
    order = np.array([(traffic.s[:, a.index] - traffic.s[:, ego] + 480) % traffic.length > 480 for a in traffic.actors])
    near = np.abs((traffic.s - traffic.s[:, [ego]] + 480) % traffic.length - 480).T < 60
    changes = (np.diff(order.astype(int), axis=1) != 0) & near[:, 1:]
    moving = np.array([not a.parked and not a.oncoming for a in traffic.actors])
    assert changes[moving].any()
    assert any(a.lane == SPLIT and a.kind == "motorcycle" for a in traffic.actors)


def test_lights_change() -> None:
    states = [light_is_green(100.0, t) for t in range(64)]
    assert 0.4 < np.mean(states) < 0.7


def test_projection_keeps_sizes_true() -> None:
    camera = Camera(1280, 720)
    view = View(s=0.0, lateral=0.0, curvature=0.0, shake=0, speed=0.0)
    plate = np.array([[-0.26, 0.8, 0], [0.26, 0.8, 0], [0.26, 0.69, 0], [-0.26, 0.69, 0]], np.float32)
    pixels = camera.project(view.place(plate, 5.0, 0.0, 0.0))
    assert pixels[3, 1] - pixels[0, 1] == pytest.approx(camera.focal * 0.11 / 5, rel=1e-4)
    assert pixels[1, 0] - pixels[0, 0] == pytest.approx(camera.focal * 0.52 / 5, rel=1e-4)
    # 65 degrees across
    assert np.degrees(2 * np.arctan(640 / camera.focal)) == pytest.approx(65.0)
