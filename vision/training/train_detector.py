"""Training of the plate detector: a config in, a model folder (weights, card) out.

Runs on a processor or a GPU from the same config, for a number of minutes or steps, and writes a checkpoint every few
minutes, from which a killed run goes on. Progress goes to the log `vision.training` and to `log.jsonl` in the folder.

Errors: `DataError` for missing pictures, `DeviceError` for a missing device, `TrainingError` for an unusable config.
"""

import copy
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from vision.detector import STRIDE, DetectorNet, TorchDetector, normalise
from vision.device import Placement, choose_device
from vision.registry import find_model, load_state, sha256_of
from vision.training.data import (
    LICENCES,
    Crop,
    Scene,
    git_commit,
    load_crops,
    load_scenes,
)
from vision.training.detector_config import DetectorTrainConfig, TrainingError
from vision.training.detector_data import Batch, SampleMaker
from vision.training.detector_extras import with_extras
from vision.training.detector_loss import Loss, detector_loss
from vision.training.drives import load_drive
from vision.training.evaluate_detector import average_precision, best_threshold, judge, labelled, rows, summarise

log = logging.getLogger("vision.training")

_SCENE_SOURCES = (
    "alpr-unconstrained", "egypt-motorcycles", "nanonets", "open-lpr", "openalpr-train-detector-neg", "robertlucian",
    "roboflow-openimages-techkhid", "chirag-anpr", "nomeroff-examples",
)  # fmt: skip
_CROP_SOURCES = ("reported-nyc", "openalpr-benchmarks-us-states")
_SETTLING = 50


class _Stream(IterableDataset[Batch]):
    """Batches without end; each worker process has its own seed."""

    def __init__(self, config: DetectorTrainConfig, scenes: list[Scene], crops: list[Crop], seed: int) -> None:
        self._config, self._scenes, self._crops, self._seed = config, scenes, crops, seed

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        cv2.setNumThreads(1)
        if info:
            threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
        maker = SampleMaker(self._scenes, self._crops, self._seed * 1000 + (info.id if info else 0))
        return maker.batches(self._config.shapes)


def _leave_with_parent(parent: int) -> None:
    """A worker whose trainer was killed would wait for ever for someone to take its batch."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


@dataclass(slots=True)
class _State:
    """What a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    samples: int = 0
    seconds: float = 0.0


def train(config: DetectorTrainConfig) -> Path:
    """Train, or go on training, and return the folder of the model; raises as the module says.

    An interrupt leaves a checkpoint, from which `resume` goes on.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    scenes, crops = _training_data(config)
    val = labelled(load_scenes("val", root=config.data, licence=config.licence))
    state = _start(config, device)
    log.info("training on %s, %d scenes, %d crops, step %d", device, len(scenes), len(crops), state.step)
    loader = _loader(config, scenes, crops, state.step)
    try:
        _run(config, state, loader, val, device)
    finally:
        _save(config, state)
    settle(state.average, itertools.islice(loader, _SETTLING), device)
    metrics = _look(config, state, val, device)
    write_model(config, state.average.state_dict(), metrics, scenes, state.step, state.samples, state.seconds)
    return config.out


def _run(
    config: DetectorTrainConfig, state: _State, loader: DataLoader[Batch], val: list[Scene], device: torch.device
) -> None:
    begin, saved, losses = time.monotonic() - state.seconds, time.monotonic(), []
    for batch in loader:
        state.seconds = time.monotonic() - begin
        done = _progress(config, state)
        if done >= 1:
            return
        losses.append(_step(config, state, batch, device, done))
        if state.step % 50 == 0:
            _note(config, state, losses, done)
            losses.clear()
        if time.monotonic() - saved > config.every_minutes * 60:
            _save(config, state)
            _look(config, state, val, device)
            saved = time.monotonic()


def _loader(config: DetectorTrainConfig, scenes: list[Scene], crops: list[Crop], step: int) -> DataLoader[Batch]:
    return DataLoader(
        _Stream(config, scenes, crops, config.seed + step),  # a run that goes on draws samples anew
        batch_size=None,
        num_workers=config.workers,
        collate_fn=_same,  # type: ignore[arg-type]
        prefetch_factor=3 if config.workers else None,
    )


def _training_data(config: DetectorTrainConfig) -> tuple[list[Scene], list[Crop]]:
    scenes = load_scenes("train", root=config.data, licence=config.licence, sources=_SCENE_SOURCES)
    scenes = with_extras(scenes)
    crops = load_crops("train", root=config.data, licence=config.licence, sources=_CROP_SOURCES)
    for folder in config.drives:
        scenes += load_drive(folder)
    if not any(scene.plates for scene in scenes):
        raise TrainingError(f"the licence filter {config.licence!r} leaves no annotated scene to train from")
    return scenes, crops


def _start(config: DetectorTrainConfig, device: torch.device) -> _State:
    network = DetectorNet(config.architecture).to(device=device).to(memory_format=torch.channels_last)
    if config.start:
        log.info("%d tensors taken over from %s", take_over(network, config.start), config.start)
    average = copy.deepcopy(network).eval()
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    state = _State(network, average, torch.optim.AdamW(groups, lr=config.learning_rate))
    file = config.out / "checkpoint.pt"
    if config.resume and file.exists():
        kept = torch.load(file, map_location=device, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.step, state.samples, state.seconds = kept["step"], kept["samples"], kept["seconds"]
    return state


def take_over(network: nn.Module, start: str) -> int:
    """Copy the weights of a model wherever name and shape agree; returns how many tensors did."""
    own = network.state_dict()
    same = {k: v for k, v in load_state(find_model("detector", start)).items() if k in own and v.shape == own[k].shape}
    network.load_state_dict(same, strict=False)
    return len(same)


def _progress(config: DetectorTrainConfig, state: _State) -> float:
    if config.steps is not None:
        return state.step / config.steps
    return state.seconds / (60 * config.minutes)


def _step(config: DetectorTrainConfig, state: _State, batch: Batch, device: torch.device, done: float) -> Loss:
    warm = min(1.0, (state.step + 1) / 150)
    gone = max(0.0, done - config.decay_from) / (1.0 - config.decay_from)
    rate = config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * gone))))
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.network.train()
    with torch.autocast(device.type, dtype=torch.bfloat16):
        heat, geometry = state.network(_pictures(batch, device))
    loss = detector_loss(heat.float(), geometry.float(), batch, sure=state.step >= config.sure_from)
    state.optimiser.zero_grad(set_to_none=True)
    loss.total.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimiser.step()
    state.step += 1
    state.samples += len(batch.pictures)
    _follow(state, config.average)
    return loss


@torch.no_grad()
def _follow(state: _State, most: float) -> None:
    """Move the averaged weights, which are those that are kept, a little towards the trained ones."""
    keep = min(most, (1 + state.step) / (20 + state.step))
    for weight, trained in zip(state.average.parameters(), state.network.parameters(), strict=True):
        weight.lerp_(trained, 1 - keep)
    for kept, seen in zip(state.average.buffers(), state.network.buffers(), strict=True):
        kept.copy_(seen)


def _pictures(batch: Batch, device: torch.device) -> Tensor:
    pictures = torch.stack([normalise(torch.from_numpy(picture).to(device)) for picture in batch.pictures])
    return pictures.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def settle(network: nn.Module, batches: Iterable[Batch], device: torch.device) -> None:
    """Measure the batch norms' means and spreads anew: those kept while training are of other weights, and of few
    pictures. Leaves the network in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over all batches
    network.train()
    with torch.autocast(device.type, dtype=torch.bfloat16):
        for batch in batches:
            network(_pictures(batch, device))
    network.eval()


def _note(config: DetectorTrainConfig, state: _State, losses: list[Loss], done: float) -> None:
    row = {
        "step": state.step,
        "samples": state.samples,
        "minutes": round(state.seconds / 60, 2),
        "done": round(done, 4),
        "heat": round(float(np.mean([loss.heat for loss in losses])), 4),
        "box": round(float(np.mean([loss.box for loss in losses])), 4),
        "corner": round(float(np.mean([loss.corner for loss in losses])), 4),
    }
    _append(config, row)
    log.info("%s", row)


def _append(config: DetectorTrainConfig, row: dict[str, Any]) -> None:
    with (config.out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _save(config: DetectorTrainConfig, state: _State) -> None:
    kept = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "samples": state.samples,
        "seconds": state.seconds,
    }
    fresh = config.out / "checkpoint.tmp"
    torch.save(kept, fresh)
    fresh.replace(config.out / "checkpoint.pt")


def _look(config: DetectorTrainConfig, state: _State, val: list[Scene], device: torch.device) -> dict[str, Any]:
    """Val figures of the averaged network; written to the log and returned."""
    network = DetectorNet(config.architecture)
    network.load_state_dict(state.average.state_dict())
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    outcomes = judge(TorchDetector(network, Placement(device, dtype), threshold=0.05, tiles=config.tiles), val)
    threshold = best_threshold(outcomes)
    result = {
        "threshold": threshold,
        "average_precision": round(average_precision(outcomes), 4),
        "val": summarise(outcomes, threshold),
    }
    _append(config, {"step": state.step, **result})
    log.info("val at step %d: AP %.4f, threshold %.2f", state.step, result["average_precision"], threshold)
    for line in rows(result["val"]):  # type: ignore[arg-type]
        log.info("%s", line)
    return result


def write_model(
    config: DetectorTrainConfig,
    weights: dict[str, Tensor],
    metrics: dict[str, Any],
    scenes: list[Scene],
    step: int,
    samples: int,
    seconds: float,
) -> None:
    """Write `weights.pt`, `card.json` and `card.md` into the run's folder."""
    file = config.out / "weights.pt"
    torch.save({name: _half(tensor.detach().cpu()).contiguous() for name, tensor in weights.items()}, file)
    counts: dict[str, int] = {}
    for scene in scenes:
        counts[scene.source] = counts.get(scene.source, 0) + 1
    card = {
        "name": "detector-v2",
        "kind": "detector",
        "weights": file.name,
        "sha256": sha256_of(file.read_bytes()),
        "architecture": asdict(config.architecture),
        "stride": STRIDE,
        "tiles": config.tiles,
        "threshold": metrics["threshold"],
        "training": {
            "commit": git_commit(),
            "start": find_model("detector", config.start).version if config.start else "nothing",
            "config": {key: _plain(value) for key, value in asdict(config).items() if key not in ("out", "data")},
            "scenes": counts,
            "crops": list(_CROP_SOURCES),
            "licences": {source: LICENCES.get(source, "own") or "none stated" for source in (*counts, *_CROP_SOURCES)},
            "steps": step,
            "samples": samples,
            "minutes": round(seconds / 60, 1),
        },
        "val": metrics["val"],
        "val_average_precision": metrics["average_precision"],
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
    sources = "\n".join(f"| {s} | {n} | {training['licences'][s]} |" for s, n in sorted(training["scenes"].items()))
    table = "\n".join(
        f"| {s} | {r['images']} | {r['plates']} | {r['recall']} | {r['false_per_100']} | {r['mean_iou']} |"
        for s, r in card["val"].items()
    )
    return f"""# {card["name"]}

Finds number plates, with four corners, in whole pictures of any size (letterboxed to {card["tiles"]} tiles of 32 x 32).
Weights: `{card["weights"]}`, sha256 `{card["sha256"]}`. Threshold {card["threshold"]} (highest F1.5 on val).

Trained from {training["start"]} for {training["minutes"]} minutes, {training["steps"]} steps, {training["samples"]}
samples, on the `train` split of the sources below, with invented plates pasted in perspective, plate crops of
{" and ".join(training["crops"])}, and simulated drives where named. The `test` split was not used.

| scenes of | number | licence |
|---|---|---|
{sources}

On `val` (IoU 0.5; "false" boxes include real plates that their source did not annotate), average precision
{card["val_average_precision"]}:

| source | images | plates | recall % | false boxes per 100 images | mean IoU |
|---|---|---|---|---|---|
{table}

Not for: reading (see the reader), finding vehicles, plates below about 9 x 4 pixels of the input.
"""


def _same(batch: Batch) -> Batch:
    return batch
