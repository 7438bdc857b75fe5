"""A simulated drive through vision and the tracker, in this process, against its truth: per frame and per pass.

In: a folder that `platefleet simulate` wrote, in JPEG. Out: counts. Without Kafka the figures are those of the models
and the tracker alone; `bench.drives` measures the running system.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from fleet.score import Score, Seen, read_truth, score
from plumbing.clock import to_ms
from schemas.read import CloseTracks, FrameReads, ReadsMessage
from schemas.sighting import Sighting
from streams.track import new_state
from streams.tracker import step
from vision.decode import decode_image
from vision.pipeline import PlatePipeline
from vision.training.drives import TRUTH, frames, rows
from vision.training.evaluate_detector import iou
from vision.types import PlateResult, box_of
from workers.reading import plate_read

_SAME_PLACE = 0.3
"""IoU from which a result lies at a plate of truth, as in `bench.drives`."""
_BATCH = 8
_END = 1 << 60


@dataclass(slots=True)
class DriveScore:
    """Sums over drives."""

    frames: int = 0
    plates: int = 0
    """Plates of single frames that a person could read."""
    found: int = 0
    """... at whose place a result lies."""
    read: int = 0
    """... with exactly their text."""
    elsewhere: int = 0
    """Results with a text at no plate of truth, readable or not."""
    passes: int = 0
    """Passes in which a person could read the plate."""
    right: int = 0
    """... with a sighting of exactly their text."""
    wrong: int = 0
    missed: int = 0
    sightings: int = 0
    doubled: int = 0
    of_no_pass: int = 0

    def add_passes(self, one: Score) -> None:
        """Add a drive's sightings."""
        self.passes += one.legible
        self.right += one.right
        self.wrong += len(one.wrong)
        self.missed += len(one.missed)
        self.sightings += one.sightings
        self.doubled += len(one.doubled)
        self.of_no_pass += len(one.invented)

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"per frame: {self.frames} frames, {self.plates} legible plates, found {_share(self.found, self.plates)}, "
            f"read right {_share(self.read, self.plates)}, texts at no plate {self.elsewhere}",
            f"per pass: {self.passes} legible passes, right {_share(self.right, self.passes)}, wrong {self.wrong}, "
            f"missed {self.missed}; {self.sightings} sightings, doubled {self.doubled}, of no pass {self.of_no_pass}",
        ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def score_drive(folder: Path, pipeline: PlatePipeline, total: DriveScore) -> None:
    """Add one drive to `total`.

    Raises:
        ValueError: the folder is no drive, or one that was recorded as video.
    """
    truth: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows(folder / TRUTH):
        truth[row["camera_id"], row["seq"]].append(row)
    told: list[Seen] = []
    for camera, shots in groupby(frames(folder), key=lambda shot: shot[0]):
        messages = []
        for row, results in _read([(row, image) for _, row, image in shots], pipeline):
            judge_frame(truth[camera, row["seq"]], results, total)
            messages.append(_message(camera, row, results, pipeline.model_version))
        told += [_seen(sighting) for sighting in track(messages)]
    total.add_passes(score(read_truth(folder / "truth.jsonl"), told))


def _read(
    shots: Sequence[tuple[dict[str, Any], Path]], pipeline: PlatePipeline
) -> Iterator[tuple[dict[str, Any], list[PlateResult]]]:
    for begin in range(0, len(shots), _BATCH):
        part = shots[begin : begin + _BATCH]
        images = [decode_image(image.read_bytes()) for _, image in part]
        yield from zip((row for row, _ in part), pipeline.read(images, [False] * len(images)), strict=True)


def judge_frame(truth: Sequence[dict[str, Any]], results: Sequence[PlateResult], total: DriveScore) -> None:
    """Count a frame: rows of its truth against what was read."""
    boxes = [box_of(np.array(row["corners"], np.float32)) for row in truth]
    total.frames += 1
    for row, box in zip(truth, boxes, strict=True):
        if row["legible"]:
            there = [result for result in results if iou(result.detection.box, box) >= _SAME_PLACE]
            total.plates += 1
            total.found += bool(there)
            total.read += any(result.text.plate == row["plate"] for result in there)
    total.elsewhere += sum(
        bool(result.text.plate) and all(iou(result.detection.box, box) < _SAME_PLACE for box in boxes)
        for result in results
    )


def _message(camera_id: str, row: dict[str, Any], results: Iterable[PlateResult], model: str) -> FrameReads:
    return FrameReads(
        camera_id=camera_id,
        seq=row["seq"],
        captured_at=row["captured_at"],
        published_at=row["captured_at"],
        width=row["width"],
        height=row["height"],
        model_version=model,
        frame_partition=0,
        frame_offset=row["seq"],
        frame_sha256="",
        lat=row["lat"],
        lon=row["lon"],
        heading=row["heading"],
        speed=row["speed"],
        reads=tuple(plate_read(result) for result in results),
    )


def track(messages: Sequence[FrameReads]) -> list[Sighting]:
    """The sightings of one camera's frames that stand in the end."""
    if not messages:
        return []
    state = new_state(messages[0].camera_id)
    last: dict[str, Sighting] = {}
    now = messages[-1].captured_at
    end = CloseTracks(camera_id=messages[0].camera_id, seq=_END, sent_at=now)
    script: list[ReadsMessage] = [*messages, end]
    for offset, message in enumerate(script):
        state, told = step(state, message, offset, now)
        last.update((sighting.sighting_id, sighting) for sighting in told)
    return [sighting for sighting in last.values() if sighting.status != "withdrawn"]


def _seen(one: Sighting) -> Seen:
    return Seen(one.sighting_id, one.camera_id, one.plate, to_ms(one.first_seen), to_ms(one.last_seen))
