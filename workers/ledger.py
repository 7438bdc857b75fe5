"""Which records are done, and how far each partition may be committed. Pure; one thread."""

from collections import OrderedDict
from collections.abc import Collection

from plumbing.bus import TopicPartition


class Ledger:
    """Per partition the records in flight in offset order; only the leading run of done ones may be committed."""

    def __init__(self) -> None:
        self._pending: dict[TopicPartition, OrderedDict[int, bool]] = {}
        self._bytes: dict[TopicPartition, dict[int, int]] = {}
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self.in_flight = 0
        """Records added and not done."""
        self.in_flight_bytes = 0

    def add(self, partition: TopicPartition, offset: int, size: int = 0) -> None:
        """A record was taken; offsets of a partition rise, gaps are allowed.

        Raises:
            ValueError: the offset is not above those before it.
        """
        pending = self._pending.setdefault(partition, OrderedDict())
        last = next(reversed(pending), self._next.get(partition, 0) - 1)
        if offset <= last:
            raise ValueError(f"{partition.topic}-{partition.partition}: offset {offset} comes after {last}")
        pending[offset] = False
        self._bytes.setdefault(partition, {})[offset] = size
        self.in_flight += 1
        self.in_flight_bytes += size

    def done(self, partition: TopicPartition, offset: int) -> bool:
        """All that comes of this record is acknowledged. False when it is not (or no longer) in flight here."""
        pending = self._pending.get(partition)
        if pending is None or pending.get(offset, True):
            return False
        pending[offset] = True
        self.in_flight -= 1
        self.in_flight_bytes -= self._bytes[partition].pop(offset)
        while pending:
            first = next(iter(pending))
            if not pending[first]:
                break
            del pending[first]
            self._next[partition] = first + 1
        return True

    def committable(self) -> dict[TopicPartition, int]:
        """The next offset wanted, of the partitions where it has moved since `committed` was told."""
        return {p: offset for p, offset in self._next.items() if self._committed.get(p) != offset}

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """These were committed."""
        self._committed.update((p, offset) for p, offset in offsets.items() if p in self._next)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget partitions that went to another member: they are read again from what was committed."""
        for partition in partitions:
            sizes = self._bytes.pop(partition, {})
            self.in_flight -= len(sizes)
            self.in_flight_bytes -= sum(sizes.values())
            self._pending.pop(partition, None)
            self._next.pop(partition, None)
            self._committed.pop(partition, None)
