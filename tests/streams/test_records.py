"""Records are checked: what the broker's disk or the network has changed is never taken for a message."""

import struct
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition

from streams.records import check_quickly


def batch(first: int, count: int) -> bytearray:
    """As a producer writes it."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for number in range(count):
        builder.append(number, 1_700_000_000_000, b"key", b"value %d" % (first + number), [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, first)
    return data


def old_batch() -> bytearray:
    """As clients before Kafka 0.11 wrote it."""
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1 << 20)
    builder.append(0, 1_700_000_000_000, b"key", b"value 0")
    return bytearray(builder.build())


def values(data: bytes, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the client makes of it, set up as ours are."""
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    client: Any = type("Client", (), {"_check_crcs": True})()
    check_quickly(client)
    records = fetcher.PartitionRecords(
        TopicPartition("reads", 0), fetcher.MemoryRecords(data), None, 0, None, None, client._check_crcs, 0
    )
    return [record.value for record in records]


def test_batches_come_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytes(batch(0, 3) + batch(3, 2))
    assert values(whole, monkeypatch) == [b"value %d" % n for n in range(5)]
    # an answer may end within a batch, which is asked for again
    assert values(whole + bytes(batch(5, 2))[:-1], monkeypatch) == [b"value %d" % n for n in range(5)]
    assert values(bytes(old_batch()), monkeypatch) == [b"value 0"]


@pytest.mark.parametrize("at", [17, 30, -1])
def test_a_batch_that_has_changed_is_refused(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = batch(0, 3), batch(3, 2)
    bad[at] ^= 1
    with pytest.raises(CorruptRecordException):
        values(bytes(good + bad), monkeypatch)


def test_so_is_one_of_an_old_client(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = old_batch()
    bad[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        values(bytes(bad), monkeypatch)
