"""Messages -> rows -> ClickHouse, block by block, until the store has answered.

In: a batch of records of one topic. Out: nothing, once all of it is in the store; the dead letters for what can never
go in. Retried blocks carry the same token, so that the store takes each once.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from plumbing.bus import Record
from plumbing.clock import Clock
from plumbing.retry import Backoff, retry
from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.codec import SchemaError, decode_dead, decode_json
from schemas.hotlist import record_type
from schemas.sighting import Sighting
from store import rows
from store.collector import collector_waiting
from store.interface import Store, StoreMisconfigured, StoreRejected, StoreUnavailable
from store.reads import rows_of_reads
from streams.dead import DeadLetters, Outgoing
from streams.settings import StreamSettings, Topics

log = logging.getLogger(__name__)

_BLOCK_ROWS = 100_000
_BACKOFF = Backoff(first=0.2, most=5.0)


class Stopped(Exception):
    """The process ends; the batch was not acknowledged and will be taken again."""


class Line(NamedTuple):
    """One row for one table, and the record that it comes from."""

    table: str
    row: Mapping[str, object]
    record: Record


Pair = tuple[str, Mapping[str, object]]
Convert = Callable[[Record], list[Pair]]


def _origin(record: Record) -> rows.Origin:
    return rows.Origin(record.partition, record.offset)


def _reads(record: Record) -> list[Pair]:
    return [(rows.READS, row) for row in rows_of_reads(record.value or b"")]


def _sightings(record: Record) -> list[Pair]:
    message = decode_json(record.value or b"", Sighting)
    pairs: list[Pair] = [(rows.SIGHTINGS, rows.sighting_row(message, _origin(record)))]
    crop = rows.crop_row(message)
    if crop is not None:
        pairs.append((rows.CROPS, crop))
    return pairs


def _alerts(record: Record) -> list[Pair]:
    return [(rows.ALERTS, rows.alert_row(decode_json(record.value or b"", Alert), _origin(record)))]


def _cameras(record: Record) -> list[Pair]:
    # a null value only tells the compacted topic to forget the camera
    return [(rows.CAMERA_STATES, rows.camera_row(decode_json(record.value, CameraState)))] if record.value else []


def _hotlist(record: Record) -> list[Pair]:
    try:
        name = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise SchemaError("bad_value", f"hotlist key: {error}") from error
    message = decode_json(record.value, record_type(name)) if record.value else None
    return [(rows.HOTLIST, rows.hotlist_row(name, message, _origin(record)))]


def _dead(record: Record) -> list[Pair]:
    letter, _ = decode_dead(record.headers)
    return [(rows.DEAD_LETTERS, rows.dead_row(letter, record.key, record.value))]


def converters(topics: Topics) -> dict[str, Convert]:
    """Topic -> what makes rows of its records."""
    return {
        topics.reads: _reads,
        topics.sightings: _sightings,
        topics.alerts: _alerts,
        topics.cameras: _cameras,
        topics.hotlist: _hotlist,
        topics.dead: _dead,
    }


class Sink:
    """Inserts batches. One thread at a time per topic.

    Args:
        settings: names of the topics, bounds.
        store: where the rows go.
        clock: for the dead letters.
        stop: set when the process ends: waiting for the store ends with `Stopped`.
    """

    def __init__(self, settings: StreamSettings, store: Store, clock: Clock, stop: threading.Event) -> None:
        self._topics = settings.topics
        self._convert = converters(settings.topics)
        self._store = store
        self._stop = stop
        self._letters = DeadLetters("sink", settings.topics.dead, clock, settings.dead_per_minute)

    def put(self, batch: Sequence[Record]) -> list[Outgoing]:
        """Insert all rows of a batch of one topic; returns the dead letters, which must be sent before the
        batch is acknowledged.

        Blocks, with growing waits, for as long as the store does not answer.

        Raises:
            Stopped: the process ends; some blocks may be in.
            TooManyDeadLetters: nothing of the batch may be acknowledged.
        """
        out: list[Outgoing] = []
        tables: dict[str, list[Line]] = {}
        with collector_waiting():
            for record in batch:
                for line in self._lines(record, out):
                    tables.setdefault(line.table, []).append(line)
        for table, lines in tables.items():
            for start in range(0, len(lines), _BLOCK_ROWS):
                block = lines[start : start + _BLOCK_ROWS]
                self._insert(table, block, f"{table}/{span(batch)}/{start}", out)
        return out

    def _lines(self, record: Record, out: list[Outgoing]) -> Iterator[Line]:
        try:
            for table, row in self._convert[record.topic](record):
                yield Line(table, row, record)
        except SchemaError as error:
            # reads, sightings and hotlist entries are captured by the agent that lives on them
            if record.topic in (self._topics.alerts, self._topics.cameras):
                out.append(self._letters.letter(record, "bad_value", str(error)))
        except rows.BadRow as error:
            self._reject(record, str(error), out)

    def _reject(self, record: Record, why: str, out: list[Outgoing]) -> None:
        if record.topic == self._topics.dead:
            log.error("sink: dead letter at %d of %s is no row: %s", record.offset, record.topic, why)
        else:
            out.append(self._letters.letter(record, "bad_row", why))

    def _insert(self, table: str, block: Sequence[Line], token: str, out: list[Outgoing]) -> None:
        """Insert, or halve until what cannot go in is alone."""
        try:
            retry(
                lambda: self._store.insert(table, [line.row for line in block], token=token),
                StoreUnavailable,
                pause=self._stop.wait,
                backoff=_BACKOFF,
                tell=lambda error, count, wait: self._tell(table, error, count, wait),
            )
        except StoreUnavailable as error:
            raise Stopped(f"sink: {table} was waiting for the store") from error
        except StoreRejected as error:
            if len(block) == 1:
                log.warning("sink: a row of %s can never go in: %s", table, error)
                self._reject(block[0].record, str(error), out)
                return
            middle = len(block) // 2
            self._insert(table, block[:middle], f"{token}a", out)
            self._insert(table, block[middle:], f"{token}b", out)

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
