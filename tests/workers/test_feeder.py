"""The loop on a bus in memory: nothing lost, order kept, bounds held, whatever dies."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plumbing.bus import BusError, TopicPartition
from plumbing.clock import SystemClock
from plumbing.memory_bus import MemoryBus, MemoryConsumer
from schemas.codec import decode_dead, decode_reads, encode_frame_header
from schemas.read import FrameReads
from tests.workers import fakes
from tests.workers.fakes import BarcodePipeline, header_of, jpeg
from workers.batcher import Job
from workers.emitter import Emitter
from workers.feeder import MAX_SOLO_DEATHS, Feeder
from workers.ledger import Ledger
from workers.pool import Finished, InlinePool, Lost
from workers.reading import read_batch
from workers.settings import WorkerSettings

PARTITIONS = 3
SETTINGS = WorkerSettings(
    "memory", batch_frames=4, batch_wait_ms=0, max_in_flight=12, commit_every_ms=1, drain_seconds=5.0
)


class RandomPool:
    """Reads in process, ends batches in random order, and loses them as `dies` says."""

    def __init__(self, seed: int, dies: Callable[[Sequence[Job]], bool] = lambda jobs: False) -> None:
        self._random = random.Random(seed)
        self._dies = dies
        self._held: list[Sequence[Job]] = []
        self.pipeline = BarcodePipeline()
        self.given: list[list[tuple[int, int]]] = []

    def free(self) -> int:
        return 3 - len(self._held)

    def submit(self, jobs: Sequence[Job]) -> None:
        assert self.free() > 0
        self.given.append([(job.record.partition, job.record.offset) for job in jobs])
        self._held.append(jobs)

    def collect(self, timeout: float) -> list[Finished | Lost]:
        if not self._held or self._random.random() < 0.3:
            return []
        jobs = self._held.pop(self._random.randrange(len(self._held)))
        if self._dies(jobs):
            return [Lost(jobs, "killed")]
        return [Finished(jobs, read_batch([job.record for job in jobs], self.pipeline, SETTINGS.reader.limits))]

    def busy(self) -> int:
        return len(self._held)

    def close(self) -> None:
        self._held.clear()


class Worker:
    """A feeder with all its parts on a bus."""

    def __init__(self, bus: MemoryBus, pool: RandomPool | InlinePool, config: WorkerSettings = SETTINGS) -> None:
        clock = SystemClock()
        self.ledger = Ledger()
        self.pool = pool
        self.consumer: MemoryConsumer = bus.consumer("g")
        self.emitter = Emitter(bus.producer(), self.ledger, clock)
        self.feeder = Feeder(config, self.consumer, pool, self.emitter, self.ledger, clock)
        self.consumer.subscribe(["fleet.frames"], self.feeder)
        self.most_in_flight = 0

    def step(self) -> None:
        self.feeder.step()
        self.most_in_flight = max(self.most_in_flight, self.ledger.in_flight)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.feeder.IDLE_POLL_S", 0.0)
    monkeypatch.setattr("workers.feeder.BUSY_WAIT_S", 0.0)


def make_bus() -> MemoryBus:
    bus = MemoryBus()
    bus.create_topic("fleet.frames", PARTITIONS, 1 << 20)
    bus.create_topic("fleet.reads", PARTITIONS, 1 << 20)
    bus.create_topic("fleet.dead", 1, 1 << 20)
    return bus


def publish(bus: MemoryBus, count: int, start: int = 0, cameras: int = 5) -> None:
    producer = bus.producer()
    for n in range(start, start + count):
        camera, value = f"cam-{n % cameras}", jpeg(n)
        headers = encode_frame_header(header_of(value, camera, n))
        producer.send("fleet.frames", value, key=camera.encode(), headers=headers)


def all_reads(bus: MemoryBus) -> list[FrameReads]:
    found = [decode_reads(record.value or b"") for record in bus.records("fleet.reads")]
    return [message for message in found if isinstance(message, FrameReads)]


def committed_to_the_end(bus: MemoryBus, worker: Worker) -> bool:
    ends = Counter(TopicPartition("fleet.frames", record.partition) for record in bus.records("fleet.frames"))
    return all(worker.consumer.committed(partition) == end for partition, end in ends.items())


def run_until(workers: Sequence[Worker], met: Callable[[], bool], steps: int = 5_000) -> None:
    for _ in range(steps):
        if met():
            return
        for worker in workers:
            worker.step()
    raise AssertionError(f"not met after {steps} steps")


def check(bus: MemoryBus, count: int, *, repeats: bool = False) -> None:
    """Every frame read, right, in its camera's order, once (or folded to once)."""
    found = all_reads(bus)
    assert {(message.camera_id, message.seq) for message in found} == {(f"cam-{n % 5}", n) for n in range(count)}
    assert all(message.reads[0].plate == f"AB{message.seq:05d}" for message in found)
    if not repeats:
        assert len(found) == count
        for camera in {message.camera_id for message in found}:
            seqs = [message.seq for message in found if message.camera_id == camera]
            assert seqs == sorted(seqs)


@pytest.mark.parametrize("seed", range(5))
def test_every_frame_is_read_once_in_order_and_committed(seed: int) -> None:
    bus = make_bus()
    publish(bus, 100)
    worker = Worker(bus, RandomPool(seed))
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    check(bus, 100)
    assert worker.most_in_flight <= SETTINGS.max_in_flight


def test_readers_that_die_lose_nothing_and_double_nothing() -> None:
    bus = make_bus()
    publish(bus, 120)
    rng = random.Random(7)
    pool = RandomPool(1, dies=lambda jobs: rng.random() < 0.3 and len(jobs) > 1)
    worker = Worker(bus, pool)
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    check(bus, 120)
    assert len(pool.given) > 40, "some batches were given again"


def test_a_record_that_kills_every_reader_is_taken_out_and_its_neighbours_are_read() -> None:
    bus = make_bus()
    publish(bus, 30)
    (killer,) = [r for r in bus.records("fleet.frames") if dict(r.headers)["seq"] == b"13"]
    place = (killer.partition, killer.offset)
    pool = RandomPool(1, dies=lambda jobs: place in [(job.record.partition, job.record.offset) for job in jobs])
    worker = Worker(bus, pool)
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    (dead,) = bus.records("fleet.dead")
    letter, _ = decode_dead(dead.headers)
    assert (letter.reason, letter.origin_partition, letter.origin_offset) == ("internal_error", *place)
    assert {message.seq for message in all_reads(bus)} == set(range(30)) - {13}
    assert pool.given.count([place]) == MAX_SOLO_DEATHS


def test_bad_frames_become_dead_letters_and_the_partition_goes_on() -> None:
    bus = make_bus()
    producer = bus.producer()
    good = jpeg(1)
    for seq, (value, changes) in enumerate(
        [
            (good, {}),
            (good[:-200], {}),
            (b"text", {}),
            (good, {"sha256": "0" * 64}),
            (jpeg(fakes.RAISES), {}),
            (good, {}),
        ]
    ):
        headers = encode_frame_header(header_of(value, "cam-0", seq, **changes))
        producer.send("fleet.frames", value, key=b"cam-0", headers=headers)
    producer.send("fleet.frames", None, key=b"cam-0")
    worker = Worker(bus, RandomPool(3))
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    reasons = [decode_dead(record.headers)[0].reason for record in bus.records("fleet.dead")]
    assert reasons == ["truncated", "not_an_image", "wrong_sha256", "internal_error", "bad_header"]
    assert [message.seq for message in all_reads(bus)] == [0, 5]


def test_a_worker_that_dies_is_followed_by_one_that_reads_the_rest() -> None:
    bus = make_bus()
    publish(bus, 100)
    first = Worker(bus, RandomPool(1))
    run_until([first], lambda: len(all_reads(bus)) > 30)
    first.consumer.crash()
    second = Worker(bus, RandomPool(2))
    run_until([second], lambda: committed_to_the_end(bus, second))
    check(bus, 100, repeats=True)
    again = len(all_reads(bus)) - 100
    assert again <= SETTINGS.max_in_flight, "only what was in flight is read again"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.lists(st.sampled_from(["join", "crash", "leave"]), max_size=5))
def test_members_come_and_go_and_nothing_is_lost(seed: int, events: list[str]) -> None:
    bus = make_bus()
    publish(bus, 60)
    rng = random.Random(seed)
    alive = [Worker(bus, RandomPool(seed, dies=lambda jobs: rng.random() < 0.1 and len(jobs) > 1))]
    for event in events:
        for _ in range(rng.randrange(1, 12)):
            for worker in alive:
                worker.step()
        if event == "join":
            alive.append(Worker(bus, RandomPool(rng.randrange(1_000))))
        elif len(alive) > 1:
            gone = alive.pop(rng.randrange(len(alive)))
            gone.consumer.crash() if event == "crash" else gone.consumer.close()
    run_until(alive, lambda: committed_to_the_end(bus, alive[0]))
    check(bus, 60, repeats=True)


def test_back_pressure_pauses_and_resumes() -> None:
    bus = make_bus()
    publish(bus, 60)
    bus.hold_acknowledgements()
    worker = Worker(bus, RandomPool(1))
    for _ in range(200):
        worker.step()
    assert worker.ledger.in_flight == SETTINGS.max_in_flight
    assert sum(worker.consumer.lag().values()) == 60 - SETTINGS.max_in_flight
    assert worker.consumer.assignment() == {TopicPartition("fleet.frames", n) for n in range(PARTITIONS)}
    bus.release_acknowledgements()
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    check(bus, 60)
    assert worker.most_in_flight == SETTINGS.max_in_flight


def test_back_pressure_by_bytes() -> None:
    bus = make_bus()
    publish(bus, 60)
    bus.hold_acknowledgements()
    size = len(jpeg(0))
    config = WorkerSettings("memory", batch_frames=1, batch_wait_ms=0, max_in_flight=50, max_in_flight_bytes=size)
    worker = Worker(bus, RandomPool(1), config)
    for _ in range(50):
        worker.step()
    # one poll may pass the bound, the next does not happen
    assert size <= worker.ledger.in_flight_bytes
    taken = worker.ledger.in_flight
    for _ in range(50):
        worker.step()
    assert worker.ledger.in_flight == taken


def test_a_refused_commit_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = make_bus()
    publish(bus, 20)
    worker = Worker(bus, RandomPool(1))
    take_commit = worker.consumer.commit
    refusals = iter([True] * 5)

    def commit(offsets: dict[TopicPartition, int]) -> None:
        if next(refusals, False):
            raise BusError("a rebalance is under way")
        take_commit(offsets)

    monkeypatch.setattr(worker.consumer, "commit", commit)
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    check(bus, 20)


def test_the_end_finishes_what_the_readers_hold() -> None:
    bus = make_bus()
    publish(bus, 40)
    worker = Worker(bus, RandomPool(1))
    for _ in range(5):
        worker.step()
    assert worker.pool.busy()
    worker.feeder.drain()
    assert worker.pool.busy() == 0
    done = {(message.frame_partition, message.frame_offset) for message in all_reads(bus)}
    for number in range(PARTITIONS):
        committed = worker.consumer.committed(TopicPartition("fleet.frames", number)) or 0
        assert {(number, offset) for offset in range(committed)} <= done


def test_run_ends_when_told_and_leaves_the_group() -> None:
    bus = make_bus()
    publish(bus, 30)
    worker = Worker(bus, RandomPool(1))
    stop = threading.Event()
    thread = threading.Thread(target=worker.feeder.run, args=(stop,))
    thread.start()
    while not committed_to_the_end(bus, worker):
        assert thread.is_alive()
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    check(bus, 30)
    other = Worker(bus, RandomPool(2))
    other.step()
    assert len(other.consumer.assignment()) == PARTITIONS
    assert len(all_reads(bus)) == 30


def test_the_pool_in_process_makes_a_broken_pipeline_anew() -> None:
    made: list[BarcodePipeline] = []

    class BreaksOnce(BarcodePipeline):
        def read(
            self, images: Sequence[fakes.Image], stills: Sequence[bool] | None = None
        ) -> list[list[fakes.PlateResult]]:
            if len(made) == 1:
                raise RuntimeError("out of memory")
            return super().read(images, stills)

    def make() -> BarcodePipeline:
        made.append(BreaksOnce())
        return made[-1]

    bus = make_bus()
    publish(bus, 10)
    worker = Worker(bus, InlinePool(make, SETTINGS.reader.limits))
    run_until([worker], lambda: committed_to_the_end(bus, worker))
    check(bus, 10)
    assert (len(made), bus.records("fleet.dead")) == (2, [])
