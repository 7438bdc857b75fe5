"""What the annotation of scenes leaves out: scenes in, scenes with the plates that a person has looked at since out.

Three files, each by picture: `plates` are plates that nobody had annotated, `unsure` may be plates or are plates that
shall only not be counted as wrong, `tight` are the number of an annotated plate and the box that fits it. The boxes are
as tight as the detector that found them was. `detector_extras.json` is of train and is trained on; `val_slips.json` is
of val and `test_slips.json` of test, where figures with them stand beside the strict ones, never in their place.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.training.data import PlateLabel, Scene, scaled_box

EXTRAS = Path(__file__).with_name("detector_extras.json")
VAL_SLIPS = Path(__file__).with_name("val_slips.json")
TEST_SLIPS = Path(__file__).with_name("test_slips.json")


def with_extras(scenes: Iterable[Scene], file: Path = EXTRAS) -> list[Scene]:
    """The scenes with their further plates; a scene without annotation stays so unless the file knows its plates."""
    listing = json.loads(file.read_text(encoding="utf-8"))
    return [_mended(scene, listing) for scene in scenes]


def _mended(scene: Scene, listing: Mapping[str, Any]) -> Scene:
    name = "/".join(scene.image.parts[-3:])
    size = scene.scale
    sure = [PlateLabel(scaled_box(box, size), None, None) for box in listing.get("plates", {}).get(name, ())]
    doubtful = [
        PlateLabel(scaled_box(box, size), None, None, unsure=True) for box in listing.get("unsure", {}).get(name, ())
    ]
    own = list(scene.plates or ())
    for number, *box in listing.get("tight", {}).get(name, ()):
        own[number] = replace(own[number], box=scaled_box(box, size))
    placed = [plate for plate in own if plate.box or plate.corners]
    known = scene.plates is not None and len(placed) == len(scene.plates)
    return replace(scene, plates=(*placed, *sure, *doubtful)) if known or sure else scene
