"""What a detector's training is told: a TOML file or keywords in, `DetectorTrainConfig` out.

Errors: `TrainingError` (a ValueError) for a file that is missing, is not TOML, or holds a key or a type unknown here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vision.detector import DEFAULT_TILES, Architecture
from vision.training.config_file import frozen, read_settings
from vision.training.data import Licence


class TrainingError(ValueError):
    """The config cannot be trained from; the message says why."""


@dataclass(frozen=True, slots=True)
class DetectorTrainConfig:
    """Everything that a run depends on beside the data. It ends after `minutes` or `steps`, whichever comes first."""

    out: Path
    """Folder of the run: checkpoint, log, and the model (weights.pt, card.json, card.md)."""
    start: str = ""
    """A model, by its name or folder, whose weights are taken over wherever name and shape agree."""
    minutes: float = 75.0
    """The learning rate ends near zero where the run does."""
    steps: int | None = None
    """None: the minutes alone count."""
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
    patience: int = 0
    """Looks at val in a row without a better average precision that end the run, whose best weights are kept then; 0:
    none do, and the last weights are kept."""
    licence: Licence = "any"
    data: Path | None = None
    drives: tuple[Path, ...] = ()
    """Folders of simulated drives with `truth_frames.jsonl`, as further scenes."""
    architecture: Architecture = field(default_factory=Architecture)
    teachers: tuple[str, ...] = ()
    """Models whose heat, the mean of theirs, is taught beside the annotation: what several agree on is surer than what
    each says, and plates that nobody annotated are not unlearnt."""
    taught: float = 0.5
    """The teachers' share of the heat's loss, 0 to 1."""
    body_from: str = ""
    """A folder that holds a body alone (its path, or its name in `vision/weights`), in place of that of `start`."""
    body_rate: float = 1.0
    """The body's learning rate, as a share of the others'."""


PLACES = frozenset({"out", "data", "device", "resume", "drives"})
"""Not settings of a run but of the machine that it runs on: no file may hold them."""


def read_config(path: Path, out: Path) -> DetectorTrainConfig:
    """The settings of a TOML file; `architecture` is a table there."""
    special = {"architecture": _architecture}
    return read_settings(path, DetectorTrainConfig(out), PLACES, TrainingError, special)


def _architecture(value: Any) -> Architecture:
    try:
        return Architecture(**{name: frozen(item) for name, item in dict(value).items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"no architecture: {error}") from error
