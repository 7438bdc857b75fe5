"""Exported files with their accuracy cost: two model folders in, the files and what they lose into the folders' cards.

The cost is measured on `val`, strict: on its pictures end to end, and on its crops put on cars, without which a single
plate would be a whole point. The network under test stands beside the other one as torch has it in float32, so that a
detector's loss is not a reader's. Calibration sees `train` alone. Recipes for 8 bits are tried from the quickest on,
until one loses little enough.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vision.detector import TorchDetector, letterbox, normalise, shrink
from vision.engines import MOST_LOST
from vision.pipeline import PlatePipeline
from vision.plates import random_plate, render_plate
from vision.reader import CROP_SIZE, RowReader, TorchReader, prepare
from vision.registry import Kind, ModelFolder, sha256_of
from vision.runtime_onnx import FILES, OnnxDetector, OnnxEngine, OnnxReader, session_of
from vision.runtime_openvino import Session
from vision.training.calibrate import crossed_error, fit_temperature
from vision.training.data import DEFAULT_ROOT, Scene, load_scenes
from vision.training.evaluate import judge_scene, read_plates
from vision.training.evaluate_detector import read_picture
from vision.training.evaluate_reader import ValSet, load_val
from vision.training.export import Recipe, export_detector, export_reader, quantise
from vision.training.mounting import mounted_plates
from vision.training.reader_data import RealPlate, load_real_plates, real_crop
from vision.training.synth import synth_crop
from vision.types import Detector, Image, Reader

Floats = NDArray[np.float32]
Tell = Callable[[str], None]

RECIPES: dict[Kind, tuple[Recipe, ...]] = {
    "detector": (Recipe(), Recipe(percentile=99.99), Recipe(float_parts=("heat", "geometry", "stride4"))),
    "reader": (
        Recipe(operators=("Conv",)),
        Recipe(operators=("Conv",), float_parts=("mix", "look")),
        Recipe(operators=("Conv",), float_parts=("mix", "look", "body.0/")),
    ),
}
PICTURES, CROPS = 128, 384
"""What activations are measured on."""
_BATCH = 64
_HEADING = "\n## Other runtimes\n"


@dataclass(frozen=True, slots=True)
class _Trial:
    """What a variant is measured with: both networks in float32 on torch, val's pictures, and what these two reach."""

    detector: TorchDetector
    reader: TorchReader
    scenes: Sequence[tuple[Scene, Image]]
    """Those with a text."""
    crops: Sequence[RealPlate]
    places: Sequence[Scene]
    """Where the crops are put."""
    base: float
    plates: ValSet
    """Val's plates on their annotated boxes."""

    def strict(self, detector: Detector | None = None, reader: Reader | None = None) -> float:
        """Percent of the plates, in pictures and on cars, that are read right to the letter with another detector or
        reader; a plate that is not found is not read right."""
        finds, reads = detector or self.detector, reader or self.reader
        pipeline = PlatePipeline(finds, reads, "trial")
        judged = [one for scene, image in self.scenes for one in judge_scene(scene, pipeline.read([image])[0], reads)]
        mounted = mounted_plates(self.crops, self.places, [finds], seed=0)
        right = sum(read.plate == plate.text for plate, _, read in read_plates(reads, mounted))
        return 100 * (sum(one.strict for one in judged) + right) / max(1, len(judged) + len(self.crops))


def export(
    finding: ModelFolder, reading: ModelFolder, *, root: Path | None = None, measure: bool = True, tell: Tell = print
) -> None:
    """Write `model.onnx` and `model-int8.onnx` into both folders, and what they lose into their cards.

    Without the photographs the ranges come from invented plates, and the cost stays unknown: 8 bits are then used only
    where they are asked for. Raises `ModelError` for weights that do not fit, OSError where a folder is read-only.
    """
    photographs = ((root or DEFAULT_ROOT) / "scenes.jsonl").is_file()
    if not photographs:
        tell("no photographs: invented plates set the ranges, and what is lost is not measured")
    trial = _trial(finding, reading, root) if photographs and measure else None
    if trial:
        tell(f"torch in float32 reads {trial.base:.1f} % of val's plates, in pictures and on cars")
    _export_one(finding, "detector", export_detector(finding), photographs, root, trial, tell)
    _export_one(reading, "reader", export_reader(reading), photographs, root, trial, tell)


def _trial(finding: ModelFolder, reading: ModelFolder, root: Path | None) -> _Trial:
    scenes = load_scenes("val", root=root)
    told = [(scene, read_picture(scene)) for scene in scenes if any(plate.text for plate in scene.plates or ())]
    crops = [plate for plate in load_real_plates("val", root=root) if plate.place is None]
    detector, reader = TorchDetector.from_model(finding, "cpu", "fp32"), TorchReader.load(reading, "cpu", "fp32")
    trial = _Trial(detector, reader, told, crops, scenes, 0.0, load_val(root))
    return replace(trial, base=trial.strict())


def _export_one(
    model: ModelFolder,
    kind: Kind,
    network: bytes,
    photographs: bool,
    root: Path | None,
    trial: _Trial | None,
    tell: Tell,
) -> None:
    """Both files of one model."""
    make = detector_examples if kind == "detector" else reader_examples
    examples = make(model, root, photographs)
    described: dict[str, Any] = {
        engine: _described(model, engine, network, trial, kind, tell) for engine in ("onnx", "openvino")
    }
    best: tuple[float, bytes, dict[str, Any]] | None = None
    for recipe in RECIPES[kind]:
        small = quantise(network, examples, recipe)
        row = _described(model, "onnx-int8", small, trial, kind, tell) | {
            "recipe": asdict(recipe),
            "calibrated_on": f"{len(examples)} {'of train' if photographs else 'invented ones'}",
        }
        cost = float("-inf") if row["cost"] is None else float(row["cost"])
        if best is None or cost < best[0]:
            best = cost, small, row
        # both models together may lose the bound, so each may lose half of it
        if cost <= MOST_LOST / 2:
            break
    assert best is not None
    described["onnx-int8"] = best[2]
    _replace(model.path / FILES["onnx"], network)
    _replace(model.path / FILES["onnx-int8"], best[1])
    write_variants(model, described)
    tell(f"{kind}: {model.path / FILES['onnx']}, {FILES['onnx-int8']}")


def _described(
    model: ModelFolder, engine: OnnxEngine, data: bytes, trial: _Trial | None, kind: Kind, tell: Tell
) -> dict[str, Any]:
    """One file as it stands in the card."""
    row: dict[str, Any] = {
        "file": FILES[engine],
        "sha256": sha256_of(data),
        "bytes": len(data),
        "weights": model.card["sha256"],
        "cost": None,
    }
    if trial is None:
        return row
    run = session_of(data, 1, engine)
    if isinstance(run, Session):
        row["precision"] = run.precision
    if kind == "detector":
        strict = trial.strict(detector=OnnxDetector.from_run(model, run))
    else:
        if engine == "onnx-int8":  # the float32 file gives torch's numbers, so torch's temperature is its own
            row |= calibrated(OnnxReader.from_run(model, run), trial.plates)
            tell(f"temperature {row['temperature']}, calibration error {100 * row['calibration_error']:.1f} %")
        strict = trial.strict(reader=OnnxReader.from_run(model, run, temperature=row.get("temperature")))
    tell(f"{kind} {engine}: {strict:.1f} % with {len(data):,} bytes")
    return row | {"val_strict": round(strict, 2), "cost": round(trial.base - strict, 2)}


def calibrated(reader: RowReader, plates: ValSet) -> dict[str, Any]:
    """The reader's own temperature on val's plates; the error is of halves judged at each other's temperature."""

    def outputs(crops: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        parts = [reader.look(list(crops[begin : begin + _BATCH]))[:2] for begin in range(0, len(crops), _BATCH)]
        return np.concatenate([logits for logits, _ in parts]), np.concatenate([odds for _, odds in parts])

    judged = plates.judged_by(outputs, reader.regions)
    return {"temperature": fit_temperature(judged), "calibration_error": round(crossed_error(judged), 4)}


def detector_examples(model: ModelFolder, root: Path | None = None, photographs: bool = True) -> list[Floats]:
    """Inputs of the detector, 1 x H x W x 3 each: pictures of `train`, or invented plates before an even background."""
    rng, tiles = np.random.default_rng(3), int(model.card["tiles"])
    if photographs:
        scenes = load_scenes("train", root=root)
        pictures = (read_picture(scenes[k]) for k in rng.permutation(len(scenes))[:PICTURES])
    else:
        pictures = (_invented_scene(rng) for _ in range(PICTURES))
    return [_detector_input(picture, tiles) for picture in pictures]


def _detector_input(picture: Image, tiles: int) -> Floats:
    box = letterbox(picture.shape[1], picture.shape[0], tiles)
    even = normalise(torch.from_numpy(np.ascontiguousarray(shrink(picture, box)))).permute(1, 2, 0).numpy()
    pixels = np.zeros((1, box.height, box.width, 3), np.float32)
    pixels[0, : even.shape[0], : even.shape[1]] = even
    return pixels


def _invented_scene(rng: np.random.Generator) -> Image:
    scene = np.full((720, 1280, 3), rng.integers(40, 200, 3), np.float32) + rng.normal(0, 12, (720, 1280, 3))
    for _ in range(6):
        plate = render_plate(random_plate(rng), int(rng.integers(16, 90)))
        y, x = int(rng.integers(0, 720 - plate.shape[0])), int(rng.integers(0, max(1, 1280 - plate.shape[1])))
        scene[y : y + plate.shape[0], x : x + plate.shape[1]] = plate[:, : 1280 - x]
    return np.clip(scene, 0, 255).astype(np.uint8)


def reader_examples(model: ModelFolder, root: Path | None = None, photographs: bool = True) -> list[Floats]:
    """Inputs of the reader, 1 x 48 x 144 x 3 each: plates of `train` as annotated, or invented ones."""
    rng = np.random.default_rng(4)
    crops: Sequence[Image]
    if photographs:
        plates = load_real_plates("train", root=root)
        crops = [real_crop(plates[k], CROP_SIZE) for k in rng.permutation(len(plates))[:CROPS]]
    else:
        crops = [synth_crop(rng, 0.5, CROP_SIZE).crop for _ in range(CROPS)]
    return [np.ascontiguousarray(prepare([crop]).permute(0, 2, 3, 1).numpy()) for crop in crops]


def write_variants(model: ModelFolder, described: Mapping[str, Any]) -> None:
    """Put the exported files into `card.json` and, for people, at the end of `card.md`."""
    text = (model.path / "card.json").read_text(encoding="utf-8")
    # the trainers indent differently; a card keeps its own way
    second = text.splitlines()[1]
    card = json.loads(text) | {"variants": described}
    indent = len(second) - len(second.lstrip())
    _replace(model.path / "card.json", (json.dumps(card, indent=indent) + "\n").encode())
    page = model.path / "card.md"
    if page.is_file():
        told = page.read_text(encoding="utf-8").split(_HEADING)[0].rstrip("\n")
        _replace(page, f"{told}\n{_HEADING}{variants_text(described)}".encode())


def variants_text(described: Mapping[str, Any]) -> str:
    """The section of `card.md`."""
    rows = "\n".join(
        f"| {engine} | `{one['file']}` | {one['bytes']:,} | `{one['sha256'][:8]}` | {_cost(one['cost'])} |"
        for engine, one in described.items()
    )
    return f"""
Written by `platefleet export` from the weights above; `docs/runtime.md` says which is used when.

| engine | file | bytes | sha256 | points lost on val, in pictures and on cars, strict |
|---|---|---|---|---|
{rows}
"""


def _cost(cost: float | None) -> str:
    return "not measured" if cost is None else f"{cost:.1f}"


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
