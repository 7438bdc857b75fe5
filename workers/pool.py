"""What the feeder needs of a pool of readers, and the pool that reads in the feeder's own process."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workers.batcher import Job
from workers.pipelines import Pipeline
from workers.reading import BatchResult, ReaderBrokenError, read_batch
from workers.settings import Limits


class PoolError(RuntimeError):
    """The pool cannot go on or cannot be made; one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A batch that was read."""

    jobs: Sequence[Job]
    result: BatchResult


@dataclass(frozen=True, slots=True)
class Lost:
    """A batch whose reader died: nothing of it is known."""

    jobs: Sequence[Job]
    why: str


class Pool(Protocol):
    """Readers that take batches."""

    def free(self) -> int:
        """How many batches can be given now."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Give a batch to the reader with the least to do. Only while `free()` is above 0."""

    def collect(self, timeout: float) -> list[Finished | Lost]:
        """Batches that have ended, in any order; waits up to `timeout` seconds for the first.

        Raises:
            PoolError: the pool cannot go on.
        """

    def busy(self) -> int:
        """Batches given and not collected."""

    def close(self) -> None:
        """End all readers. A second call does nothing."""


class InlinePool:
    """Reads in `collect`, on the caller's thread: for tests, and as the bare loop of the benchmark.

    `make` gives a new pipeline, also after one has broken.
    """

    def __init__(self, make: Callable[[], Pipeline], limits: Limits, depth: int = 1) -> None:
        self._make = make
        self._limits = limits
        self._depth = depth
        self._pipeline = make()
        self._queue: deque[Sequence[Job]] = deque()

    def free(self) -> int:
        """As `Pool.free`."""
        return self._depth - len(self._queue)

    def submit(self, jobs: Sequence[Job]) -> None:
        """As `Pool.submit`."""
        self._queue.append(jobs)

    def collect(self, timeout: float) -> list[Finished | Lost]:
        """As `Pool.collect`; reads one batch."""
        if not self._queue:
            return []
        jobs = self._queue.popleft()
        try:
            return [Finished(jobs, read_batch([job.record for job in jobs], self._pipeline, self._limits))]
        except ReaderBrokenError as error:
            self._pipeline = self._make()
            return [Lost(jobs, str(error))]

    def busy(self) -> int:
        """As `Pool.busy`."""
        return len(self._queue)

    def close(self) -> None:
        """As `Pool.close`."""
        self._queue.clear()
