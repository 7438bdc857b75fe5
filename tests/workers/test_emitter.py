"""Outcomes come in any order, messages leave in each partition's order; done means acknowledged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbing.bus import BusError, Record, TopicPartition
from plumbing.clock import ManualClock, from_ms
from plumbing.memory_bus import MemoryBus
from schemas.codec import decode_dead
from schemas.ids import dead_id
from workers.emitter import Emitter
from workers.ledger import Ledger
from workers.reading import Dead, Reads

NOW = 1_700_000_001_000


class Rig:
    """An emitter on a bus in memory."""

    def __init__(
        self, partitions: int = 2, reads_bytes: int = 1_000, dead_bytes: int = 2_000, bound: int = 200
    ) -> None:
        self.bus = MemoryBus(ManualClock(NOW))
        self.bus.create_topic("fleet.reads", partitions, reads_bytes)
        self.bus.create_topic("fleet.dead", 1, dead_bytes)
        self.ledger = Ledger()
        self.emitter = Emitter(self.bus.producer(), self.ledger, ManualClock(NOW), max_unacknowledged=bound)

    def take(self, offset: int, partition: int = 0, value: bytes = b"frame") -> Record:
        record = Record(
            "fleet.frames", partition, offset, NOW - 100, b"cam-1", value, [("schema", b"1"), ("seq", b"7")]
        )
        self.ledger.add(TopicPartition("fleet.frames", partition), offset)
        self.emitter.expect(record)
        return record

    def work(self) -> None:
        self.emitter.pump()
        self.emitter.settle()

    def sent(self, topic: str = "fleet.reads") -> list[bytes | None]:
        return [record.value for record in self.bus.records(topic)]


def reads(*messages: bytes, camera: str = "cam-1") -> Reads:
    return Reads(camera, messages, 0)


def test_a_later_outcome_waits_for_the_earlier_one() -> None:
    rig = Rig()
    first, second = rig.take(0), rig.take(1)
    rig.emitter.deliver(second, reads(b"b"))
    rig.work()
    assert rig.sent() == []
    rig.emitter.deliver(first, reads(b"a1", b"a2"))
    rig.work()
    assert rig.sent() == [b"a1", b"a2", b"b"]
    assert rig.ledger.committable() == {TopicPartition("fleet.frames", 0): 2}


def test_partitions_do_not_wait_for_each_other() -> None:
    rig = Rig()
    rig.take(0, partition=0)
    rig.emitter.deliver(rig.take(0, partition=1), reads(b"x"))
    rig.work()
    assert rig.sent() == [b"x"]


def test_a_record_is_done_when_its_last_message_is_acknowledged() -> None:
    rig = Rig()
    record = rig.take(0)
    rig.bus.hold_acknowledgements()
    rig.emitter.deliver(record, reads(b"a1", b"a2"))
    rig.work()
    assert (rig.ledger.in_flight, rig.emitter.unacknowledged) == (1, 2)
    rig.bus.release_acknowledgements()
    rig.work()
    assert (rig.ledger.in_flight, rig.emitter.unacknowledged) == (0, 0)


def test_reads_are_keyed_by_camera() -> None:
    rig = Rig()
    rig.emitter.deliver(rig.take(0), reads(b"a", camera="cam-ü"))
    rig.work()
    assert rig.bus.records("fleet.reads")[0].key == "cam-ü".encode()


def test_a_dead_letter_holds_the_record_as_it_came() -> None:
    rig = Rig()
    rig.emitter.deliver(rig.take(5, value=b"\x00rubbish"), Dead("not_an_image", "no picture", "cam-1/7"))
    rig.work()
    (record,) = rig.bus.records("fleet.dead")
    letter, origin = decode_dead(record.headers)
    assert (record.key, record.value, origin) == (b"cam-1", b"\x00rubbish", [("schema", b"1"), ("seq", b"7")])
    assert (letter.stage, letter.reason, letter.detail) == ("worker", "not_an_image", "no picture")
    assert (letter.origin_topic, letter.origin_partition, letter.origin_offset) == ("fleet.frames", 0, 5)
    assert (letter.trace_id, letter.at) == ("cam-1/7", from_ms(NOW))
    assert letter.dead_id == dead_id("worker", "fleet.frames", 0, 5)
    assert rig.ledger.committable() == {TopicPartition("fleet.frames", 0): 6}


def test_a_dead_letter_without_a_name_has_its_place() -> None:
    rig = Rig()
    rig.emitter.deliver(rig.take(5), Dead("bad_header", "no header `schema`"))
    rig.work()
    assert decode_dead(rig.bus.records("fleet.dead")[0].headers)[0].trace_id == "fleet.frames-0-5"


def test_reads_that_are_too_large_become_a_dead_letter() -> None:
    rig = Rig()
    rig.emitter.deliver(rig.take(0), reads(b"fits", bytes(5_000)))
    rig.emitter.deliver(rig.take(1), reads(b"next"))
    rig.work()
    assert rig.sent() == [b"fits", b"next"]
    assert decode_dead(rig.bus.records("fleet.dead")[0].headers)[0].reason == "internal_error"
    assert rig.ledger.in_flight == 0


def test_a_dead_letter_that_is_too_large_goes_without_its_bytes() -> None:
    rig = Rig()
    rig.emitter.deliver(rig.take(0, value=bytes(5_000)), Dead("truncated", "cut"))
    rig.work()
    (record,) = rig.bus.records("fleet.dead")
    letter, origin = decode_dead(record.headers)
    assert (record.value, origin) == (b"", [])
    assert "5000 bytes" in letter.detail
    assert rig.ledger.in_flight == 0


def test_no_more_than_the_bound_is_on_its_way() -> None:
    rig = Rig(bound=3)
    rig.bus.hold_acknowledgements()
    for record in [rig.take(offset) for offset in range(10)]:
        rig.emitter.deliver(record, reads(b"x"))
    rig.work()
    assert rig.emitter.unacknowledged == 3
    assert rig.bus.release_acknowledgements() == 3
    for _ in range(4):
        rig.work()
    assert rig.ledger.in_flight == 0


def test_a_message_that_is_not_taken_ends_the_worker_and_is_not_committed() -> None:
    rig = Rig()
    rig.bus.hold_acknowledgements()
    rig.emitter.deliver(rig.take(0), reads(b"x"))
    rig.work()
    rig.bus.release_acknowledgements(BusError("the broker did not take it"))
    with pytest.raises(BusError, match="did not take it"):
        rig.emitter.settle()
    assert rig.ledger.committable() == {}


def test_outcomes_of_partitions_that_went_are_dropped() -> None:
    rig = Rig()
    record = rig.take(0)
    partition = TopicPartition("fleet.frames", 0)
    rig.emitter.drop([partition])
    rig.ledger.drop([partition])
    rig.emitter.deliver(record, reads(b"x"))
    rig.work()
    assert rig.sent() == []
    assert rig.emitter.waiting == 0


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=30).flatmap(
        lambda partitions: st.tuples(st.just(partitions), st.permutations(range(len(partitions))), st.integers(1, 7))
    )
)
def test_in_any_order_each_partition_leaves_in_its_own(case: tuple[list[int], list[int], int]) -> None:
    partitions, order, acknowledge_every = case
    rig = Rig(partitions=1)
    records = [rig.take(partitions[:n].count(p), p) for n, p in enumerate(partitions)]
    rig.bus.hold_acknowledgements()
    acknowledged = 0
    for step, index in enumerate(order):
        record = records[index]
        rig.emitter.deliver(record, reads(f"{record.partition}/{record.offset}".encode()))
        rig.work()
        if step % acknowledge_every == 0:
            acknowledged += rig.bus.release_acknowledgements()
            rig.emitter.settle()
            rig.bus.hold_acknowledgements()
        assert sum(rig.ledger.committable().values()) <= acknowledged
    rig.bus.release_acknowledgements()
    rig.work()
    assert rig.ledger.in_flight == 0
    sent = [tuple(map(int, (value or b"").split(b"/"))) for value in rig.sent()]
    for partition in set(partitions):
        assert [offset for p, offset in sent if p == partition] == list(range(partitions.count(partition)))
