"""How well a detector finds plates: a detector and annotated scenes in, recall and false boxes per source out.

A plate counts as found when a detection's upright box overlaps its own by at least half (IoU 0.5); each detection may
find one plate. The others are "false boxes", but in sources whose annotation is partial many of them are real plates:
beside the strict figures of val stand those with the plates and boxes that `val_slips.json` mends.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.detector import TorchDetector
from vision.registry import find_model
from vision.training.data import AS_STORED, Scene, Split, load_scenes, open_test
from vision.training.detector_extras import VAL_SLIPS, with_extras
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


def evaluate(
    split: Split = "val",
    model: str = "default",
    *,
    root: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
) -> dict[str, Any]:
    """Recall and false boxes of a model at its own threshold on a split; opening `test` leaves a line in its log.

    Raises `DataError`, `ModelError`, `DeviceError`.
    """
    found = find_model("detector", model)
    detector = TorchDetector.from_model(found, device, precision, threads, threshold=0.05)
    threshold = float(found.card["threshold"])
    result: dict[str, Any] = {"model": found.version, "split": split, "threshold": threshold}
    if split != "test":
        seen: list[tuple[Scene, list[Detection]]] = []
        scenes = labelled(load_scenes(split, root=root))
        result |= _figures(judge(detector, scenes, lambda scene, plates: seen.append((scene, plates))), threshold)
        mended = with_extras((scene for scene, _ in seen), VAL_SLIPS)
        outcomes = [match(scene, plates) for scene, (_, plates) in zip(mended, seen, strict=True)]
        return result | {"mended": _figures(outcomes, threshold)} if split == "val" else result
    with open_test(f"detector {found.version}") as opening:
        outcomes = judge(detector, labelled(load_scenes(split, root=root, opening=opening)))
        result |= _figures(outcomes, threshold)
        opening.result.update(result)
    return result


def _figures(outcomes: list[Outcome], threshold: float) -> dict[str, Any]:
    return {
        "average_precision": round(average_precision(outcomes), 4),
        "sources": summarise(outcomes, threshold),
        "curve": {str(level): _both(summarise(outcomes, level)["all"]) for level in THRESHOLDS},
    }


def _both(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("recall", "false_per_100")}


def labelled(scenes: Iterable[Scene]) -> list[Scene]:
    """The scenes whose plates all have a box (or that are known to have none)."""
    return [s for s in scenes if s.plates is not None and all(p.box for p in s.plates)]


def judge(
    detector: Detector,
    scenes: Sequence[Scene],
    on_scene: Callable[[Scene, list[Detection]], None] | None = None,
) -> list[Outcome]:
    """Run the detector, at whatever threshold it has, over the scenes in batches of eight."""
    outcomes = []
    for begin in range(0, len(scenes), 8):
        part = scenes[begin : begin + 8]
        for scene, found in zip(part, detector.detect([read_picture(scene) for scene in part]), strict=True):
            if on_scene is not None:
                on_scene(scene, found)
            outcomes.append(match(scene, found))
    return outcomes


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
    """Per source and for `all`: images, plates, recall (percent), false boxes per 100 images, mean IoU of the found."""
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


def draw(picture: Image, detections: Sequence[Detection], boxes: Sequence[Box] = ()) -> Image:
    """A copy with annotated boxes in yellow, found corners in green (the first one marked) and confidences."""
    picture = picture.copy()
    for x, y, w, h in boxes:
        cv2.rectangle(picture, (round(x), round(y)), (round(x + w), round(y + h)), (0, 255, 255), 1)
    for detection in detections:
        quad = np.round(detection.corners).astype(np.int32)
        cv2.polylines(picture, [quad], True, (0, 255, 0), 1, cv2.LINE_AA)
        cv2.circle(picture, (int(quad[0, 0]), int(quad[0, 1])), 2, (0, 0, 255), -1)
        at = (int(quad[3, 0]), int(quad[3, 1]) + 12)
        cv2.putText(picture, f"{detection.confidence:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 255, 0), 1)
    return picture


def rows(table: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A table's lines for a person."""
    yield f"{'source':32} {'images':>6} {'plates':>6} {'recall %':>8} {'false/100':>9} {'mean IoU':>8}"
    for source, row in table.items():
        recall = "-" if row["recall"] is None else f"{row['recall']:.1f}"
        overlap = "-" if row["mean_iou"] is None else f"{row['mean_iou']:.3f}"
        yield (
            f"{source:32} {row['images']:6d} {row['plates']:6d} {recall:>8} {row['false_per_100']:9.1f} {overlap:>8}"
        )
