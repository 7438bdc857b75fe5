"""The reader's samples in memory: chunks in, batches out, of which hard ones hold more than their share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vision.training.reader_data import Sample

_UNSEEN = 3.0
"""Weight of a sample that was not drawn yet."""
_HOPELESS = 7.0
"""Loss of a text from which on the label is doubted, or that anyone could read it: e to the minus 7 is 1 in 1,100."""


class ReplayBuffer:
    """The newest `capacity` samples; those that the network finds hard are drawn again more often."""

    def __init__(self, capacity: int, size: tuple[int, int]) -> None:
        self._crops = np.zeros((capacity, *size, 3), np.uint8)
        self._samples: list[Sample] = []
        self._weights = np.zeros(capacity)
        self._next = 0
        self.added = 0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, samples: Sequence[Sample]) -> None:
        """Put samples in, over the oldest when full."""
        empty = np.zeros((0, 0, 3), np.uint8)
        for sample in samples:
            self._crops[self._next] = sample.crop
            self._weights[self._next] = _UNSEEN
            slim = Sample(empty, sample.text, sample.region, sample.legible, sample.real)
            if self._next < len(self._samples):
                self._samples[self._next] = slim
            else:
                self._samples.append(slim)
            self._next = (self._next + 1) % len(self._crops)
            self.added += 1

    def draw(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.intp], NDArray[np.uint8], list[Sample]]:
        """Places in the buffer, `count` crops (count x H x W x 3) and what they show."""
        upto = np.cumsum(self._weights[: len(self._samples)])
        picks = np.minimum(np.searchsorted(upto, rng.random(count) * upto[-1], side="right"), len(upto) - 1)
        return picks, self._crops[picks], [self._samples[int(k)] for k in picks]

    def judge(self, picks: NDArray[np.intp], losses: NDArray[np.floating]) -> None:
        """Take note of how hard drawn samples were: `losses` are negative log probabilities of their texts."""
        self._weights[picks] = draw_weight(losses)


def draw_weight(losses: NDArray[np.floating]) -> NDArray[np.float64]:
    """How often a sample with such a loss is drawn again, relative to others."""
    return np.where(losses < _HOPELESS, np.clip(losses, 0.1, 2.0), 0.3)
