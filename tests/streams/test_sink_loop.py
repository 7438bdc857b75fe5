"""The sink's loop: a batch is made while the one before it goes in, and never finished before it."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plumbing.bus import Record
from plumbing.clock import ManualClock
from streams.agents import Batch, SinkLoop
from streams.dead import Outgoing
from streams.positions import Positions
from streams.settings import StreamSettings
from streams.sink import Made, Stopped

READS = ("reads", 0)
SETTINGS = StreamSettings(brokers="none:0", data_dir=Path("unused"), roles=("sink",), store_url="unused")


class FakeSink:
    """Inserts when it is let; the first times it fails."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.made: list[int] = []
        self.inserted: list[int] = []
        self.may_insert = threading.Event()

    def make(self, records: Sequence[Record]) -> Made:
        """Note the first offset."""
        self.made.append(records[0].offset)
        return Made([], [Outgoing("dead", b"%d" % records[0].offset, None)])

    def insert(self, made: Made) -> list[Outgoing]:
        """Wait for the test."""
        assert self.may_insert.wait(10)
        if self.errors:
            raise self.errors.pop(0)
        self.inserted.append(int(made.letters[0].key or b""))
        return made.letters


class FakeAgents:
    """Positions of one partition, and what was sent; an app that may crash."""

    def __init__(self) -> None:
        self.positions = Positions(["reads"])
        self.positions.begin({READS: 0}, 0.0)
        self.sent: list[tuple[bytes | None, int | None]] = []
        self.crashes: list[BaseException] = []
        self.app = self
        self.conf = type("Conf", (), {"id": "test"})
        self.clock = ManualClock()
        self.settings = replace(SETTINGS, flush_s=0.0)

    async def crash(self, error: BaseException) -> None:
        """As faust.App."""
        self.crashes.append(error)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Note it, and what might be committed at that time."""
        await asyncio.sleep(0)
        self.sent += [(m.key, self.positions.done(READS)) for m in messages]

    def finish(self, batch: Batch) -> None:
        """As Agents."""
        self.positions.finish(batch.epoch, READS, batch.records[-1].offset)

    def batch(self, first: int) -> Batch:
        """Ten records from `first` on."""
        return Batch(self.positions.epoch, [Record(*READS, n, 0, None, b"", ()) for n in range(first, first + 10)])


def run(sink: FakeSink, work: Any) -> FakeAgents:
    agents = FakeAgents()

    async def inside() -> None:
        with ThreadPoolExecutor(2) as pool:
            loop: Any = SinkLoop(agents, sink, pool)  # type: ignore[arg-type]
            try:
                await work(agents, loop)
            finally:
                sink.may_insert.set()

    asyncio.run(inside())
    return agents


async def until(done: Any) -> None:
    for _ in range(2_000):
        if done():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


def test_a_batch_is_made_while_the_one_before_goes_in_and_finished_after_it() -> None:
    sink = FakeSink()

    async def work(agents: FakeAgents, loop: SinkLoop) -> None:
        await loop.turn(agents.batch(0))
        second = asyncio.create_task(loop.turn(agents.batch(10)))
        await until(lambda: sink.made == [0, 10])
        assert (sink.inserted, agents.positions.done(READS)) == ([], 0)
        assert not second.done()
        sink.may_insert.set()
        await second
        assert agents.positions.done(READS) >= 10  # type: ignore[operator]
        await until(lambda: agents.positions.done(READS) == 20)

    agents = run(sink, work)
    assert sink.inserted == [0, 10]
    # what the broker has not acknowledged is not finished
    assert agents.sent == [(b"0", 0), (b"10", 10)]


def test_no_two_batches_begin_to_go_in_within_a_second() -> None:
    sink = FakeSink()
    sink.may_insert.set()

    async def work(agents: FakeAgents, loop: SinkLoop) -> None:
        agents.settings = replace(SETTINGS, flush_s=1.0)
        await loop.turn(agents.batch(0))
        second = asyncio.create_task(loop.turn(agents.batch(10)))
        await until(lambda: sink.made == [0, 10])
        await until(lambda: agents.positions.done(READS) == 10)
        agents.clock.advance(0.9)
        await asyncio.sleep(0.02)
        assert not second.done()
        assert sink.inserted == [0]
        agents.clock.advance(0.2)
        await until(lambda: sink.inserted == [0, 10])
        await second

    assert run(sink, work).sent == [(b"0", 0), (b"10", 10)]


def test_what_follows_a_batch_that_was_stopped_is_not_finished() -> None:
    sink = FakeSink(Stopped("it ends"))

    async def work(agents: FakeAgents, loop: SinkLoop) -> None:
        first, second = agents.batch(0), agents.batch(10)
        await loop.turn(first)
        sink.may_insert.set()
        await loop.turn(second)
        await until(lambda: agents.sent)
        assert agents.positions.done(READS) is None
        # whoever owns the partition next begins where it stood
        agents.positions.begin({READS: 0}, 1.0)
        agents.finish(second)
        assert agents.positions.done(READS) == 0

    agents = run(sink, work)
    assert (agents.crashes, sink.inserted) == ([], [10])


def test_a_batch_that_fails_ends_the_app_and_nothing_after_it_goes_in() -> None:
    sink = FakeSink(RuntimeError("unforeseen"))

    async def work(agents: FakeAgents, loop: SinkLoop) -> None:
        await loop.turn(agents.batch(0))
        sink.may_insert.set()
        with pytest.raises(RuntimeError, match="unforeseen"):
            await loop.turn(agents.batch(10))

    agents = run(sink, work)
    assert [str(error) for error in agents.crashes] == ["unforeseen"]
    assert (sink.made, sink.inserted, agents.sent, agents.positions.done(READS)) == ([0, 10], [], [], 0)
