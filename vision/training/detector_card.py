"""A trained detector in, its model folder out: weights, `card.json` for programs and `card.md` for people."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vision.detector import STRIDE
from vision.registry import find_model, sha256_of
from vision.training.data import LICENCES, Crop, Scene
from vision.training.detector_config import DetectorTrainConfig
from vision.training.lineage import inherited

CROP_SOURCES = ("reported-nyc", "openalpr-benchmarks-us-states")
"""Sources whose crops are pasted into scenes."""

_ELSEWHERE = ("out", "data", "teachers")
"""Settings that the card tells in other words, or not at all."""


def write_model(
    config: DetectorTrainConfig,
    weights: dict[str, Tensor],
    metrics: dict[str, Any],
    scenes: Sequence[Scene],
    crops: Sequence[Crop],
    commit: str,
    step: int,
    samples: int,
    seconds: float,
) -> None:
    """Write `weights.pt`, `card.json` and `card.md` into the run's folder."""
    file = config.out / "weights.pt"
    torch.save({name: _half(tensor.detach().cpu()).contiguous() for name, tensor in weights.items()}, file)
    counts, pasted = Counter(scene.source for scene in scenes), sorted({crop.source for crop in crops})
    through = inherited("detector", (config.start, *config.teachers))
    card = {
        "name": config.out.name,
        "kind": "detector",
        "weights": file.name,
        "sha256": sha256_of(file.read_bytes()),
        "architecture": asdict(config.architecture),
        "stride": STRIDE,
        "tiles": config.tiles,
        "threshold": metrics["threshold"],
        "training": {
            "commit": commit,
            "start": find_model("detector", config.start).version if config.start else "nothing",
            "teachers": [find_model("detector", name).version for name in config.teachers],
            "config": {key: _plain(value) for key, value in asdict(config).items() if key not in _ELSEWHERE},
            "scenes": dict(counts),
            "crops": pasted,
            "through": {source: model for source, model in through.items() if source not in {*counts, *pasted}},
            "licences": {
                s: LICENCES.get(s, "own") or "none stated" for s in dict.fromkeys((*counts, *pasted, *through))
            },
            "steps": step,
            "samples": samples,
            "minutes": round(seconds / 60, 1),
        },
        "val": metrics["val"],
        "val_average_precision": metrics["average_precision"],
        "val_mended": metrics["val_mended"],
    }
    (config.out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (config.out / "card.md").write_text(_page(card), encoding="utf-8")


def _half(tensor: Tensor) -> Tensor:
    """Convolutions in 16 bits, which costs nothing that can be measured; biases and norms as they are."""
    return tensor.half() if tensor.ndim > 1 else tensor


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _page(card: dict[str, Any]) -> str:
    training = card["training"]
    taught = f", taught by {' and '.join(training['teachers'])}," if training["teachers"] else ""
    licences, mended = training["licences"], card["val_mended"]
    sources = "\n".join(
        f"| {s} | {n} | {licences[s]} |"
        for s, n in [*sorted(training["scenes"].items()), *((s, f"by {m}") for s, m in training["through"].items())]
    )
    crops = f" plate crops of {' and '.join(training['crops'])}," if training["crops"] else ""
    table = "\n".join(
        f"| {s} | {r['images']} | {r['plates']} | {r['recall']} | {r['false_per_100']} | {r['mean_iou']} |"
        for s, r in card["val"].items()
    )
    return f"""# {card["name"]}

Finds number plates, with four corners, in whole pictures of any size (letterboxed to {card["tiles"]} tiles of 32 x 32).
Weights: `{card["weights"]}`, sha256 `{card["sha256"]}`. Threshold {card["threshold"]} (highest F1.5 on val with the
slips of its annotation mended, `vision/training/val_slips.json`).

Trained from {training["start"]}{taught} for {training["minutes"]} minutes, {training["steps"]} steps,
{training["samples"]} samples, on the `train` split of the sources below, with invented plates pasted in
perspective,{crops} and simulated drives where named. Where a model stands in place of a number, its
photographs came with its weights or its teaching. The `test` split was not used.

| scenes of | number | licence |
|---|---|---|
{sources}

On `val` (IoU 0.5; "false" boxes include real plates that their source did not annotate), average precision
{card["val_average_precision"]}; with the slips of its annotation mended {mended["average_precision"]}, recall
{mended["all"]["recall"]} % with {mended["all"]["false_per_100"]} false boxes per 100 images:

| source | images | plates | recall % | false boxes per 100 images | mean IoU |
|---|---|---|---|---|---|
{table}

Not for: reading (see the reader), finding vehicles, plates below about 9 x 4 pixels of the input.
"""
