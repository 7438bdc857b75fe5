"""How well plates are read: a split of real photographs in, tables per source and per slice out.

Three measures. *Reader*: plates cut at their annotated box, so only the reader can fail. *End to end*: whole pictures
through `PlatePipeline`; an annotated plate counts when a result at its place (or, for a plate without a box, anywhere
in the picture) has exactly its text. *Crops put on cars*: plates that no picture shows whole, see
`vision.training.mounting`. `test` is opened here alone, and each opening is kept in `test_openings.jsonl`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vision.pipeline import PipelineStats, PlatePipeline
from vision.plates import REGIONS
from vision.training.baselines import simple_reader
from vision.training.calibrate import calibration_error
from vision.training.data import TEST_LOG, Licence, PlateLabel, Scene, Split, TestOpening, load_scenes, open_test
from vision.training.detector_extras import TEST_SLIPS, VAL_SLIPS, with_extras
from vision.training.evaluate_detector import iou, read_picture
from vision.training.judging import Judged, by_group, by_source, edit_distance
from vision.training.mounting import mounted_plates
from vision.training.reader_data import RealPlate, load_real_plates, real_crop, region_index
from vision.training.slices import slices_of
from vision.types import Image, PlateResult, PlateText, Reader

_SAME_PLACE = 0.25
"""IoU from which a result lies at an annotated plate: boxes of slanted plates are loose."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class ExtraResult:
    """A result with a text at no annotated place."""

    source: str
    image: str
    text: str
    confidence: float
    box: tuple[float, float, float, float]
    """x, y, width, height in pixels of the picture."""
    plate_seen: bool
    """A person has looked there and seen a plate, or the rest of one (see `vision.training.detector_extras`)."""


@dataclass(slots=True)
class Evaluation:
    """What `evaluate` found."""

    split: Split
    model: str
    reader: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `judging.figures` on the annotated box."""
    end_to_end: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `judging.figures`; `extra_per_100`: results with a text at no annotated place, per 100 pictures; and
    `wrong_per_100`: those of them where no person has seen a plate."""
    mounted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `judging.figures` of its crops put on cars of the split, cut where the detector finds them there."""
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Slice -> `judging.figures`, end to end where there are whole pictures, else on the annotated box."""
    simple: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> the classical reader's figures on the annotated box; empty unless asked for."""
    region_right: float = 0.0
    """Share of plates of known country (or US state) whose region is named right, percent."""
    calibration_error: float = 0.0
    """Expected calibration error of the reader's confidence on the annotated boxes, 0..1."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Mean wall time per picture and stage, end to end."""
    failures: list[Judged] = field(default_factory=list)
    """Every plate misread on its annotated box."""
    missed: list[Judged] = field(default_factory=list)
    """Every plate not read right end to end."""
    extras: list[ExtraResult] = field(default_factory=list)
    """Every result at no annotated place."""

    def summary(self) -> dict[str, Any]:
        """What is kept in the log of test openings."""
        return {
            "model": self.model,
            "reader": {source: row["strict"] for source, row in self.reader.items()},
            "end_to_end": {source: row["strict"] for source, row in self.end_to_end.items()},
        }

    def lines(self) -> list[str]:
        """The tables for a person."""
        out = [f"split {self.split}, model {self.model}"]
        out += _table("reader on the annotated box", "source", self.reader)
        out.append(f"region right {self.region_right:.1f} %, calibration error {100 * self.calibration_error:.1f} %")
        if self.simple:
            out += _table("threshold, contours and nearest glyph on the annotated box", "source", self.simple)
        if self.end_to_end:
            out += _table("end to end", "source", self.end_to_end)
            if self.mounted:
                out += _table("crops put on cars, where the detector finds them", "source", self.mounted)
            out.append("ms per picture: " + ", ".join(f"{k} {v:.1f}" for k, v in self.milliseconds.items()))
        return out + _table("by slice", "slice", self.slices)


def _table(title: str, group: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    extra = any("extra_per_100" in row for row in rows.values())
    heads = f"{group:32} {'plates':>6} {'strict %':>8} {'95 % from-to':>13} {'folded %':>8} {'top 10 %':>8}"
    out = ["", title, f"{heads} {'CER %':>6} {'found %':>8}" + (f" {'extra/100':>9} {'wrong/100':>9}" if extra else "")]
    for name, row in rows.items():
        spread = f"{row['strict_from']:.1f}-{row['strict_to']:.1f}"
        line = (
            f"{name:32} {row['plates']:6d} {row['strict']:8.1f} {spread:>13} {row['folded']:8.1f} {row['top10']:8.1f}"
        )
        line += f" {row['character_errors']:6.2f} {row['found']:8.1f}"
        more = f" {row['extra_per_100']:9.1f} {row['wrong_per_100']:9.1f}" if "extra_per_100" in row else ""
        out.append(line + more)
    return out


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
    baseline: bool = False,
    purpose: str = "evaluate",
    log: Path = TEST_LOG,
    show: Callable[[str], None] | None = print,
) -> Evaluation:
    """Measure the installed models (or `pipeline`) on `val`, or on `test`, which is logged with `purpose`.

    `baseline` measures the classical reader beside them; `show` gets the table's lines. Raises `DataError` when the
    photographs are missing and `ModelError` when a model is.
    """
    pipeline = pipeline or PlatePipeline.load(device, precision, threads)
    result = Evaluation(split, pipeline.model_version)
    if split == "test":
        with open_test(purpose, log=log) as opening:
            _measure(result, pipeline, root, licence, end_to_end, baseline, opening)
            opening.result.update(result.summary())
    else:
        _measure(result, pipeline, root, licence, end_to_end, baseline, None)
    for line in result.lines() if show else ():
        if show:
            show(line)
    return result


def _measure(
    result: Evaluation,
    pipeline: PlatePipeline,
    root: Path | None,
    licence: Licence,
    end_to_end: bool,
    baseline: bool,
    opening: TestOpening | None,
) -> None:
    plates = load_real_plates(result.split, root=root, licence=licence, opening=opening)
    judged = _measure_reader(result, pipeline.reader, plates)
    if baseline:
        simple = simple_reader()
        texts = [simple(real_crop(plate, pipeline.reader.crop_size)) for plate in plates]
        pairs = zip(plates, texts, strict=True)
        result.simple = by_source(Judged(p.source, p.name, p.text, text) for p, text in pairs)
    if end_to_end:
        scenes = load_scenes(result.split, root=root, licence=licence, opening=opening)
        with_text = [scene for scene in scenes if any(plate.text for plate in scene.plates or ())]
        # a crop is never seen end to end: its slices are those of the annotated box
        whole = {scene.source for scene in with_text}
        judged = [one for one in judged if one.source not in whole] + _measure_pipeline(result, pipeline, with_text)
        mounted = mounted_plates(plates, scenes, [pipeline.detector], seed=0)
        result.mounted = by_source(
            _judged(plate.source, plate.name, plate.text, read, frozenset())
            for plate, _, read in read_plates(pipeline.reader, mounted)
        )
    result.slices = by_group(judged, lambda one: one.slices)


def _measure_reader(result: Evaluation, reader: Reader, plates: Sequence[RealPlate]) -> list[Judged]:
    judged, regions = [], []
    for plate, crop, read in read_plates(reader, plates):
        width, height = np.ptp(plate.corners, axis=0)
        names = slices_of(crop, float(width), float(height), None) | _country(plate.country)
        judged.append(_judged(plate.source, plate.name, plate.text, read, names))
        known = region_index(plate.country)
        if known >= 0:
            regions.append(read.region == REGIONS[known])
    result.reader = by_source(judged)
    result.failures = [one for one in judged if not one.strict]
    result.region_right = round(100 * float(np.mean(regions)), 1) if regions else 0.0
    sure, right = np.array([one.confidence for one in judged]), np.array([one.strict for one in judged])
    result.calibration_error = calibration_error(sure, right)
    return judged


def read_plates(reader: Reader, plates: Sequence[RealPlate]) -> Iterator[tuple[RealPlate, Image, PlateText]]:
    """Every plate with its crop and what the reader says of it."""
    for begin in range(0, len(plates), _BATCH):
        part = plates[begin : begin + _BATCH]
        crops = [real_crop(plate, reader.crop_size) for plate in part]
        yield from zip(part, crops, reader.read(crops), strict=True)


def _country(country: str | None) -> frozenset[str]:
    return frozenset({f"country {country.partition('-')[0]}"}) if country else frozenset()


def _judged(source: str, image: str, truth: str, read: PlateText, slices: frozenset[str]) -> Judged:
    top10 = truth in {text for text, _ in read.candidates[:10]} or read.plate == truth
    return Judged(source, image, truth, read.plate, read.confidence, True, top10, slices)


def _measure_pipeline(result: Evaluation, pipeline: PlatePipeline, scenes: Sequence[Scene]) -> list[Judged]:
    judged: list[Judged] = []
    images: dict[str, int] = {}
    mended = with_extras(scenes, TEST_SLIPS if result.split == "test" else VAL_SLIPS)
    pipeline.stats = PipelineStats()
    for begin in range(0, len(scenes), 8):
        part = slice(begin, begin + 8)
        read = pipeline.read([read_picture(scene) for scene in scenes[part]])
        for scene, whole, results in zip(scenes[part], mended[part], read, strict=True):
            judged += judge_scene(scene, results)
            result.extras += extra_results(scene, whole, results)
            for name in (scene.source, "all"):
                images[name] = images.get(name, 0) + 1
    result.end_to_end = by_source(judged)
    for name, row in result.end_to_end.items():
        extra = [one for one in result.extras if name in (one.source, "all")]
        row["extra_per_100"] = round(100 * len(extra) / images[name], 1)
        row["wrong_per_100"] = round(100 * sum(not one.plate_seen for one in extra) / images[name], 1)
    result.missed = [one for one in judged if not one.strict]
    stats, pictures = pipeline.stats, max(1, pipeline.stats.pictures)
    stages = {"detect": stats.detect_seconds, "rectify": stats.rectify_seconds, "read": stats.read_seconds}
    result.milliseconds = {name: round(1000 * seconds / pictures, 2) for name, seconds in stages.items()}
    return judged


def judge_scene(scene: Scene, results: Sequence[PlateResult]) -> list[Judged]:
    """The annotated plates with a text, each with the nearest text at its place."""
    return [_judge_plate(scene, label, results) for label in scene.plates or () if label.text]


def _judge_plate(scene: Scene, label: PlateLabel, results: Sequence[PlateResult]) -> Judged:
    truth, name = label.text or "", scene.image.name
    at_place = [r for r in results if label.box is None or iou(r.detection.box, label.box) >= _SAME_PLACE]
    if not at_place:
        size = () if label.box is None else ("not found",)
        return Judged(scene.source, name, truth, "", found=False, slices=frozenset(size) | _country(scene.country))
    nearest = min(at_place, key=lambda r: (edit_distance(r.text.plate, truth), -r.text.confidence))
    _, _, width, height = nearest.detection.box if label.box is None else label.box
    names = slices_of(nearest.crop, width, height, nearest.detection.corners) | _country(scene.country)
    return _judged(scene.source, name, truth, nearest.text, names)


def extra_results(scene: Scene, mended: Scene, results: Sequence[PlateResult]) -> list[ExtraResult]:
    """Results with a text at no annotated place; annotated plates without text excuse theirs, too.

    `mended` is the scene with the plates that a person has looked at since.
    """
    annotated, seen = _boxes(scene), _boxes(mended)
    if not annotated:
        return []
    return [
        ExtraResult(
            scene.source,
            scene.image.name,
            one.text.plate,
            one.text.confidence,
            one.detection.box,
            _lies_at(one.detection.box, seen),
        )
        for one in results
        if one.text.plate and not _lies_at(one.detection.box, annotated)
    ]


def _boxes(scene: Scene) -> list[tuple[float, float, float, float]]:
    return [label.box for label in scene.plates or () if label.box]


def _lies_at(box: tuple[float, float, float, float], places: Sequence[tuple[float, float, float, float]]) -> bool:
    return any(iou(box, place) >= _SAME_PLACE for place in places)
