"""What `plumbing.bus` promises, held by the bus in memory and by a real Kafka alike."""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka.partitioner import DefaultPartitioner
from kafka.admin import ConfigResource, KafkaAdminClient

from plumbing.bus import BusError, Consumer, MessageTooLargeError, Producer, Record, Sent, TopicPartition
from plumbing.kafka_bus import KafkaBusConsumer, KafkaBusProducer, create_topics
from plumbing.memory_bus import MemoryBus, partition_of

PATIENCE = 20.0
PARTITIONS = 4


@dataclass(frozen=True)
class Spec:
    """A topic to create."""

    name: str
    partitions: int = PARTITIONS
    max_bytes: int = 100_000

    def config(self) -> dict[str, str]:
        return {"max.message.bytes": str(self.max_bytes)}


@dataclass
class Bus:
    """One of the twins, as the tests see it."""

    topic: str
    make_producer: Callable[[], Producer]
    make_consumer: Callable[..., Consumer]
    limit: Callable[[int], None]
    """Lowers the size of messages that the broker takes, behind the back of producers that have asked for it."""
    consumers: list[Consumer] = field(default_factory=list)

    def consumer(self, group: str, **options: object) -> Consumer:
        consumer = self.make_consumer(group, **options)
        self.consumers.append(consumer)
        return consumer


@pytest.fixture(params=["memory", "kafka"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    topic = f"contract-{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        memory = MemoryBus()
        memory.create_topics([Spec(topic)])

        def limit_memory(size: int) -> None:
            memory.refusal = lambda value: "MessageSizeTooLarge" if len(value or b"") > size else ""

        made = Bus(topic, memory.producer, memory.consumer, limit_memory)
    else:
        brokers = request.getfixturevalue("kafka")
        create_topics(brokers, [Spec(topic)])

        def limit_kafka(size: int) -> None:
            admin = KafkaAdminClient(bootstrap_servers=brokers)
            admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": str(size)})])
            admin.close()

        made = Bus(
            topic,
            lambda: KafkaBusProducer(brokers, "contract", topic_timeout=1.0),
            lambda group, **options: KafkaBusConsumer(brokers, f"{group}-{topic}", "contract", **options),
            limit_kafka,
        )
    yield made
    for consumer in made.consumers:
        consumer.close()


@pytest.fixture
def producer(bus: Bus) -> Iterator[Producer]:
    producer = bus.make_producer()
    yield producer
    producer.close()


class Listener:
    """Remembers what it was told, and may commit when partitions go."""

    def __init__(self, on_revoked: Callable[[Collection[TopicPartition]], None] | None = None) -> None:
        self.calls: list[tuple[str, list[TopicPartition]]] = []
        self.then = on_revoked

    def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(("assigned", sorted(partitions)))

    def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(("revoked", sorted(partitions)))
        if self.then:
            self.then(partitions)


def poll_until(consumers: Sequence[Consumer], met: Callable[[list[Record]], bool]) -> list[Record]:
    """Poll all in turn until `met` is true of what came."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while not met(records):
        assert time.monotonic() < deadline, f"not met after {PATIENCE} s, {len(records)} records came"
        for consumer in consumers:
            records += consumer.poll(0.1)
    return records


def send_numbers(bus: Bus, producer: Producer, numbers: range, keys: int = 12) -> list[Sent]:
    futures = [producer.send(bus.topic, str(n).encode(), key=f"key-{n % keys}".encode()) for n in numbers]
    producer.flush(PATIENCE)
    return [future.result(0) for future in futures]


def numbers_of(records: Sequence[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


def test_a_message_arrives_as_it_was_sent(bus: Bus, producer: Producer) -> None:
    headers = [("schema", b"1"), ("twice", b"a"), ("twice", b"\x00\xff"), ("empty", b"")]
    sent = producer.send(bus.topic, b"\x00value", key=b"cam-1", headers=headers, timestamp_ms=1_700_000_000_123).result(
        PATIENCE
    )
    gone = producer.send(bus.topic, None, key=b"cam-1").result(PATIENCE)
    consumer = bus.consumer("g")
    consumer.subscribe([bus.topic])
    first, second = poll_until([consumer], lambda records: len(records) == 2)
    assert first == Record(bus.topic, sent.partition, sent.offset, 1_700_000_000_123, b"cam-1", b"\x00value", headers)
    assert (second.value, second.offset, list(second.headers)) == (None, gone.offset, [])
    assert abs(second.timestamp_ms - time.time() * 1000) < 60_000
    assert second.timestamp_ms == gone.timestamp_ms


def test_keys_choose_the_partition_as_faust_does(bus: Bus, producer: Producer) -> None:
    keys = [f"CAM {n}·ü".encode() for n in range(60)]
    sent = [producer.send(bus.topic, b"x", key=key) for key in keys]
    chosen = [future.result(PATIENCE).partition for future in sent]
    everywhere = list(range(PARTITIONS))
    assert chosen == [DefaultPartitioner()(key, everywhere, everywhere) for key in keys]
    assert chosen == [partition_of(key, PARTITIONS) for key in keys]
    assert set(chosen) == set(everywhere)


def test_a_partition_may_be_named(bus: Bus, producer: Producer) -> None:
    assert producer.send(bus.topic, b"x", key=b"k", partition=3).result(PATIENCE).partition == 3


def test_order_holds_within_a_partition(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(500))
    consumer = bus.consumer("g")
    consumer.subscribe([bus.topic])
    records = poll_until([consumer], lambda records: len(records) == 500)
    assert sorted(numbers_of(records)) == list(range(500))
    for partition in range(PARTITIONS):
        own = [record for record in records if record.partition == partition]
        assert [record.offset for record in own] == list(range(len(own)))
    for key in {record.key for record in records}:
        assert (own := numbers_of([r for r in records if r.key == key])) == sorted(own)


def test_poll_gives_no_more_than_asked(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(50))
    consumer = bus.consumer("g")
    consumer.subscribe([bus.topic])
    seen: list[int] = []
    while len(seen) < 50:
        records = consumer.poll(1.0, 7)
        assert len(records) <= 7
        seen += numbers_of(records)
    assert sorted(seen) == list(range(50))


def test_the_next_member_goes_on_where_the_group_committed(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(40))
    first = bus.consumer("g")
    first.subscribe([bus.topic])
    records = poll_until([first], lambda records: len(records) == 40)
    done = [record for record in records if record.offset < 5]
    offsets = {TopicPartition(bus.topic, partition): 5 for partition in {record.partition for record in done}}
    first.commit(offsets)
    assert {partition: first.committed(partition) for partition in offsets} == offsets
    first.close()
    second = bus.consumer("g")
    assert second.committed(TopicPartition(bus.topic, 0)) in (5, None)
    second.subscribe([bus.topic])
    again = poll_until([second], lambda seen: len(seen) == 40 - len(done))
    assert {record.offset for record in again}.isdisjoint(range(5))


def test_closing_does_not_commit(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(10))
    for _ in range(2):
        consumer = bus.consumer("g")
        consumer.subscribe([bus.topic])
        assert sorted(numbers_of(poll_until([consumer], lambda records: len(records) >= 10))) == list(range(10))
        consumer.close()
        consumer.close()


def test_another_group_reads_for_itself(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(10))
    for group in ("g1", "g2"):
        consumer = bus.consumer(group)
        consumer.subscribe([bus.topic])
        assert len(poll_until([consumer], lambda records: len(records) >= 10)) == 10


def test_a_group_may_start_at_the_end(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(10))
    consumer = bus.consumer("g", from_beginning=False)
    consumer.subscribe([bus.topic])
    poll_until([consumer], lambda _: len(consumer.assignment()) == PARTITIONS)
    # the position of the end is looked up once, after the partitions have come
    poll_until([consumer], lambda _: not any(consumer.lag().values()))
    send_numbers(bus, producer, range(10, 20))
    assert sorted(numbers_of(poll_until([consumer], lambda records: len(records) >= 10))) == list(range(10, 20))


def test_paused_partitions_give_nothing_and_stay(bus: Bus, producer: Producer) -> None:
    listener = Listener()
    consumer = bus.consumer("g")
    consumer.subscribe([bus.topic], listener)
    poll_until([consumer], lambda _: len(consumer.assignment()) == PARTITIONS)
    consumer.pause(consumer.assignment())
    send_numbers(bus, producer, range(20))
    assert [consumer.poll(0.05) for _ in range(10)] == [[]] * 10
    assert sum(consumer.lag().values()) == 20
    consumer.resume(consumer.assignment())
    assert len(poll_until([consumer], lambda records: len(records) >= 20)) == 20
    assert sum(consumer.lag().values()) == 0
    assert [kind for kind, _ in listener.calls] == ["assigned"]


def test_members_share_the_partitions_and_take_over(bus: Bus, producer: Producer) -> None:
    committed: dict[TopicPartition, int] = {}
    seen: list[Record] = []

    def commit_what_goes(partitions: Collection[TopicPartition]) -> None:
        going = {p: 1 + max(r.offset for r in seen if r.partition == p.partition) for p in partitions}
        first.commit(going)
        committed.update(going)

    send_numbers(bus, producer, range(60))
    first, listener, other = bus.consumer("g"), Listener(commit_what_goes), Listener()
    first.subscribe([bus.topic], listener)
    seen += poll_until([first], lambda records: len(records) == 60)
    second = bus.consumer("g")
    second.subscribe([bus.topic], other)
    late = poll_until([first, second], lambda _: len(first.assignment()) == len(second.assignment()) == 2)
    assert first.assignment().isdisjoint(second.assignment())
    assert second.assignment() == set(committed) == {p for kind, ps in listener.calls if kind == "revoked" for p in ps}
    assert late == [], "what was committed when the partitions went is not read again"
    # only what moved was told of: the other partitions were worked on all the time
    assert [len(partitions) for _, partitions in listener.calls] == [4, 2]
    listener.then = None
    first.close()
    left = {(r.partition, r.offset) for r in seen if TopicPartition(bus.topic, r.partition) not in committed}
    back = poll_until([second], lambda records: len(records) >= len(left))
    assert {(r.partition, r.offset) for r in back} == left, "what was not committed is read by the next owner"
    assert len(second.assignment()) == PARTITIONS
    assert [kind for kind, _ in listener.calls] == ["assigned", "revoked", "revoked"]


def test_a_member_that_was_replaced_cannot_commit(bus: Bus, producer: Producer) -> None:
    send_numbers(bus, producer, range(10))
    old = bus.consumer("g", instance_id="worker-0")
    old.subscribe([bus.topic])
    poll_until([old], lambda records: len(records) == 10)
    new = bus.consumer("g", instance_id="worker-0")
    new.subscribe([bus.topic])
    poll_until([new], lambda records: len(records) == 10)
    assert len(new.assignment()) == PARTITIONS
    with pytest.raises(BusError) as caught:
        old.commit({TopicPartition(bus.topic, 0): 1})
    assert "\n" not in str(caught.value)
    new.commit({TopicPartition(bus.topic, 0): 1})


def test_a_topic_that_is_not_there(bus: Bus, producer: Producer) -> None:
    with pytest.raises(BusError, match="nowhere"):
        producer.send("nowhere-at-all", b"x")
    # and the producer goes on
    producer.send(bus.topic, b"x").result(PATIENCE)


def test_a_message_that_is_too_large_fails_alone(bus: Bus, producer: Producer) -> None:
    before = producer.send(bus.topic, bytes(90_000), key=b"k")
    for too_large in ({"value": bytes(150_000)}, {"value": b"x", "headers": [("h", bytes(150_000))]}):
        with pytest.raises(MessageTooLargeError, match=bus.topic):
            producer.send(bus.topic, key=b"k", **too_large)
    after = [producer.send(bus.topic, bytes(90_000), key=b"k") for _ in range(3)]
    assert [future.result(PATIENCE).offset for future in (before, *after)] == [0, 1, 2, 3]


def test_after_a_refusal_a_new_producer_goes_on(bus: Bus, producer: Producer) -> None:
    producer.send(bus.topic, b"x", key=b"k").result(PATIENCE)
    bus.limit(1_000)
    with pytest.raises(BusError):
        producer.send(bus.topic, bytes(5_000), key=b"k").result(PATIENCE)
    with pytest.raises(BusError):
        # whatever it is: this is why one makes a new producer
        producer.send(bus.topic, b"x", key=b"k").result(PATIENCE)
    producer.close()
    again = bus.make_producer()
    assert again.send(bus.topic, b"x", key=b"k").result(PATIENCE).offset == 1
    again.close()


def test_a_closed_producer_takes_nothing(bus: Bus) -> None:
    producer = bus.make_producer()
    waiting = [producer.send(bus.topic, b"x") for _ in range(20)]
    producer.close()
    producer.close()
    assert all(future.done() for future in waiting)
    with pytest.raises(BusError, match="closed"):
        producer.send(bus.topic, b"x")


def test_acknowledgements_come_by_callback(bus: Bus, producer: Producer) -> None:
    told = threading.Event()
    producer.send(bus.topic, b"x").add_done_callback(lambda future: told.set())
    assert told.wait(PATIENCE)
