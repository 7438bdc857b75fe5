"""Alerts of one plate: each once, taken back when the plate was wrong, never doubled by a replay."""

import msgspec

from plumbing.clock import from_ms
from schemas.alert import Alert
from schemas.hotlist import HotlistEntry, HotlistRules
from schemas.ids import alert_id
from schemas.read import Candidate
from schemas.sighting import Evidence, Sighting
from streams.hotlist import Hotlist
from streams.vehicle import Vehicle, apply, decode_vehicle, encode_vehicle

T = 1_780_000_000_000
CORNERS = ((0.0, 0.0), (9.0, 0.0), (9.0, 3.0), (0.0, 3.0))


def sighting(plate: str, revision: int, status: str = "provisional", number: int = 1, **more: object) -> Sighting:
    """A revision of an invented sighting; `more` replaces any field."""
    values: dict[str, object] = {
        "sighting_id": f"00000000-0000-0000-0000-{number:012d}",
        "revision": revision,
        "status": status,
        "camera_id": f"cam-{number}",
        "plate": plate,
        "confidence": 0.8,
        "region": "",
        "region_confidence": 0.0,
        "candidates": (Candidate(plate, 0.8),),
        "votes": 2,
        "frames": 2,
        "opened_at": from_ms(T),
        "first_seen": from_ms(T + number),
        "last_seen": from_ms(T + 1000 * revision),
        "lat": None,
        "lon": None,
        "heading": None,
        "speed": None,
        "direction": "unknown",
        "trail": (),
        "evidence": Evidence(
            seq=1,
            captured_at=from_ms(T),
            corners=CORNERS,
            crop_jpeg=b"",
            crop_sha256="",
            frame_sha256="",
            topic="fleet.frames",
            partition=0,
            offset=0,
        ),
        "model_version": "test-1",
        "emitted_at": from_ms(T),
    }
    return Sighting(**(values | more))  # type: ignore[arg-type]


def hotlist(*texts: str, **rules: object) -> Hotlist:
    made = Hotlist()
    if rules:
        made.put_rules(HotlistRules(hotlist_id="stolen", updated_at=from_ms(T), **rules))  # type: ignore[arg-type]
    for text in texts:
        made.put(HotlistEntry(hotlist_id="stolen", entry=text, added_at=from_ms(T)))
    return made


class Plate:
    """The state of one plate, as the agent keeps it: through bytes."""

    def __init__(self, listed: Hotlist) -> None:
        self.listed = listed
        self.raw: bytes | None = None
        self.offset = -1

    def take(self, one: Sighting, offset: int | None = None, now_ms: int = T) -> list[Alert]:
        self.offset = self.offset + 1 if offset is None else offset
        known = decode_vehicle(self.raw) if self.raw is not None else None
        state, alerts = apply(known, one, self.offset, self.listed, now_ms, 0.2)
        self.raw = encode_vehicle(state)
        return alerts

    @property
    def state(self) -> Vehicle:
        assert self.raw is not None
        return decode_vehicle(self.raw)


def test_one_entry_and_one_sighting_make_one_alert() -> None:
    plate = Plate(hotlist("ABC123"))
    (alert,) = plate.take(sighting("ABC123", 1))
    assert (alert.status, alert.match, alert.entry) == ("raised", "exact", "ABC123")
    assert alert.alert_id == alert_id("stolen", "ABC123", alert.sighting_id)
    assert alert.seen_at == from_ms(T + 1000)
    assert plate.take(sighting("ABC123", 2)) == []
    assert plate.take(sighting("ABC123", 3, "final")) == []
    (other,) = plate.take(sighting("ABC123", 1, number=2))
    assert other.alert_id != alert.alert_id


def test_a_replay_and_an_old_revision_say_nothing() -> None:
    plate = Plate(hotlist("ABC123"))
    plate.take(sighting("ABC123", 1), offset=5)
    before = plate.raw
    assert plate.take(sighting("ABC123", 1), offset=5) == []
    assert plate.take(sighting("ABC123", 1), offset=3) == []
    assert plate.raw == before
    plate.take(sighting("ABC123", 3, "final"), offset=6)
    assert plate.take(sighting("ABC123", 1), offset=7) == []
    assert plate.state.count == 1


def test_an_entry_that_comes_during_a_pass_still_alerts() -> None:
    listed = hotlist()
    plate = Plate(listed)
    assert plate.take(sighting("ABC123", 1)) == []
    listed.put(HotlistEntry(hotlist_id="stolen", entry="ABC123", added_at=from_ms(T)))
    assert len(plate.take(sighting("ABC123", 2))) == 1


def test_a_withdrawn_sighting_takes_its_alert_back_once() -> None:
    plate = Plate(hotlist("A8C123"))
    (raised,) = plate.take(sighting("A8C123", 1))
    gone = sighting("A8C123", 2, "withdrawn", candidates=(Candidate("ABC123", 0.9),))
    (withdrawn,) = plate.take(gone)
    assert withdrawn.alert_id == raised.alert_id
    assert withdrawn.status == "withdrawn"
    assert plate.take(gone) == []
    assert (plate.state.count, plate.state.cameras) == (0, {})


def test_a_pattern_that_says_both_plates_corrects_its_one_alert() -> None:
    listed = hotlist("A?C123")
    old, new = Plate(listed), Plate(listed)
    (first,) = old.take(sighting("A8C123", 1))
    (back,) = old.take(sighting("A8C123", 2, "withdrawn", candidates=(Candidate("ABC123", 0.9),)))
    assert (back.alert_id, back.status, back.revision) == (first.alert_id, "withdrawn", 2)
    (corrected,) = new.take(sighting("ABC123", 3, former_plates=("A8C123",)))
    assert (corrected.alert_id, corrected.status, corrected.plate) == (first.alert_id, "raised", "ABC123")
    assert corrected.revision > back.revision, "it holds, whichever of the two comes first"
    # and is taken back under the new plate, when the sighting is none any more
    (gone,) = new.take(sighting("ABC123", 4, "withdrawn", candidates=()))
    assert gone.status == "withdrawn"


def test_a_candidate_match_that_further_reads_rule_out_is_withdrawn() -> None:
    plate = Plate(hotlist("A8C123"))
    torn = (Candidate("ABC123", 0.6), Candidate("A8C123", 0.35))
    (raised,) = plate.take(sighting("ABC123", 1, candidates=torn))
    assert (raised.match, raised.match_probability) == ("candidate", 0.35)
    assert plate.take(sighting("ABC123", 2, candidates=(Candidate("ABC123", 0.8), Candidate("A8C123", 0.12)))) == []
    (gone,) = plate.take(sighting("ABC123", 3, "final"))
    assert (gone.status, gone.alert_id) == ("withdrawn", raised.alert_id)


def test_a_revision_that_comes_again_changes_nothing_though_the_list_has_changed() -> None:
    plate = Plate(hotlist("A8C123"))
    torn = (Candidate("ABC123", 0.6), Candidate("A8C123", 0.35))
    assert len(plate.take(sighting("ABC123", 1, candidates=torn))) == 1
    assert [a.status for a in plate.take(sighting("ABC123", 2))] == ["withdrawn"]
    plate.listed.put_rules(HotlistRules(hotlist_id="stolen", ocr_equivalent=1, updated_at=from_ms(T)))
    assert plate.take(sighting("ABC123", 2)) == [], "revision 2 has said that it is withdrawn"
    (again,) = plate.take(sighting("ABC123", 3))
    assert (again.status, again.match, again.revision) == ("raised", "equivalent", 3)


def at(minutes: float, number: int, revision: int = 1, **more: object) -> Sighting:
    place = {"lat": 52.0, "lon": 13.0, "confidence": 0.9}
    seen = from_ms(T + round(minutes * 60_000))
    return sighting("ABC123", revision, number=number, **(place | {"last_seen": seen, "first_seen": seen} | more))


def test_a_cool_down_tells_the_first_and_again_when_it_is_over() -> None:
    plate = Plate(hotlist("ABC123", cool_down_s=600.0))
    assert [len(plate.take(at(m, n))) for n, m in enumerate((0, 3, 9, 11, 12, 21.5), start=1)] == [1, 0, 0, 1, 0, 1]


def test_a_cool_down_is_of_one_place_and_one_entry() -> None:
    plate = Plate(hotlist("ABC123", cool_down_s=600.0, cool_down_m=400.0))
    assert len(plate.take(at(0, 1))) == 1
    assert plate.take(at(1, 2, lat=52.003)) == [], "334 m"
    assert len(plate.take(at(2, 3, lat=52.005))) == 1, "556 m"
    assert plate.take(at(3, 4, camera_id="cam-1", lat=None, lon=None)) == [], "the same camera"
    assert len(plate.take(at(4, 5, lat=None, lon=None))) == 1, "another one, nobody knows where"
    plate.listed.put(HotlistEntry(hotlist_id="stolen", entry="ABC*", added_at=from_ms(T)))
    assert [a.entry for a in plate.take(at(5, 6))] == ["ABC*"]


def test_a_late_sighting_from_before_is_within_the_cool_down_too() -> None:
    plate = Plate(hotlist("ABC123", cool_down_s=600.0))
    assert len(plate.take(at(5, 1))) == 1
    assert plate.take(at(1, 2)) == []


def test_when_the_first_is_taken_back_the_next_is_told() -> None:
    plate = Plate(hotlist("ABC123", cool_down_s=600.0))
    (first,) = plate.take(at(0, 1))
    assert plate.take(at(2, 2)) == []
    assert plate.take(at(1, 3)) == []
    withdrawn, second = plate.take(at(0, 1, revision=2, status="withdrawn", candidates=()))
    assert (withdrawn.status, withdrawn.alert_id) == ("withdrawn", first.alert_id)
    assert (second.status, second.seen_at) == ("raised", from_ms(T + 60_000)), "the earlier of the two"
    assert plate.take(at(2, 2, revision=2, status="withdrawn", candidates=())) == [], "it was never told"


def test_an_unlisted_plate_that_becomes_a_listed_one_is_taken_back() -> None:
    listed = hotlist("ABC123", kind="allow")
    old, new = Plate(listed), Plate(listed)
    (raised,) = old.take(sighting("KLM471", 1, confidence=0.9))
    (gone,) = old.take(sighting("KLM471", 2, "withdrawn", candidates=(Candidate("ABC123", 0.9),)))
    assert (raised.match, raised.entry) == ("unlisted", "")
    assert (gone.status, gone.alert_id) == ("withdrawn", raised.alert_id)
    assert new.take(sighting("ABC123", 3, confidence=0.9, former_plates=("KLM471",))) == []


def test_state_of_the_version_before_is_read() -> None:
    plate = Plate(hotlist("ABC123"))
    plate.take(sighting("ABC123", 1))
    values = msgspec.to_builtins(plate.state)
    assert values.pop() == [], "what this version added, at the end"
    (alert,) = values[7][0][6].values()
    del alert[7:]
    plate.raw = msgspec.msgpack.encode(values)
    assert plate.take(sighting("ABC123", 2)) == []
    (gone,) = plate.take(sighting("ABC123", 3, "withdrawn", candidates=()))
    assert gone.status == "withdrawn"


def test_an_alert_carries_the_picture_of_its_sighting() -> None:
    (alert,) = Plate(hotlist("ABC123")).take(sighting("ABC123", 1, region="DE", direction="receding"))
    assert (alert.region, alert.direction) == ("DE", "receding")
    assert alert.evidence is not None
    assert alert.candidates == (Candidate("ABC123", 0.8),)


def test_the_state_of_a_plate_counts_its_passes() -> None:
    plate = Plate(hotlist())
    for number in range(1, 41):
        plate.take(sighting("ABC123", 1, number=number))
        plate.take(sighting("ABC123", 2, "final", number=number))
    state = plate.state
    assert state.count == 40
    assert len(state.cameras) == 40
    assert len(state.passes) <= 16
    assert (state.first_t, state.last_t) == (T + 1, T + 2000)
    assert plate.raw is not None
    assert len(plate.raw) < 4_000


def test_an_open_pass_is_remembered_through_any_number_of_others() -> None:
    plate = Plate(hotlist("ABC123"))
    (raised,) = plate.take(sighting("ABC123", 1))
    for number in range(2, 60):
        assert len(plate.take(sighting("ABC123", 1, number=number))) == 1
        plate.take(sighting("ABC123", 2, "final", number=number))
    assert plate.take(sighting("ABC123", 2)) == [], "raised once"
    assert plate.state.count == 59
    (gone,) = plate.take(sighting("ABC123", 3, "withdrawn", candidates=()))
    assert (gone.status, gone.alert_id) == ("withdrawn", raised.alert_id)
    assert plate.state.count == 58


def test_a_held_alert_is_remembered_through_any_number_of_others() -> None:
    plate = Plate(hotlist("ABC123", cool_down_s=3600.0))
    (first,) = plate.take(at(0, 1))
    for number in range(2, 40):
        assert plate.take(at(number / 2, number)) == []
        plate.take(at(number / 2, number, 2, status="final"))
    withdrawn, second = plate.take(at(0, 1, revision=2, status="withdrawn", candidates=()))
    assert (withdrawn.alert_id, second.seen_at) == (first.alert_id, from_ms(T + 60_000)), "the earliest of all"


def test_passes_that_will_not_change_any_more_are_forgotten() -> None:
    hour = 3_600_000
    plate = Plate(hotlist("ABC123"))
    for number in range(1, 101):
        plate.take(at(number, number), now_ms=T)
    assert len(plate.state.passes) == 100, "open, all of them"
    plate.take(at(200, 101), now_ms=T)
    assert len(plate.state.passes) == 101, "by the cameras' clocks alone they are old"
    plate.take(at(100, 102), now_ms=T + 2 * hour)
    assert len(plate.state.passes) == 16


def test_the_passes_of_a_plate_are_bounded() -> None:
    plate = Plate(hotlist("ABC123"))
    for number in range(1, 301):
        plate.take(sighting("ABC123", 1, number=number))
    assert len(plate.state.passes) == 256
