"""The books over their tables: what is written, what a fault or a rebalance in between leaves behind."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from scenes import T0, Car, Road

import streams.books
from plumbing.bus import Record
from plumbing.clock import ManualClock, from_ms
from schemas.alert import Alert
from schemas.codec import decode_dead, decode_json, decode_reads, encode_json, encode_reads
from schemas.read import CloseTracks, ReadsMessage
from schemas.sighting import Sighting
from streams.books import CameraBook, Owned, PlateBook, Write
from streams.dead import Outgoing
from streams.hotlist import Hotlist
from streams.settings import StreamSettings
from tests.streams.test_vehicle_alerts import hotlist, sighting

SETTINGS = StreamSettings(brokers="unused:1", data_dir=Path("unused"), roles=("tracker",))


def owned(*partitions: int, epoch: int = 0) -> Owned:
    return Owned(epoch, frozenset(partitions))


class Desk:
    """A camera book with its tables."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {"tracks": {}, "crops": {}}
        self.clock = ManualClock(T0)
        self.owned = owned(2, 5)
        self.book = self.fresh()
        self.offset = 0

    def fresh(self) -> CameraBook:
        """A book as after a restart."""
        return CameraBook(SETTINGS, self.tables["tracks"], self.tables["crops"], self.clock)

    def records(self, messages: Iterable[ReadsMessage]) -> list[Record]:
        out = []
        for message in messages:
            key = message.camera_id.encode()
            out.append(Record("fleet.reads", 2, self.offset, 0, key, encode_reads(message), []))
            self.offset += 1
        return out

    def write(self) -> list[Write]:
        writes = list(self.book.writes(self.owned))
        for write in writes:
            if write.value is None:
                del self.tables[write.table][write.key]
            else:
                self.tables[write.table][write.key] = write.value
        return writes


def told(out: Iterable[Outgoing]) -> list[Sighting]:
    return [decode_json(m.value or b"", Sighting) for m in out if m.topic == "fleet.sightings"]


def test_a_batch_is_one_write_per_camera() -> None:
    desk = Desk()
    frames = [f for c in "ab" for f in Road(c, [Car("KLM471", 0, 3)], 3).frames()]
    out = desk.book.take(desk.records(frames))
    assert {s.camera_id for s in told(out)} == {"a", "b"}
    writes = desk.write()
    assert sorted((w.table, w.partition) for w in writes) == [("crops", 2)] * 2 + [("tracks", 2)] * 2
    assert desk.write() == []


def test_crops_go_when_their_track_does() -> None:
    desk = Desk()
    desk.book.take(desk.records(Road("a", [Car("KLM471", 0, 3)], 100).frames()))
    desk.write()
    assert desk.tables["crops"] == {}


def test_a_batch_that_was_not_written_is_taken_again_to_the_letter() -> None:
    desk = Desk()
    frames = Road("a", [Car("KLM471", 0, 3)], 9).frames()
    first, second = desk.records(frames[:10]), desk.records(frames[10:])
    desk.book.take(first)
    desk.write()
    once = told(desk.book.take(second))
    desk.book.forget()
    assert told(desk.book.take(second)) == once
    # and by another process, from the tables
    desk.book = desk.fresh()
    assert told(desk.book.take([*first, *second])) == once


def test_a_table_that_another_process_has_moved_on_wins() -> None:
    desk = Desk()
    frames = Road("a", [Car("KLM471", 0, 3)], 9).frames()
    records = desk.records(frames)
    desk.book.take(records[:5])
    desk.write()
    other = desk.fresh()
    other.take(records[5:20])
    for write in other.writes(desk.owned):
        if write.value is not None:
            desk.tables[write.table][write.key] = write.value
    assert told(desk.book.take(records[5:20])) == []


def test_a_fault_in_one_frame_makes_a_dead_letter_and_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Desk()
    frames = Road("a", [Car("KLM471", 0, 3)], 9).frames()
    undisturbed = told(plain.book.take(plain.records([*frames[:7], *frames[8:]])))

    def faulty(state, message, offset, now_ms, settings):  # type: ignore[no-untyped-def]
        after = real(state, message, offset, now_ms, settings)
        if not isinstance(message, CloseTracks) and message.seq == 8:
            raise ZeroDivisionError("a fault")
        return after

    real = streams.books.step
    monkeypatch.setattr(streams.books, "step", faulty)
    desk = Desk()
    out = desk.book.take(desk.records(frames))
    assert [(s.plate, s.revision, s.frames, s.status) for s in told(out)] == [
        (s.plate, s.revision, s.frames, s.status) for s in undisturbed
    ]
    (letter,) = [decode_dead(m.headers)[0] for m in out if m.topic == "fleet.dead"]
    assert (letter.reason, letter.origin_offset) == ("internal_error", 7)


def test_two_faulty_frames_of_one_camera_make_two_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(state, message, offset, now_ms, settings):  # type: ignore[no-untyped-def]
        if not isinstance(message, CloseTracks) and message.seq in (4, 9):
            raise ZeroDivisionError("a fault")
        return real(state, message, offset, now_ms, settings)

    real = streams.books.step
    monkeypatch.setattr(streams.books, "step", faulty)
    desk = Desk()
    out = desk.book.take(desk.records(Road("a", [Car("KLM471", 0, 3)], 9).frames()))
    letters = [decode_dead(m.headers)[0] for m in out if m.topic == "fleet.dead"]
    assert [letter.origin_offset for letter in letters] == [3, 8]
    assert told(out)[-1].frames == 13


def test_a_message_under_a_foreign_key_is_a_dead_letter() -> None:
    desk = Desk()
    (record,) = desk.records(Road("a", [], 0.2).frames())
    out = desk.book.take([record._replace(key=b"b"), record._replace(key=None), record._replace(value=None)])
    assert [m.topic for m in out] == ["fleet.dead"] * 3
    assert desk.write() == []


def test_silence_sends_one_command_to_the_cameras_own_partition() -> None:
    desk = Desk()
    desk.book.take(desk.records(Road("a", [Car("KLM471", 0, 3)], 3).frames()))
    desk.write()
    desk.clock.advance(5.5)
    assert desk.book.silent(owned(2)) == []
    desk.clock.advance(1.0)
    assert desk.book.silent(owned(1)) == []
    out = desk.book.silent(owned(2))
    (command,) = [m for m in out if m.topic == "fleet.reads"]
    assert command.partition == 2
    assert [m for m in desk.book.silent(owned(2)) if m.topic == "fleet.reads"] == []
    message = decode_reads(command.value or b"")
    assert message == CloseTracks(camera_id="a", seq=15, sent_at=T0 + 6500)
    assert [s.status for s in told(desk.book.take(desk.records([message])))] == ["final"]
    desk.write()
    desk.clock.advance(60)
    assert [m for m in desk.book.silent(owned(2)) if m.topic == "fleet.reads"] == []


def test_a_recovered_camera_gets_the_whole_silence() -> None:
    desk = Desk()
    desk.book.take(desk.records(Road("a", [Car("KLM471", 0, 3)], 3).frames()))
    desk.write()
    desk.clock.advance(100)
    desk.book = desk.fresh()
    assert desk.book.silent(owned(2)) == []
    desk.clock.advance(6.5)
    assert len([m for m in desk.book.silent(owned(2)) if m.topic == "fleet.reads"]) == 1


def test_a_camera_whose_partition_changed_is_taken_on() -> None:
    desk = Desk()
    frames = Road("a", [Car("KLM471", 0, 3)], 9).frames()
    records = desk.records(frames)
    desk.book.take(records[:8])
    desk.write()
    moved = [r._replace(partition=5, offset=i) for i, r in enumerate(records[8:])]
    assert told(desk.book.take(moved))[-1].frames == 15
    assert {w.partition for w in desk.write()} == {5}


def test_a_camera_that_is_silent_for_days_is_forgotten_with_its_crops() -> None:
    desk = Desk()
    cars = [Car("KLM471", 0, 3), Car("ABC123", 0, 3, lane=900.0)]
    desk.book.take(desk.records(Road("a", cars, 3).frames()))
    desk.book.take(desk.records([CloseTracks(camera_id="a", seq=1_000, sent_at=0)]))
    desk.write()
    assert (len(desk.tables["tracks"]), len(desk.tables["crops"])) == (1, 2)
    for _ in range(3):
        desk.clock.advance(86_000)
        desk.book.take(desk.records(Road("b", [], 0.2).frames()))
        assert {w.key for w in desk.write()} == {b"b"}
    desk.clock.advance(1_300)
    writes = desk.write()
    assert [(w.table, w.partition, w.value) for w in writes] == [("crops", 2, None)] * 2 + [("tracks", 2, None)]
    assert set(desk.tables["tracks"]) == {b"b"}
    assert desk.write() == []
    # and it is taken on again
    later = desk.records(Road("a", [Car("KLM471", 0, 3)], 9, first_seq=50).frames())
    assert told(desk.book.take(later))[-1].frames == 15
    assert len([w for w in desk.write() if w.table == "tracks"]) == 1


def test_a_camera_with_an_open_track_is_not_forgotten() -> None:
    desk = Desk()
    desk.book.take(desk.records(Road("a", [Car("KLM471", 0, 3)], 3).frames()))
    desk.write()
    desk.clock.advance(300_000)
    assert desk.write() == []
    assert desk.book.silent(owned(2)) == [], "its silence begins anew"
    desk.clock.advance(7)
    (command,) = [m for m in desk.book.silent(owned(2)) if m.topic == "fleet.reads"]
    desk.book.take(desk.records([decode_reads(command.value or b"")]))
    desk.write()
    desk.clock.advance(300_000)
    assert {(w.table, w.value) for w in desk.write()} == {("tracks", None), ("crops", None)}


def test_a_camera_that_another_process_owns_is_left_alone() -> None:
    desk = Desk()
    desk.book.take(desk.records(Road("a", [Car("KLM471", 0, 3)], 9).frames()))
    desk.write()
    desk.owned = owned(5, epoch=2)
    desk.clock.advance(300_000)
    assert desk.write() == []
    # the table follows, and then the partition comes back with what the other has made of it
    before = dict(desk.tables["tracks"])
    desk.tables["tracks"].clear()
    assert desk.book.silent(owned(5, epoch=4)) == []
    desk.clock.advance(300_000)
    desk.tables["tracks"] |= before
    desk.owned = owned(2, 5, epoch=6)
    assert desk.book.silent(desk.owned) == []
    desk.book.take([])
    assert desk.write() == [], "heard of by the other one, perhaps: its time begins anew"


class PlateDesk:
    """A plate book with its table; plates are kept for ten seconds."""

    def __init__(self, hotlist: Hotlist | None = None) -> None:
        self.table: dict[bytes, bytes] = {}
        self.clock = ManualClock(T0)
        self.hotlist = hotlist or Hotlist()
        self.owned = owned(1)
        self.book = self.fresh()
        self.offset = 0

    def fresh(self) -> PlateBook:
        """A book as after a restart."""
        settings = StreamSettings(brokers="unused:1", data_dir=Path("unused"), roles=("vehicles",), vehicle_keep_s=10)
        return PlateBook(settings, self.table, self.hotlist, self.clock)

    def see(self, plate: str, number: int = 1, partition: int = 1) -> list[Alert]:
        """Take a final sighting, made now, of the plate."""
        now = from_ms(self.clock.now_ms())
        one = sighting(plate, 1, "final", number, camera_id="a", first_seen=now, last_seen=now)
        record = Record("fleet.sightings", partition, self.offset, 0, plate.encode(), encode_json(one), [])
        self.offset += 1
        return [decode_json(m.value or b"", Alert) for m in self.book.take([record])]

    def write(self) -> list[Write]:
        """One turn's writes, done."""
        writes = list(self.book.writes(self.owned))
        for write in writes:
            if write.value is None:
                del self.table[write.key]
            else:
                self.table[write.key] = write.value
        return writes


def test_plates_are_forgotten_after_a_while() -> None:
    desk = PlateDesk()
    desk.see("KLM471")
    desk.write()
    assert set(desk.table) == {b"KLM471"}
    desk.clock.advance(9)
    assert desk.write() == []
    desk.clock.advance(2)
    assert desk.write() == [Write("plates", 1, b"KLM471", None)]


def test_a_plate_is_remembered_as_long_as_its_cool_down_runs() -> None:
    desk = PlateDesk(hotlist("KLM471", cool_down_s=60.0))
    assert len(desk.see("KLM471")) == 1
    desk.write()
    for _ in range(4):
        desk.clock.advance(11)
        assert desk.write() == []
    assert desk.see("KLM471", 2) == [], "after 44 s"
    desk.write()
    desk.clock.advance(17)
    assert desk.write() == [Write("plates", 1, b"KLM471", None)]
    assert len(desk.see("KLM471", 9)) == 1


def test_plates_of_a_partition_that_is_taken_over_later_are_forgotten_too() -> None:
    desk = PlateDesk()
    desk.see("KLM471")
    desk.write()
    other = PlateDesk()
    other.see("ABC123", partition=3)
    other.write()
    desk.table |= other.table
    desk.owned = owned(1, 3, epoch=2)
    desk.clock.advance(5)
    assert desk.write() == []
    desk.clock.advance(6)
    assert desk.write() == [Write("plates", 1, b"KLM471", None)], "11 s old, and 6 s known to be there"
    desk.clock.advance(5)
    assert desk.write() == [Write("plates", 3, b"ABC123", None)]


def test_plates_of_a_partition_that_another_process_owns_are_left_alone() -> None:
    desk = PlateDesk()
    desk.see("KLM471")
    desk.see("ABC123", partition=3)
    desk.owned = owned(1, 3)
    desk.write()
    # the store in memory may still hold what is the other's now
    desk.owned = owned(1, epoch=2)
    desk.clock.advance(11)
    assert desk.write() == [Write("plates", 1, b"KLM471", None)]
    del desk.table[b"ABC123"]
    desk.owned = owned(1, epoch=4)
    desk.clock.advance(11)
    assert desk.write() == []
