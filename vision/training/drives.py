"""Simulated drives as training scenes: a folder that `platefleet simulate` wrote in, scenes with all four corners out.

Errors: `DataError` for a folder that is no drive of JPEG pictures.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vision.training.data import DataError, PlateLabel, Scene

SOURCE = "simulator"
TRUTH = "truth_frames.jsonl"
_HIDDEN = 0.3
"""Of a plate, above which it is neither wanted nor punished."""


def load_drive(folder: Path) -> list[Scene]:
    """Every frame of every camera of a drive, with the plates that can be seen in it."""
    truth = rows(folder / TRUTH)
    plates: dict[tuple[str, int], list[PlateLabel]] = defaultdict(list)
    for row in truth:
        corners = tuple((float(x), float(y)) for x, y in row["corners"])
        unsure = not row["visible"] or row["occluded"] > _HIDDEN
        plates[row["camera_id"], row["seq"]].append(PlateLabel(None, corners, row["plate"], unsure))
    scenes = []
    for camera, row, image in frames(folder):
        shown = tuple(plates.get((camera, row["seq"]), ()))
        scenes.append(Scene(image, SOURCE, int(row["width"]), int(row["height"]), shown, None, "train"))
    if not scenes:
        raise DataError(f"{folder} holds no frames; name a folder that `platefleet simulate` wrote")
    return scenes


def frames(folder: Path) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """Every frame of a drive, camera by camera in order: the camera, what is known of the frame, its picture."""
    for listing in sorted(folder.glob("*/frames.jsonl")):
        for row in rows(listing):
            image = listing.parent / row["file"]
            if image.suffix != ".jpg":
                raise DataError(f"{folder} was recorded as video; simulate it with the jpeg codec")
            yield listing.parent.name, row, image


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of one of a drive's files."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a folder that `platefleet simulate` wrote") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON lines: {error}") from error
