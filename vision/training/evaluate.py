"""How well plates are read: a split of real photographs in, tables per source and per slice out.

Four measures. *Detector*: see `vision.training.evaluate_detector`. *Reader*: plates cut at their annotated box, so
only the reader can fail. *End to end*: whole pictures through `PlatePipeline`; an annotated plate counts when a result
at its place (or, for a plate without a box, anywhere in the picture) has exactly its text. *Crops put on cars*: plates
that no picture shows whole, see `vision.training.mounting`. `test` is opened here alone, and each opening is kept in
`test_openings.jsonl`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.pipeline import PipelineStats, PlatePipeline
from vision.plates import REGIONS
from vision.reader import RowReader
from vision.training.baselines import majority, simple_reader
from vision.training.calibrate import calibration_error
from vision.training.data import (
    TEST_LOG,
    Licence,
    PlateLabel,
    Scene,
    Split,
    TestOpening,
    load_crops,
    load_scenes,
    open_test,
)
from vision.training.detector_extras import TEST_SLIPS, VAL_SLIPS, with_extras
from vision.training.evaluate_detector import iou, judge_mended, labelled, read_picture, rows, summarise
from vision.training.judging import Judged, by_group, by_source, edit_distance
from vision.training.mounting import mounted_plates
from vision.training.reader_data import RealPlate, load_real_plates, real_crop, region_index
from vision.training.slices import slices_of
from vision.training.video_wear import h264
from vision.types import Image, PlateResult, PlateText, Reader

_SAME_PLACE = 0.25
"""IoU from which a result lies at an annotated plate: boxes of slanted plates are loose."""
_BATCH = 64
_LISTED = 10
_RATES = (32, 38)
"""H.264's constant rate factors that plates are read at as video: a dash cam's usual one, and a poor one's."""


@dataclass(frozen=True, slots=True)
class ExtraResult:
    """A result with a text at no annotated place."""

    source: str
    image: Path
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
    detector: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `evaluate_detector.summarise` at the detector's own threshold."""
    detector_mended: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The same by what a person has mended of the annotation since."""
    reader: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `judging.figures` on the annotated box."""
    end_to_end: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `judging.figures`; `extra_per_100`: results with a text at no annotated place, per 100 pictures; and
    `wrong_per_100`: those of them where no person has seen a plate."""
    mounted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> `judging.figures` of its crops put on cars of the split, cut where the detector finds them there."""
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Slice -> `judging.figures`, end to end where there are whole pictures, else on the annotated box; those `as
    H.264` are every plate on its annotated box after a video encoder (see `vision.training.video_wear`)."""
    simple: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Source -> the classical reader's figures on the annotated box; empty unless asked for."""
    majority: str = ""
    """The most frequent text of `train`; empty unless asked for."""
    majority_right: float = 0.0
    """How often that is right, percent."""
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
        if self.detector:
            out += ["", "detector, by the annotation as it is", *rows(self.detector)]
            out += ["", "detector, by the annotation as it was mended", *rows(self.detector_mended)]
        out += _table("reader on the annotated box", "source", self.reader)
        out.append(f"region right {self.region_right:.1f} %, calibration error {100 * self.calibration_error:.1f} %")
        if self.simple:
            out += _table("threshold, contours and nearest glyph on the annotated box", "source", self.simple)
            out.append(f"the most frequent text of train, {self.majority}, is right in {self.majority_right:.1f} %")
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
        result.simple = by_source(Judged(p.source, p.image, p.text, text, top10=text == p.text) for p, text in pairs)
        result.majority = majority(_texts("train", root, licence))
        result.majority_right = round(100 * float(np.mean([p.text == result.majority for p in plates])), 1)
    if end_to_end:
        scenes = load_scenes(result.split, root=root, licence=licence, opening=opening)
        outcomes, mended = judge_mended(pipeline.detector, labelled(scenes), _slips(result.split))
        result.detector, result.detector_mended = summarise(outcomes, 0.0), summarise(mended, 0.0)
        with_text = [scene for scene in scenes if any(plate.text for plate in scene.plates or ())]
        # a crop is never seen end to end: its slices are those of the annotated box
        whole = {scene.source for scene in with_text}
        judged = [one for one in judged if one.source not in whole] + _measure_pipeline(result, pipeline, with_text)
        mounted = mounted_plates(plates, scenes, [pipeline.detector], seed=0)
        result.mounted = by_source(
            _judged(pipeline.reader, plate, crop, read, frozenset())
            for plate, crop, read in read_plates(pipeline.reader, mounted)
        )
    result.slices = by_group(judged + _read_as_video(pipeline.reader, plates), lambda one: one.slices)


def _texts(split: Split, root: Path | None, licence: Licence) -> Iterator[str]:
    for scene in load_scenes(split, root=root, licence=licence):
        yield from (plate.text for plate in scene.plates or () if plate.text)
    yield from (crop.text for crop in load_crops(split, root=root, licence=licence))


def _slips(split: Split) -> Path:
    return TEST_SLIPS if split == "test" else VAL_SLIPS


def _measure_reader(result: Evaluation, reader: Reader, plates: Sequence[RealPlate]) -> list[Judged]:
    judged, regions = [], []
    for plate, crop, read in read_plates(reader, plates):
        width, height = np.ptp(plate.corners, axis=0)
        names = slices_of(crop, float(width), float(height), None) | _country(plate.country)
        judged.append(_judged(reader, plate, crop, read, names))
        known = region_index(plate.country)
        if known >= 0:
            regions.append(read.region == REGIONS[known])
    result.reader = by_source(judged)
    result.failures = [one for one in judged if not one.strict]
    result.region_right = round(100 * float(np.mean(regions)), 1) if regions else 0.0
    sure, right = np.array([one.confidence for one in judged]), np.array([one.strict for one in judged])
    result.calibration_error = calibration_error(sure, right)
    return judged


def _read_as_video(reader: Reader, plates: Sequence[RealPlate]) -> list[Judged]:
    """Every plate on its annotated box, after H.264."""
    out = []
    for rate in _RATES:
        rng = np.random.default_rng(0)
        worn = [replace(plate, pixels=h264(plate.picture(), rng, rate)) for plate in plates]
        name = frozenset({f"as H.264, rate factor {rate}"})
        for plate, crop, read in read_plates(reader, worn):
            out.append(_judged(reader, plate, crop, read, name))
    return out


def read_plates(reader: Reader, plates: Sequence[RealPlate]) -> Iterator[tuple[RealPlate, Image, PlateText]]:
    """Every plate with its crop and what the reader says of it."""
    for begin in range(0, len(plates), _BATCH):
        part = plates[begin : begin + _BATCH]
        crops = [real_crop(plate, reader.crop_size) for plate in part]
        yield from zip(part, crops, reader.read(crops), strict=True)


def _country(country: str | None) -> frozenset[str]:
    return frozenset({f"country {country.partition('-')[0]}"}) if country else frozenset()


def _judged(reader: Reader, plate: RealPlate, crop: Image, read: PlateText, slices: frozenset[str]) -> Judged:
    top10 = _among(reader, crop, read, plate.text)
    return Judged(plate.source, plate.image, plate.text, read.plate, read.confidence, True, top10, slices, plate.box)


def _among(reader: Reader, crop: Image, read: PlateText, truth: str) -> bool:
    """Whether the truth is among the reader's ten likeliest texts; a reader that cannot list so many lists what it
    can."""
    listed = read.candidates
    if truth not in dict(listed) and isinstance(reader, RowReader):
        listed = reader.candidates(crop, _LISTED)
    return truth == read.plate or truth in dict(listed)


def _measure_pipeline(result: Evaluation, pipeline: PlatePipeline, scenes: Sequence[Scene]) -> list[Judged]:
    judged: list[Judged] = []
    images: dict[str, int] = {}
    mended = with_extras(scenes, _slips(result.split))
    pipeline.stats = PipelineStats()
    for begin in range(0, len(scenes), 8):
        part = slice(begin, begin + 8)
        read = pipeline.read([read_picture(scene) for scene in scenes[part]])
        for scene, whole, results in zip(scenes[part], mended[part], read, strict=True):
            judged += judge_scene(scene, results, pipeline.reader)
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


def judge_scene(scene: Scene, results: Sequence[PlateResult], reader: Reader) -> list[Judged]:
    """The annotated plates with a text, each with the nearest text at its place; `reader` is whose texts they are."""
    return [_judge_plate(scene, label, results, reader) for label in scene.plates or () if label.text]


def _judge_plate(scene: Scene, label: PlateLabel, results: Sequence[PlateResult], reader: Reader) -> Judged:
    truth, image = label.text or "", scene.image
    at_place = [r for r in results if label.box is None or iou(r.detection.box, label.box) >= _SAME_PLACE]
    if not at_place:
        size = () if label.box is None else ("not found",)
        slices = frozenset(size) | _country(scene.country)
        return Judged(scene.source, image, truth, "", found=False, slices=slices, box=label.box)
    nearest = min(at_place, key=lambda r: (edit_distance(r.text.plate, truth), -r.text.confidence))
    _, _, width, height = nearest.detection.box if label.box is None else label.box
    names = slices_of(nearest.crop, width, height, nearest.detection.corners) | _country(scene.country)
    text, listed = nearest.text, _among(reader, nearest.crop, nearest.text, truth)
    return Judged(scene.source, image, truth, text.plate, text.confidence, True, listed, names, label.box)


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
            scene.image,
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
