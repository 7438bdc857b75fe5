"""Messages -> rows -> ClickHouse, block by block, until the store has answered.

In: a batch of records of one topic. Out: nothing, once all of it is in the store; the dead letters for what can never
go in. Retried blocks carry the same token, so that the store takes each once.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from plumbing.bus import Record
from plumbing.clock import Clock
from plumbing.retry import Backoff, retry
from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.codec import SchemaError, decode_dead, decode_hotlist_key, decode_json
from schemas.hotlist import record_type
from schemas.sighting import Sighting
from store import rows
from store.collector import collector_waiting
from store.columns import join_columns
from store.interface import Row, Store, StoreMisconfigured, StoreRejected, StoreUnavailable
from store.reads import decode_kept
from streams.dead import DeadLetters, Outgoing
from streams.settings import StreamSettings, Topics

log = logging.getLogger(__name__)

_BLOCK_ROWS = 100_000
_PART = 1_000
"""Messages that are made columns at once: so many stay in the processor's caches from decoding to the last column. A
block of 25,000 takes half as long again when it is made in one piece (measured)."""
_BACKOFF = Backoff(first=0.2, most=5.0)


class Stopped(Exception):
    """The process ends; the batch was not acknowledged and will be taken again."""


class Block(NamedTuple):
    """Rows for one table, and the record that each comes from."""

    table: str
    rows: Sequence[Row]
    records: Sequence[Record]

    def part(self, first: int, last: int) -> "Block":
        """Rows `first` to before `last`."""
        return Block(self.table, self.rows[first:last], self.records[first:last])


Pair = tuple[str, Row]
Convert = Callable[[Record], list[Pair]]
Decoded = list[tuple[Record, Any]]


def _origin(record: Record) -> rows.Origin:
    return rows.Origin(record.partition, record.offset)


def _decode_sighting(record: Record) -> Sighting:
    message = decode_json(record.value or b"", Sighting)
    rows.require_identity(message)
    return message


def _read_blocks(decoded: Decoded) -> list[Block]:
    records = [record for record, message in decoded for _ in message.reads]
    return [Block(rows.READS, rows.read_columns([message for _, message in decoded]), records)]


def _sighting_blocks(decoded: Decoded) -> list[Block]:
    records = [record for record, _ in decoded]
    columns = rows.sighting_columns([message for _, message in decoded], [_origin(record) for record in records])
    pictured = [(record, message) for record, message in decoded if rows.has_crop(message)]
    crops = rows.crop_columns([message for _, message in pictured])
    return [Block(rows.SIGHTINGS, columns, records), Block(rows.CROPS, crops, [record for record, _ in pictured])]


def _alerts(record: Record) -> list[Pair]:
    return [(rows.ALERTS, rows.alert_row(decode_json(record.value or b"", Alert), _origin(record)))]


def _cameras(record: Record) -> list[Pair]:
    # a null value only tells the compacted topic to forget the camera
    return [(rows.CAMERA_STATES, rows.camera_row(decode_json(record.value, CameraState)))] if record.value else []


def _hotlist(record: Record) -> list[Pair]:
    name = decode_hotlist_key(record.key)
    message = decode_json(record.value, record_type(name)) if record.value else None
    return [(rows.HOTLIST, rows.hotlist_row(name, message, _origin(record)))]


def _dead(record: Record) -> list[Pair]:
    letter, _ = decode_dead(record.headers)
    return [(rows.DEAD_LETTERS, rows.dead_row(letter, record.key, record.value))]


def _joined(parts: Sequence[Sequence[Block]]) -> list[Block]:
    """The blocks of each table as one."""
    out = []
    for blocks in zip(*parts, strict=True):
        filled = [block for block in blocks if block.rows] or blocks[:1]
        records = list(chain.from_iterable(block.records for block in filled))
        out.append(Block(filled[0].table, join_columns([block.rows for block in filled]), records))
    return out


class Bulk(NamedTuple):
    """A topic of which blocks are made column by column."""

    decode: Callable[[Record], Any]
    """None: it makes no row."""
    blocks: Callable[[Decoded], list[Block]]


def bulk(topics: Topics) -> dict[str, Bulk]:
    """Topic -> what makes blocks of its records: the topics of which there are many."""
    return {
        topics.reads: Bulk(lambda record: decode_kept(record.value or b""), _read_blocks),
        topics.sightings: Bulk(_decode_sighting, _sighting_blocks),
    }


def converters(topics: Topics) -> dict[str, Convert]:
    """Topic -> what makes rows of its records: the other topics."""
    return {
        topics.alerts: _alerts,
        topics.cameras: _cameras,
        topics.hotlist: _hotlist,
        topics.dead: _dead,
    }


class Made(NamedTuple):
    """A batch as it goes into the store."""

    blocks: list[tuple[str, Block]]
    """Each with its token."""
    letters: list[Outgoing]
    """What of it can never be rows."""


class Sink:
    """Inserts batches. Of one topic, one thread at a time makes and one inserts.

    Args:
        settings: names of the topics, bounds.
        store: where the rows go.
        clock: for the dead letters.
        stop: set when the process ends: waiting for the store ends with `Stopped`.
    """

    def __init__(self, settings: StreamSettings, store: Store, clock: Clock, stop: threading.Event) -> None:
        self._topics = settings.topics
        self._convert = converters(settings.topics)
        self._bulk = bulk(settings.topics)
        self._store = store
        self._stop = stop
        self._letters = DeadLetters("sink", settings.topics.dead, clock, settings.dead_per_minute)

    def make(self, batch: Sequence[Record]) -> Made:
        """The blocks of a batch of one topic.

        Raises:
            TooManyDeadLetters: nothing of the batch may be acknowledged.
        """
        letters: list[Outgoing] = []
        with collector_waiting():
            blocks = self._blocks(batch, letters)
        name = span(batch)
        parts = [
            (f"{block.table}/{name}/{start}", block.part(start, start + _BLOCK_ROWS))
            for block in blocks
            for start in range(0, len(block.rows), _BLOCK_ROWS)
        ]
        return Made(parts, letters)

    def insert(self, made: Made) -> list[Outgoing]:
        """Insert all rows of a batch; returns its dead letters, which must be sent before it is acknowledged.

        Blocks, with growing waits, for as long as the store does not answer.

        Raises:
            Stopped: the process ends; some blocks may be in.
            TooManyDeadLetters: nothing of the batch may be acknowledged.
        """
        out = list(made.letters)
        for token, block in made.blocks:
            self._insert(block, token, out)
        return out

    def _blocks(self, batch: Sequence[Record], out: list[Outgoing]) -> list[Block]:
        topic = self._bulk.get(batch[0].topic)
        if topic is not None:
            return _joined([self._part(topic, batch[at : at + _PART], out) for at in range(0, len(batch), _PART)])
        found: dict[str, list[tuple[Row, Record]]] = {}
        for record in batch:
            for table, row in self._converted(record, self._convert[record.topic], out) or ():
                found.setdefault(table, []).append((row, record))
        return [Block(table, [row for row, _ in pairs], [one for _, one in pairs]) for table, pairs in found.items()]

    def _part(self, topic: Bulk, records: Sequence[Record], out: list[Outgoing]) -> list[Block]:
        decoded = [(record, self._converted(record, topic.decode, out)) for record in records]
        return topic.blocks([pair for pair in decoded if pair[1] is not None])

    def _converted(self, record: Record, convert: Callable[[Record], Any], out: list[Outgoing]) -> Any:
        """What `convert` makes of the record; None when it can make nothing."""
        try:
            return convert(record)
        except SchemaError as error:
            # reads, sightings and hotlist entries are captured by the agent that lives on them
            if record.topic in (self._topics.alerts, self._topics.cameras):
                out.append(self._letters.letter(record, "bad_value", str(error)))
        except rows.BadRow as error:
            self._reject(record, str(error), out)
        return None

    def _reject(self, record: Record, why: str, out: list[Outgoing]) -> None:
        if record.topic == self._topics.dead:
            log.error("sink: dead letter at %d of %s is no row: %s", record.offset, record.topic, why)
        else:
            out.append(self._letters.letter(record, "bad_row", why))

    def _insert(self, block: Block, token: str, out: list[Outgoing]) -> None:
        """Insert, or halve until what cannot go in is alone."""
        try:
            retry(
                lambda: self._store.insert(block.table, block.rows, token=token),
                StoreUnavailable,
                pause=self._stop.wait,
                backoff=_BACKOFF,
                tell=lambda error, count, wait: self._tell(block.table, error, count, wait),
            )
        except StoreUnavailable as error:
            raise Stopped(f"sink: {block.table} was waiting for the store") from error
        except StoreRejected as error:
            if len(block.rows) == 1:
                log.warning("sink: a row of %s can never go in: %s", block.table, error)
                self._reject(block.records[0], str(error), out)
                return
            middle = len(block.rows) // 2
            self._insert(block.part(0, middle), f"{token}a", out)
            self._insert(block.part(middle, len(block.rows)), f"{token}b", out)

    @staticmethod
    def _tell(table: str, error: Exception, count: int, wait: float) -> None:
        if count in (1, 5) or count % 20 == 0:
            level = logging.ERROR if isinstance(error, StoreMisconfigured) else logging.WARNING
            log.log(level, "sink: %s waits for the store (try %d, next in %.1f s): %s", table, count, wait, error)


def span(batch: Sequence[Record]) -> str:
    """`topic:partition-first-last,...`: names a batch by what it holds."""
    ranges: dict[int, tuple[int, int]] = {}
    for record in batch:
        low, high = ranges.get(record.partition, (record.offset, record.offset))
        ranges[record.partition] = (min(low, record.offset), max(high, record.offset))
    return f"{batch[0].topic}:" + ",".join(f"{p}-{low}-{high}" for p, (low, high) in sorted(ranges.items()))
