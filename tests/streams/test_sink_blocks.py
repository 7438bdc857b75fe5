"""The sink: everything goes in once, waits for a store that is away, and sets aside what can never go in."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from scenes import Car, Road
from test_vehicle_alerts import sighting

from plumbing.bus import Record
from plumbing.clock import ManualClock
from schemas.codec import decode_dead, encode_dead, encode_json, encode_reads
from schemas.dead import DeadLetter
from store.interface import StoreRejected, StoreUnavailable
from streams.dead import DeadLetters, Outgoing, TooManyDeadLetters
from streams.settings import StreamSettings
from streams.sink import Sink, Stopped, span

SETTINGS = StreamSettings(brokers="unused:1", data_dir=Path("unused"), store_url="unused")


class FakeStore:
    """Keeps blocks by token, as the contract says; refuses and fails when told."""

    def __init__(self, failures: int = 0, refuse: frozenset[str] = frozenset()) -> None:
        self.failures = failures
        self.refuse = refuse
        self.blocks: dict[tuple[str, str], list[Mapping[str, object]]] = {}
        self.calls = 0

    def insert(self, table: str, rows: Sequence[Mapping[str, object]], *, token: str) -> None:
        """As `store.interface.Store.insert`."""
        self.calls += 1
        if self.failures:
            self.failures -= 1
            # the answer got lost: the block went in
            self.blocks.setdefault((table, token), list(rows))
            raise StoreUnavailable("no answer")
        if any(str(row.get("plate")) in self.refuse for row in rows):
            raise StoreRejected("cannot parse plate")
        self.blocks.setdefault((table, token), list(rows))

    def rows(self, table: str) -> list[Mapping[str, object]]:
        """All rows of a table."""
        return [row for (name, _), rows in self.blocks.items() if name == table for row in rows]


class Stop(threading.Event):
    """Waits are over at once; after `most` of them it is set."""

    def __init__(self, most: int = 1_000) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        """Note the wait."""
        self.waits.append(timeout or 0.0)
        return len(self.waits) >= self._most


def sink(store: FakeStore, stop: Stop | None = None) -> Sink:
    return Sink(SETTINGS, store, ManualClock(), stop or Stop())  # type: ignore[arg-type]


def put(writer: Sink, batch: Sequence[Record]) -> list[Outgoing]:
    """As the sink's loop does, without another batch beside."""
    return writer.insert(writer.make(batch))


def record(topic: str, value: bytes | None, offset: int, partition: int = 0) -> Record:
    return Record(topic, partition, offset, 0, b"key", value, [])


def sightings(*plates: str) -> list[Record]:
    return [record("fleet.sightings", encode_json(sighting(p, 1, number=i)), i) for i, p in enumerate(plates, start=1)]


def test_frames_become_a_row_per_plate() -> None:
    frames = Road("cam", [Car("ABC123", 0, 2), Car("XYZ987", 0, 1, lane=900)], 3).frames()
    store = FakeStore()
    batch = [record("fleet.reads", encode_reads(f), i, i % 2) for i, f in enumerate(frames)]
    assert put(sink(store), batch) == []
    assert len(store.rows("reads_raw")) == 15
    assert store.calls == 1
    assert span(batch) == "fleet.reads:0-0-14,1-1-13"


def test_a_batch_of_many_parts_is_one_block_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sink._PART", 3)
    plates = [f"ABC{i:03d}" for i in range(20)]
    told = [sighting(plate, 1, number=i) for i, plate in enumerate(plates, start=1)]
    # the first parts have no picture
    for i in range(8, 20):
        told[i] = replace(told[i], evidence=replace(told[i].evidence, crop_jpeg=b"jpeg %d" % i))
    batch = [record("fleet.sightings", encode_json(message), i) for i, message in enumerate(told, start=1)]
    # a part of which nothing can be decoded, and a row of another part that can never go in
    batch[3:6] = [record("fleet.sightings", b"{", r.offset) for r in batch[3:6]]
    store = FakeStore(refuse=frozenset({"ABC013"}))
    letters = put(sink(store), batch)
    assert {decode_dead(letter.headers)[0].origin_offset for letter in letters} == {batch[13].offset}
    left = [plate for number, plate in enumerate(plates) if number not in (3, 4, 5, 13)]
    assert [row["plate"] for row in store.rows("sightings_raw")] == left
    assert [row["crop_jpeg"] for row in store.rows("crops_raw")] == [b"jpeg %d" % i for i in range(8, 20) if i != 13]
    assert [row["origin_offset"] for row in store.rows("sightings_raw")][:4] == [1, 2, 3, 7]


def test_the_same_batch_again_goes_in_once() -> None:
    store = FakeStore(failures=3)
    stop = Stop()
    writer = sink(store, stop)
    put(writer, sightings("ABC123", "XYZ987"))
    assert len(stop.waits) == 3
    assert stop.waits[0] < stop.waits[2]
    put(writer, sightings("ABC123", "XYZ987"))
    assert len(store.rows("sightings_raw")) == 2


def test_waiting_ends_when_the_process_does() -> None:
    with pytest.raises(Stopped):
        put(sink(FakeStore(failures=100), Stop(most=4)), sightings("ABC123"))


def test_a_row_that_can_never_go_in_is_set_aside_and_its_neighbours_go_in() -> None:
    plates = [f"ABC{i:03d}" for i in range(100)]
    store = FakeStore(refuse=frozenset({"ABC013", "ABC077"}))
    letters = put(sink(store), sightings(*plates))
    assert {row["plate"] for row in store.rows("sightings_raw")} == set(plates) - {"ABC013", "ABC077"}
    assert len(store.rows("sightings_raw")) == 98
    assert [(d.stage, d.reason, d.origin_offset) for d in (decode_dead(m.headers)[0] for m in letters)] == [
        ("sink", "bad_row", 14),
        ("sink", "bad_row", 78),
    ]
    assert store.calls < 40


def test_what_cannot_be_decoded_is_captured_once() -> None:
    store = FakeStore()
    writer = sink(store)
    for topic, letters in (("fleet.reads", 0), ("fleet.sightings", 0), ("fleet.alerts", 1), ("fleet.cameras", 1)):
        assert len(put(writer, [record(topic, b"\xc1", 5)])) == letters
    # a camera that is taken off the compacted topic is no error
    assert put(writer, [record("fleet.cameras", None, 6)]) == []
    bad = encode_json(sighting("ABC123", 1, sighting_id="no uuid"))
    (letter,) = put(writer, [record("fleet.sightings", bad, 7)])
    assert decode_dead(letter.headers)[0].reason == "bad_row"
    assert letter.value == bad


def test_a_dead_letter_that_is_no_row_makes_no_further_one() -> None:
    (good,) = put(sink(FakeStore()), [record("fleet.alerts", b"{", 1)])
    letter, _ = decode_dead(good.headers)
    values = {name: getattr(letter, name) for name in letter.__struct_fields__} | {"dead_id": "no uuid"}
    headers = encode_dead(DeadLetter(**values), [])
    store = FakeStore()
    writer = sink(store)
    assert put(writer, [Record("fleet.dead", 0, 1, 0, b"k", b"v", headers)]) == []
    assert put(writer, [Record("fleet.dead", 0, 2, 0, good.key, good.value, list(good.headers))]) == []
    assert len(store.rows("dead_letters_raw")) == 1


def test_a_flood_of_dead_letters_stops_the_process() -> None:
    clock = ManualClock()
    letters = DeadLetters("tracker", "fleet.dead", clock, per_minute=10)
    for i in range(10):
        letters.letter(record("fleet.reads", b"x", i), "bad_value", "no")
    with pytest.raises(TooManyDeadLetters, match=r"fleet\.reads-0 at 11"):
        letters.letter(record("fleet.reads", b"x", 11), "bad_value", "no")
    clock.advance(61)
    letters.letter(record("fleet.reads", b"x", 12), "bad_value", "no")
