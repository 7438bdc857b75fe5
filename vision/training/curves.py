"""Curves of a run for TensorBoard: figures by step in, event files beside the run's log out.

TensorBoard is of the extra `train`; without it a run goes on, and says so in one line.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Curves:
    """Event files in a run's folder. A run that goes on at `step` takes back what an earlier one drew beyond it."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.info("no curves for TensorBoard: it is not installed (pip install -e '.[train,export]')")
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder), purge_step=step or None)

    def put(self, group: str, step: int, figures: Mapping[str, Any]) -> None:
        """Add one point to each curve; tables inside become groups, what is no number is left out."""
        if self._writer is None:
            return
        for name, value in _numbers(group, figures):
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()


def _numbers(group: str, figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{group}/{name}", value)
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{group}/{name}", float(value)
