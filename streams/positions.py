"""Which message of each partition comes next, and which are done: nothing that Faust delivers is taken on trust.

Around a start or a rebalance Faust 0.15 loses messages: it lets partitions flow before it has sought their committed
offset, empties its queues when flow resumes, acknowledges what it skips, and takes what it lost for holes of a
compacted topic. So a message is taken only when it is the next one, what stays away is asked for again, and offsets
are committed from what was finished. In: offsets and the time. Out: what to take, to seek and to commit.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from plumbing.bus import Record

Partition = tuple[str, int]
"""Topic and number."""
_SETTLED_S = 30.0
_SETTLED_PATIENCE = 5
"""A partition that was begun so long ago is looked after so many times less often."""


@dataclass(slots=True)
class _Place:
    next: int
    done: int
    """One past the last message that is finished; may be committed."""
    begun: float
    moved: float
    """When `next` last grew, or was last asked for."""
    end: int = 0
    """One past the last message that was in the log at the last look: what lies before it has had its time to come."""
    asked: int = 0
    """How often `next` was asked for in vain."""


class Positions:
    """Positions of the partitions that are owned now.

    Args:
        topics: the sources; other topics (changelogs) are not looked at.
        sparse: those of them where offsets may be missing, because they are compacted.
        patience_s: how long a partition may stand still before somebody looks whether a message is missing.
    """

    def __init__(self, topics: Collection[str], sparse: Collection[str] = (), patience_s: float = 1.0) -> None:
        self._topics = frozenset(topics)
        self._sparse = frozenset(sparse)
        self._patience_s = patience_s
        self._places: dict[Partition, _Place] = {}
        self.epoch = 0
        """Changes whenever ownership may have changed: work that began in another epoch counts for nothing."""

    def begin(self, offsets: Mapping[Partition, int], now: float) -> None:
        """Partitions that are owned from now on, and the first message to take. Those known already go on.

        Args:
            offsets: partition -> offset.
            now: monotonic seconds, here as everywhere.
        """
        for partition, offset in offsets.items():
            if partition[0] in self._topics and partition not in self._places:
                self._places[partition] = _Place(offset, offset, begun=now, moved=now)

    def forget(self) -> None:
        """Ownership may have changed: every partition begins anew."""
        self._places.clear()
        self.epoch += 1

    def admit(self, partition: Partition, offset: int, now: float) -> bool:
        """True when this message is to be taken now. What is refused was taken before, or comes again."""
        place = self._places.get(partition)
        if place is None or offset < place.next:
            return False
        if offset > place.next and partition[0] not in self._sparse:
            return False
        place.next = offset + 1
        place.moved = now
        place.asked = 0
        return True

    def admit_all(self, partition: Partition, records: Sequence[Record], now: float) -> Sequence[Record]:
        """Those of a partition's records, in the order of the log, that are to be taken now."""
        place = self._places.get(partition)
        if place is not None and records and records[0].offset == place.next:
            after = records[-1].offset + 1
            if after - place.next == len(records):
                place.next, place.moved, place.asked = after, now, 0
                return records
        return [record for record in records if self.admit(partition, record.offset, now)]

    def finish(self, epoch: int, partition: Partition, offset: int) -> None:
        """A message, and all before it, are finished. Without effect when its epoch is over."""
        if epoch == self.epoch and partition in self._places:
            place = self._places[partition]
            place.done = max(place.done, offset + 1)

    def done(self, partition: Partition) -> int | None:
        """The offset that may be committed; None when the partition is not owned."""
        place = self._places.get(partition)
        return place.done if place is not None else None

    def owned(self) -> list[Partition]:
        """The partitions, in no order."""
        return list(self._places)

    def still(self, now: float, idle: Collection[str]) -> list[Partition]:
        """Partitions that have not moved for longer than the patience, though their stream waits for messages.

        Args:
            now: monotonic seconds.
            idle: topics whose stream has taken all that came and waits.
        """
        return [
            partition
            for partition, place in self._places.items()
            if partition[0] in idle and now - place.moved >= self._patience(place, now)
        ]

    def _patience(self, place: _Place, now: float) -> float:
        return self._patience_s * (_SETTLED_PATIENCE if now - place.begun > _SETTLED_S else 1)

    def missing(
        self, begins: Mapping[Partition, int], ends: Mapping[Partition, int], now: float
    ) -> dict[Partition, int]:
        """Where to seek, of partitions that stand still although their log went on before the last look.

        Args:
            begins: first offset of each partition's log: what was before is gone, by retention.
            ends: one past its last offset.
            now: monotonic seconds.
        """
        out = {}
        for partition, end in ends.items():
            place = self._places.get(partition)
            if place is None:
                continue
            place.moved = now
            place.next = max(place.next, begins.get(partition, 0))
            if place.end > place.next:
                place.asked += 1
                out[partition] = place.next
            place.end = end
        return out

    def asked(self) -> int:
        """How often the message that stays away most stubbornly was asked for."""
        return max((place.asked for place in self._places.values()), default=0)
