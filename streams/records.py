"""Records from Kafka, their checksums computed by the processor's own instruction.

The client's own check goes byte by byte through tables: a tenth of all that a message costs the sink (measured, 6 kB).
"""

import struct
from typing import Any

import crc32c
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

_OFFSET = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
_LENGTH_AT = 8
_HEAD = 12
"""Offset and length come before what the length counts."""
_MAGIC_AT = 16
_CRC = struct.Struct(">I")
_CRC_AT = 17
_CHECKED_AT = 21
"""The checksum covers the batch from here to its end."""


class CheckedRecords:
    """The batches of one partition in an answer, as the client's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._batches: Any = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0

    def has_next(self) -> bool:
        """Whether a whole batch is left."""
        return bool(self._batches.has_next())

    def size_in_bytes(self) -> int:
        """Of all, a batch that is cut off included."""
        return int(self._batches.size_in_bytes())

    def next_batch(self) -> Any:
        """The next batch.

        Raises:
            CorruptRecordException: it is not what was written.
        """
        batch, data, at = self._batches.next_batch(), self._data, self._at
        self._at = end = at + _HEAD + _LENGTH.unpack_from(data, at + _LENGTH_AT)[0]
        if data[at + _MAGIC_AT] < 2:
            # written before Kafka 0.11, with another checksum
            valid = batch.validate_crc()
        else:
            valid = crc32c.crc32c(data[at + _CHECKED_AT : end]) == _CRC.unpack_from(data, at + _CRC_AT)[0]
        if not valid:
            raise CorruptRecordException(f"Invalid CRC of the batch at {_OFFSET.unpack_from(data, at)[0]}")
        return batch


def check_quickly(client: Any) -> None:
    """Let a client that is not started leave the check to `CheckedRecords`; other clients of this process check both
    ways."""
    fetcher.MemoryRecords = CheckedRecords
    client._check_crcs = False
