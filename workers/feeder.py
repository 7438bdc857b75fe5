"""The worker's one loop: take frames, give batches to the pool, send what comes back, commit what is acknowledged.

In: a Consumer, a Pool, an Emitter. Out: nothing but their work. Back-pressure: partitions are paused while the
bound of records in flight is reached. Nothing here knows Kafka or Ray.
"""

import contextlib
import logging
import threading
from collections.abc import Collection, Sequence

from plumbing import metrics
from plumbing.bus import BusError, Consumer, TopicPartition
from plumbing.clock import Clock
from workers.batcher import Batcher, Job
from workers.emitter import Emitter
from workers.ledger import Ledger
from workers.pool import Finished, Lost, Pool
from workers.reading import Dead
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

IDLE_POLL_S = 0.1
"""How long the loop sleeps in `poll` when nothing is in flight."""
BUSY_WAIT_S = 0.005
"""How long it waits, once for records and once for results, while readers work."""
METRICS_EVERY_S = 1.0
MAX_SOLO_DEATHS = 3
"""A record that has travelled alone with so many readers that died becomes a dead letter."""


class Feeder:
    """Also the consumer's RebalanceListener: its methods run while `poll` or `close` waits, never beside the loop."""

    def __init__(
        self,
        settings: WorkerSettings,
        consumer: Consumer,
        pool: Pool,
        emitter: Emitter,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._pool = pool
        self._emitter = emitter
        self._ledger = ledger
        self._clock = clock
        self._batcher = Batcher(settings.batch_frames, settings.batch_bytes, settings.batch_wait_ms / 1000, clock)
        self._solo_deaths: dict[tuple[TopicPartition, int], int] = {}
        self._paused = False
        self._next_commit = clock.monotonic() + settings.commit_every_ms / 1000
        self._next_metrics = clock.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what the readers hold, commit and leave the group.

        Raises:
            BusError, PoolError: the bus or the pool cannot go on; what was not committed is read again.
        """
        self._consumer.subscribe([self._settings.frames_topic], self)
        try:
            while not stop.is_set():
                self.step()
            self.drain()
        finally:
            self._consumer.close()

    def step(self) -> None:
        """One round of the loop; takes a few milliseconds under load, up to IDLE_POLL_S without."""
        self._take()
        self._dispatch()
        self._collect(BUSY_WAIT_S)
        self._emitter.pump()
        self._emitter.settle()
        now = self._clock.monotonic()
        if now >= self._next_commit:
            self._next_commit = now + self._settings.commit_every_ms / 1000
            self.commit()
        if now >= self._next_metrics:
            self._next_metrics = now + METRICS_EVERY_S
            self._report()

    def _take(self) -> None:
        room = self._settings.max_in_flight - self._ledger.in_flight
        if self._ledger.in_flight_bytes >= self._settings.max_in_flight_bytes:
            room = 0
        if room <= 0 and not self._paused:
            self._paused = True
            self._consumer.pause(self._consumer.assignment())
        elif room > 0 and self._paused:
            self._paused = False
            self._consumer.resume(self._consumer.assignment())
        # a paused consumer is polled all the same: that keeps its membership and lets a rebalance go on
        for record in self._consumer.poll(self._poll_timeout(), max(1, room)):
            partition = TopicPartition(record.topic, record.partition)
            self._ledger.add(partition, record.offset, len(record.value or b""))
            self._emitter.expect(record)
            self._batcher.add(record)
            metrics.WORKER_RECORDS_IN.inc()

    def _poll_timeout(self) -> float:
        if self._paused or self._pool.busy() or self._pool.free() <= 0 or self._emitter.unacknowledged:
            return BUSY_WAIT_S
        due = self._batcher.due_in()
        return IDLE_POLL_S if due is None else min(IDLE_POLL_S, due)

    def _dispatch(self) -> None:
        while self._pool.free() > 0:
            jobs = self._batcher.take()
            if not jobs:
                return
            waited = self._clock.monotonic() - jobs[0].since
            metrics.WORKER_STAGE_SECONDS.labels("wait").observe(waited)
            metrics.WORKER_BATCH_RECORDS.observe(len(jobs))
            self._pool.submit(jobs)

    def _collect(self, timeout: float) -> None:
        if not self._pool.busy() and self._pool.free() > 0:
            return
        for ended in self._pool.collect(timeout):
            if isinstance(ended, Finished):
                self._finish(ended)
            else:
                self._put_back(ended)

    def _finish(self, batch: Finished) -> None:
        for job, outcome in zip(batch.jobs, batch.result.outcomes, strict=True):
            self._solo_deaths.pop((job.partition, job.record.offset), None)
            self._emitter.deliver(job.record, outcome)
        for stage, seconds in batch.result.seconds.items():
            metrics.WORKER_STAGE_SECONDS.labels(stage).observe(seconds)
        metrics.WORKER_BAD_POSITIONS.inc(batch.result.bad_positions)

    def _put_back(self, batch: Lost) -> None:
        """A reader died with these: they are read again, and one that kills every reader is taken out."""
        log.warning("a reader was lost with %d records (%s); they are read again", len(batch.jobs), batch.why)
        mine = self._consumer.assignment()
        again: list[Job] = []
        for job in batch.jobs:
            job.attempts += 1
            if job.partition not in mine:
                continue
            identity = (job.partition, job.record.offset)
            if len(batch.jobs) == 1:
                self._solo_deaths[identity] = self._solo_deaths.get(identity, 0) + 1
            if self._solo_deaths.get(identity, 0) >= MAX_SOLO_DEATHS:
                del self._solo_deaths[identity]
                detail = f"{MAX_SOLO_DEATHS} readers died when they read this record alone: {batch.why}"
                self._emitter.deliver(job.record, Dead("internal_error", detail[:400]))
            else:
                again.append(job)
        self._batcher.put_back(again)

    def commit(self) -> None:
        """Commit what is acknowledged; a refusal is logged, the next commit says the same again."""
        offsets = self._ledger.committable()
        if not offsets:
            return
        try:
            self._consumer.commit(offsets)
        except BusError as error:
            log.warning("%s", error)
            metrics.WORKER_COMMITS.labels("refused").inc()
        else:
            self._ledger.committed(offsets)
            metrics.WORKER_COMMITS.labels("ok").inc()

    def drain(self) -> None:
        """Wait a bounded time for what the readers hold and what is on its way, then commit.

        What no reader has yet is left; it stays uncommitted and is read after the next start.
        """
        deadline = self._clock.monotonic() + self._settings.drain_seconds
        while (self._pool.busy() or self._emitter.unacknowledged) and self._clock.monotonic() < deadline:
            self._collect(BUSY_WAIT_S)
            self._emitter.pump()
            self._emitter.settle()
        self.commit()

    def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions came."""
        log.info("reading partitions %s", _numbers(partitions))
        if self._paused:
            self._consumer.pause(partitions)

    def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions go: commit what is acknowledged, forget the rest; their new owner reads it."""
        log.info("giving up partitions %s", _numbers(partitions))
        self._emitter.settle()
        gone = set(partitions)
        offsets = {p: offset for p, offset in self._ledger.committable().items() if p in gone}
        try:
            self._consumer.commit(offsets)
        except BusError as error:
            log.warning("%s", error)
        self._batcher.drop(gone)
        self._emitter.drop(gone)
        self._ledger.drop(gone)
        self._solo_deaths = {key: deaths for key, deaths in self._solo_deaths.items() if key[0] not in gone}
        for partition in partitions:
            with contextlib.suppress(KeyError):
                metrics.WORKER_LAG.remove(str(partition.partition))

    def _report(self) -> None:
        metrics.WORKER_IN_FLIGHT.set(self._ledger.in_flight)
        metrics.WORKER_IN_FLIGHT_BYTES.set(self._ledger.in_flight_bytes)
        metrics.WORKER_PAUSED.set(int(self._paused))
        try:
            for partition, lag in self._consumer.lag().items():
                metrics.WORKER_LAG.labels(str(partition.partition)).set(lag)
        except BusError as error:
            log.warning("%s", error)


def _numbers(partitions: Collection[TopicPartition]) -> Sequence[str]:
    return [f"{partition.topic}-{partition.partition}" for partition in sorted(partitions)]
