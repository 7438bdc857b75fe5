"""Rules, wrong hits and cool-downs through a real broker and a real streams process, which is killed in the middle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from plumbing.clock import from_ms
from schemas.alert import Alert
from schemas.codec import decode_json, encode_json
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from streams.progress import close_all
from tests.streams.running import Place, Process, wait_for
from tests.streams.scenes import T0, Car, Road

ROLES = ("tracker", "vehicles")


@pytest.fixture
def place(kafka: str, tmp_path: Path) -> Iterator[Place]:
    made = Place.make(kafka, tmp_path)
    yield made
    made.close()


def tell(place: Place, *records: HotlistEntry | HotlistRules | WrongHit) -> None:
    for one in records:
        place.producer.send(place.topics.hotlist, encode_json(one), key=one.key.encode()).result(20)


def entry(text: str, hotlist_id: str = "stolen") -> HotlistEntry:
    return HotlistEntry(hotlist_id=hotlist_id, entry=text, added_at=from_ms(0))


def rules(hotlist_id: str = "stolen", **more: object) -> HotlistRules:
    return HotlistRules(hotlist_id=hotlist_id, updated_at=from_ms(0), **more)  # type: ignore[arg-type]


def passes(camera: str, *plates: str, start: float = 0.0) -> Road:
    """One vehicle after the other, ten seconds apart."""
    cars = [Car(plate, start + 10 * n, start + 10 * n + 3) for n, plate in enumerate(plates)]
    return Road(camera, cars, start + 10 * len(plates))


def alerts(place: Place) -> list[Alert]:
    return [decode_json(r.value, Alert) for r in place.log(place.topics.alerts)]


def test_rules_hold_in_the_process_and_over_a_kill(place: Place) -> None:
    tell(
        place,
        rules(ocr_equivalent=1, cool_down_s=3600.0, priority="high"),
        entry("A8C123"),
        entry("KLM471"),
        entry("XYZ98*"),
        rules("own", kind="ignore"),
        entry("XYZ981", "own"),
        WrongHit(hotlist_id="stolen", entry="XYZ98*", plate="XYZ982", at=from_ms(0)),
    )
    frames = passes("cam-0", "ABC123", "KLM471", "XYZ981", "XYZ982", "XYZ983", "KLM471", "ABC123").frames()
    assert frames[0].captured_at == T0
    half = len(frames) // 2
    wanted = {("A8C123", "equivalent"), ("KLM471", "exact"), ("XYZ98*", "pattern")}
    with Process(place, ROLES) as process:
        place.send_reads(frames[:half])
        wait_for("the first alerts", lambda: {a.entry for a in alerts(place)} >= {"A8C123", "KLM471"})
        process.kill()
    with Process(place, ROLES) as process:
        place.send_reads(frames[half:])
        place.drain(ROLES)
        close_all(place.brokers, ["cam-0"], topics=place.topics)
        place.drain(ROLES)
        assert process.stop() == 0
    found = alerts(place)
    once = {(a.alert_id, a.revision, a.status): a for a in found}
    assert {a.status for a in found} == {"raised"}
    assert {(a.entry, a.match) for a in found} == wanted
    assert len({a.alert_id for a in found}) == 3, "the second passes are within the cool-down, over the kill too"
    assert {a.priority for a in once.values()} == {"high"}
    pattern = next(a for a in found if a.entry == "XYZ98*")
    assert (pattern.plate, pattern.region) == ("XYZ983", "DE")
    assert pattern.evidence is not None
    assert pattern.evidence.crop_jpeg.startswith(b"\xff\xd8")
