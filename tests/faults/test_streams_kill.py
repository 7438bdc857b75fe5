"""kill -9 of the streams process in the middle of open tracks: nothing lost, nothing doubled, the same identities."""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "streams"))

from running import Place, Process, ask, migrate_store, undisturbed, wait_for
from scenes import T0, Car, Road

from fleet.local_kafka import LocalKafka
from schemas.alert import Alert
from schemas.codec import decode_json
from schemas.read import CloseTracks, FrameReads
from schemas.sighting import Sighting
from streams.progress import close_all
from streams.track import new_state
from streams.tracker import step

pytestmark = pytest.mark.faults
ROLES = ("tracker", "vehicles", "sink")
NEVER_SILENT = 600.0
"""On a slow machine the starts of processes look like silence, which closes tracks and tells revisions more."""


@pytest.fixture
def place(kafka: str, tmp_path: Path) -> Iterator[Place]:
    made = Place.make(kafka, tmp_path)
    yield made
    made.close()


def roads() -> list[Road]:
    """Ten vehicles, all in view around the seventh second; one is on the hotlist, one flickers."""
    cars = [[Car(f"KLM{c}{i}7", 1 + i, 9 + i, lane=200 + 400 * i) for i in range(3)] for c in range(3)]
    cars[0].append(Car("ABC123", 4, 11, lane=1240, texts=("ABC123", "A8C123", "", "ABC123")))
    return [Road(f"cam-{c}", cars[c], 14) for c in range(3)]


def expected() -> dict[str, Sighting]:
    """What one undisturbed run tells: the last revision of each sighting."""
    last: dict[str, Sighting] = {}
    for road in roads():
        state = new_state(road.camera_id)
        messages = [*road.frames(), CloseTracks(camera_id=road.camera_id, seq=1 << 60, sent_at=0)]
        for offset, message in enumerate(messages):
            state, told = step(state, message, offset, T0)
            last |= {s.sighting_id: s for s in told}
    return last


def substance(sighting: Sighting) -> tuple[object, ...]:
    return (
        sighting.revision,
        sighting.status,
        sighting.plate,
        sighting.frames,
        sighting.votes,
        sighting.first_seen,
        sighting.last_seen,
        sighting.evidence,
    )


def test_kill_9_in_the_middle_of_ten_open_tracks(place: Place) -> None:
    store_url = f"chdb://{place.folder}/db"
    migrate_store(store_url)
    place.list_plate("KLM017")
    place.list_plate("ABC123")
    together = list(zip(*(road.frames() for road in roads()), strict=True))
    _run_and_kill(place, store_url, together[:40], 1)
    # what comes while it is dead, and a second death a few frames later
    _run_and_kill(place, store_url, together[40:45], 2)
    with Process(place, ROLES, store_url=store_url, silence_s=NEVER_SILENT) as process:
        _send(place, together[45:])
        close_all(place.brokers, [road.camera_id for road in roads()], topics=place.topics)
        place.drain(ROLES)
        assert process.stop() == 0
    _check(place, store_url)


def test_a_second_process_joins_and_dies(place: Place) -> None:
    roles = ("tracker",)
    together = list(zip(*(road.frames() for road in roads()), strict=True))
    with Process(place, roles, "streams-0", silence_s=NEVER_SILENT) as first:
        _send(place, together[:25])
        with Process(place, roles, "streams-1", silence_s=NEVER_SILENT) as second:
            _send(place, together[25:45])
            wait_for("sightings", lambda: len(place.log(place.topics.sightings)) >= 10)
            second.kill()
        # its partitions come back after its session; the frames wait in the topic
        _send(place, together[45:])
        close_all(place.brokers, [road.camera_id for road in roads()], topics=place.topics)
        place.drain(roles, timeout=60)
        assert first.stop() == 0
    wanted = expected()
    told = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
    last = {s.sighting_id: s for s in sorted(told, key=lambda s: s.revision)}
    assert {k: substance(s) for k, s in last.items()} == {k: substance(s) for k, s in wanted.items()}


def test_frames_keep_coming_while_it_dies_again_and_again(place: Place) -> None:
    """What comes in while partitions are sought and tables recovered is where a message is most easily lost."""
    store_url = f"chdb://{place.folder}/db"
    migrate_store(store_url)
    plates = [[f"{'KWZTRHLP'[i]}{'XJVQNDSB'[i]}{c}{i}{3 * i % 10}" for i in range(8)] for c in range(3)]
    cars = [[Car(plates[c][i], 1 + 4 * i, 7 + 4 * i, lane=300 + 300 * (i % 3)) for i in range(8)] for c in range(3)]
    together = list(zip(*(Road(f"cam-{c}", cars[c], 40).frames() for c in range(3)), strict=True))
    sender = threading.Thread(target=_send_slowly, args=(place, together, 0.15))
    sender.start()
    dice = random.Random(1)
    for _ in range(5):
        with Process(place, ROLES, store_url=store_url) as process:
            time.sleep(dice.uniform(0.0, 1.0))
            process.kill()
    with Process(place, ROLES, store_url=store_url) as process:
        sender.join()
        close_all(place.brokers, [f"cam-{c}" for c in range(3)], topics=place.topics)
        place.drain(ROLES)
        assert process.stop() == 0
    wanted = {s.sighting_id: s for s in undisturbed(place.brokers, place.topics.reads)}
    assert len(wanted) >= 24
    told = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
    last = {s.sighting_id: s for s in sorted(told, key=lambda s: s.revision)}
    assert {k: substance(s) for k, s in last.items()} == {k: substance(s) for k, s in wanted.items()}
    rows, reads = ask(
        store_url,
        "SELECT sighting_id, plate, frames, revision FROM sightings",
        "SELECT uniqExact(camera_id, seq, rank) AS n FROM reads",
    )
    assert sorted((r["sighting_id"], r["plate"], r["frames"], r["revision"]) for r in rows) == sorted(
        (s.sighting_id, s.plate, s.frames, s.revision) for s in wanted.values()
    )
    assert reads[0]["n"] == sum(len(frame.reads) for frames in together for frame in frames)


def test_the_broker_is_killed_and_comes_back(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    together = list(zip(*(road.frames() for road in roads()), strict=True))
    with LocalKafka(tmp_path / "kafka", port) as broker:
        place = Place.make(broker.brokers, tmp_path)
        store_url = f"chdb://{place.folder}/db"
        migrate_store(store_url)
        with Process(place, ROLES, store_url=store_url) as process:
            _send(place, together[:40])
            wait_for("sightings", lambda: len(place.log(place.topics.sightings)) >= 10)
            broker.stop(grace=0)
            # longer than a session, so that the group has forgotten its member
            time.sleep(12)
            with LocalKafka(tmp_path / "kafka", port):
                _send(place, together[40:])
                close_all(place.brokers, [road.camera_id for road in roads()], topics=place.topics)
                place.drain(ROLES, timeout=120)
                assert process.stop() == 0
                wanted = {s.sighting_id: s for s in undisturbed(place.brokers, place.topics.reads)}
                told = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
        place.close()
    last = {s.sighting_id: s for s in sorted(told, key=lambda s: s.revision)}
    assert {k: substance(s) for k, s in last.items()} == {k: substance(s) for k, s in wanted.items()}


def _send_slowly(place: Place, together: list[tuple[FrameReads, ...]], pause_s: float) -> None:
    for frames in together:
        place.send_reads(frames)
        time.sleep(pause_s)


def _send(place: Place, together: list[tuple[FrameReads, ...]]) -> None:
    for frames in together:
        place.send_reads(frames)


def _run_and_kill(place: Place, store_url: str, together: list[tuple[FrameReads, ...]], round_: int) -> None:
    before = len(place.log(place.topics.sightings))
    with Process(place, ROLES, store_url=store_url, silence_s=NEVER_SILENT) as process:
        _send(place, together)
        if round_ == 1:
            wait_for("sightings", lambda: len(place.log(place.topics.sightings)) >= before + 10)
        process.kill()


def _check(place: Place, store_url: str) -> None:
    wanted = expected()
    assert len(wanted) == 10
    told = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
    last = {s.sighting_id: s for s in sorted(told, key=lambda s: s.revision)}
    assert {k: substance(s) for k, s in last.items()} == {k: substance(s) for k, s in wanted.items()}
    # a revision that was told again says the same again
    for _, same in _grouped(told).items():
        assert len({substance(s) for s in same}) == 1

    alerts = [decode_json(r.value, Alert) for r in place.log(place.topics.alerts)]
    assert Counter(a.entry for a in {a.alert_id: a for a in alerts}.values()) == {"KLM017": 1, "ABC123": 1}
    assert {a.status for a in alerts} == {"raised"}

    rows, reads = ask(
        store_url,
        "SELECT sighting_id, plate, frames, revision FROM sightings",
        "SELECT uniqExact(camera_id, seq, rank) AS n FROM reads",
    )
    assert sorted((r["sighting_id"], r["plate"], r["frames"], r["revision"]) for r in rows) == sorted(
        (s.sighting_id, s.plate, s.frames, s.revision) for s in wanted.values()
    )
    assert reads[0]["n"] == sum(len(frame.reads) for road in roads() for frame in road.frames())


def _grouped(told: list[Sighting]) -> dict[tuple[str, int], list[Sighting]]:
    groups: dict[tuple[str, int], list[Sighting]] = {}
    for sighting in told:
        groups.setdefault((sighting.sighting_id, sighting.revision), []).append(sighting)
    return groups
