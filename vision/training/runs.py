"""The list of runs: one JSON line for every training that ended, with all that it takes to tell or to repeat it.

Errors: `DataError` for a list that cannot be read.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from vision.registry import Kind, sha256_of
from vision.training.data import DEFAULT_ROOT, DataError

log = logging.getLogger(__name__)

Ended = Literal["finished", "out of patience", "interrupted"]
_ELSEWHERE = frozenset({"out", "data", "resume"})
"""Settings that say where and not what."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run gave."""

    folder: Path
    steps: int
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures on val: of a reader the card's, of a detector threshold, average precision and table. A reader without
    photographs has `greedy_exact` alone, the share of invented plates."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training, as its own code sees it."""

    kind: Kind
    ended: Ended
    config: Any
    """A dataclass with at least `out` and `data`."""
    commit: str
    start: str
    """The model that it started from, empty where it started from noise."""
    steps: int
    minutes: float
    metrics: Mapping[str, Any]
    extras: Mapping[str, Path]
    """Files that add to the manifests, by the names that the list gives them."""
    photographs: bool = True
    """Whether the manifests were read at all."""


def record(file: Path | None, run: Run) -> None:
    """Append the run to the list `file`; None leaves it out."""
    if file is None:
        return
    settings = asdict(run.config)
    root = run.config.data or DEFAULT_ROOT
    manifests = {name: root / name for name in ("scenes.jsonl", "crops.jsonl")}
    line = {
        "ended_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kind": run.kind,
        "ended": run.ended,
        "out": str(run.config.out.absolute()),
        "commit": run.commit,
        "start": run.start,
        "data": _sums(manifests) if run.photographs else {},
        "extras": _sums(run.extras) if run.photographs else {},
        "config": {name: value for name, value in settings.items() if name not in _ELSEWHERE},
        "steps": run.steps,
        "minutes": round(run.minutes, 2),
        "metrics": run.metrics,
        "machine": machine(),
        "weights": _weights(run.config.out),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as target:
        target.write(json.dumps(line, default=str) + "\n")
    log.info("the run is in the list %s", file)


def read_runs(file: Path) -> list[dict[str, Any]]:
    """Every run of a list, the oldest first; empty when there is no list yet."""
    if not file.exists():
        return []
    runs = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            runs.append(dict(json.loads(line)))
        except (TypeError, ValueError) as error:
            raise DataError(f"{file} line {number} is no run: {error}") from error
    return runs


def machine() -> str:
    """What kind of machine this is, such as `x86_64, AMD EPYC 9R14, 2 cores, torch 2.15.0`; never which one."""
    gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    parts = [platform.machine(), _processor(), f"{os.cpu_count()} cores", *gpus, f"torch {torch.__version__}"]
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _sums(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: sha256_of(file.read_bytes()) for name, file in files.items() if file.is_file()}


def _weights(folder: Path) -> str | None:
    """The sum that the run's card states; None where the run ended before it had weights to keep."""
    card = folder / "card.json"
    return str(json.loads(card.read_text(encoding="utf-8"))["sha256"]) if card.is_file() else None
