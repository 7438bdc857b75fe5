"""How well plates are read: a split of real photographs in, a table per source out.

Two measures. *Reader*: plates cut at their annotated box, so only the reader can fail. *End to end*: whole pictures
through `PlatePipeline`; an annotated plate counts when a result at its place (or, for a plate without a box, anywhere
in the picture) has exactly its text. Strict counts every character; folded takes O and Q for 0 and I for 1, which the
truth itself mixes up. `test` is opened here alone, and each opening is kept in `test_openings.jsonl`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vision.pipeline import PipelineStats, PlatePipeline
from vision.plates import REGIONS
from vision.training.calibrate import calibration_error
from vision.training.data import TEST_LOG, Licence, Scene, Split, TestOpening, load_scenes, open_test
from vision.training.evaluate_detector import iou, read_picture
from vision.training.reader_data import load_real_plates, real_crop, region_index
from vision.types import PlateResult, Reader

_SAME_PLACE = 0.25
"""IoU from which a result lies at an annotated plate: boxes of slanted plates are loose."""
_FOLD = str.maketrans("OQI", "001")


@dataclass(slots=True)
class Counts:
    """Sums over the plates of one source."""

    plates: int = 0
    strict: int = 0
    folded: int = 0
    found: int = 0
    """End to end: plates with a result at their place."""
    edits: int = 0
    characters: int = 0
    images: int = 0
    extra: int = 0
    """End to end: results with a text at no annotated plate's place."""

    def row(self) -> dict[str, Any]:
        """Percentages, rounded to one decimal."""
        plates, images = max(1, self.plates), max(1, self.images)
        out: dict[str, Any] = {
            "plates": self.plates,
            "strict": round(100 * self.strict / plates, 1),
            "folded": round(100 * self.folded / plates, 1),
        }
        if self.images:
            out |= {"found": round(100 * self.found / plates, 1), "extra_per_100": round(100 * self.extra / images, 1)}
        else:
            out["character_errors"] = round(100 * self.edits / max(1, self.characters), 2)
        return out


@dataclass(slots=True)
class Evaluation:
    """What `evaluate` found."""

    split: Split
    model: str
    reader: dict[str, dict[str, Any]] = field(default_factory=dict)
    end_to_end: dict[str, dict[str, Any]] = field(default_factory=dict)
    region_right: float = 0.0
    """Share of plates of known country (or US state) whose region is named right, percent."""
    calibration_error: float = 0.0
    """Expected calibration error of the reader's confidence on the annotated boxes, 0..1."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Mean wall time per picture and stage, end to end."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """Every plate misread on its annotated box: source, image, truth, text, confidence."""

    def summary(self) -> dict[str, Any]:
        """What is kept in the log of test openings."""
        return {
            "model": self.model,
            "reader": {source: row["strict"] for source, row in self.reader.items()},
            "end_to_end": {source: row["strict"] for source, row in self.end_to_end.items()},
        }

    def lines(self) -> list[str]:
        """The tables for a person."""
        out = [f"split {self.split}, model {self.model}", "", "reader on the annotated box"]
        out.append(f"{'source':32} {'plates':>6} {'strict %':>8} {'folded %':>8} {'CER %':>6}")
        for source, row in self.reader.items():
            figures = f"{row['plates']:6d} {row['strict']:8.1f} {row['folded']:8.1f} {row['character_errors']:6.2f}"
            out.append(f"{source:32} {figures}")
        out.append(f"region right {self.region_right:.1f} %, calibration error {100 * self.calibration_error:.1f} %")
        if self.end_to_end:
            out += ["", "end to end"]
            out.append(f"{'source':32} {'plates':>6} {'strict %':>8} {'folded %':>8} {'found %':>8} {'extra/100':>9}")
            for source, row in self.end_to_end.items():
                figures = f"{row['plates']:6d} {row['strict']:8.1f} {row['folded']:8.1f}"
                out.append(f"{source:32} {figures} {row['found']:8.1f} {row['extra_per_100']:9.1f}")
            out.append("ms per picture: " + ", ".join(f"{k} {v:.1f}" for k, v in self.milliseconds.items()))
        return out


def fold(text: str) -> str:
    """O and Q become 0, I becomes 1."""
    return text.translate(_FOLD)


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions from one text to the other."""
    row = list(range(len(b) + 1))
    for i, sign in enumerate(a, 1):
        above, row[0] = row[0], i
        for k, other in enumerate(b, 1):
            above, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, above + (sign != other))
    return row[-1]


def evaluate(
    split: Split = "val",
    *,
    pipeline: PlatePipeline | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    root: Path | None = None,
    licence: Licence = "any",
    end_to_end: bool = True,
    purpose: str = "evaluate",
    log: Path = TEST_LOG,
    show: Callable[[str], None] | None = print,
) -> Evaluation:
    """Measure the installed models (or `pipeline`) on `val`, or on `test`, which is logged with `purpose`.

    `show` gets the table's lines. Raises `DataError` when the photographs are missing and `ModelError` when a model is.
    """
    pipeline = pipeline or PlatePipeline.load(device, precision, threads)
    if split == "test":
        with open_test(purpose, log=log) as opening:
            result = _measure(split, pipeline, root, licence, end_to_end, opening)
            opening.result.update(result.summary())
    else:
        result = _measure(split, pipeline, root, licence, end_to_end, None)
    for line in result.lines() if show else ():
        if show:
            show(line)
    return result


def _measure(
    split: Split,
    pipeline: PlatePipeline,
    root: Path | None,
    licence: Licence,
    end_to_end: bool,
    opening: TestOpening | None,
) -> Evaluation:
    result = Evaluation(split, pipeline.model_version)
    _measure_reader(result, pipeline.reader, root, licence, opening)
    if end_to_end:
        scenes = load_scenes(split, root=root, licence=licence, opening=opening)
        _measure_pipeline(result, pipeline, [s for s in scenes if any(p.text for p in s.plates or ())])
    return result


def _measure_reader(
    result: Evaluation, reader: Reader, root: Path | None, licence: Licence, opening: TestOpening | None
) -> None:
    plates = load_real_plates(result.split, root=root, licence=licence, opening=opening)
    counts: dict[str, Counts] = {}
    sure, right, regions = [], [], []
    for begin in range(0, len(plates), 64):
        part = plates[begin : begin + 64]
        for plate, read in zip(part, reader.read([real_crop(p, reader.crop_size) for p in part]), strict=True):
            sure.append(read.confidence)
            right.append(read.plate == plate.text)
            known = region_index(plate.country)
            if known >= 0:
                regions.append(read.region == REGIONS[known])
            for name in (plate.source, "all"):
                tally = counts.setdefault(name, Counts())
                tally.plates += 1
                tally.strict += read.plate == plate.text
                tally.folded += fold(read.plate) == fold(plate.text)
                tally.edits += edit_distance(read.plate, plate.text)
                tally.characters += len(plate.text)
            if read.plate != plate.text:
                facts = {"source": plate.source, "image": plate.name, "truth": plate.text, "text": read.plate}
                result.failures.append(facts | {"confidence": f"{read.confidence:.2f}"})
    result.reader = {source: tally.row() for source, tally in sorted(counts.items())}
    result.region_right = round(100 * float(np.mean(regions)), 1) if regions else 0.0
    result.calibration_error = calibration_error(np.array(sure), np.array(right))


def _measure_pipeline(result: Evaluation, pipeline: PlatePipeline, scenes: Sequence[Scene]) -> None:
    counts: dict[str, Counts] = {}
    pipeline.stats = PipelineStats()
    for begin in range(0, len(scenes), 8):
        part = scenes[begin : begin + 8]
        for scene, results in zip(part, pipeline.read([read_picture(scene) for scene in part]), strict=True):
            for name in (scene.source, "all"):
                judge_scene(scene, results, counts.setdefault(name, Counts()))
    result.end_to_end = {source: tally.row() for source, tally in sorted(counts.items())}
    stats, pictures = pipeline.stats, max(1, pipeline.stats.pictures)
    stages = {"detect": stats.detect_seconds, "rectify": stats.rectify_seconds, "read": stats.read_seconds}
    result.milliseconds = {name: round(1000 * seconds / pictures, 2) for name, seconds in stages.items()}


def judge_scene(scene: Scene, results: Sequence[PlateResult], tally: Counts) -> None:
    """Add one picture's plates and results to the tally; annotated plates without text only excuse their results."""
    tally.images += 1
    for label in scene.plates or ():
        if not label.text:
            continue
        at_place = [r for r in results if label.box is None or iou(r.detection.box, label.box) >= _SAME_PLACE]
        texts = {r.text.plate for r in at_place}
        tally.plates += 1
        tally.found += bool(at_place)
        tally.strict += label.text in texts
        tally.folded += fold(label.text) in {fold(text) for text in texts}
    boxes = [label.box for label in scene.plates or () if label.box]
    if boxes:
        tally.extra += sum(
            bool(r.text.plate) and max(iou(r.detection.box, box) for box in boxes) < _SAME_PLACE for r in results
        )
