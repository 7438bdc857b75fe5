"""Scripted roads for the streams' tests: vehicles with known plates pass a camera, reads come out as a worker's do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.read import Candidate, FrameReads, PlateRead

T0 = 1_780_000_000_000


@dataclass(frozen=True)
class Car:
    """One vehicle: on the road from `start` to `end` (seconds), at `lane` pixels, growing or shrinking."""

    plate: str
    start: float
    end: float
    lane: float = 600.0
    width0: float = 60.0
    width1: float = 120.0
    texts: tuple[str, ...] = ()
    """What is read frame by frame instead of the plate, over and over; "" is unreadable, "-" is not found."""
    confidence: float = 0.8
    drift: float = 0.0
    """Pixels a second sideways."""


@dataclass(frozen=True)
class Road:
    """What one camera sees."""

    camera_id: str
    cars: Sequence[Car]
    seconds: float
    fps: float = 5.0
    first_seq: int = 1
    t0: int = T0
    jitter: float = 0.0
    still: bool = False
    position: tuple[float, float] | None = (52.0, 13.0)
    seed: int = 0
    rng: random.Random = field(default_factory=random.Random)

    def frames(self) -> list[FrameReads]:
        """All frames in order."""
        rng = random.Random(self.seed)
        out = []
        for i in range(int(self.seconds * self.fps)):
            at = i / self.fps
            reads = [read for car in self.cars if (read := _read(car, at, self.fps, rng, self.jitter)) is not None]
            out.append(frame(self.camera_id, self.first_seq + i, self.t0 + round(at * 1000), reads, self))
        return out


def frame(
    camera_id: str, seq: int, t: int, reads: Sequence[PlateRead], road: Road | None = None, **more: object
) -> FrameReads:
    """One frame's message."""
    position = road.position if road else (52.0, 13.0)
    values: dict[str, object] = {
        "camera_id": camera_id,
        "seq": seq,
        "captured_at": t,
        "published_at": t + 20,
        "width": 1280,
        "height": 720,
        "model_version": "test-1",
        "frame_partition": 0,
        "frame_offset": seq,
        "frame_sha256": f"{seq:064x}",
        "still": road.still if road else False,
        "lat": position[0] if position else None,
        "lon": position[1] if position else None,
        "luma": 90.0,
        "reads": tuple(reads),
    }
    return FrameReads(**(values | more))  # type: ignore[arg-type]


def read(plate: str, x: float, y: float, w: float, confidence: float = 0.8, sharpness: float = 200.0) -> PlateRead:
    """One plate centred at x, y."""
    h = w / 4
    each = confidence ** (1 / max(1, len(plate)))
    box = (x - w / 2, y - h / 2, w, h)
    return PlateRead(
        plate=plate,
        confidence=confidence if plate else 0.1,
        detection_confidence=0.9,
        box=box,
        corners=((box[0], box[1]), (box[0] + w, box[1]), (box[0] + w, box[1] + h), (box[0], box[1] + h)),
        char_probs=tuple(((c, each),) for c in plate),
        candidates=(Candidate(plate, confidence),) if plate else (),
        region="DE" if plate else "",
        region_confidence=0.7 if plate else 0.0,
        legibility=0.9,
        sharpness=sharpness,
        crop_jpeg=b"\xff\xd8" + f"{plate}@{x:.0f}".encode() * 20,
    )


def _read(car: Car, at: float, fps: float, rng: random.Random, jitter: float) -> PlateRead | None:
    if not car.start <= at < car.end:
        return None
    part = (at - car.start) / max(0.01, car.end - car.start)
    text = car.texts[round((at - car.start) * fps) % len(car.texts)] if car.texts else car.plate
    if text == "-":
        return None
    x = car.lane + car.drift * (at - car.start) + rng.gauss(0, jitter)
    y = 400 + 100 * part + rng.gauss(0, jitter)
    return read(text, x, y, car.width0 + part * (car.width1 - car.width0), car.confidence)
