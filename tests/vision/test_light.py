"""The ways of evening out the light that the benchmark compares, and what it makes dark and dazzling."""

import numpy as np
import pytest
import torch

from bench.light import WAYS, Curve, Plates, darkened, dazzled, difference, gamma, invented_plates
from vision.reader import CROP_SIZE
from vision.training.slices import slices_of


@pytest.fixture(scope="module")
def plates() -> Plates:
    return invented_plates(24, seed=2)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_gives_the_networks_input(way, plates: Plates) -> None:  # type: ignore[no-untyped-def]
    inputs = way.inputs(plates.crops[:3])
    assert inputs.shape == (3, 3, *CROP_SIZE)
    assert inputs.dtype == torch.float32
    assert inputs.abs().max() <= 4.0


def test_a_curve_is_the_identity_until_it_learns() -> None:
    pixels = torch.linspace(-4, 4, 97).view(1, 1, 1, 97)
    curve = Curve()
    assert torch.equal(curve(pixels), pixels)
    with torch.no_grad():
        curve.offsets[4] = 0.5  # the middle point
    moved = (curve(pixels) - pixels).detach().flatten()
    assert moved[48] == pytest.approx(0.5, abs=1e-3)
    assert moved[54] == pytest.approx(0.25, abs=1e-3), "half way to the next point"
    assert not moved[:36].any()


def test_gamma_brings_the_mean_to_one_value() -> None:
    ramp = np.tile(np.linspace(5, 120, CROP_SIZE[1])[None, :, None], (CROP_SIZE[0], 1, 3)).astype(np.uint8)
    assert abs(gamma(ramp).mean() / 255 - 0.45) < 0.05 < abs(ramp.mean() / 255 - 0.45)


def test_plates_made_dark_are_dark_and_dazzled_ones_have_glare(plates: Plates) -> None:
    dark = plates.made(darkened, 1)
    names = [slices_of(crop, 144, 48, None) for crop in dark.crops]
    assert np.mean(["dark" in found for found in names]) > 0.9
    glaring = plates.made(dazzled, 1).of_slice("glare")
    assert 0 < len(glaring.truths) == len(glaring.crops)
    assert np.array_equal(plates.made(dazzled, 1).crops, plates.made(dazzled, 1).crops), "a seed gives the same light"


def test_a_difference_is_judged_in_pairs() -> None:
    base = np.arange(200) % 3 > 0
    better = base.copy()
    better[:60] = True
    gained, low, high = difference(better, base)
    assert gained == pytest.approx(10.0)
    assert 5.0 < low < 10.0 < high < 15.0
    assert difference(base, base) == (0.0, 0.0, 0.0)
