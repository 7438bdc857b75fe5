"""platefleet forget on a real Kafka: null values where keys hold the plate, a report of the rest, and the purge."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleet.local_kafka import LocalKafka
from fleet.running import STORE_FOLDER
from fleet.topic_reader import read_topic
from plumbing.kafka_admin import NO_SECURITY, create_topics
from plumbing.kafka_bus import KafkaBusProducer
from schemas.codec import encode_json, encode_reads
from schemas.hotlist import HotlistEntry, WrongHit
from schemas.read import Candidate
from schemas.topics import ALERTS, CAMERAS, DEAD, FRAMES, HOTLIST, READS, SIGHTINGS, TOPICS
from store import migrate, open_store, rows
from tests.store.samples import T0, alert, camera, frame_reads, plate_read, sighting

ROOT = Path(__file__).resolve().parents[2]
GONE, KEPT = "TEST007", "KEEP123"
PLATES = msgspec.structs.replace(HOTLIST, name="platefleet-vehicles-plates-changelog", partitions=8)
TRACKS = msgspec.structs.replace(HOTLIST, name="platefleet-tracker-tracks-changelog", partitions=8)
FRAME_AT = 5


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.brokers, [*TOPICS, PLATES, TRACKS])
        yield kafka.brokers


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fill_data(folder)
    return folder


def fill_data(folder: Path) -> None:
    """By another process: chDB opens one folder in each, and the commands of the test open it after this."""
    program = "from tests.fleet.test_forget_topics import fill_store; import sys; fill_store(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(folder / STORE_FOLDER)], cwd=ROOT, check=True, timeout=200)


def fill_store(folder: str) -> None:
    with closing(open_store(f"chdb://{folder}")) as store:
        migrate(store)
        store.insert(rows.SIGHTINGS, [rows.sighting_row(sighting(7, plate=GONE))], token="s")
        entry = HotlistEntry(hotlist_id="stolen", entry=GONE, added_at=T0)
        store.insert(rows.HOTLIST, [rows.hotlist_row(entry.key, entry, rows.Origin(0, 1))], token="h")
        now = round(datetime.now(UTC).timestamp() * 1000)
        seen = frame_reads(reads=(plate_read(plate=GONE),), frame_partition=2, frame_offset=FRAME_AT, published_at=now)
        store.insert(rows.READS, rows.read_rows(seen), token="r")


def fill_topics(brokers: str) -> None:
    """Under each topic one message of the plate, and others before and behind it in the same partition."""
    torn = (Candidate(KEPT, 0.6), Candidate(GONE, 0.4))
    hit = WrongHit(hotlist_id="stolen", entry="T*", plate="TE5T007", truth=GONE, at=T0)
    with closing(KafkaBusProducer(brokers, "test")) as producer:

        def send(topic: str, key: str, value: bytes, partition: int = 0) -> None:
            producer.send(topic, value, key=key.encode(), partition=partition)

        send(SIGHTINGS.name, KEPT, encode_json(sighting(1, plate=KEPT)), 3)
        send(SIGHTINGS.name, GONE, encode_json(sighting(7, plate=GONE)), 3)
        send(SIGHTINGS.name, KEPT, encode_json(sighting(1, plate=KEPT, revision=2)), 3)
        send(SIGHTINGS.name, KEPT, encode_json(sighting(2, plate=KEPT, candidates=torn)), 4)
        send(ALERTS.name, KEPT, encode_json(alert(1, plate=KEPT, entry=KEPT)))
        send(READS.name, "cam-1", encode_reads(frame_reads(reads=(plate_read(plate=GONE),))))
        send(READS.name, "cam-1", encode_reads(frame_reads(reads=(plate_read(plate=KEPT, candidates=()),))))
        send(DEAD.name, "cam-1", b"no message, but it says \xa7TEST007")
        for number in range(8):
            send(FRAMES.name, "cam-1", b"frame %d" % number, 2)
        for text in (GONE, KEPT):
            entry = HotlistEntry(hotlist_id="stolen", entry=text, added_at=T0)
            send(HOTLIST.name, entry.key, encode_json(entry))
            send(PLATES.name, text, b"\x81\xa5plate\xa7" + text.encode(), 5)
        send(HOTLIST.name, hit.key, encode_json(hit))
        send(TRACKS.name, "cam-1", b"\xa7TEST007", 1)
        send(TRACKS.name, "cam-2", b"\xa7TEST007", 1)
        send(TRACKS.name, "cam-2", b"\xa7KEEP123", 1)
        send(CAMERAS.name, "cam-1", encode_json(camera()))
        producer.flush(30)


def state(brokers: str, topic: str) -> dict[tuple[int, bytes], bytes]:
    """What a reader of a compacted topic is left with."""
    found: dict[tuple[int, bytes], bytes] = {}
    for record in read_topic(brokers, topic, NO_SECURITY):
        found.pop((record.partition, record.key or b""), None)
        if record.value is not None:
            found[record.partition, record.key or b""] = record.value
    return found


def run(brokers: str, data_dir: Path, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATEFLEET_")}
    done = subprocess.run(
        [sys.executable, "-m", "fleet", "forget", "--plate", GONE, "--reason", "asked", "--yes", *arguments],
        cwd=ROOT,
        env=clean | {"PLATEFLEET_DATA_DIR": str(data_dir), "PLATEFLEET_BROKERS": brokers},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done
    return done


def held(report: dict[str, Any], field: str) -> dict[str, Any]:
    return {one["topic"]: one[field] for one in report["kafka"]["held"]}


def test_forget_reaches_kafka(brokers: str, data_dir: Path) -> None:
    fill_topics(brokers)
    before = datetime.now(UTC)
    report = json.loads(run(brokers, data_dir, "--json").stdout)
    assert report["complete"]
    assert report["hotlist_entries"] == []
    assert {(one["table"], one["rows"]) for one in report["deleted"] if one["what"].startswith("hotlist")} == {
        ("hotlist_raw", 1)
    }
    assert report["kafka"]["removed"] == [
        "fleet.hotlist: stolen/T*/TE5T007",
        "fleet.hotlist: stolen/TEST007",
        "platefleet-vehicles-plates-changelog: TEST007",
    ]
    assert list(state(brokers, HOTLIST.name)) == [(0, b"stolen/KEEP123")]
    assert list(state(brokers, PLATES.name)) == [(5, b"KEEP123")]
    assert len(state(brokers, TRACKS.name)) == 2, "a camera's state is its own"
    assert held(report, "messages") == {
        DEAD.name: 1,
        FRAMES.name: 1,
        READS.name: 1,
        SIGHTINGS.name: 2,
        TRACKS.name: 1,
    }
    until = {name: msgspec.convert(at, datetime, strict=False) for name, at in held(report, "until").items() if at}
    assert TRACKS.name not in until
    for topic in (DEAD, FRAMES, READS, SIGHTINGS):
        kept = timedelta(milliseconds=topic.retention_ms or 0)
        assert abs(until[topic.name] - before - kept) < timedelta(minutes=10), topic.name
    assert set(held(report, "purged").values()) == {0}
    assert len(list(read_topic(brokers, SIGHTINGS.name, NO_SECURITY))) == 4

    again = json.loads(run(brokers, data_dir, "--json", "--purge-topics").stdout)
    assert again["kafka"]["removed"] == []
    # the frames are not known any more: the store that named them has forgotten the plate
    assert held(again, "purged") == {DEAD.name: 1, READS.name: 1, SIGHTINGS.name: 3, TRACKS.name: 0}
    left = [(r.partition, r.offset) for r in read_topic(brokers, SIGHTINGS.name, NO_SECURITY)]
    assert left == [(3, 2)]
    third = run(brokers, data_dir, "--purge-topics")
    assert "warning: --purge-topics deletes every message before" in third.stderr
    assert "fleet.sightings" not in third.stdout


def test_frames_are_purged_where_the_store_knows_them_and_hotlists_are_kept_on_demand(
    brokers: str, tmp_path: Path
) -> None:
    fill_topics(brokers)
    fill_data(tmp_path)
    first = min(r.offset for r in read_topic(brokers, FRAMES.name, NO_SECURITY))
    report = json.loads(run(brokers, tmp_path, "--json", "--purge-topics", "--keep-hotlist").stdout)
    assert report["hotlist_entries"] == ["stolen/TEST007"]
    assert not any(one["table"] == "hotlist_raw" for one in report["deleted"])
    assert [one for one in report["kafka"]["removed"] if HOTLIST.name in one] == []
    assert (0, b"stolen/TEST007") in state(brokers, HOTLIST.name)
    assert held(report, "purged")[FRAMES.name] == FRAME_AT + 1 - first
    assert min(r.offset for r in read_topic(brokers, FRAMES.name, NO_SECURITY)) == FRAME_AT + 1
