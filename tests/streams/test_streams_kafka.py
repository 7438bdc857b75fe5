"""The Faust apps on a real Kafka: reads of three cameras in, sightings, alerts and rows out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Place, Process, ask, migrate_store, wait_for
from scenes import T0, Car, Road

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.codec import decode_dead, decode_json
from schemas.sighting import Sighting
from streams.progress import close_all, lag


@pytest.fixture
def place(kafka: str, tmp_path: Path) -> Iterator[Place]:
    made = Place.make(kafka, tmp_path)
    yield made
    made.close()


def roads() -> list[Road]:
    texts = ("ABC123", "A8C123", "ABC123", "")
    return [
        Road(f"cam-{i}", [Car("ABC123", 0, 5, lane=300, texts=texts), Car(f"XYZ98{i}", 2, 6, lane=900)], 8)
        for i in range(3)
    ]


def test_reads_become_sightings_alerts_and_rows(place: Place) -> None:
    store_url = f"chdb://{place.folder}/db"
    migrate_store(store_url)
    place.list_plate("XYZ981")
    place.list_plate("ABC1??", "patterns")
    place.producer.send(place.topics.hotlist, b"not json", key=b"stolen/BROKEN").result(20)
    with Process(place, ("tracker", "vehicles", "sink"), store_url=store_url) as process:
        place.producer.send(place.topics.reads, b"\xc1 not msgpack", key=b"cam-0").result(20)
        for frames in zip(*(road.frames() for road in roads()), strict=True):
            place.send_reads(frames)
        # an entry that is added while the fleet drives is live at once
        place.list_plate("XYZ982")
        wait_for("alert of the new entry", lambda: _alerted(place, "XYZ982"))
        close_all(place.brokers, [road.camera_id for road in roads()], topics=place.topics)
        place.drain(("tracker", "vehicles", "sink"))
        assert not any(lag(place.brokers, place.app_id, topics=place.topics).values())
        assert process.stop() == 0

    sightings = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
    last = {s.sighting_id: s for s in sorted(sightings, key=lambda s: s.revision)}
    assert sorted((s.camera_id, s.plate, s.status) for s in last.values()) == sorted(
        (f"cam-{i}", plate, "final") for i in range(3) for plate in ("ABC123", f"XYZ98{i}")
    )
    alerts = [decode_json(r.value, Alert) for r in place.log(place.topics.alerts)]
    assert len({a.alert_id for a in alerts}) == len(alerts)
    assert sorted((a.camera_id, a.entry, a.match) for a in alerts) == [
        ("cam-0", "ABC1??", "pattern"),
        ("cam-1", "ABC1??", "pattern"),
        ("cam-1", "XYZ981", "exact"),
        ("cam-2", "ABC1??", "pattern"),
        ("cam-2", "XYZ982", "exact"),
    ]
    states = {s.camera_id: s for s in (decode_json(r.value, CameraState) for r in place.log(place.topics.cameras))}
    assert {c: (s.status, s.frames, s.missing) for c, s in states.items()} == {
        f"cam-{i}": ("silent", 40, 0) for i in range(3)
    }
    letters = [decode_dead(r.headers)[0] for r in place.log(place.topics.dead)]
    assert sorted((d.stage, d.reason) for d in letters) == [("hotlist", "bad_value"), ("tracker", "bad_value")]
    _check_rows(store_url, last, alerts)


def _alerted(place: Place, entry: str) -> bool:
    if any(decode_json(r.value, Alert).entry == entry for r in place.log(place.topics.alerts)):
        return True
    # the sighting is told again at its next better read; here, at its end
    close_all(place.brokers, ["cam-2"], topics=place.topics)
    return False


def _check_rows(store_url: str, last: dict[str, Sighting], alerts: list[Alert]) -> None:
    rows, reads, raised, crops, dead, entries = ask(
        store_url,
        "SELECT sighting_id, camera_id, plate, frames, revision, status FROM sightings",
        "SELECT count() AS n, uniqExact(camera_id, seq, rank) AS different FROM reads",
        "SELECT alert_id, entry FROM alerts",
        "SELECT uniqExact(sighting_id) AS n FROM crops_raw",
        "SELECT count() AS n FROM dead_letters_raw",
        "SELECT hotlist_id, entry FROM hotlist ORDER BY entry",
    )
    assert [(r["hotlist_id"], r["entry"]) for r in entries] == [
        ("patterns", "ABC1??"),
        ("stolen", "XYZ981"),
        ("stolen", "XYZ982"),
    ]
    assert {(r["sighting_id"], r["plate"], r["frames"], r["revision"]) for r in rows} == {
        (s.sighting_id, s.plate, s.frames, s.revision) for s in last.values()
    }
    expected = sum(len(frame.reads) for road in roads() for frame in road.frames())
    assert (reads[0]["n"], reads[0]["different"]) == (expected, expected)
    assert {r["alert_id"] for r in raised} == {a.alert_id for a in alerts}
    assert crops[0]["n"] == len(last)
    assert dead[0]["n"] == 2


def test_silence_closes_by_a_command_in_the_cameras_own_partition(place: Place) -> None:
    road = Road("cam-7", [Car("KLM471", 0, 2)], 2)
    with Process(place, ("tracker",), silence_s=1.0) as process:
        place.send_reads(road.frames())
        wait_for("final sighting", lambda: any(b'"final"' in r.value for r in place.log(place.topics.sightings)))
        reads = place.log(place.topics.reads)
        assert len({r.partition for r in reads}) == 1
        assert len(reads) == len(road.frames()) + 1
        wait_for("silent camera", lambda: b'"silent"' in place.log(place.topics.cameras)[-1].value)
        # the camera was only delayed: the same vehicle goes on in the same sighting
        later = Road("cam-7", [Car("KLM471", 0, 2)], 2, first_seq=11, t0=T0 + 2000)
        place.send_reads(later.frames())
        wait_for("final again", lambda: _finals(place) == 2)
        assert process.stop() == 0
    sightings = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
    assert len({s.sighting_id for s in sightings}) == 1
    assert (sightings[-1].frames, sightings[-1].status) == (20, "final")


def _finals(place: Place) -> int:
    return sum(b'"final"' in r.value for r in place.log(place.topics.sightings))


def test_a_flood_of_dead_letters_ends_the_process_and_acknowledges_nothing(place: Place) -> None:
    with Process(place, ("tracker",), dead_per_minute=2) as process:
        for i in range(6):
            place.producer.send(place.topics.reads, b"\xc1", key=b"cam-%d" % i).result(20)
        assert process.wait() == 1
    assert "dead letters a minute" in process.log.read_text()
    assert lag(place.brokers, place.app_id, roles=("tracker",), topics=place.topics)[f"tracker:{place.topics.reads}"]
