"""Worker processes that draw the reader's samples ahead. In: what to mix, and from which seed. Out: chunks of samples.

Drawing a plate costs about as much as learning from it, so it is done beside the training, on further cores.
"""

import multiprocessing as mp
import multiprocessing.synchronize
import os
import queue
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.training.data import Licence
from vision.training.reader_data import RealPlate, RealPool, Sample, load_real_plates, make_sample
from vision.training.splicing import Gaps


@dataclass(frozen=True, slots=True)
class MixSettings:
    """What the workers make; `licence` restricts the real sources, `real` False leaves them out."""

    size: tuple[int, int]
    seed: int = 0
    workers: int = 1
    root: Path | None = None
    licence: Licence = "any"
    real: bool = True
    spliced: float = 0.0
    """How often a real plate is joined from two, where `gaps` has places for it."""
    gaps: tuple[Gaps | None, ...] = ()
    """Per plate of `load_real_plates("train")`."""
    seen: tuple[tuple[NDArray[np.float32], ...], ...] = ()
    """Per plate of `load_real_plates("train")`, see `seen_corners`."""
    mounted: tuple[RealPlate, ...] = ()
    """Further plates to draw from, see `mounted_plates`."""
    chunk: int = 48


class SampleWorkers:
    """Worker processes that render samples ahead; `difficulty` and `real_share` may be turned while they run."""

    def __init__(self, settings: MixSettings) -> None:
        context = mp.get_context("spawn")
        self.difficulty = context.Value("d", 0.0)
        self.real_share = context.Value("d", 0.0)
        self._stop = context.Event()
        self._queue: Any = context.Queue(maxsize=8)
        self._processes = [
            context.Process(
                target=_render_for_ever,
                args=(settings, k, self._queue, self.difficulty, self.real_share, self._stop),
                daemon=True,
            )
            for k in range(settings.workers)
        ]
        for process in self._processes:
            process.start()

    def take(self, timeout: float | None) -> list[Sample] | None:
        """The next chunk; None when none is ready within `timeout` seconds. Raises RuntimeError when a worker died."""
        try:
            chunk: list[Sample] = self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
        except queue.Empty:
            dead = [p.exitcode for p in self._processes if p.exitcode is not None]
            if dead:
                raise RuntimeError(f"a rendering process ended with code {dead[0]}; its message stands above") from None
            return None
        return chunk

    def close(self) -> None:
        """Stop the processes."""
        self._stop.set()
        for process in self._processes:
            process.terminate()
            process.join(timeout=10)


def _render_for_ever(
    settings: MixSettings,
    number: int,
    out: Any,
    difficulty: Any,
    real_share: Any,
    stop: multiprocessing.synchronize.Event,
) -> None:
    cv2.setNumThreads(1)
    # what nobody will read any more must not keep the process from ending
    out.cancel_join_thread()
    rng = np.random.default_rng([settings.seed, number])
    plates = load_real_plates("train", root=settings.root, licence=settings.licence) if settings.real else []
    if settings.seen:
        plates = [replace(plate, seen=seen) for plate, seen in zip(plates, settings.seen, strict=True)]
    gaps = settings.gaps and (*settings.gaps, *[None] * len(settings.mounted))
    pool = RealPool([*plates, *settings.mounted], gaps)
    # a worker whose parent was killed must not render for nobody
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        share, level = float(real_share.value), float(difficulty.value)
        chunk = [make_sample(rng, settings.size, level, pool, share, settings.spliced) for _ in range(settings.chunk)]
        while not stop.is_set() and os.getppid() == parent:
            try:
                out.put(chunk, timeout=1.0)
                break
            except queue.Full:
                continue
