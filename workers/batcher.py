"""Which records make the next batch: enough of them, or the oldest has waited long enough. Pure; time by a Clock."""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from plumbing.bus import Record, TopicPartition
from plumbing.clock import Clock

MAX_SHARED_ATTEMPTS = 2
"""A record that was in so many batches whose reader died travels alone from then on."""


@dataclass(slots=True)
class Job:
    """A record that waits for a reader."""

    record: Record
    since: float
    """Monotonic time when it was taken."""
    attempts: int = 0
    """Readers that died with it."""

    @property
    def partition(self) -> TopicPartition:
        """Where it lies."""
        return TopicPartition(self.record.topic, self.record.partition)

    @property
    def size(self) -> int:
        """Compressed bytes."""
        return len(self.record.value or b"")

    @property
    def pictures(self) -> int:
        """Pictures announced by its header; 1 when that cannot be told."""
        announced = next((raw for name, raw in self.record.headers if name == "frames"), b"1")
        return max(1, int(announced)) if announced.isdigit() and len(announced) < 6 else 1


class Batcher:
    """Size-or-age rule.

    Args:
        max_pictures: pictures of a batch at most; a record with more travels alone.
        max_bytes: compressed bytes of a batch at most; a record with more travels alone.
        max_wait: seconds that the oldest record waits for company.
        clock: where the time comes from.
    """

    def __init__(self, max_pictures: int, max_bytes: int, max_wait: float, clock: Clock) -> None:
        self._max_pictures = max_pictures
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._pictures = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, record: Record) -> None:
        """A new record, behind all others."""
        self._push(Job(record, self._clock.monotonic()), front=False)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Records of a batch that was lost: they go first, in the order given."""
        for job in reversed(list(jobs)):
            self._push(job, front=True)

    def _push(self, job: Job, *, front: bool) -> None:
        if front:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)
        self._pictures += job.pictures
        self._bytes += job.size

    def due_in(self) -> float | None:
        """Seconds until `take` gives a batch by age; 0 when it would now; None when nothing waits."""
        if not self._waiting:
            return None
        if self._pictures >= self._max_pictures or self._bytes >= self._max_bytes or self._waiting[0].attempts:
            return 0.0
        return max(0.0, self._waiting[0].since + self._max_wait - self._clock.monotonic())

    def take(self) -> list[Job]:
        """The next batch, oldest first; empty while none is due."""
        due = self.due_in()
        if due is None or due > 0:
            return []
        batch: list[Job] = []
        pictures = size = 0
        while self._waiting:
            job = self._waiting[0]
            full = pictures + job.pictures > self._max_pictures or size + job.size > self._max_bytes
            alone = job.attempts >= MAX_SHARED_ATTEMPTS
            if batch and (full or alone):
                break
            batch.append(self._waiting.popleft())
            pictures += job.pictures
            size += job.size
            if alone:
                break
        self._pictures -= pictures
        self._bytes -= size
        return batch

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the records of these partitions."""
        self._waiting = deque(job for job in self._waiting if job.partition not in partitions)
        self._pictures = sum(job.pictures for job in self._waiting)
        self._bytes = sum(job.size for job in self._waiting)
