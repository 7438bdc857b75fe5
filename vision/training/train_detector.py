"""Training of the plate detector: a config in, a model folder (weights, card) out.

Runs on a processor or a GPU from the same config, for a number of minutes or steps, and writes a checkpoint every few
minutes, from which a killed run goes on. Progress goes to the log `vision.training` and to `log.jsonl` in the folder.

Errors: `DataError` for missing pictures, `DeviceError` for a missing device, `ModelError` for a model that cannot be
read, `TrainingError` for an unusable config, and for a start or a checkpoint that does not fit it.
"""

import copy
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from vision.detector import DetectorNet, TorchDetector, fuse, network_of, normalise
from vision.device import Placement, choose_device, gpu_dtype
from vision.registry import find_model, load_state
from vision.training.curves import Curves
from vision.training.data import Crop, Scene, git_commit, load_crops, load_scenes
from vision.training.depthwise import quicken
from vision.training.detector_card import CROP_SOURCES, write_model
from vision.training.detector_config import DetectorTrainConfig, TrainingError
from vision.training.detector_data import Batch, SampleMaker
from vision.training.detector_extras import EXTRAS, VAL_SLIPS, with_extras
from vision.training.detector_loss import Loss, detector_loss
from vision.training.drives import TRUTH, load_drive
from vision.training.evaluate_detector import average_precision, best_threshold, judge_mended, labelled, rows, summarise
from vision.training.lineage import beyond, inherited
from vision.training.looks import Looks
from vision.training.optimising import bf16_pays, weight_groups
from vision.training.published import body_of
from vision.training.runs import Ended, Run, TrainResult, record

log = logging.getLogger("vision.training")

_SCENE_SOURCES = (
    "alpr-unconstrained", "egypt-motorcycles", "nanonets", "open-lpr", "openalpr-train-detector-neg", "robertlucian",
    "roboflow-openimages-techkhid", "chirag-anpr", "nomeroff-examples",
)  # fmt: skip
_BODY = "stride"
"""How the names of the body's weights begin."""
_SETTLING = 50
_CHECKPOINT = "checkpoint.pt"


class _Stream(IterableDataset[Batch]):
    """Batches without end; each worker process has its own seed."""

    def __init__(self, config: DetectorTrainConfig, scenes: list[Scene], crops: list[Crop], seed: int) -> None:
        self._config, self._scenes, self._crops, self._seed = config, scenes, crops, seed
        self._trainer = os.getpid()

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        cv2.setNumThreads(1)
        if info:
            threading.Thread(target=_leave_with_trainer, args=(self._trainer,), daemon=True).start()
        maker = SampleMaker(self._scenes, self._crops, self._seed * 1000 + (info.id if info else 0))
        return maker.batches(self._config.shapes)


def _leave_with_trainer(trainer: int) -> None:
    """A worker whose trainer was killed would wait for ever for someone to take its batch."""
    while os.getppid() == trainer:
        time.sleep(2)
    os._exit(1)


@dataclass(slots=True, kw_only=True)
class _State(Looks):
    """What a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    kept: dict[str, Tensor] = field(default_factory=dict)
    """The averaged weights of the best look."""
    step: int = 0
    samples: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    """One training and what it needs at every step."""

    config: DetectorTrainConfig
    state: _State
    device: torch.device
    half: bool
    """Whether steps are computed in bf16."""
    val: list[Scene]
    curves: Curves
    teachers: list[nn.Module]
    commit: str
    """Of the code that runs, whatever is committed meanwhile."""

    def told(self, ended: Ended, metrics: dict[str, Any]) -> Run:
        """The run for the list of runs."""
        config, state = self.config, self.state
        start = find_model("detector", config.start).version if config.start else ""
        drives = {f"{folder.name}/{TRUTH}": folder / TRUTH for folder in config.drives}
        extras = {EXTRAS.name: EXTRAS} | drives
        return Run("detector", ended, config, self.commit, start, state.step, state.seconds / 60, metrics, extras)


def train(config: DetectorTrainConfig, *, runs: Path | None = None) -> TrainResult:
    """Train, or go on training, and add the run to the list `runs` when it ends; raises as the module says.

    An interrupt leaves a checkpoint, from which `resume` goes on.
    """
    commit = git_commit()
    if refusal := beyond(config.licence, inherited("detector", (config.start, *config.teachers))):
        raise TrainingError(refusal)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    state = _start(config, device)
    scenes, crops = _training_data(config)
    val = labelled(load_scenes("val", root=config.data, licence=config.licence))
    config.out.mkdir(parents=True, exist_ok=True)
    half = _half_pays(config, state.network, device)
    kind = "bf16" if half else "float32"
    log.info("training on %s in %s, %d scenes, %d crops, step %d", device, kind, len(scenes), len(crops), state.step)
    batches = _batches(config, scenes, crops, state.step)
    with closing(Curves(config.out, state.step)) as curves:
        teachers = [_teacher(name, device) for name in config.teachers]
        run = _Run(config, state, device, half, val, curves, teachers, commit)
        try:
            ended = _learn(run, batches)
        except KeyboardInterrupt:
            record(runs, run.told("interrupted", {}))
            raise
        finally:
            _save(config, state)
        if ended == "out of patience":
            state.average.load_state_dict(state.kept)
        settle(state.average, itertools.islice(batches, _SETTLING), device, half)
        del batches  # its workers hold every picture
        metrics = _look(run)
    weights = state.average.state_dict()
    write_model(config, weights, metrics, scenes, crops, commit, state.step, state.samples, state.seconds)
    record(runs, run.told(ended, metrics))
    return TrainResult(config.out, state.step, metrics)


def _learn(run: _Run, batches: Iterator[Batch]) -> Ended:
    config, state = run.config, run.state
    begin, saved, losses = time.monotonic() - state.seconds, time.monotonic(), []
    for batch in batches:
        state.seconds = time.monotonic() - begin
        done = _progress(config, state)
        if done >= 1:
            break
        if state.over(config.patience):
            return "out of patience"
        losses.append(_step(run, batch, done))
        if state.step % 50 == 0:
            _note(run, losses, done)
            losses.clear()
        if time.monotonic() - saved > config.every_minutes * 60:
            _compare(run)
            _save(config, state)
            saved = time.monotonic()
    return "finished"


def _compare(run: _Run) -> None:
    """Look at val, and keep the best weights so far: patience, of this run or of one that goes on, may end it."""
    state = run.state
    if state.better(_look(run)["average_precision"]):
        state.kept = {name: tensor.clone() for name, tensor in state.average.state_dict().items()}


def _batches(config: DetectorTrainConfig, scenes: list[Scene], crops: list[Crop], step: int) -> Iterator[Batch]:
    """Batches without end, to be taken from one iterator: each new one would decode every picture anew.

    Workers are spawned: a forked one inherits OpenCV's pool without its threads, and waits for them for ever.
    """
    loader = DataLoader(
        _Stream(config, scenes, crops, config.seed + step),  # a run that goes on draws samples anew
        batch_size=None,
        num_workers=config.workers,
        collate_fn=_same,  # type: ignore[arg-type]
        prefetch_factor=3 if config.workers else None,
        multiprocessing_context="spawn" if config.workers else None,
    )
    return iter(loader)


def _training_data(config: DetectorTrainConfig) -> tuple[list[Scene], list[Crop]]:
    scenes = load_scenes("train", root=config.data, licence=config.licence, sources=_SCENE_SOURCES)
    scenes = with_extras(scenes)
    crops = load_crops("train", root=config.data, licence=config.licence, sources=CROP_SOURCES)
    for folder in config.drives:
        scenes += load_drive(folder)
    if not any(scene.plates for scene in scenes):
        raise TrainingError(f"the licence filter {config.licence!r} leaves no annotated scene to train from")
    return scenes, crops


def _start(config: DetectorTrainConfig, device: torch.device) -> _State:
    network = DetectorNet(config.architecture).to(device=device).to(memory_format=torch.channels_last)
    if config.start:
        log.info("%d tensors taken over from %s", take_over(network, config.start), config.start)
    if config.body_from:
        network.load_state_dict(body_of(config.body_from, network, _BODY), strict=False)
    average = copy.deepcopy(network).eval()
    if device.type == "cpu":
        quicken(network)
    groups = weight_groups(network, config.weight_decay, config.body_rate, body=_BODY)
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate)
    state = _State(network=network, average=average, optimiser=optimiser)
    if config.resume:
        _resume(config.out / _CHECKPOINT, state, device)
    return state


def _half_pays(config: DetectorTrainConfig, network: nn.Module, device: torch.device) -> bool:
    # two pictures would not show what bf16 saves, all of a batch would take long where it is emulated
    pictures, height, width, _ = config.shapes[0]
    return bf16_pays(network, device, (min(pictures, 8), height, width), lambda out: out[0].sum() + out[1].sum())


def _resume(file: Path, state: _State, device: torch.device) -> None:
    """Put the checkpoint into `state`."""
    if not file.exists():
        raise TrainingError(f"nothing to resume: {file} is not there; start without resume")
    saved = torch.load(file, map_location=device, weights_only=True)
    try:
        state.network.load_state_dict(saved["network"])
        state.average.load_state_dict(saved["average"])
    except RuntimeError as error:
        raise TrainingError(f"{file} is of another architecture; resume with the config that it began with") from error
    state.optimiser.load_state_dict(saved["optimiser"])
    state.step, state.samples, state.seconds = saved["step"], saved["samples"], saved["seconds"]
    # an older checkpoint tells of a best look, but not its weights: looks are then counted anew
    if saved.get("kept"):
        state.best, state.since_best, state.kept = saved["best"], saved["since_best"], saved["kept"]


def take_over(network: nn.Module, start: str) -> int:
    """Copy the weights of a model wherever name and shape agree; returns how many tensors did.

    Raises `TrainingError` where no convolution's weights do: the last biases agree whatever the architecture.
    """
    own = network.state_dict()
    same = {k: v for k, v in load_state(find_model("detector", start)).items() if k in own and v.shape == own[k].shape}
    if all(tensor.ndim < 4 for tensor in same.values()):
        raise TrainingError(f"{start} shares no weights with this architecture: a run cannot start from it")
    network.load_state_dict(same, strict=False)
    return len(same)


def _progress(config: DetectorTrainConfig, state: _State) -> float:
    """0 to 1 and beyond: how much of the run is over."""
    by_steps = state.step / config.steps if config.steps is not None else 0.0
    return max(by_steps, state.seconds / (60 * config.minutes))


def _step(run: _Run, batch: Batch, done: float) -> Loss:
    config, state, device = run.config, run.state, run.device
    warm = min(1.0, (state.step + 1) / 150)
    gone = max(0.0, done - config.decay_from) / (1.0 - config.decay_from)
    rate = config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * gone))))
    for group in state.optimiser.param_groups:
        group["lr"] = rate * group["share"]
    state.network.train()
    pictures = _pictures(batch, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=run.half):
        heat, geometry = state.network(pictures)
    sure, told = state.step >= config.sure_from, _told(run.teachers, pictures, run.half)
    loss = detector_loss(heat.float(), geometry.float(), batch, sure=sure, told=told, taught=config.taught)
    state.optimiser.zero_grad(set_to_none=True)
    loss.total.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimiser.step()
    state.step += 1
    state.samples += len(batch.pictures)
    _follow(state, config.average)
    return loss


def _teacher(name: str, device: torch.device) -> nn.Module:
    """A model's network as it is in production; raises `ModelError`."""
    return fuse(network_of(find_model("detector", name)).eval()).to(device=device).to(memory_format=torch.channels_last)


@torch.no_grad()
def _told(teachers: Sequence[nn.Module], pictures: Tensor, half: bool) -> Tensor | None:
    """B x h x w, 0 to 1: the heat that the teachers' logits have on the mean; None without any; `half` is bf16."""
    if not teachers:
        return None
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=half):
        heats = [network(pictures)[0].float() for network in teachers]
    return torch.stack(heats).mean(dim=0).sigmoid()


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
def settle(network: nn.Module, batches: Iterable[Batch], device: torch.device, half: bool) -> None:
    """Measure the batch norms' means and spreads anew: those kept while training are of other weights, and of few
    pictures. `half` is bf16. Leaves the network in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over all batches
    network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        for batch in batches:
            network(_pictures(batch, device))
    network.eval()


def _note(run: _Run, losses: list[Loss], done: float) -> None:
    state = run.state
    means = {name: float(np.mean([getattr(loss, name) for loss in losses])) for name in ("heat", "box", "corner")}
    row = {
        "step": state.step,
        "samples": state.samples,
        "minutes": round(state.seconds / 60, 2),
        "done": round(done, 4),
    } | {name: round(mean, 4) for name, mean in means.items()}
    _append(run.config, row)
    run.curves.put("train", state.step, means | {"learning_rate": state.optimiser.param_groups[0]["lr"]})
    log.info("%s", row)


def _append(config: DetectorTrainConfig, row: dict[str, Any]) -> None:
    with (config.out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _save(config: DetectorTrainConfig, state: _State) -> None:
    saved = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "samples": state.samples,
        "seconds": state.seconds,
        "best": state.best,
        "since_best": state.since_best,
        "kept": state.kept,
    }
    fresh = config.out / "checkpoint.tmp"
    torch.save(saved, fresh)
    fresh.replace(config.out / _CHECKPOINT)


def _look(run: _Run) -> dict[str, Any]:
    """Val figures of the averaged network; written to log and curves, and returned."""
    config, state, device = run.config, run.state, run.device
    network = DetectorNet(config.architecture)
    network.load_state_dict(state.average.state_dict())
    dtype = gpu_dtype(device) if device.type == "cuda" else torch.float32
    detector = TorchDetector(network, Placement(device, dtype), threshold=0.05, tiles=config.tiles)
    outcomes, mended = judge_mended(detector, run.val, VAL_SLIPS)
    # plates that nobody annotated would count as false, and drive the threshold up
    threshold = best_threshold(mended)
    figures = {"threshold": threshold, "average_precision": round(average_precision(outcomes), 4)}
    table = summarise(outcomes, threshold)
    better = {"average_precision": round(average_precision(mended), 4), "all": summarise(mended, threshold)["all"]}
    result = {**figures, "val": table, "val_mended": better}
    _append(config, {"step": state.step, **result})
    run.curves.put("val", state.step, {**figures, **table})
    log.info("val at step %d: AP %.4f, threshold %.2f", state.step, figures["average_precision"], threshold)
    for line in rows(table):
        log.info("%s", line)
    return result


def _same(batch: Batch) -> Batch:
    return batch
