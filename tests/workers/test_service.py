"""A worker with real Kafka and real Ray: frames in, reads out, bad frames aside, a reader killed in between."""

import struct
from collections.abc import Iterator

import pytest

from plumbing import metrics
from tests.workers import fakes
from tests.workers.fakes import jpeg
from tests.workers.rig import RunningWorker, Topics, reader_processes, wait_for
from tests.workers.test_record_decode import group

CAMERAS = 5


@pytest.fixture(scope="module")
def topics(kafka: str) -> Iterator[Topics]:
    topics = Topics(kafka)
    yield topics
    topics.close()


@pytest.fixture(scope="module")
def worker(topics: Topics) -> Iterator[RunningWorker]:
    worker = RunningWorker(topics.settings()).wait_ready()
    yield worker
    worker.stop()
    assert worker.error is None
    assert reader_processes() == []


def publish(topics: Topics, numbers: range) -> set[tuple[str, int]]:
    for n in numbers:
        topics.publish(jpeg(n), f"cam-{n % CAMERAS}", n)
    return {(f"cam-{n % CAMERAS}", n) for n in numbers}


def test_all_frames_are_read_and_bad_ones_set_aside(topics: Topics, worker: RunningWorker) -> None:
    good = jpeg(1)
    huge = good.index(b"\xff\xc0")
    huge_jpeg = good[: huge + 5] + struct.pack(">HH", 30_000, 30_000) + good[huge + 9 :]
    expected = publish(topics, range(60))
    topics.publish(good[:-400], "cam-1", 1_001)
    topics.publish(b"this is no picture", "cam-2", 1_002)
    topics.publish(huge_jpeg, "cam-3", 1_003)
    topics.publish(good, "cam-3", 1_004, width=30_000, height=30_000)
    topics.publish(good, "cam-4", 1_005, sha256="0" * 64)
    topics.publish(good, "cam-0", 1_006, {"schema": b"99"})
    topics.publish(good, "cam-1", 1_007, {"width": b"wide"})
    topics.publish(jpeg(fakes.RAISES), "cam-2", 1_008)
    topics.publish(jpeg(fakes.EMPTY), "cam-7", 2_000, lat=123.0)
    topics.publish(group(range(300, 312)), "cam-6", 3_000, codec="h264", frames=12)
    expected |= publish(topics, range(60, 120)) | {("cam-7", 2_000)} | {("cam-6", 3_000 + n) for n in range(12)}

    wait_for(lambda: topics.left() == 0, "all committed")
    wait_for(lambda: len(topics.reads()) >= len(expected) and len(topics.dead()) >= 8, "all there")
    reads = topics.reads()
    assert {(message.camera_id, message.seq) for message in reads} == expected
    assert len(reads) == len(expected)
    for camera in {message.camera_id for message in reads}:
        seqs = [message.seq for message in reads if message.camera_id == camera]
        assert seqs == sorted(seqs), f"{camera} is in its order"
    plates = {(m.camera_id, m.seq): [plate.plate for plate in m.reads] for m in reads}
    assert all(plates["cam-6", 3_000 + n] == [f"AB{300 + n:05d}"] for n in range(12))
    assert all(plates[f"cam-{n % CAMERAS}", n] == [f"AB{n:05d}"] for n in range(120))
    (empty,) = [message for message in reads if message.seq == 2_000]
    assert (empty.reads, empty.lat, empty.lon) == ((), None, None)

    named = {letter.trace_id: letter.reason for letter, _ in topics.dead() if letter.trace_id.startswith("cam-")}
    assert named == {
        "cam-1/1001": "truncated",
        "cam-2/1002": "not_an_image",
        "cam-3/1003": "too_large",
        "cam-3/1004": "too_large",
        "cam-4/1005": "wrong_sha256",
        "cam-2/1008": "internal_error",
    }
    assert sorted(letter.reason for letter, _ in topics.dead() if letter.trace_id not in named) == [
        "bad_header",
        "unknown_schema",
    ]
    values = {letter.trace_id: record.value for letter, record in topics.dead()}
    assert values["cam-2/1002"] == b"this is no picture"
    assert worker.error is None


def test_a_reader_killed_in_between_loses_and_doubles_nothing(topics: Topics, worker: RunningWorker) -> None:
    before = len(topics.reads())
    expected = publish(topics, range(5_000, 5_600))
    for share in (100, 300):
        wait_for(lambda share=share: len(topics.reads()) >= before + share, "reads come")
        victim = reader_processes()[0]
        victim.kill()
        wait_for(lambda victim=victim: victim not in reader_processes(), "it is dead")
    wait_for(lambda: topics.left() == 0, "all committed")
    wait_for(lambda: len(topics.reads()) >= before + len(expected), "all there")
    reads = [message for message in topics.reads() if message.seq >= 5_000]
    assert {(message.camera_id, message.seq) for message in reads} == expected
    assert len(reads) == len(expected), "a record is emitted once per worker, whatever its readers do"
    for camera in {message.camera_id for message in reads}:
        seqs = [message.seq for message in reads if message.camera_id == camera]
        assert seqs == sorted(seqs)
    wait_for(lambda: len(reader_processes()) == 2, "the pool is whole again")
    assert worker.error is None


def test_metrics_tell_what_happened(topics: Topics, worker: RunningWorker) -> None:
    text = metrics.render().decode()
    values = {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")
    }
    assert values["platefleet_worker_pictures_read_total"] >= 700
    assert values['platefleet_worker_dead_total{reason="wrong_sha256"}'] >= 1
    assert values["platefleet_worker_reader_deaths_total"] >= 2
    assert values["platefleet_worker_bad_positions_total"] >= 1
    assert values['platefleet_worker_stage_seconds_count{stage="vision"}'] > 0
    assert values["platefleet_worker_in_flight_records"] <= topics.settings().max_in_flight
