"""What a reader's training is told: a TOML file or keywords in, `ReaderTrainConfig` out, and the code's own state.

Errors: `ConfigError` (a ValueError) for a file that is missing, is not TOML, or holds a key or a type unknown here.
"""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.reader import BodyKind, ReaderArchitecture
from vision.training.config_file import read_settings
from vision.training.data import REPOSITORY, Licence

CODE = (
    "vision/__init__.py",
    "vision/alphabet.py",
    "vision/fonts",
    "vision/formats.py",
    "vision/lcnet.py",
    "vision/light.py",
    "vision/plates",
    "vision/reader.py",
    "vision/rectify.py",
    "vision/training/calibrate.py",
    "vision/training/config_file.py",
    "vision/training/configs/reader.toml",
    "vision/training/data.py",
    "vision/training/depthwise.py",
    "vision/training/detector_extras.py",
    "vision/training/evaluate_detector.py",
    "vision/training/evaluate_reader.py",
    "vision/training/framing.py",
    "vision/training/jitter.py",
    "vision/training/lineage.py",
    "vision/training/looks.py",
    "vision/training/mounting.py",
    "vision/training/optimising.py",
    "vision/training/pasting.py",
    "vision/training/published.py",
    "vision/training/reader_config.py",
    "vision/training/reader_data.py",
    "vision/training/reader_extras.json",
    "vision/training/reader_extras.py",
    "vision/training/reader_loss.py",
    "vision/training/replay.py",
    "vision/training/sample_workers.py",
    "vision/training/splicing.py",
    "vision/training/synth.py",
    "vision/training/train_reader.py",
    "vision/training/video_wear.py",
)
"""What a run's result depends on, relative to the checkout."""


class ConfigError(ValueError):
    """A training's settings cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class ReaderTrainConfig:
    """One training run. It ends after `steps` or `minutes`, whichever comes first; the learning rate follows."""

    out: Path
    """Folder for log, checkpoint, weights and card."""
    start: str | None = None
    """A model, by its name or folder, whose weights the run starts from; None starts from noise."""
    start_difficulty: float = 0.0
    """How hard invented plates are at first, 0..1; the training turns it from there."""
    steps: int = 20_000
    minutes: float | None = None
    device: str = "auto"
    seed: int = 0
    threads: int = 2
    workers: int = 1
    batch: int = 48
    rate: float = 2e-3
    decay_from: float = 0.0
    """The share of the run from which on the learning rate falls, as a cosine."""
    weight_decay: float = 0.02
    warm_up: int = 200
    replay: int = 9_000
    reuse: float = 2.0
    """How often a sample is drawn on average: drawing plates anew costs as much as learning from them."""
    real_share: float = 0.5
    detectors: tuple[str, ...] = ()
    """Models whose corners real plates are cut at, half the time: what production's reader is given."""
    mounted: int = 0
    """How often each real plate that is only there as a crop is put on a car and cut where `detectors` see it there."""
    dropout: float = 0.0
    """Share of the features of each step that the letters are told without."""
    spliced: float = 0.0
    """How often a real plate is joined from two of a kind, once the network reads well enough to say where."""
    hardest: float = 0.7
    """Invented plates never get harder than this: beyond, much of what is drawn nobody could read."""
    average: float = 0.998
    check_every: int = 500
    """Steps between looks at val."""
    patience: int = 0
    """Looks at val in a row without a better figure that end the run; 0: none do."""
    checkpoint_minutes: float = 3.0
    resume: bool = False
    licence: Licence = "any"
    data: Path | None = None
    """The data pack; None is the one beside the checkout."""
    real: bool = True
    """False trains on invented plates alone and needs no pack."""
    widths: tuple[int, ...] = ReaderArchitecture().widths
    sequence: int = ReaderArchitecture().sequence
    body: BodyKind = ReaderArchitecture().body
    body_from: str | None = None
    """A folder that holds a body alone (its path, or its name in `vision/weights`), in place of that of `start`."""
    body_rate: float = 1.0
    """The body's learning rate, as a share of the others'."""
    spliced_by: str | None = None
    """The reader that says where real plates can be cut and joined; None is the one that the run starts from."""
    inner: tuple[int, ...] = ()
    """As in `vision.reader.ReaderArchitecture`: of a pruned model that the run starts from."""


PLACES = frozenset({"out", "data", "device", "resume"})
"""Not settings of a run but of the machine that it runs on: no file may hold them."""


def read_config(path: Path, out: Path, **overrides: Any) -> ReaderTrainConfig:
    """The settings of a TOML file, with `out` and other keywords on top."""
    config = read_settings(path, ReaderTrainConfig(out), PLACES, ConfigError, {"minutes": _minutes})
    return replace(config, **overrides)


def _minutes(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r}, it must be a float")
    return float(value)


def learning_rate(config: ReaderTrainConfig, step: int, progress: float) -> float:
    """Linear warm-up, the peak until `decay_from` of the run, then a cosine down to a hundredth at progress 1."""
    if step < config.warm_up:
        return config.rate * (step + 1) / config.warm_up
    gone = max(0.0, progress - config.decay_from) / (1.0 - config.decay_from)
    return config.rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * gone))))


def code_commit() -> str:
    """The short commit of the checkout, `-dirty` when the reader's training code differs; empty outside git."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", *CODE], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")
