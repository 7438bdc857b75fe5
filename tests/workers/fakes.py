"""Frames that carry their number as a bar code, and a pipeline that reads it back: deterministic, no weights."""

import hashlib
import os
import time
from collections.abc import Sequence

import cv2
import numpy as np

from plumbing.bus import Record
from schemas.codec import encode_frame_header
from schemas.frame import FrameHeader
from vision.types import Detection, Image, PlateResult, PlateText
from workers.settings import ReaderSettings

BITS = 16
CELL = 16
RAISES = 60_001
"""The pipeline raises on a picture with this number."""
KILLS = 60_002
"""The pipeline's process dies of a picture with this number."""
EMPTY = 60_003
"""No plate is seen in a picture with this number."""


def picture(number: int, width: int = 320, height: int = 192) -> Image:
    """A grey picture with `number` as black and white cells in its top row."""
    image = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: Image) -> int:
    """Read the cells back."""
    row = image[CELL // 2, CELL // 2 : BITS * CELL : CELL, 1]
    return sum(1 << bit for bit, level in enumerate(row) if level > 192)


def jpeg(number: int, width: int = 320, height: int = 192) -> bytes:
    """The picture of `number` as JPEG."""
    return cv2.imencode(".jpg", picture(number, width, height))[1].tobytes()


def header_of(value: bytes, camera_id: str, seq: int, **changes: object) -> FrameHeader:
    """A right header for `value`, but for `changes`."""
    fields: dict[str, object] = {
        "camera_id": camera_id,
        "seq": seq,
        "captured_at": 1_700_000_000_000 + 200 * seq,
        "codec": "jpeg",
        "width": 320,
        "height": 192,
        "sha256": hashlib.sha256(value).hexdigest(),
        "lat": 48.1,
        "lon": 11.5,
        "heading": 90.0,
        "speed": 13.9,
    }
    return FrameHeader(**(fields | changes))  # type: ignore[arg-type]


def record(value: bytes, camera_id: str = "cam-1", seq: int = 1, offset: int = 0, **changes: object) -> Record:
    """A record of fleet.frames."""
    headers = encode_frame_header(header_of(value, camera_id, seq, **changes))
    return Record("fleet.frames", 0, offset, 1_700_000_000_500, camera_id.encode(), value, headers)


class BarcodePipeline:
    """Reads the number of a picture as plate `AB` + five digits."""

    model_version = "barcode-1"

    def __init__(self, seconds_per_picture: float = 0.0) -> None:
        self._seconds = seconds_per_picture
        self.batches: list[int] = []
        self.stills: list[bool] = []

    def read(self, images: Sequence[Image], stills: Sequence[bool] | None = None) -> list[list[PlateResult]]:
        """One plate per picture, or as the special numbers say."""
        self.batches.append(len(images))
        self.stills += stills or ()
        time.sleep(self._seconds * len(images))
        numbers = [number_of(image) for image in images]
        if KILLS in numbers:
            os._exit(1)
        if RAISES in numbers:
            raise RuntimeError("shape mismatch\nin layer 3")
        return [
            [] if number == EMPTY else [_plate(number, image)] for number, image in zip(numbers, images, strict=True)
        ]


def _plate(number: int, image: Image) -> PlateResult:
    plate = f"AB{number:05d}"
    corners = np.array([[10, 20], [110, 20], [110, 50], [10, 50]], np.float32)
    text = PlateText(
        plate=plate,
        confidence=0.9,
        char_probs=tuple(((symbol, 0.98), ("8", 0.01)) for symbol in plate),
        candidates=((plate, 0.9), (plate[:-1] + "X", 0.05)),
        region="DE",
        region_confidence=0.7,
    )
    return PlateResult(Detection(corners, 0.95), text, np.ascontiguousarray(image[:48, :144]), 55.0)


def barcode(settings: ReaderSettings) -> BarcodePipeline:
    """Factory for reader actors."""
    return BarcodePipeline()


def slow_barcode(settings: ReaderSettings) -> BarcodePipeline:
    """The same at 10 ms a picture."""
    return BarcodePipeline(0.01)


def unloadable(settings: ReaderSettings) -> BarcodePipeline:
    """A factory whose model is not there."""
    raise FileNotFoundError("no weights at vision/weights/nowhere")
