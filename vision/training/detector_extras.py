"""Plates of the training scenes that their sources did not annotate: scenes in, scenes with those plates out.

`detector_extras.json` names, by picture, boxes that a detector found and a person looked at: `plates` are plates,
`unsure` may be plates. The boxes are as tight as the detector was. Only pictures of `train` are in it.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vision.training.data import PlateLabel, Scene

FILE = Path(__file__).with_suffix(".json")


def with_extras(scenes: Iterable[Scene], file: Path = FILE) -> list[Scene]:
    """The scenes with their further plates; a scene without annotation stays so unless the file knows its plates."""
    listing = json.loads(file.read_text(encoding="utf-8"))
    out = []
    for scene in scenes:
        name = "/".join(scene.image.parts[-3:])
        sure = [PlateLabel(tuple(box), None, None) for box in listing["plates"].get(name, ())]
        doubtful = [PlateLabel(tuple(box), None, None, unsure=True) for box in listing["unsure"].get(name, ())]
        own = tuple(plate for plate in scene.plates or () if plate.box or plate.corners)
        known = scene.plates is not None and len(own) == len(scene.plates)
        out.append(replace(scene, plates=(*own, *sure, *doubtful)) if known or sure else scene)
    return out
