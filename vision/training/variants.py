"""Exported files with their accuracy cost: two model folders in, the files and what they lose into the folders' cards.

The cost is measured on `val`, end to end, strict: the network under test beside the other one as torch has it in
float32, so that a detector's loss is not a reader's. Calibration sees `train` alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vision.detector import TorchDetector, letterbox, normalise, shrink
from vision.pipeline import PlatePipeline
from vision.plates import random_plate, render_plate
from vision.reader import CROP_SIZE, TorchReader, prepare
from vision.registry import Kind, ModelFolder, read_folder, sha256_of
from vision.runtime_onnx import FILES, ONNX_ENGINES, OnnxDetector, OnnxEngine, OnnxReader
from vision.training.data import DEFAULT_ROOT, load_scenes
from vision.training.evaluate import evaluate
from vision.training.evaluate_detector import read_picture
from vision.training.export import Recipe, export_detector, export_reader, quantise
from vision.training.reader_data import load_real_plates, real_crop
from vision.training.synth import synth_crop
from vision.types import Image

Floats = NDArray[np.float32]
Tell = Callable[[str], None]

RECIPES: dict[Kind, Recipe] = {
    "detector": Recipe(),
    "reader": Recipe(operators=("Conv",)),
}
PICTURES, CROPS = 128, 384
"""What activations are measured on."""
_HEADING = "\n## Other runtimes\n"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of val, strict, in percent."""

    end_to_end: float
    reader: float
    """On the annotated box; a detector does not change it."""


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
    for model, kind in ((finding, "detector"), (reading, "reader")):
        _write_files(model, kind, photographs, root, tell)  # type: ignore[arg-type]
    if photographs and measure:
        _measure(read_folder(finding.path), read_folder(reading.path), root, tell)


def _write_files(model: ModelFolder, kind: Kind, photographs: bool, root: Path | None, tell: Tell) -> None:
    recipe = RECIPES[kind]
    if kind == "detector":
        examples = detector_examples(int(model.card["tiles"]), PICTURES, root if photographs else None, photographs)
        network = export_detector(model)
    else:
        examples = reader_examples(CROPS, root if photographs else None, photographs)
        network = export_reader(model)
    files: dict[OnnxEngine, bytes] = {"onnx": network, "onnx-int8": quantise(network, examples, recipe)}
    described: dict[str, Any] = {}
    for engine, data in files.items():
        _replace(model.path / FILES[engine], data)
        described[engine] = {
            "file": FILES[engine],
            "sha256": sha256_of(data),
            "bytes": len(data),
            "weights": model.card["sha256"],
            "cost": None,
        }
        tell(f"{model.path / FILES[engine]}: {len(data):,} bytes")
    described["onnx-int8"] |= {
        "recipe": asdict(recipe),
        "calibrated_on": f"{len(examples)} {'of train' if photographs else 'invented ones'}",
    }
    write_variants(model, described)


def _measure(finding: ModelFolder, reading: ModelFolder, root: Path | None, tell: Tell) -> None:
    detector, reader = TorchDetector.from_model(finding, "cpu", "fp32"), TorchReader.load(reading, "cpu", "fp32")
    base = _accuracy(PlatePipeline(detector, reader, "torch"), root)
    tell(f"torch float32: {base.end_to_end:.1f} % end to end, {base.reader:.1f} % on the annotated box")
    for model, kind in ((finding, "detector"), (reading, "reader")):
        described = dict(model.card["variants"])
        for engine in ONNX_ENGINES:
            pipeline = (
                PlatePipeline(OnnxDetector.from_model(model, engine), reader, engine)
                if kind == "detector"
                else PlatePipeline(detector, OnnxReader.load(model, engine), engine)
            )
            found = _accuracy(pipeline, root)
            described[engine] = described[engine] | {
                "val_end_to_end": found.end_to_end,
                "cost": round(base.end_to_end - found.end_to_end, 1),
            }
            tell(f"{kind} {engine}: {found.end_to_end:.1f} % end to end, {found.reader:.1f} % on the annotated box")
        write_variants(model, described)


def _accuracy(pipeline: PlatePipeline, root: Path | None) -> Accuracy:
    found = evaluate("val", pipeline=pipeline, root=root, show=None)
    return Accuracy(float(found.end_to_end["all"]["strict"]), float(found.reader["all"]["strict"]))


def detector_examples(tiles: int, count: int, root: Path | None = None, photographs: bool = True) -> list[Floats]:
    """Inputs of the detector, 1 x H x W x 3 each: pictures of `train`, or invented plates before an even background."""
    rng = np.random.default_rng(3)
    if photographs:
        scenes = load_scenes("train", root=root)
        pictures = (read_picture(scenes[k]) for k in rng.permutation(len(scenes))[:count])
    else:
        pictures = (_invented_scene(rng) for _ in range(count))
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


def reader_examples(count: int, root: Path | None = None, photographs: bool = True) -> list[Floats]:
    """Inputs of the reader, 1 x 48 x 144 x 3 each: plates of `train` as annotated, or invented ones."""
    rng = np.random.default_rng(4)
    crops: Sequence[Image]
    if photographs:
        plates = load_real_plates("train", root=root)
        crops = [real_crop(plates[k], CROP_SIZE) for k in rng.permutation(len(plates))[:count]]
    else:
        crops = [synth_crop(rng, 0.5, CROP_SIZE).crop for _ in range(count)]
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

| engine | file | bytes | sha256 | points lost on val, end to end, strict |
|---|---|---|---|---|
{rows}
"""


def _cost(cost: float | None) -> str:
    return "not measured" if cost is None else f"{cost:.1f}"


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
