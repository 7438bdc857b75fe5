"""Train the plate reader: a config in, weights with a model card out, with a log and checkpoints on the way.

Invented plates are easy at first and grow harder as the network learns (CTC does not get off the ground on hard ones);
real plates are mixed in until they are half. The weights kept are the moving average that read the validation plates
best. A run that was interrupted or killed resumes from its last checkpoint.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vision.alphabet import greedy
from vision.detector import TorchDetector
from vision.device import choose_device
from vision.plates import REGIONS
from vision.reader import CROP_SIZE, ReaderArchitecture, ReaderNet, network_of, prepare_batch
from vision.registry import ModelError, find_model, load_state, read_folder
from vision.training.calibrate import crossed_error, fit_temperature
from vision.training.curves import Curves
from vision.training.data import DataError, Split, load_scenes
from vision.training.depthwise import quicken
from vision.training.evaluate_reader import ValSet, cut_plates, exact_by_source, load_val
from vision.training.jitter import jitter
from vision.training.lineage import beyond, inherited, with_licences
from vision.training.looks import Looks
from vision.training.model_card import write_card, write_reader_card
from vision.training.mounting import mounted_plates
from vision.training.optimising import bf16_pays, update_average, weight_groups
from vision.training.published import body_of
from vision.training.reader_config import ConfigError, ReaderTrainConfig, code_commit, learning_rate
from vision.training.reader_data import RealPlate, Sample, load_real_plates, real_crop, seen_corners
from vision.training.reader_extras import EXTRAS
from vision.training.reader_loss import reader_loss, text_losses
from vision.training.replay import ReplayBuffer
from vision.training.runs import Ended, Run, TrainResult, record
from vision.training.sample_workers import MixSettings, SampleWorkers
from vision.training.splicing import Gaps, find_gaps
from vision.types import Detector

log = logging.getLogger(__name__)

_EASY_ENOUGH, _TOO_HARD = 0.62, 0.35
"""Share of invented plates read right above which, or below which, they get harder or easier."""


@dataclass(slots=True)
class _State(Looks):
    step: int = 0
    seconds: float = 0.0
    difficulty: float = 0.0
    read_right: float = 0.0
    """Moving share of invented plates in the batches read exactly right."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Of the weights in the run's folder; read greedily until the run is over."""


def train(config: ReaderTrainConfig, *, runs: Path | None = None) -> TrainResult:
    """Run the training, and add it to the list `runs` when it ends or is interrupted.

    Raises `DataError` for a missing pack, `ModelError` for a checkpoint that does not fit, `ConfigError` for models
    that the licence filter leaves out.
    """
    if refusal := beyond(config.licence, _inherited(config)):
        raise ConfigError(refusal)
    config.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    architecture = ReaderArchitecture(config.widths, config.sequence, REGIONS, inner=config.inner, body=config.body)
    run = _Run(config, architecture)
    try:
        run.go()
    except KeyboardInterrupt:
        run.save_checkpoint()
        record(runs, run.told("interrupted"))
        raise
    finally:
        run.close()
    record(runs, run.told("finished" if run.progress() >= 1.0 else "out of patience"))
    return TrainResult(config.out, run.state.step, run.state.metrics)


def _inherited(config: ReaderTrainConfig) -> dict[str, str]:
    """See `inherited`: of all models that the run is helped by."""
    return inherited("reader", (config.start, config.spliced_by)) | inherited("detector", config.detectors)


class _Run:
    def __init__(self, config: ReaderTrainConfig, architecture: ReaderArchitecture) -> None:
        self.config, self.architecture, self.state = config, architecture, _State()
        self.device = choose_device(config.device)
        self.val: ValSet | None = load_val(config.data, config.licence) if config.real else None
        self.network = ReaderNet(architecture).to(self.device).to(memory_format=torch.channels_last)
        self.network.drop.p = config.dropout
        self.average = ReaderNet(architecture).to(self.device)
        self.commit = code_commit()
        self.sources = with_licences(_inherited(config))
        """Whose photographs are in the weights, with their licences."""
        self.start = self._load_start()
        if self.device.type == "cpu":
            quicken(self.network.body)
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            weight_groups(self.network, config.weight_decay, config.body_rate), lr=config.rate
        )
        if config.resume:
            self._resume()
        self.half = bf16_pays(self.network, self.device, (16, *CROP_SIZE), lambda out: out.logits.float().sum())
        self.rng = np.random.default_rng([config.seed, self.state.step])
        self.buffer = ReplayBuffer(config.replay, CROP_SIZE)
        finders = self._finders()
        self.val_mounted = self._mount_val(finders)
        self.workers = SampleWorkers(self._mix(finders))
        self.drawn = 0
        self.log = (config.out / "log.jsonl").open("a", encoding="utf-8")
        self.curves = Curves(config.out, self.state.step)

    def _load_start(self) -> dict[str, Any]:
        """Take over the weights of the model that the run starts from; returns what its card says of it."""
        if not self.config.start:
            return {}
        model = find_model("reader", self.config.start)
        now = self.network.state_dict()
        fitting = {k: v for k, v in load_state(model).items() if k in now and now[k].shape == v.shape}
        if "letters.weight" not in fitting:
            raise ModelError(f"{model.name} is of another width: a run cannot start from it")
        if self.config.body_from:
            fitting |= body_of(self.config.body_from, self.network, "body.", prefix="body.")
        self.network.load_state_dict(now | fitting)
        log.info("%s gives the start, but for %s", model.name, ", ".join(sorted(set(now) - set(fitting))) or "nothing")
        self.state.difficulty = self.config.start_difficulty
        kept = ("sha256", "commit", "steps", "config", "start")
        return {"name": self.config.start} | {key: model.card[key] for key in kept if key in model.card}

    def _mix(self, finders: Sequence[Detector]) -> MixSettings:
        """What the workers draw."""
        config = self.config
        plates = load_real_plates("train", root=config.data, licence=config.licence) if config.real else []
        self.sources = with_licences({plate.source for plate in plates} | set(self.sources))
        return MixSettings(
            CROP_SIZE,
            config.seed + self.state.step,
            config.workers,
            config.data,
            config.licence,
            config.real,
            config.spliced,
            self._find_gaps(plates),
            self._find_corners(plates, finders),
            tuple(self._mount("train", plates, finders, config.mounted, config.seed)),
        )

    def _find_gaps(self, plates: Sequence[RealPlate]) -> tuple[Gaps | None, ...]:
        """Where the real plates can be cut and joined, as a reader sees it."""
        config = self.config
        if not (plates and config.spliced and (config.start or config.resume)):
            return ()
        reader = network_of(find_model("reader", config.spliced_by)) if config.spliced_by else self.average
        crops = [real_crop(plate, CROP_SIZE) for plate in plates]
        facts = [(plate.margin, plate.text, plate.source) for plate in plates]
        gaps = tuple(find_gaps(reader, crops, facts))
        log.info("%d of %d real plates can be joined", sum(g is not None for g in gaps), len(gaps))
        return gaps

    def _finders(self) -> list[TorchDetector]:
        """The detectors of the settings, which real plates are shown to."""
        return [
            TorchDetector.from_model(find_model("detector", name), self.device.type, "auto", self.config.threads)
            for name in (self.config.detectors if self.config.real else ())
        ]

    def _find_corners(
        self, plates: Sequence[RealPlate], finders: Sequence[Detector]
    ) -> tuple[tuple[np.ndarray, ...], ...]:
        """Where the detectors see the real plates."""
        if not (plates and finders):
            return ()
        seen = tuple(seen_corners(plates, finders))
        log.info("%d of %d real plates are cut as detectors see them, too", sum(map(bool, seen)), len(seen))
        return seen

    def _mount(
        self, split: Split, plates: Sequence[RealPlate], finders: Sequence[Detector], times: int, seed: int
    ) -> list[RealPlate]:
        """The split's crops on its cars, each so often."""
        if not (plates and finders and times):
            return []
        scenes = load_scenes(split, root=self.config.data, licence=self.config.licence)
        mounted = [one for n in range(times) for one in mounted_plates(plates, scenes, finders, seed + n)]
        log.info("%d crops of %s are seen on cars", len(mounted), split)
        return mounted

    def _mount_val(self, finders: Sequence[Detector]) -> ValSet | None:
        """Crops of val on cars of val, the same ones for every run: a look at plates that no scene of val shows."""
        plates = self.val.plates if self.val else []
        mounted = self._mount("val", plates, finders, min(1, self.config.mounted), seed=0)
        return cut_plates(mounted) if mounted else None

    def close(self) -> None:
        self.workers.close()
        self.log.close()
        self.curves.close()

    def told(self, ended: Ended) -> Run:
        """The run for the list of runs."""
        config, state = self.config, self.state
        start = f"{self.start['name']}.{self.start['sha256'][:8]}" if self.start else ""
        minutes, extras = state.seconds / 60, {EXTRAS.name: EXTRAS}
        return Run("reader", ended, config, self.commit, start, state.step, minutes, state.metrics, extras, config.real)

    def progress(self) -> float:
        """0..1: how much of the run is over."""
        by_steps = self.state.step / self.config.steps
        by_time = self.state.seconds / 60 / self.config.minutes if self.config.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def go(self) -> None:
        self._fill(2_000)
        begin, before = time.monotonic(), self.state.seconds
        saved, losses = begin, []
        while self.progress() < 1.0 and not self.state.over(self.config.patience):
            losses.append(self._step())
            self.state.seconds = before + time.monotonic() - begin
            if self.state.step % 50 == 0:
                log.info("step %d, %.0f %%, loss %.3f", self.state.step, 100 * self.progress(), losses[-1])
                self._draw(float(np.mean(losses[-50:])))
            if self.state.step % self.config.check_every == 0:
                self._check(float(np.mean(losses)))
                losses.clear()
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save_checkpoint()
                saved = time.monotonic()
        if losses or not self.state.metrics:
            self._check(float(np.mean(losses)) if losses else float("nan"))
        self.save_checkpoint()
        if self.val:
            self._choose(self.val)
            calibrate(self.config.out, self.val)
            self.state.metrics = read_folder(self.config.out).card["val"]

    def _draw(self, loss: float) -> None:
        """The curves of the training itself; `_check` adds those of val."""
        state, rate = self.state, self.optimiser.param_groups[0]["lr"]
        figures = {"loss": loss, "learning_rate": rate, "difficulty": state.difficulty, "right": state.read_right}
        self.curves.put("train", state.step, figures)

    def _choose(self, val: ValSet) -> None:
        """Keep the last weights instead of those that greedy reading liked best, when production reads no worse."""
        kept, last = (val.judged(n) for n in (network_of(read_folder(self.config.out)), self.average))
        right = [float(judged.read(fit_temperature(judged))[1].mean()) for judged in (kept, last)]
        log.info("whole reading: kept %.4f, last %.4f", *right)
        if right[1] >= right[0]:
            self._write({})

    def _fill(self, least: int) -> None:
        self._steer()
        while len(self.buffer) < min(least, self.config.replay):
            chunk = self.workers.take(timeout=120)
            if chunk is None:
                raise RuntimeError("no invented plates within two minutes: is the machine overloaded?")
            self.buffer.add(chunk)
        while self.buffer.added * self.config.reuse < self.drawn:
            chunk = self.workers.take(timeout=None)
            if chunk is None:
                break
            self.buffer.add(chunk)

    def _steer(self) -> None:
        """Set how hard and how real the workers' samples are."""
        level = self.state.difficulty
        self.workers.difficulty.value = level
        if self.config.real:
            ramp = min(1.0, level / 0.4)
            self.workers.real_share.value = self.config.real_share * (0.3 + 0.7 * ramp)

    def _step(self) -> float:
        config, state = self.config, self.state
        self._fill(1)
        picks, crops, samples = self.buffer.draw(self.rng, config.batch)
        self.drawn += config.batch
        rate = learning_rate(config, state.step, self.progress())
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.network.train()
        inputs = jitter(prepare_batch(torch.from_numpy(crops).to(self.device)), self.rng)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            out = self.network(inputs)
        losses = text_losses(out.logits.float(), samples)
        self.buffer.judge(picks, losses.detach().cpu().numpy())
        loss = reader_loss(losses, out.region.float(), out.legible.float(), samples)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        state.step += 1
        update_average(self.average, self.network, min(config.average, (1 + state.step) / (10 + state.step)))
        if state.step % 10 == 0:
            self._adapt(out.logits.detach().float().cpu().numpy(), samples)
        return float(loss.detach())

    def _adapt(self, logits: np.ndarray, samples: list[Sample]) -> None:
        state = self.state
        invented = [k for k, s in enumerate(samples) if not s.real and s.legible]
        if not invented:
            return
        right = float(np.mean([greedy(logits[k]) == samples[k].text for k in invented]))
        state.read_right = 0.9 * state.read_right + 0.1 * right
        if state.read_right > _EASY_ENOUGH:
            state.difficulty = min(self.config.hardest, state.difficulty + 0.006)
        elif state.read_right < _TOO_HARD:
            state.difficulty = max(0.0, state.difficulty - 0.003)
        self._steer()

    def _check(self, loss: float) -> None:
        """Log, read the validation plates with the averaged weights, keep them when they are the best so far."""
        state = self.state
        metrics = self.val.measure(self.average) if self.val else {"greedy_exact": state.read_right}
        raw = self.val.measure(self.network) if self.val else {}
        mounted = self.val_mounted.measure(self.average) if self.val_mounted else {}
        line = {
            "step": state.step,
            "minutes": round(state.seconds / 60, 2),
            "loss": round(loss, 4),
            "difficulty": round(state.difficulty, 3),
            "invented_right": round(state.read_right, 3),
            "samples_made": self.buffer.added,
            "bf16": self.half,
            "val": metrics,
            "val_mounted": mounted,
            "val_not_averaged": {name: raw[name] for name in ("greedy_exact", "all", "loss") if name in raw},
        }
        log.info("%s", line)
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        if self.val:
            self.curves.put("val", state.step, metrics)
            self.curves.put("val_not_averaged", state.step, raw)
        if mounted:
            self.curves.put("val_mounted", state.step, mounted)
        if state.better(metrics["greedy_exact"]):
            state.metrics = {name: share for name, share in metrics.items() if name != "loss"}
            self._write(state.metrics)
            # a run that goes on shall not take worse weights than these for better
            self.save_checkpoint()

    def _write(self, metrics: Mapping[str, float]) -> None:
        """The averaged weights as they are now, with their card."""
        out = self.config.out
        settings = asdict(self.config)
        write_reader_card(out, self.average, self.architecture, self.state.step, metrics, settings, self.sources)
        write_card(out, read_folder(out).card | {"commit": self.commit, "start": self.start})

    def save_checkpoint(self) -> None:
        """All that it takes to go on."""
        path = self.config.out / "checkpoint.pt"
        saved = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "state": asdict(self.state),
        }
        torch.save(saved, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def _resume(self) -> None:
        path = self.config.out / "checkpoint.pt"
        if not path.exists():
            raise DataError(f"nothing to resume: {path} is not there; start without resume")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        try:
            self.network.load_state_dict(saved["network"])
            self.average.load_state_dict(saved["average"])
        except RuntimeError as error:
            raise ModelError(f"{path} is of another architecture: {str(error).splitlines()[0]}") from error
        self.optimiser.load_state_dict(saved["optimiser"])
        self.state = _State(**saved["state"])
        self.state.difficulty = min(self.state.difficulty, self.config.hardest)


def calibrate(folder: Path, val: ValSet) -> float:
    """Fit the temperature of the model in `folder` on the validation plates and complete its card; returns it.

    The error is of halves judged by each other's temperature; the shares are those of production's reading.
    """
    model = read_folder(folder)
    network = network_of(model)
    judged = val.judged(network)
    temperature = fit_temperature(judged)
    texts = [read.text for read in judged.texts(temperature)]
    card = model.card | {
        "temperature": temperature,
        "calibration_error": round(crossed_error(judged), 4),
        "val": exact_by_source([plate.source for plate in val.plates], texts, judged.truths),
    }
    write_card(folder, card)
    return temperature
