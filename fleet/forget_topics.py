"""A plate in Kafka. In: a plate, the frames that show it. Out: null values for compacted keys that hold it, and what
the topics of limited time still hold and until when; on demand these messages deleted, with all that lie before them.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fleet.topic_reader import read_topics
from plumbing.bus import Record, TopicPartition
from plumbing.kafka_admin import delete_records, list_topics, offsets_since, topic_retention
from plumbing.kafka_bus import KafkaBusProducer, KafkaSecurity
from schemas.topics import ALERTS, CAMERAS, DEAD, FRAMES, HOTLIST, READS, SIGHTINGS
from store.forget import ShownIn

_LIMITED = (READS.name, SIGHTINGS.name, ALERTS.name, DEAD.name)
_NEVER_MS = 1 << 60
"""No message is so late: asking for it gives the ends."""
_CHANGELOG = re.compile(r"platefleet-\w+-\w+-changelog")
"""Of the streams' tables: plates under the plate, tracks and their crops under the camera."""


@dataclass(frozen=True)
class Held:
    """What a topic holds of the plate."""

    topic: str
    messages: int
    until: datetime | None
    """When the newest is old enough to go; the broker deletes whole files, and may take somewhat longer. None: not by
    time (a camera's state, until it has gone on), or the broker does not say."""
    purged: int = 0
    """Messages deleted, of all vehicles: those that hold the plate and all before them in their partitions."""


@dataclass(frozen=True)
class InTopics:
    """The part of the report that tells of Kafka."""

    removed: tuple[str, ...]
    """`topic: key` of what a null value was sent for; the broker erases the older values when it next compacts."""
    held: tuple[Held, ...]


@dataclass
class _Found:
    messages: int = 0
    newest_ms: int = 0
    ends: dict[int, int] = field(default_factory=dict)
    """Partition -> one past the last message that holds the plate."""

    def add(self, partition: int, offset: int, at_ms: int, messages: int = 1) -> None:
        self.messages += messages
        self.newest_ms = max(self.newest_ms, at_ms)
        self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)


class PlateInTopics:
    """One plate in the topics of one cluster."""

    def __init__(self, brokers: str, security: KafkaSecurity, plate: str, *, keep_hotlist: bool) -> None:
        """`plate`: upper case, no spaces; `keep_hotlist`: its entries and wrong hits stay.

        Raises:
            BusError: no broker answers.
        """
        self._brokers, self._security = brokers, security
        self._text = plate.encode()
        # a whole string of JSON, and of msgpack (up to 31 bytes)
        self._marks = (b'"' + self._text + b'"', bytes([0xA0 | len(self._text)]) + self._text)
        self._keep_hotlist = keep_hotlist
        self._there = list_topics(brokers, security=security)

    def forget(self, frames: Iterable[ShownIn], *, purge: bool) -> InTopics:
        """Send null values for the compacted keys, count what is left, and with `purge` delete it.

        Raises:
            BusError, CommandError: Kafka does not answer; the same call goes on.
        """
        limited = {name: _Found() for name in _LIMITED if name in self._there}
        state: dict[tuple[str, int, bytes], Record] = {}
        compacted = [n for n in self._there if n in (HOTLIST.name, CAMERAS.name) or _CHANGELOG.fullmatch(n)]
        names = [*limited, *compacted]
        for record in read_topics(self._brokers, names, self._security) if names else ():
            holds = self._holds(record)
            if record.topic not in limited:
                place = (record.topic, record.partition, record.key or b"")
                state.pop(place, None)
                if record.value is not None and holds:
                    state[place] = record
            elif holds:
                limited[record.topic].add(record.partition, record.offset, record.timestamp_ms)
        removed, kept = self._take_back(state.values())
        if FRAMES.name in self._there:
            limited[FRAMES.name] = self._still_there(frames)
        held = [self._held(topic, found, purge) for topic, found in (limited | kept).items() if found.messages]
        return InTopics(tuple(removed), tuple(sorted(held, key=lambda one: one.topic)))

    def _holds(self, record: Record) -> bool:
        texts = (record.value or b"", *(value for _, value in record.headers))
        return self._keyed(record) or any(mark in text for text in texts for mark in self._marks)

    def _keyed(self, record: Record) -> bool:
        return self._text in (record.key or b"").split(b"/")

    def _take_back(self, holding: Iterable[Record]) -> tuple[list[str], dict[str, _Found]]:
        """Null values for keys that hold the plate; what holds it under another key is only counted."""
        removed: list[str] = []
        kept: dict[str, _Found] = {}
        sent = []
        with closing(KafkaBusProducer(self._brokers, "platefleet-cli", security=self._security)) as producer:
            for record in holding:
                if record.topic == HOTLIST.name and self._keep_hotlist:
                    continue
                # a wrong hit may name the plate as its truth, under another key
                if self._keyed(record) or record.topic == HOTLIST.name:
                    # the partition is the source's: a table's changelog has it from there
                    sent.append(producer.send(record.topic, None, key=record.key, partition=record.partition))
                    removed.append(f"{record.topic}: {(record.key or b'').decode(errors='replace')}")
                else:
                    kept.setdefault(record.topic, _Found()).add(record.partition, record.offset, 0)
            producer.flush(30.0)
            for future in sent:
                future.result(1.0)
        return sorted(removed), kept

    def _still_there(self, frames: Iterable[ShownIn]) -> _Found:
        """Of the frames that the store names, those partitions whose last one Kafka still has."""
        found = _Found()
        begins, ends = self._offsets(FRAMES.name, 0), self._offsets(FRAMES.name, _NEVER_MS)
        for shown in frames:
            # a store may tell of another cluster's frames, too
            if begins.get(shown.partition, 0) <= shown.last_offset < ends.get(shown.partition, 0):
                newest_ms = round(shown.newest.timestamp() * 1000)
                found.add(shown.partition, shown.last_offset, newest_ms, shown.frames)
        return found

    def _offsets(self, topic: str, since_ms: int) -> dict[int, int]:
        found = offsets_since(self._brokers, topic, since_ms, security=self._security)
        return {partition.partition: offset for partition, offset in found.items()}

    def _held(self, topic: str, found: _Found, purge: bool) -> Held:
        until = None
        if topic in _LIMITED or topic == FRAMES.name:
            kept_ms = topic_retention(self._brokers, topic, security=self._security)
            if kept_ms is not None and kept_ms >= 0:
                until = datetime.fromtimestamp(found.newest_ms / 1000, UTC) + timedelta(milliseconds=kept_ms)
            if purge:
                return Held(topic, found.messages, until, self._purge(topic, found.ends))
        return Held(topic, found.messages, until)

    def _purge(self, topic: str, ends: Mapping[int, int]) -> int:
        begins = self._offsets(topic, 0)
        before = {TopicPartition(topic, partition): end for partition, end in ends.items()}
        delete_records(self._brokers, before, security=self._security)
        return sum(max(0, end - begins.get(partition, end)) for partition, end in ends.items())
