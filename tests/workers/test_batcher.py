"""Size or age, on a clock that stands still."""

from hypothesis import given
from hypothesis import strategies as st

from plumbing.bus import Record, TopicPartition
from plumbing.clock import ManualClock
from workers.batcher import MAX_SHARED_ATTEMPTS, Batcher, Job


def make(clock: ManualClock, pictures: int = 4, size: int = 1_000) -> Batcher:
    return Batcher(pictures, size, 0.02, clock)


def record(offset: int, size: int = 10, frames: bytes | None = None, partition: int = 0) -> Record:
    headers = [("frames", frames)] if frames is not None else []
    return Record("fleet.frames", partition, offset, 0, b"cam", bytes(size), headers)


def offsets(jobs: list[Job]) -> list[int]:
    return [job.record.offset for job in jobs]


def test_a_full_batch_goes_at_once() -> None:
    batcher = make(ManualClock())
    for offset in range(6):
        batcher.add(record(offset))
    assert offsets(batcher.take()) == [0, 1, 2, 3]
    assert batcher.take() == []
    assert len(batcher) == 2


def test_a_small_batch_goes_when_its_oldest_has_waited() -> None:
    clock = ManualClock()
    batcher = make(clock)
    assert batcher.due_in() is None
    batcher.add(record(0))
    clock.advance(0.015)
    batcher.add(record(1))
    assert batcher.take() == []
    assert 0 < (batcher.due_in() or 0) < 0.006
    clock.advance(0.0051)
    assert offsets(batcher.take()) == [0, 1]
    assert batcher.due_in() is None


def test_a_batch_is_full_by_bytes_too() -> None:
    batcher = make(ManualClock(), pictures=100)
    for offset in range(5):
        batcher.add(record(offset, size=400))
    assert offsets(batcher.take()) == [0, 1]
    assert offsets(batcher.take()) == [2, 3]
    assert batcher.take() == []


def test_a_record_beyond_the_bounds_travels_alone() -> None:
    batcher = make(ManualClock())
    for offset, size in enumerate((10, 5_000, 10)):
        batcher.add(record(offset, size=size))
    assert [offsets(batcher.take()) for _ in range(3)] == [[0], [1], []]


def test_a_group_counts_as_its_pictures() -> None:
    batcher = make(ManualClock())
    for offset, frames in enumerate((b"3", b"2", b"25", b"x", b"999999999")):
        batcher.add(record(offset, frames=frames))
    assert [offsets(batcher.take()) for _ in range(3)] == [[0], [1], [2]]
    assert batcher.take() == [], "what cannot be told counts as one"


def test_lost_records_go_first_and_at_once() -> None:
    batcher = make(ManualClock())
    for offset in range(4):
        batcher.add(record(offset))
    lost = batcher.take()
    batcher.add(record(4))
    for job in lost[:2]:
        job.attempts += 1
    batcher.put_back(lost[:2])
    assert offsets(batcher.take()) == [0, 1, 4]


def test_a_suspect_travels_alone() -> None:
    batcher = make(ManualClock())
    suspects = [Job(record(offset), 0.0, MAX_SHARED_ATTEMPTS) for offset in (0, 1)]
    batcher.add(record(2))
    batcher.put_back(suspects)
    assert [offsets(batcher.take()) for _ in range(2)] == [[0], [1]]


def test_records_of_a_partition_that_went_are_forgotten() -> None:
    batcher = make(ManualClock())
    for offset in range(4):
        batcher.add(record(offset, partition=offset % 2))
    batcher.drop({TopicPartition("fleet.frames", 1)})
    assert len(batcher) == 2
    assert batcher.take() == [], "two are no full batch"


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 6)), max_size=60))
def test_nothing_is_lost_and_order_is_kept(sizes: list[tuple[int, int]]) -> None:
    clock = ManualClock()
    batcher = make(clock)
    for offset, (size, frames) in enumerate(sizes):
        batcher.add(record(offset, size, str(frames).encode()))
    clock.advance(1)
    taken: list[int] = []
    while jobs := batcher.take():
        assert len(jobs) == 1 or sum(job.pictures for job in jobs) <= 4
        assert len(jobs) == 1 or sum(job.size for job in jobs) <= 1_000
        taken += offsets(jobs)
    assert taken == list(range(len(sizes)))
    assert batcher.due_in() is None
