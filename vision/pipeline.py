"""Pictures to plates read: pictures of any sizes in, for each its plates, found, straightened and read, out.

Detection is batched across the pictures; then the crops of all plates of all pictures go through the reader as one
batch and are handed back to their pictures. On a GPU pictures are uploaded once and stay there (`vision.resident`);
corners, scores and, at the end, the crops as evidence come back.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vision.engines import Choice, load_engines
from vision.rectify import rectify
from vision.registry import find_model
from vision.resident import fetch, rectified, upload
from vision.types import Detection, Detector, Image, PlateResult, PlateText, Reader

READABLE = 0.4
"""Least confidence of a still's text. Below it a text is more often wrong than right, and most of what is no number at
all (badges, signs, plates of a few pixels) reads so: it stays a candidate and is not told as the plate's text."""


@dataclass(slots=True)
class PipelineStats:
    """Sums since the pipeline was made; seconds of wall time."""

    pictures: int = 0
    plates: int = 0
    detect_seconds: float = 0.0
    rectify_seconds: float = 0.0
    read_seconds: float = 0.0


class PlatePipeline:
    """A detector and a reader behind one call; not safe for use by several threads at once."""

    def __init__(
        self,
        detector: Detector,
        reader: Reader,
        model_version: str,
        resident: torch.device | None = None,
        coarse: Detector | None = None,
    ) -> None:
        """`resident` is where pictures are to stay; detectors and reader must then take tensors there.

        `coarse` looks at stills in which `detector` found nothing that can be read; None: nothing does.
        """
        self.detector, self.reader, self.coarse = detector, reader, coarse
        self._resident = resident
        self.model_version = model_version
        """Such as `detector-v1.1a2b3c4d+reader-v1.5e6f7a8b-onnx-int8`; torch goes without saying."""
        self.choice: Choice | None = None
        """What runs the networks, where `load` chose it."""
        self.stats = PipelineStats()

    @classmethod
    def load(
        cls,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 1,
        detector: str = "default",
        reader: str = "default",
        engine: str = "auto",
        cache: Path | None = None,
        tiles: int | None = None,
    ) -> "PlatePipeline":
        """Load the named models; raises `ModelError` for an unknown or damaged one, `DeviceError` for a device.

        `threads` holds for torch and OpenCV in the whole process; `engine` and `cache` as in `vision.engines`; `tiles`
        is the size of the detector's input in tiles of 32 x 32, None what its card says.
        """
        finding, reading = find_model("detector", detector), find_model("reader", reader)
        cv2.setNumThreads(threads)
        choice, finds, reads = load_engines(
            finding, reading, engine, device=device, precision=precision, threads=threads, cache=cache
        )
        finds.tiles = tiles or finds.tiles
        placed = finds.placement.device
        resident = placed if placed.type == "cuda" else None
        pipeline = cls(finds, reads, f"{finds.version}+{reads.version}", resident, finds.at(finds.tiles // 2))
        pipeline.choice = choice
        return pipeline

    def read(self, images: Sequence[Image], stills: Sequence[bool] | None = None) -> list[list[PlateResult]]:
        """For each picture its plates, surest detection first.

        Args:
            images: each height x width x 3, BGR uint8.
            stills: per picture, whether it is the only look at its vehicles, so that a doubtful plate is worth a
                second look, which costs four times the first; frames of a video have the next frame for that. None:
                all are. A still's text below `READABLE` is left empty, with its candidates; what a frame of a video
                says is told however doubtful, since frames that agree may be sure together. A still without any text
                is looked at once more with an input of half the pixels, which finds plates that fill the picture.
        """
        pictures: Sequence[Any] = images if self._resident is None else upload(images, self._resident)
        results = self._look(self.detector, pictures, stills)
        unread = [
            number
            for number, found in enumerate(results)
            if (stills is None or stills[number]) and not any(result.text.plate for result in found)
        ]
        if self.coarse is not None and unread:
            for number, found in zip(unread, self._look(self.coarse, [pictures[n] for n in unread], None), strict=True):
                results[number] = _joined(results[number], [result for result in found if result.text.plate])
        self.stats.pictures += len(images)
        self.stats.plates += sum(map(len, results))
        return results

    def _look(
        self, detector: Detector, pictures: Sequence[Any], stills: Sequence[bool] | None
    ) -> list[list[PlateResult]]:
        begin = time.perf_counter()
        found = detector.detect(pictures)
        detected = time.perf_counter()
        crops = self._straightened(pictures, found)
        straightened = time.perf_counter()
        again = None
        if stills is not None:
            again = [still for still, detections in zip(stills, found, strict=True) for _ in detections]
        read = self.reader.read(crops, again) if len(crops) else []
        texts = iter(
            claimed(text) if still else text for text, still in zip(read, again or [True] * len(read), strict=True)
        )
        pieces = iter(crops if self._resident is None else fetch(crops))
        results = [
            [PlateResult(detection, next(texts), crop := next(pieces), sharpness(crop)) for detection in detections]
            for detections in found
        ]
        self.stats.detect_seconds += detected - begin
        self.stats.rectify_seconds += straightened - detected
        self.stats.read_seconds += time.perf_counter() - straightened
        return results

    def _straightened(self, pictures: Sequence[Any], found: Sequence[Sequence[Detection]]) -> Any:
        """The crops of all plates of all pictures: a list of arrays, or one tensor where the pictures are resident."""
        # detections count from the picture's edge, the rectifier from the middle of its first pixel
        corners = [[detection.corners - np.float32(0.5) for detection in detections] for detections in found]
        size = self.reader.crop_size
        if self._resident is not None:
            return rectified(pictures, corners, size)
        return [rectify(image, quad, size) for image, quads in zip(pictures, corners, strict=True) for quad in quads]


def _joined(unread: Sequence[PlateResult], read: Sequence[PlateResult]) -> list[PlateResult]:
    """What could be read, then what could not and lies elsewhere."""
    taken = [result.detection.box for result in read]
    return [*read, *(result for result in unread if not any(_middle_in(result.detection.box, box) for box in taken))]


def _middle_in(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return other[0] <= x <= other[0] + other[2] and other[1] <= y <= other[1] + other[3]


def claimed(text: PlateText) -> PlateText:
    """The text as a still tells it: empty, with its candidates, where it is not `READABLE`."""
    if text.confidence >= READABLE or not text.plate:
        return text
    return replace(text, plate="", confidence=0.0, char_probs=())


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian of the grey crop: 0 for a flat one, thousands for crisp strokes."""
    return float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())
