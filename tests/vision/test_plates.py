"""Invented plates: every region has a layout that can be drawn, read back from its own specification, and repeated."""

import re

import numpy as np
import pytest

from vision.plates import LAYOUTS, REGIONS, plate_size, plate_with_text, random_plate, render_plate
from vision.plates.glyphs import FONT_FOLDER, FONT_NAMES
from vision.plates.spec import fill_pattern


@pytest.mark.parametrize("region", REGIONS)
def test_a_plate_of_every_region_is_drawn_with_contrast(region: str) -> None:
    rng = np.random.default_rng(REGIONS.index(region))
    for kind in ("car", "motorcycle"):
        spec = random_plate(rng, region, kind)
        picture = render_plate(spec, 64)
        width, height = plate_size(spec)
        assert picture.dtype == np.uint8
        assert picture.shape == (64, round(64 * width / height), 3)
        assert spec.kind == kind
        assert spec.rows in (1, 2)
        # the number has to stand out: dark and light pixels both fill a good part of the plate's middle
        middle = picture[16:52, picture.shape[1] // 5 : -picture.shape[1] // 5].mean(axis=2)
        assert np.percentile(middle, 95) - np.percentile(middle, 5) > 45


def test_text_is_what_is_shown_without_separators() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        spec = random_plate(rng)
        assert spec.text == re.sub(r"[^A-Z0-9]", "", "".join(spec.shown))
        assert re.fullmatch(r"[A-Z0-9]{3,11}", spec.text)
        assert spec.region in REGIONS


def test_the_same_seed_gives_the_same_plates() -> None:
    first = [random_plate(np.random.default_rng(9)) for _ in range(2)]
    assert first[0] == first[1]
    assert np.array_equal(render_plate(first[0]), render_plate(first[1]))


def test_plates_with_a_chosen_text() -> None:
    spec = plate_with_text("mh 12/ab 1234", "IN", seed=3)
    assert spec.text == "MH12AB1234"
    assert spec.rows == 2
    assert render_plate(spec, 48).shape[0] == 48


@pytest.mark.parametrize(("text", "region", "style"), [("--", "DE", 0), ("AB12", "XX", 0), ("AB12", "DE", 99)])
def test_impossible_plates_are_refused(text: str, region: str, style: int) -> None:
    with pytest.raises(ValueError, match=r"style|letter"):
        plate_with_text(text, region, style=style)


def test_unknown_regions_and_tiny_plates_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="ZZ"):
        random_plate(rng, "ZZ")
    with pytest.raises(ValueError, match="12 pixels"):
        render_plate(random_plate(rng), 5)


def test_patterns() -> None:
    rng = np.random.default_rng(1)
    assert re.fullmatch(r"(MH|DL) \d\d-[XY]/T", fill_pattern("{MH|DL} 99-A/T", "XY", rng))


def test_layouts_name_fonts_that_are_there_and_every_font_has_its_licence() -> None:
    assert {font for looks in LAYOUTS.values() for look in looks for font in look.fonts} <= set(FONT_NAMES)
    for name in FONT_NAMES:
        licences = [p.stem.removeprefix("LICENSE-") for p in FONT_FOLDER.glob("LICENSE-*.txt")]
        assert any(name.startswith(licence) for licence in licences), name
        assert name.rsplit("-", 1)[0] in (FONT_FOLDER / "FONTS.md").read_text()


def test_letters_that_a_region_does_not_use_come_only_when_asked_for() -> None:
    def of_series(any_letters: float) -> set[str]:
        plates = [random_plate(np.random.default_rng(s), "US-VA", "car", any_letters) for s in range(300)]
        return set("".join(plate.text for plate in plates if plate.style == 0))

    assert not {"O", "I"} & of_series(0.0)
    assert {"O", "I"} <= of_series(1.0)
