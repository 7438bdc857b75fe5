"""What only the bus in memory can do: hold acknowledgements, and let a member die."""

import threading

import pytest

from plumbing.bus import BusError, TopicPartition
from plumbing.clock import ManualClock
from plumbing.memory_bus import MemoryBus


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(ManualClock(1_000))
    bus.create_topic("t", 2)
    return bus


def test_messages_are_stamped_by_the_clock(bus: MemoryBus) -> None:
    assert bus.producer().send("t", b"x").result(0).timestamp_ms == 1_000


def test_held_acknowledgements_wait(bus: MemoryBus) -> None:
    producer = bus.producer()
    bus.hold_acknowledgements()
    future = producer.send("t", b"x", key=b"k")
    assert not future.done()
    assert len(bus.records("t")) == 1
    with pytest.raises(BusError, match="within"):
        producer.flush(0)
    assert bus.release_acknowledgements() == 1
    assert future.result(0).topic == "t"
    producer.flush(0)


def test_held_acknowledgements_may_fail(bus: MemoryBus) -> None:
    bus.hold_acknowledgements()
    future = bus.producer().send("t", b"x")
    bus.release_acknowledgements(BusError("the broker burned down"))
    with pytest.raises(BusError, match="burned"):
        future.result(0)


def test_send_blocks_at_the_bound(bus: MemoryBus) -> None:
    producer = bus.producer(max_unacknowledged=2)
    bus.hold_acknowledgements()
    sent = threading.Event()

    def send_three() -> None:
        for _ in range(3):
            producer.send("t", b"x")
        sent.set()

    thread = threading.Thread(target=send_three)
    thread.start()
    while len(bus.records("t")) < 2:
        assert not sent.is_set()
    assert not sent.wait(0.05)
    bus.release_acknowledgements()
    assert sent.wait(10)
    thread.join()


def test_a_dead_member_loses_its_partitions_uncommitted(bus: MemoryBus) -> None:
    producer = bus.producer()
    for number in range(4):
        producer.send("t", b"x", partition=number % 2)
    first, second = bus.consumer("g"), bus.consumer("g")
    first.subscribe(["t"])
    assert len(first.poll(0)) == 4
    first.commit({TopicPartition("t", 0): 1})
    first.crash()
    with pytest.raises(BusError, match="moved on"):
        first.poll(0)
    second.subscribe(["t"])
    assert [(r.partition, r.offset) for r in second.poll(0)] == [(0, 1), (1, 0), (1, 1)]


def test_poll_wakes_for_a_message(bus: MemoryBus) -> None:
    consumer = bus.consumer("g")
    consumer.subscribe(["t"])
    thread = threading.Thread(target=lambda: bus.producer().send("t", b"x"))
    thread.start()
    assert len(consumer.poll(30)) == 1
    thread.join()
