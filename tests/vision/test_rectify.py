"""Straightening: where the corners go, that the margin is the margin, and that large plates are shrunk cleanly."""

import cv2
import numpy as np
import pytest

from vision.rectify import box_corners, crop_transform, rectify

SIZE = (48, 144)


def _seen(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return cv2.perspectiveTransform(points[None].astype(np.float64), transform)[0]


def test_corners_land_inside_by_the_margin() -> None:
    corners = np.array([[10, 20], [200, 30], [190, 90], [15, 70]], np.float32)
    landed = _seen(crop_transform(corners, SIZE, margin=0.1), corners)
    assert landed == pytest.approx(np.array([[11.5, 3.5], [131.5, 3.5], [131.5, 43.5], [11.5, 43.5]]), abs=0.05)


def test_there_and_back() -> None:
    corners = np.array([[30, 12], [170, 40], [165, 95], [25, 60]], np.float32)
    transform = crop_transform(corners, SIZE)
    points = np.random.default_rng(0).uniform([30, 20], [160, 80], (50, 2))
    back = _seen(np.linalg.inv(transform), _seen(transform, points))
    assert back == pytest.approx(points, abs=1e-3)


def test_a_plate_put_into_perspective_comes_back() -> None:
    rng = np.random.default_rng(2)
    flat = cv2.GaussianBlur(rng.integers(0, 255, (48, 144, 3), dtype=np.uint8), (0, 0), 3)
    place = np.array([[40, 30], [250, 60], [240, 150], [50, 100]], np.float32)
    back = cv2.getPerspectiveTransform(box_corners(0, 0, 144, 48), place)
    picture = cv2.warpPerspective(flat, back, (320, 200), borderMode=cv2.BORDER_REPLICATE)
    crop = rectify(picture, place, SIZE, margin=0.0)
    assert crop.shape == (48, 144, 3)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - flat[4:-4, 4:-4]).mean() < 3


def test_an_upright_box_without_margin_is_a_plain_cut() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    crop = rectify(picture, box_corners(20, 30, 144, 48), SIZE, margin=0.0)
    assert np.array_equal(crop, picture[30:78, 20:164])


def test_a_large_plate_is_shrunk_by_area() -> None:
    checkers = np.indices((960, 1440)).sum(axis=0) % 2 * 255
    picture = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)
    crop = rectify(picture, box_corners(100, 100, 1000, 500), SIZE)
    assert crop.std() < 25, "single pixels of a fine pattern must not survive"


def test_boxes_partly_or_wholly_outside_repeat_the_edge() -> None:
    picture = np.full((50, 80, 3), 77, np.uint8)
    for box in ((-40, -10, 90, 30), (200, 200, 60, 20), (-4000, -900, 9000, 3000)):
        assert (rectify(picture, box_corners(*box), SIZE) == 77).all()


@pytest.mark.parametrize("bad", [np.zeros((4, 2)), np.full((4, 2), np.nan), np.array([[0, 0], [1, 1], [2, 2], [3, 3]])])
def test_corners_without_area_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no area"):
        rectify(np.zeros((10, 10, 3), np.uint8), bad.astype(np.float32), SIZE)
