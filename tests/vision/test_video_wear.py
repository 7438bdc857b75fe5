"""Rolling shutter and H.264 damage: the same size, repeatable, worse where asked for worse."""

import numpy as np
import pytest

from vision.plates import random_plate, render_plate
from vision.training.video_wear import h264, rolling_shutter
from vision.types import Image


@pytest.fixture
def plate() -> Image:
    return np.asarray(render_plate(random_plate(np.random.default_rng(5)), 41), np.uint8)


def _off(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(np.float32) - other).mean())


def test_video_damage_grows_with_the_rate_factor_and_repeats(plate: Image) -> None:
    near, far = (h264(plate, np.random.default_rng(1), quality) for quality in (20, 45))
    assert near.shape == far.shape == plate.shape
    assert near.dtype == np.uint8
    assert 0 < _off(near, plate) < 0.5 * _off(far, plate)
    assert (h264(plate, np.random.default_rng(1), 45) == far).all()


def test_what_is_too_small_for_the_encoder_comes_back_as_it_is() -> None:
    tiny = np.full((12, 30, 3), 90, np.uint8)
    assert h264(tiny, np.random.default_rng(1), 40) is tiny


def test_the_shutter_bends_upright_strokes_only(plate: Image) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:, 28:32] = 255
    level = np.zeros((40, 60, 3), np.uint8)
    level[18:22] = 255
    bent = rolling_shutter(upright, np.random.default_rng(2), 3.0)
    middles = np.array([np.average(np.arange(60), weights=row[:, 0]) for row in bent])
    assert 1.5 < np.ptp(middles) <= 6.5
    assert (rolling_shutter(level, np.random.default_rng(2), 3.0) == level).all()
    assert (rolling_shutter(plate, np.random.default_rng(2), 0.0) == plate).all()
