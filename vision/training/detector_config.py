"""What a detector's training is told: a TOML file or keywords in, `DetectorTrainConfig` out.

Errors: `TrainingError` (a ValueError) for a file that is missing, is not TOML, or holds a key or a type unknown here.
"""

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from vision.detector import DEFAULT_TILES, Architecture
from vision.training.data import Licence


class TrainingError(ValueError):
    """The config cannot be trained from; the message says why."""


@dataclass(frozen=True, slots=True)
class DetectorTrainConfig:
    """Everything that a run depends on beside the data."""

    out: Path
    """Folder of the run: checkpoint, log, and the model (weights.pt, card.json, card.md)."""
    start: str = ""
    """A model, by its name or folder, whose weights are taken over wherever name and shape agree."""
    minutes: float = 75.0
    """Length of the run; the learning rate ends near zero there."""
    steps: int | None = None
    """Length in steps instead of minutes."""
    seed: int = 7
    threads: int = 1
    workers: int = 1
    """Processes that draw samples."""
    device: str = "auto"
    resume: bool = False
    learning_rate: float = 2.5e-3
    decay_from: float = 0.0
    """The share of the run from which on the learning rate falls, as a cosine."""
    weight_decay: float = 0.02
    average: float = 0.998
    """How much of the averaged weights, which are those that are kept, stays at each step."""
    sure_from: int = 1500
    """The step from which on confident plates that nobody annotated are excused."""
    shapes: tuple[tuple[int, int, int, float], ...] = ((24, 256, 384, 0.8), (9, 384, 640, 0.2))
    """Batches: pictures, height, width, odds."""
    tiles: int = DEFAULT_TILES
    """Size of the input that the model is for and is judged at, in tiles of 32 x 32."""
    every_minutes: float = 5.0
    """Between checkpoints, each with a look at val."""
    licence: Licence = "any"
    data: Path | None = None
    drives: tuple[Path, ...] = ()
    """Folders of simulated drives with `truth_frames.jsonl`, as further scenes."""
    architecture: Architecture = field(default_factory=Architecture)


_PLACES = frozenset({"out", "data", "device", "resume", "drives"})
"""Not settings of a run but of the machine that it runs on: no file may hold them."""


def read_config(path: Path, out: Path) -> DetectorTrainConfig:
    """The settings of a TOML file; `architecture` is a table there."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{path} is not TOML: {error}") from error
    base = DetectorTrainConfig(out)
    known = {f.name for f in fields(DetectorTrainConfig)} - _PLACES
    settings: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            raise TrainingError(f"{path}: unknown setting {key!r}; known: {', '.join(sorted(known))}")
        settings[key] = _typed(path, key, value, getattr(base, key))
    return replace(base, **settings)


def _typed(path: Path, key: str, value: Any, default: Any) -> Any:
    if key == "architecture":
        try:
            return Architecture(**{name: _frozen(item) for name, item in dict(value).items()})
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{path}: {key} is no architecture: {error}") from error
    value = _frozen(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if default is not None and type(value) is not type(default):
        raise TrainingError(f"{path}: {key} is {value!r}, it must be a {type(default).__name__}")
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
