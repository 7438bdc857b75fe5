"""Texts that the pack does not have: plates of `train` read by eye, and labels that proved wrong.

`reader_extras.json` holds, by picture, under `plates` a box, its text and its country (null where the plate does not
tell), and under `texts` what a crop of the pack really shows, null where nobody could swear to it or where it is a
plate of another split. Only `train` is in it; a test holds that no text of it stands in another split.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vision.training.data import Crop, PlateLabel, Scene, scaled_box

EXTRAS = Path(__file__).with_name("reader_extras.json")


@dataclass(frozen=True, slots=True)
class ReadByEye:
    """One plate that was read by eye."""

    label: PlateLabel
    country: str | None


def plates_of(scene: Scene) -> list[ReadByEye]:
    """The scene's plates with a text: those of the pack, and those read by eye since."""
    own = [ReadByEye(plate, scene.country) for plate in scene.plates or () if plate.text]
    if scene.split != "train":
        return own
    return own + [
        ReadByEye(PlateLabel(scaled_box(box, scene.scale), None, text), country)
        for *box, text, country in _extras()["plates"].get(_name(scene.image), ())
    ]


def text_of(crop: Crop) -> str | None:
    """What the crop shows; None where its label is doubted."""
    texts: dict[str, str | None] = _extras()["texts"] if crop.split == "train" else {}
    return texts.get(_name(crop.image), crop.text)


@lru_cache(maxsize=1)
def _extras() -> dict[str, dict]:
    listing: dict[str, dict] = json.loads(EXTRAS.read_text(encoding="utf-8"))
    return listing


def _name(image: Path) -> str:
    return "/".join(image.parts[-3:])
