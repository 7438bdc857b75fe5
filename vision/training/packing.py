"""A smaller copy of the data pack: photographs in, a folder within a size out, with manifests of the same form.

Whole pictures are shrunk and compressed step by step until all of them fit; what is smaller already is copied as it
is. Boxes and corners shrink with their picture, and `scale` in its row tells the lists of what the annotation leaves
out, whose boxes are of the source's size. The split `test` is left out, pictures and rows.

Errors: `DataError` for a pack that cannot be read, or that no step makes small enough.
"""

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.training.data import AS_STORED, DEFAULT_ROOT, DataError, Split, manifest_rows
from vision.types import Image

log = logging.getLogger(__name__)

_SAMPLED = 60
"""Pictures that a step is tried on before all are written."""
MANIFESTS = ("scenes.jsonl", "crops.jsonl")


@dataclass(frozen=True, slots=True)
class Step:
    """How much smaller: no side longer than `side` pixels, JPEG of `quality` per cent."""

    side: int
    quality: int


STEPS = (
    Step(4096, 100), Step(1920, 90), Step(1600, 88), Step(1280, 88), Step(1280, 80), Step(1024, 85), Step(960, 80),
    Step(800, 80), Step(720, 75), Step(640, 75), Step(512, 75), Step(416, 70), Step(320, 70), Step(240, 60),
)  # fmt: skip
"""From the largest, which leaves nearly every picture as it is, to the smallest; plates are unreadable below."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What a smaller pack is made of."""

    pictures: int
    size: int
    """In bytes, manifests included."""
    step: Step


def pack(
    out: Path,
    *,
    limit: int,
    root: Path | None = None,
    splits: Collection[Split] = ("train", "val"),
    show: Callable[[str], None] = log.info,
) -> Packed:
    """Write a pack of at most `limit` bytes into the empty or new folder `out`; `show` is told each step.

    Raises:
        DataError: see the module; `out` that holds something; the split `test`.
    """
    if "test" in splits:
        raise DataError("the test split is not packed: it is read only by `platefleet evaluate`, where it lies")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: name a new folder")
    folder = root or DEFAULT_ROOT
    if not (folder / MANIFESTS[0]).is_file():
        raise DataError(f"no photographs at {folder}: put the data pack there (scenes.jsonl, crops.jsonl) or name it")
    rows = {name: [row for _, row in manifest_rows(folder / name) if row["split"] in splits] for name in MANIFESTS}
    pictures = sorted({row["image"] for part in rows.values() for row in part})
    for step in STEPS:
        if _estimate(folder, pictures, step) > limit:
            continue
        size = _write(folder, out, rows, step)
        show(f"no side over {step.side} pixels, JPEG of {step.quality} %: {size / 2**20:.1f} MiB")
        if size <= limit:
            return Packed(len(pictures), size, step)
    raise DataError(f"{len(pictures)} pictures do not go into {limit} bytes; allow more")


def _estimate(folder: Path, pictures: list[str], step: Step) -> float:
    """Bytes of all pictures after a step, from an even sample of them."""
    sample = pictures[:: max(1, len(pictures) // _SAMPLED)]
    sizes = [len(shrink((folder / name).read_bytes(), step)[0]) for name in sample]
    return float(np.mean(sizes)) * len(pictures) if sizes else 0.0


def _write(folder: Path, out: Path, rows: dict[str, list[dict[str, Any]]], step: Step) -> int:
    """Write pictures and manifests over those of an earlier step; returns the bytes of all."""
    total = 0
    for name, part in rows.items():
        lines = []
        for row in part:
            data, scale = shrink((folder / row["image"]).read_bytes(), step)
            target = out / row["image"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            total += len(data)
            lines.append(json.dumps(scaled_row(row, scale)) + "\n")
        listing = "".join(lines).encode()
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(listing)
        total += len(listing)
    return total


def shrink(data: bytes, step: Step) -> tuple[bytes, float]:
    """A compressed picture after a step, and its size relative to what it was; itself where that is no larger."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), AS_STORED)
    if picture is None:
        raise DataError("a picture of the pack cannot be decoded")
    scale = min(1.0, step.side / max(picture.shape[:2]))
    small = _resized(np.asarray(picture, np.uint8), scale)
    compressed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, step.quality])[1].tobytes()
    if scale == 1.0 and len(compressed) >= len(data):
        return data, 1.0
    return compressed, scale


def _resized(picture: Image, scale: float) -> Image:
    if scale == 1.0:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def scaled_row(row: dict[str, Any], scale: float) -> dict[str, Any]:
    """A manifest's row for its picture at `scale`; a row of a crop, which has no places, stays as it is."""
    if scale == 1.0 or "plates" not in row:
        return row
    plates = None if row["plates"] is None else [_scaled_plate(plate, scale) for plate in row["plates"]]
    size = {name: max(1, round(row[name] * scale)) for name in ("width", "height")}
    return row | size | {"plates": plates, "scale": round(row.get("scale", 1.0) * scale, 6)}


def _scaled_plate(plate: dict[str, Any], scale: float) -> dict[str, Any]:
    box, corners = plate["box"], plate["corners"]
    return plate | {
        "box": None if box is None else [round(side * scale, 2) for side in box],
        "corners": None if corners is None else [[round(x * scale, 2), round(y * scale, 2)] for x, y in corners],
    }
