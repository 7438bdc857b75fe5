"""How well a detector finds plates: a detector and annotated scenes in, recall and false boxes per source out.

A plate counts as found when a detection's upright box overlaps its own by at least half (IoU 0.5); each detection may
find one plate. The others are "false boxes", but in sources whose annotation is partial many of them are real plates:
beside the strict figures stand those with the plates and boxes that a person has looked at since
(`vision.training.detector_extras`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.training.data import AS_STORED, Scene
from vision.training.detector_extras import with_extras
from vision.types import Detection, Detector, Image

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
Box = tuple[float, float, float, float]
_SAME_PLACE = 0.3
"""Overlap from which a detection is of a plate that is known but not wanted."""


@dataclass(slots=True)
class Outcome:
    """Detections of one scene: confidence and whether it found a plate; and how many plates there were."""

    source: str
    plates: int
    scores: list[tuple[float, bool]] = field(default_factory=list)
    overlaps: list[tuple[float, float]] = field(default_factory=list)
    """Confidence and IoU of each detection that found a plate."""


def labelled(scenes: Iterable[Scene]) -> list[Scene]:
    """The scenes whose plates all have a box (or that are known to have none)."""
    return [s for s in scenes if s.plates is not None and all(p.box for p in s.plates)]


def judge_mended(detector: Detector, scenes: Sequence[Scene], slips: Path) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of the detector, at whatever threshold it has, by the annotation as it is and as `slips` mends it."""
    seen = list(_detected(detector, scenes))
    mended = zip(with_extras(scenes, slips), seen, strict=True)
    return [match(scene, found) for scene, found in seen], [match(scene, found) for scene, (_, found) in mended]


def _detected(detector: Detector, scenes: Sequence[Scene]) -> Iterator[tuple[Scene, list[Detection]]]:
    for begin in range(0, len(scenes), 8):
        part = scenes[begin : begin + 8]
        yield from zip(part, detector.detect([read_picture(scene) for scene in part]), strict=True)


def match(scene: Scene, detections: Sequence[Detection]) -> Outcome:
    """Pair detections, best first, with the plate that each overlaps most; what lies at an unsure plate is left out."""
    plates = scene.plates or ()
    boxes = [plate.box for plate in plates if plate.box is not None and not plate.unsure]
    unsure = [plate.box for plate in plates if plate.box is not None and plate.unsure]
    outcome, free = Outcome(scene.source, len(boxes)), set(range(len(boxes)))
    for detection in sorted(detections, key=lambda d: -d.confidence):
        best, overlap = -1, 0.0
        for index in free:
            if (value := iou(detection.box, boxes[index])) > overlap:
                best, overlap = index, value
        hit = overlap >= 0.5
        if not hit and any(iou(detection.box, box) >= _SAME_PLACE for box in unsure):
            continue
        if hit:
            free.discard(best)
            outcome.overlaps.append((detection.confidence, overlap))
        outcome.scores.append((detection.confidence, hit))
    return outcome


def summarise(outcomes: Sequence[Outcome], threshold: float) -> dict[str, dict[str, Any]]:
    """Per source and for `all`: images, plates, recall and precision (percent), false boxes per 100 images, IoU."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.source].append(outcome)
        groups["all"].append(outcome)
    table: dict[str, dict[str, Any]] = {}
    for source, members in sorted(groups.items()):
        plates = sum(outcome.plates for outcome in members)
        passed = [hit for outcome in members for score, hit in outcome.scores if score >= threshold]
        overlaps = [value for outcome in members for score, value in outcome.overlaps if score >= threshold]
        table[source] = {
            "images": len(members),
            "plates": plates,
            "recall": round(100 * sum(passed) / plates, 1) if plates else None,
            "precision": round(100 * sum(passed) / len(passed), 1) if passed else None,
            "false_per_100": round(100 * (len(passed) - sum(passed)) / len(members), 1),
            "mean_iou": round(float(np.mean(overlaps)), 3) if overlaps else None,
        }
    return table


def best_threshold(outcomes: Sequence[Outcome], beta: float = 1.5) -> float:
    """The threshold with the highest F score over the sources together; chosen on val, never on test.

    `beta` above 1 favours recall: a false box costs one crop that the reader finds unreadable, a missed plate is lost,
    and part of what counts as false here are plates that nobody annotated.
    """
    plates = sum(outcome.plates for outcome in outcomes)
    best, chosen = -1.0, THRESHOLDS[0]
    for threshold in THRESHOLDS:
        passed = [hit for outcome in outcomes for score, hit in outcome.scores if score >= threshold]
        value = (1 + beta**2) * sum(passed) / max(1.0, len(passed) + beta**2 * plates)
        if value > best:
            best, chosen = value, threshold
    return chosen


def average_precision(outcomes: Sequence[Outcome]) -> float:
    """Area under precision against recall at IoU 0.5: one number that no threshold bends."""
    plates = sum(outcome.plates for outcome in outcomes)
    scores = sorted((pair for outcome in outcomes for pair in outcome.scores), reverse=True)
    hits = np.cumsum([hit for _, hit in scores]) if scores else np.zeros(0)
    precision = hits / np.arange(1, len(scores) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
    return float((envelope * np.array([hit for _, hit in scores])).sum() / max(plates, 1)) if scores else 0.0


def iou(a: Box, b: Box) -> float:
    """Overlap of two boxes (x, y, width, height) by their union."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(wide, 0.0) * max(high, 0.0)
    return common / max(a[2] * a[3] + b[2] * b[3] - common, 1e-9)


def read_picture(scene: Scene) -> Image:
    """The scene's picture as stored: the annotation does not know of EXIF."""
    picture = cv2.imread(str(scene.image), AS_STORED)
    if picture is None:
        raise ValueError(f"cannot decode {scene.image}")
    return picture  # type: ignore[return-value]


def rows(table: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A table's lines for a person."""
    heads = f"{'source':32} {'images':>6} {'plates':>6} {'recall %':>8} {'precision %':>11}"
    yield f"{heads} {'false/100':>9} {'mean IoU':>8}"
    for source, row in table.items():
        recall, precision = ("-" if row[name] is None else f"{row[name]:.1f}" for name in ("recall", "precision"))
        overlap = "-" if row["mean_iou"] is None else f"{row['mean_iou']:.3f}"
        yield (
            f"{source:32} {row['images']:6d} {row['plates']:6d} {recall:>8} {precision:>11} "
            f"{row['false_per_100']:9.1f} {overlap:>8}"
        )
