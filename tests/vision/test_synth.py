"""Synthesis: the same seed gives the same crop, easy is easier than hard, light is evened out."""

import numpy as np
import pytest
import torch

from vision.light import even_light
from vision.training.synth import degrade, loosen, mount, plate_height, synth_crop, take_picture

SIZE = (48, 144)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_the_same_seed_gives_the_same_crops(difficulty: float) -> None:
    def crops() -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        return [synth_crop(rng, difficulty, SIZE, illegible=0.1).crop for _ in range(10)]

    for first, second in zip(crops(), crops(), strict=True):
        assert first.shape == (*SIZE, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, second)


def test_easy_crops_have_more_contrast_than_hard_ones() -> None:
    def contrast(difficulty: float) -> float:
        rng = np.random.default_rng(1)
        return float(np.median([synth_crop(rng, difficulty, SIZE).crop.std() for _ in range(60)]))

    assert contrast(0.0) > 1.2 * contrast(1.0)


def test_ruined_crops_are_marked() -> None:
    rng = np.random.default_rng(2)
    made = [synth_crop(rng, 0.3, SIZE, illegible=0.5) for _ in range(60)]
    assert 15 < sum(not m.legible for m in made) < 45


def test_plates_get_as_small_as_ten_pixels_when_hard() -> None:
    rng = np.random.default_rng(3)
    heights = [plate_height(rng, 1.0) for _ in range(400)]
    assert 10 <= min(heights) < 12
    assert min(plate_height(rng, 0.0) for _ in range(400)) >= 30


def test_the_plate_is_where_its_corners_say() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        red = np.zeros((52, 200, 3), np.float32)
        red[..., 2] = 255
        panel, inner = mount(red, rng, 0.0)
        panel[..., 2] = np.where(panel[..., 2] > 254, 255, 0)
        view, corners = take_picture(panel, inner, rng, 1.0, 40.0)
        middle = corners.mean(axis=0)
        for corner in corners:
            # a frame may hide a tenth of the plate's height
            inside = np.round(corner + 0.25 * (middle - corner)).astype(int)
            outside = np.round(corner - 0.12 * (middle - corner)).astype(int)
            assert view[inside[1], inside[0], 2] > 200
            assert view[outside[1], outside[0], 2] < 80


def test_degrading_and_loosening_stay_within_bounds() -> None:
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 255, (40, 120, 3), dtype=np.uint8)
    corners = np.array([[20, 10], [100, 10], [100, 30], [20, 30]], np.float32)
    for _ in range(30):
        assert degrade(picture, rng, 1.0).shape == picture.shape
        assert np.abs(loosen(corners, rng, 1.0) - corners).max() < 40


def test_even_light_removes_exposure() -> None:
    crop = torch.from_numpy(np.random.default_rng(6).integers(40, 200, (1, 3, 48, 144)).astype(np.float32))
    dark = even_light(crop * 0.5 + 5)
    bright = even_light(crop)
    # the floor keeps dark crops a little flatter, but the same picture
    assert torch.allclose(bright * (dark.std() / bright.std()), dark, atol=0.02)
    assert 0.75 < float(dark.std() / bright.std()) < 1
    assert abs(float(dark.mean())) < 0.1
    assert torch.isfinite(even_light(torch.zeros(1, 3, 8, 8))).all()
