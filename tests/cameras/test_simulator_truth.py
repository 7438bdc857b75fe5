"""Truth against pixels and against itself."""

import numpy as np
import pytest

from cameras.simulator.geometry import quad_height
from cameras.simulator.light import parse_conditions
from cameras.simulator.picture import CameraView
from cameras.simulator.truth import PASS_GAP_MS, Observation, passes
from cameras.simulator.world import World, build_world

SIZE = (1280, 720)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=3, cameras=3, seconds=30, fps=5, start_ms=None)


@pytest.fixture(scope="module")
def view(world: World) -> CameraView:
    return CameraView(world, 0, parse_conditions("overcast"), SIZE)


@pytest.fixture(scope="module")
def watched(view: CameraView) -> list[Observation]:
    return [seen for frame in range(0, 150, 3) for seen in view.render(frame)[1]]


def inside(corners: np.ndarray, margin: float) -> np.ndarray:
    """Mask of a quadrilateral grown by `margin` pixels."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(np.float32)
    mask = np.ones(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = np.hypot(bx - ax, by - ay)
        mask &= ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length > -margin
    return mask


def test_pixels_change_where_the_truth_says_a_plate_is(view: CameraView) -> None:
    checked = 0
    for frame in range(0, 150, 8):
        with_plates, seen = view.render(frame)
        with_plates = with_plates.astype(int)
        without = view.render(frame, plates=False)[0].astype(int)
        changed = np.abs(with_plates - without).max(axis=2) > 12
        allowed = np.zeros(changed.shape, bool)
        for plate in seen:
            # a fast vehicle's plate is smeared beyond its corners
            allowed |= inside(plate.corners, 2.5 + plate.smear_px)
            if plate.legible:
                core = inside(plate.corners, -0.12 * plate.height_px)
                assert changed[core].mean() > 0.55, (frame, plate.plate)
                checked += 1
        # plates below the smallest told size may change a few pixels
        assert (changed & ~allowed).sum() <= 60, frame
    assert checked >= 10


def test_corners_run_clockwise_from_the_top_left_and_height_fits(watched: list[Observation]) -> None:
    assert len(watched) > 100
    for seen in watched:
        top_left, top_right, bottom_right, bottom_left = seen.corners
        assert top_left[0] < top_right[0]
        assert bottom_left[0] < bottom_right[0]
        assert top_left[1] < bottom_left[1]
        assert top_right[1] < bottom_right[1]
        assert seen.height_px == pytest.approx(quad_height(seen.corners), rel=1e-5)


def test_visible_and_legible_mean_what_they_say(watched: list[Observation]) -> None:
    for seen in watched:
        if seen.in_view and not seen.visible:
            assert (seen.corners < 0).any() or (seen.corners > np.array(SIZE) - 1).any()
            assert seen.corners.max(axis=0).min() > 0
        if seen.visible:
            assert seen.in_view
            assert (seen.corners >= 0).all()
            assert (seen.corners <= np.array(SIZE) - 1).all()
            assert seen.occluded <= 0.5
        if seen.legible:
            assert seen.visible
            assert not seen.covered
            assert seen.height_px >= 14
            assert seen.contrast >= 12
    assert any(s.legible for s in watched)
    assert any(s.in_view and not s.visible for s in watched)
    assert any(s.occluded > 0.5 and not s.visible for s in watched)


def test_plate_sizes_are_those_of_a_dash_cam(watched: list[Observation]) -> None:
    heights = [s.height_px for s in watched if s.legible]
    assert max(heights) < 120
    assert np.median([s.height_px for s in watched]) < 14


def observation(
    at: int, *, visible: bool = True, in_view: bool | None = None, vehicle: str = "v1", height: float = 20.0
) -> Observation:
    return Observation(
        "camera-01", at // 200, at, vehicle, "AB123", "DE", "hatch", "rear", np.zeros((4, 2), np.float32),
        height, 0.0, visible if in_view is None else in_view, visible, visible, False, ("sun",), 0.0, 50.0,
    )  # fmt: skip


def test_a_pass_ends_after_a_gap_and_coming_back_is_a_new_one() -> None:
    times = [0, 200, 400, 400 + PASS_GAP_MS, 400 + 2 * PASS_GAP_MS + 200]
    rows = passes([observation(t) for t in times], ("sun",))
    assert [(r["first_seen"], r["last_seen"], r["frames_visible"]) for r in rows] == [
        (0, 400 + PASS_GAP_MS, 4),
        (times[-1], times[-1], 1),
    ]


def test_a_vehicle_that_waits_at_the_edge_of_the_picture_has_not_left() -> None:
    waits = range(200, 3 * PASS_GAP_MS, 200)
    seen = [
        observation(0),
        *(observation(t, visible=False, in_view=True) for t in waits),
        observation(3 * PASS_GAP_MS),
        *(observation(3 * PASS_GAP_MS + t, visible=False) for t in waits),
        observation(6 * PASS_GAP_MS),
    ]
    rows = passes(seen, ("sun",))
    assert [(r["first_seen"], r["last_seen"], r["frames_visible"]) for r in rows] == [
        (0, 3 * PASS_GAP_MS, 2),
        (6 * PASS_GAP_MS, 6 * PASS_GAP_MS, 1),
    ]


def test_what_is_not_visible_makes_no_pass() -> None:
    assert passes([observation(0, visible=False)], ("sun",)) == []
    assert passes([observation(0, visible=False, in_view=True)], ("sun",)) == []


def test_passes_agree_with_the_frames(watched: list[Observation]) -> None:
    rows = passes(watched, ("overcast",))
    assert sum(r["frames_visible"] for r in rows) == sum(s.visible for s in watched)
    assert sum(r["legible_frames"] for r in rows) == sum(s.legible for s in watched)
    for row in rows:
        mine = [
            s
            for s in watched
            if s.visible
            and s.vehicle_id == row["vehicle_id"]
            and row["first_seen"] <= s.captured_at <= row["last_seen"]
        ]
        assert {s.plate for s in mine} == {row["plate"]}
        assert row["max_plate_height_px"] == round(max(s.height_px for s in mine), 1)
        assert row["frames_visible"] == len(mine)


def test_direction_is_told_from_growth() -> None:
    coming = passes([observation(200 * k, height=10.0 + k) for k in range(5)], ())
    leaving = passes([observation(200 * k, height=20.0 - k) for k in range(5)], ())
    assert (coming[0]["direction"], leaving[0]["direction"]) == ("approaching", "receding")


def test_some_vehicles_pass_two_cameras(world: World) -> None:
    seen: dict[str, set[str]] = {}
    for number in range(3):
        camera = CameraView(world, number, parse_conditions("sun"), SIZE)
        for frame in range(0, 150, 12):
            for row in camera.render(frame)[1]:
                seen.setdefault(row.vehicle_id, set()).add(row.camera_id)
    assert any(len(cameras) > 1 for cameras in seen.values())


def test_every_plate_is_worn_by_one_vehicle_and_some_are_spoilt(world: World) -> None:
    texts = [w.spec.text for w in world.wearers]
    assert len(set(texts)) == len(texts)
    assert any(w.cover == "opaque" for w in world.wearers)
    assert any(w.dirty for w in world.wearers)
    home = sum(w.spec.region == world.home for w in world.wearers) / len(texts)
    assert 0.6 < home < 0.98
