"""Alerts of one plate: each once, taken back when the plate was wrong, never doubled by a replay."""

from plumbing.clock import from_ms
from schemas.alert import Alert
from schemas.hotlist import HotlistEntry
from schemas.ids import alert_id
from schemas.read import Candidate
from schemas.sighting import Evidence, Sighting
from streams.hotlist import Hotlist
from streams.vehicle import Vehicle, apply, decode_vehicle, encode_vehicle

T = 1_780_000_000_000
CORNERS = ((0.0, 0.0), (9.0, 0.0), (9.0, 3.0), (0.0, 3.0))


def sighting(plate: str, revision: int, status: str = "provisional", number: int = 1, **more: object) -> Sighting:
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


def hotlist(*texts: str) -> Hotlist:
    made = Hotlist()
    for text in texts:
        made.put(HotlistEntry(hotlist_id="stolen", entry=text, added_at=from_ms(T)))
    return made


class Plate:
    """The state of one plate, as the agent keeps it: through bytes."""

    def __init__(self, listed: Hotlist) -> None:
        self.listed = listed
        self.raw: bytes | None = None
        self.offset = -1

    def take(self, one: Sighting, offset: int | None = None) -> list[Alert]:
        self.offset = self.offset + 1 if offset is None else offset
        known = decode_vehicle(self.raw) if self.raw is not None else None
        state, alerts = apply(known, one, self.offset, self.listed, T, 0.2)
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


def test_a_pattern_that_says_both_plates_keeps_its_one_alert() -> None:
    listed = hotlist("A?C123")
    old, new = Plate(listed), Plate(listed)
    assert len(old.take(sighting("A8C123", 1))) == 1
    assert old.take(sighting("A8C123", 2, "withdrawn", candidates=(Candidate("ABC123", 0.9),))) == []
    assert new.take(sighting("ABC123", 3, former_plates=("A8C123",))) == []
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
