"""Thin loops between Faust and the pure parts: take a batch, send and wait, write the tables, acknowledge.

One Faust app per role, each a consumer group of its own: a store that is down stops the sink, never the alerts.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import faust
from faust.types import EventT

from plumbing.bus import Record
from plumbing.clock import Clock
from store.interface import Store
from streams.books import CameraBook, PlateBook, Write
from streams.dead import DeadLetters, Outgoing
from streams.follow import HotlistFollower
from streams.settings import StreamSettings
from streams.sink import Sink, Stopped

log = logging.getLogger(__name__)

TABLES = {"tracker": ("tracks", "crops"), "vehicles": ("plates",), "sink": ()}
"""Role -> its tables; each has a changelog `<app id>-<role>-<table>-changelog`."""
_SWEEP_S = 0.5
Event = EventT[Any]
Stream = Any
"""Faust's own type lacks the methods that its streams have."""


class SourceTable(faust.Table[Any, Any]):
    """A table whose keys stay in the partition of the source topic that they were told to be in.

    Faust takes the partition of the event in hand; a batch holds events of many. It also remembers the sends of the
    changelog, so that a batch is acknowledged only after they are: Faust's own flush gives up after 0.1 s.
    """

    logger = logging.getLogger("faust.tables")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_partition: int | None = None
        self.unsent: list[Any] = []

    def partition_for_key(self, key: Any) -> int | None:
        """The partition that the write in hand names."""
        return self.write_partition

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        """As Faust does, and keep the future."""
        sent = super().send_changelog(*args, **kwargs)
        self.unsent.append(sent)
        return sent


def record_of(event: Event) -> Record:
    """A Faust event as the bus knows a record."""
    message = event.message
    headers: Any = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        message.topic,
        message.partition,
        message.offset,
        int((message.timestamp or 0) * 1000),
        message.key,
        message.value,
        [(name, value) for name, value in pairs],
    )


class Agents:
    """What the agents of one app share."""

    def __init__(self, app: faust.App, settings: StreamSettings, clock: Clock) -> None:
        self.app = app
        self.settings = settings
        self.clock = clock
        self._topics: dict[str, Any] = {}

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

    async def batches(self, stream: Stream) -> AsyncIterator[list[Event]]:
        """What has arrived, up to the bound, without waiting for more."""
        stream = stream.noack()
        queue = stream.channel.queue
        batch: list[Event] = []
        async for event in stream.events():
            batch.append(event)
            if len(batch) < self.settings.batch and not queue.empty():
                continue
            yield batch
            batch = []

    def current(self, batch: Iterable[Event]) -> bool:
        """False when a rebalance came in between: who owns the partitions now reads the batch again."""
        generation = self.app.consumer_generation_id
        return all(event.message.generation_id == generation for event in batch)

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

    async def acknowledge(self, batch: Iterable[Event]) -> None:
        """Let the offsets of the batch be committed."""
        for event in batch:
            event.ack()


class _BookLoop:
    """take -> send -> write -> acknowledge, for a book and its tables."""

    def __init__(self, agents: Agents, book: CameraBook | PlateBook, tables: dict[str, SourceTable]) -> None:
        self._agents = agents
        self._book = book
        self._tables = tables

    async def turn(self, batch: list[Event]) -> None:
        """Process one batch. An exception ends the process: what was not acknowledged is read again."""
        agents = self._agents
        out = self._book.take([record_of(event) for event in batch])
        await agents.send(out)
        if not agents.current(batch):
            self._book.forget()
            return
        await agents.write(self._tables, self._book.writes())
        await agents.acknowledge(batch)


def add_tracker(app: faust.App, settings: StreamSettings, clock: Clock, partitions: int) -> None:
    """fleet.reads -> fleet.sightings, fleet.cameras; and the timer that notices silence."""
    agents = Agents(app, settings, clock)
    tables = {name: agents.table(name, partitions) for name in TABLES["tracker"]}
    book = CameraBook(settings, tables["tracks"], tables["crops"], clock)
    loop = _BookLoop(agents, book, tables)
    reads = agents.topic(settings.topics.reads)

    @app.agent(reads, name="tracker")
    async def track(stream: Stream) -> None:
        async for batch in agents.batches(stream):
            await _or_crash(app, loop.turn(batch))

    @app.timer(_SWEEP_S, on_leader=False)
    async def sweep() -> None:
        # before recovery the table says what was, not what is
        if app.rebalancing or not app.tables.actives_ready:
            return
        mine = {tp.partition for tp in app.consumer.assignment() if tp.topic == settings.topics.reads}
        await _or_crash(app, agents.send(book.silent(mine)))


def add_vehicles(
    app: faust.App, settings: StreamSettings, clock: Clock, partitions: int, follower: HotlistFollower
) -> None:
    """fleet.sightings x hotlist -> fleet.alerts."""
    agents = Agents(app, settings, clock)
    tables = {"plates": agents.table("plates", partitions)}
    book = PlateBook(settings, tables["plates"], follower.hotlist, clock)
    loop = _BookLoop(agents, book, tables)
    letters = DeadLetters("hotlist", settings.topics.dead, clock, settings.dead_per_minute)

    @app.agent(agents.topic(settings.topics.sightings), name="vehicles")
    async def match(stream: Stream) -> None:
        await follower.ready()
        async for batch in agents.batches(stream):
            await _or_crash(app, loop.turn(batch))

    @app.task
    async def start_hotlist() -> None:
        follower.start()

    @app.task
    async def capture_bad_entries() -> None:
        while True:
            record, why = await follower.bad.get()
            await _or_crash(app, agents.send([letters.letter(record, "bad_value", why)]))


def add_sink(app: faust.App, settings: StreamSettings, clock: Clock, store: Store, stop: threading.Event) -> None:
    """Every topic -> the store, in blocks of `flush_rows` or what came in `flush_s`."""
    agents = Agents(app, settings, clock)
    sink = Sink(settings, store, clock, stop)
    names = settings.topics
    for topic in (names.reads, names.sightings, names.alerts, names.cameras, names.dead):
        _add_sink_agent(app, agents, sink, topic)


def _add_sink_agent(app: faust.App, agents: Agents, sink: Sink, topic: str) -> None:
    settings = agents.settings

    async def insert(events: list[Event]) -> None:
        try:
            letters = await asyncio.to_thread(sink.put, [record_of(event) for event in events])
        except Stopped as reason:
            log.info("%s", reason)
            return
        await agents.send(letters)
        await agents.acknowledge(events)

    @app.agent(agents.topic(topic), name=f"sink-{topic}")
    async def take(stream: Stream) -> None:
        async for events in stream.noack_take(settings.flush_rows, within=settings.flush_s):
            if events:
                await _or_crash(app, insert(list(events)))


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
