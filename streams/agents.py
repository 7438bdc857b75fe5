"""Thin loops between Faust and the pure parts: take a batch, send and wait, write the tables, acknowledge.

One Faust app per role, each a consumer group of its own: a store that is down stops the sink, never the alerts.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple

import faust

from plumbing.bus import Record
from plumbing.clock import Clock
from store.interface import Store
from streams.books import CameraBook, Owned, PlateBook, Write
from streams.consuming import Consumer, NothingComes, use_positions
from streams.dead import DeadLetters, Outgoing
from streams.follow import HotlistFollower
from streams.inbox import Inbox
from streams.positions import Positions
from streams.settings import StreamSettings
from streams.sink import Made, Sink, Stopped

log = logging.getLogger(__name__)

TABLES = {"tracker": ("tracks", "crops"), "vehicles": ("plates",), "sink": ()}
"""Role -> its tables; each has a changelog `<app id>-<role>-<table>-changelog`."""
_SWEEP_S = 0.5
_LOOK_S = 0.1
_PATIENCE_S = 1.0
_RECOVERY_STILL_S = 30.0
"""A recovery that makes no progress for so long will make none: the process ends and starts anew."""
_INBOX = 16_384
_INBOX_BYTES = 128 << 20
"""Bytes of a topic that wait for their agent at most."""
_SINK_INBOX_BYTES = 160 << 20
"""Likewise for the sink: at one insert a second 50,000 rows/s of frames with two plates and their crops, 6 kB each, are
150 MB a block."""
Stream = Any
"""What an agent is given: Faust keeps its subscription by it, and nothing comes through it (see `streams.inbox`)."""


class SourceTable(faust.Table[Any, Any]):
    """A table whose keys stay in the partition of the source topic that they were told to be in.

    Faust takes the partition of the event in hand; a batch holds events of many. It also remembers the sends of the
    changelog, so that a batch is acknowledged only after they are: Faust's own flush gives up after 0.1 s. And keys
    that are written go when their partition does: Faust's store in memory drops only those that it has recovered.
    """

    logger = logging.getLogger("faust.tables")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_partition: int | None = None
        self.unsent: list[Any] = []

    def partition_for_key(self, key: Any) -> int | None:
        """The partition that the write in hand names."""
        return self.write_partition

    def send_changelog(self, partition: int | None, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        """As Faust does; keep the future, and note the key's partition."""
        sent = super().send_changelog(partition, key, value, *args, **kwargs)
        self.unsent.append(sent)
        places: dict[Any, int | None] = self.data._key_partition  # type: ignore[attr-defined]
        if value is None:
            places.pop(key, None)
        else:
            places[key] = partition
        return sent


class Batch(NamedTuple):
    """Messages in the order to take them, admitted in one epoch of the positions."""

    epoch: int
    records: list[Record]


class Agents:
    """What the agents of one app share. `sources` are the topics that they consume, `sparse` the compacted of them;
    `inbox` messages of each, or `inbox_bytes`, wait for their agent."""

    def __init__(
        self,
        app: faust.App,
        settings: StreamSettings,
        clock: Clock,
        sources: Sequence[str],
        sparse: Sequence[str] = (),
        inbox: int = _INBOX,
        inbox_bytes: int = _INBOX_BYTES,
    ) -> None:
        self.app = app
        self.settings = settings
        self.clock = clock
        self.positions = Positions(sources, sparse, _PATIENCE_S + settings.flush_s)
        self.inboxes = {topic: Inbox(inbox, inbox_bytes) for topic in sources}
        self._topics: dict[str, Any] = {}
        self._waiting: set[str] = set()
        self._recovering: dict[tuple[int, int], float] = {}
        use_positions(app, self.positions, self.inboxes, clock)

        @app.timer(_SWEEP_S, on_leader=False)
        async def look_for_missing() -> None:
            await _or_crash(app, self._seek_missing())

    def topic(self, name: str) -> Any:
        """A topic of bytes."""
        if name not in self._topics:
            self._topics[name] = self.app.topic(
                name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
        return self._topics[name]

    def table(self, name: str, partitions: int) -> SourceTable:
        """A table of bytes, with as many partitions as its source topic."""
        # bytes mean the raw codec, also when the changelog is read back
        table = self.app.Table(name, partitions=partitions, key_type=bytes, value_type=bytes)
        assert isinstance(table, SourceTable)
        return table

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send all, in order per partition, and wait until the broker has them."""
        sent = [
            await self.topic(m.topic).send(
                key=m.key, value=m.value, partition=m.partition, headers=list(m.headers) or None
            )
            for m in messages
        ]
        if sent:
            await asyncio.gather(*sent)

    async def batches(self, topic: str, most: int, within: float = 0.0) -> AsyncIterator[Batch]:
        """What has arrived, up to `most` messages, not sooner than `within` seconds after the batch before."""
        inbox = self.inboxes[topic]
        due = 0.0
        while True:
            self._waiting.add(topic)
            await inbox.arrival()
            now = await _wait_until(due, self.clock)
            due = now + within
            self._waiting.discard(topic)
            # nothing is awaited from here on: a batch is of one epoch
            records: list[Record] = []
            while len(records) < most and (part := inbox.take(most - len(records))):
                records += self.positions.admit_all((topic, part[0].partition), part, now)
            if records:
                yield Batch(self.positions.epoch, records)

    async def _seek_missing(self) -> None:
        consumer = self.app.consumer
        assert isinstance(consumer, Consumer)
        if not self.app.rebalancing and self.app.tables.actives_ready:
            await consumer.seek_missing(self._waiting)
            self._recovering.clear()
            return
        tables: Any = self.app.tables
        left = tables.recovery.active_remaining_total()
        now = self.clock.monotonic()
        since = self._recovering.setdefault((self.app.rebalancing_count, left), now)
        if now - since > _RECOVERY_STILL_S:
            raise NothingComes(f"the tables' recovery stands still, {left} changes are left")

    def current(self, batch: Batch) -> bool:
        """False when a rebalance came in between: who owns the partitions now reads the batch again."""
        return batch.epoch == self.positions.epoch

    def owned(self, topic: str) -> Owned:
        """The topic's partitions that are owned now."""
        partitions = frozenset(number for name, number in self.positions.owned() if name == topic)
        return Owned(self.positions.epoch, partitions)

    @staticmethod
    async def write(tables: dict[str, SourceTable], writes: Iterable[Write]) -> None:
        """Set the keys and wait until their changelogs have them."""
        for write in writes:
            table = tables[write.table]
            table.write_partition = write.partition
            if write.value is None:
                table.pop(write.key, None)
            else:
                table[write.key] = write.value
        unsent = [sent for table in tables.values() for sent in table.unsent]
        for table in tables.values():
            table.unsent.clear()
        if unsent:
            await asyncio.gather(*unsent)

    def finish(self, batch: Batch) -> None:
        """Let the offsets of the batch be committed."""
        for partition, offset in {(r.topic, r.partition): r.offset for r in batch.records}.items():
            self.positions.finish(batch.epoch, partition, offset)


class _BookLoop:
    """take -> send -> write -> finish, for a book and its tables."""

    def __init__(
        self, agents: Agents, topic: str, book: CameraBook | PlateBook, tables: dict[str, SourceTable]
    ) -> None:
        self._agents = agents
        self._topic = topic
        self._book = book
        self._tables = tables

    async def turn(self, batch: Batch) -> None:
        """Process one batch. An exception ends the process: what was not finished is read again."""
        agents = self._agents
        out = self._book.take(batch.records)
        await agents.send(out)
        if not agents.current(batch):
            self._book.forget()
            return
        await agents.write(self._tables, self._book.writes(agents.owned(self._topic)))
        agents.finish(batch)


def add_tracker(app: faust.App, settings: StreamSettings, clock: Clock, partitions: int) -> None:
    """fleet.reads -> fleet.sightings, fleet.cameras; and the timer that notices silence."""
    agents = Agents(app, settings, clock, [settings.topics.reads])
    tables = {name: agents.table(name, partitions) for name in TABLES["tracker"]}
    book = CameraBook(settings, tables["tracks"], tables["crops"], clock)
    loop = _BookLoop(agents, settings.topics.reads, book, tables)
    reads = agents.topic(settings.topics.reads)

    @app.agent(reads, name="tracker")
    async def track(_: Stream) -> None:
        async for batch in agents.batches(settings.topics.reads, settings.batch):
            await _or_crash(app, loop.turn(batch))

    @app.timer(_SWEEP_S, on_leader=False)
    async def sweep() -> None:
        # before recovery the table says what was, not what is
        if app.rebalancing or not app.tables.actives_ready:
            return
        await _or_crash(app, agents.send(book.silent(agents.owned(settings.topics.reads))))


def add_vehicles(
    app: faust.App, settings: StreamSettings, clock: Clock, partitions: int, follower: HotlistFollower
) -> None:
    """fleet.sightings x hotlist -> fleet.alerts."""
    agents = Agents(app, settings, clock, [settings.topics.sightings])
    tables = {"plates": agents.table("plates", partitions)}
    book = PlateBook(settings, tables["plates"], follower.hotlist, clock)
    loop = _BookLoop(agents, settings.topics.sightings, book, tables)
    letters = DeadLetters("hotlist", settings.topics.dead, clock, settings.dead_per_minute)

    @app.agent(agents.topic(settings.topics.sightings), name="vehicles")
    async def match(_: Stream) -> None:
        await follower.ready()
        async for batch in agents.batches(settings.topics.sightings, settings.batch):
            await _or_crash(app, loop.turn(batch))

    @app.task
    async def follow_hotlist() -> None:
        follower.start()
        await _or_crash(app, follower.ended())

    @app.task
    async def capture_bad_entries() -> None:
        while True:
            record, why = await follower.bad.get()
            await _or_crash(app, agents.send([letters.letter(record, "bad_value", why)]))


class SinkLoop:
    """make -> insert -> send -> finish, for one topic: a batch is made while the one before it goes in, begins to go in
    `flush_s` after it did at the soonest, and is finished after it."""

    def __init__(self, agents: Agents, sink: Sink, pool: Executor) -> None:
        self._agents = agents
        self._sink = sink
        self._pool = pool
        self._due = 0.0
        self._before: asyncio.Task[None] | None = None

    async def turn(self, batch: Batch) -> None:
        """Make a batch, and begin to insert it once the one before is in."""
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._pool, self._sink.make, batch.records)
        if self._before is not None:
            await self._before
        # batches come that far apart, but some are made in less time than others
        self._due = await _wait_until(self._due, self._agents.clock) + self._agents.settings.flush_s
        self._before = asyncio.create_task(_or_crash(self._agents.app, self._insert(batch, made)))

    async def _insert(self, batch: Batch, made: Made) -> None:
        loop = asyncio.get_running_loop()
        try:
            letters = await loop.run_in_executor(self._pool, self._sink.insert, made)
        except Stopped as reason:
            log.info("%s", reason)
            # what follows must not be committed over what was left out
            self._agents.positions.forget()
            return
        await self._agents.send(letters)
        self._agents.finish(batch)


def add_sink(app: faust.App, settings: StreamSettings, clock: Clock, store: Store, stop: threading.Event) -> None:
    """Every topic -> the store, in blocks of `flush_rows` or what came in `flush_s`."""
    names = settings.topics
    topics = (names.reads, names.sightings, names.alerts, names.hotlist, names.cameras, names.dead)
    agents = Agents(
        app,
        settings,
        clock,
        topics,
        sparse=[names.hotlist, names.cameras],
        inbox=settings.flush_rows,
        inbox_bytes=_SINK_INBOX_BYTES,
    )
    sink = Sink(settings, store, clock, stop)
    # of its own: a store that is away must not hold up whoever needs a thread of the loop's
    pool = ThreadPoolExecutor(2 * len(topics), "sink")
    for topic in topics:
        _add_sink_agent(app, agents, SinkLoop(agents, sink, pool), topic)


def _add_sink_agent(app: faust.App, agents: Agents, loop: SinkLoop, topic: str) -> None:
    settings = agents.settings

    @app.agent(agents.topic(topic), name=f"sink-{topic}")
    async def take(_: Stream) -> None:
        async for batch in agents.batches(topic, settings.flush_rows, within=settings.flush_s):
            await _or_crash(app, loop.turn(batch))


async def _wait_until(due: float, clock: Clock) -> float:
    """Return the monotonic time once it is `due` or past it."""
    while (left := due - clock.monotonic()) > 0:
        await asyncio.sleep(min(left, _LOOK_S))
    return clock.monotonic()


async def _or_crash(app: faust.App, work: Any) -> None:
    """Run `work`; when it fails, end the app: nothing is acknowledged, and the next start reads it again.

    Faust would restart the agent and acknowledge the event at fault.
    """
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception as error:
        log.critical("%s: %s: %s", app.conf.id, type(error).__name__, error, exc_info=error)
        await app.crash(error)
        raise
