"""What an agent is given: the sink a batch a second at most, also from a backlog; and what its tables hold."""

import asyncio
from typing import Any

import faust
from faust.types import TP

from plumbing.bus import Record
from plumbing.clock import ManualClock
from streams.agents import Agents, SourceTable
from streams.inbox import Inbox
from streams.positions import Positions


def agents(clock: ManualClock, most: int) -> Any:
    """Those of an app that has one partition, without a broker."""
    made: Any = object.__new__(Agents)
    made.clock = clock
    made.inboxes = {"reads": Inbox(most, 1_000_000)}
    made.positions = Positions(["reads"])
    made.positions.begin({("reads", 0): 0}, 0.0)
    made._waiting = set()
    return made


def test_a_backlog_makes_larger_batches_not_more_of_them() -> None:
    async def run() -> None:
        clock = ManualClock()
        made = agents(clock, 10)
        inbox = made.inboxes["reads"]
        inbox.put([Record("reads", 0, offset, 0, None, b"", ()) for offset in range(30)])
        batches = made.batches("reads", 10, within=1.0)
        assert [r.offset for r in (await anext(batches)).records] == list(range(10))
        following = asyncio.ensure_future(anext(batches))
        for _ in range(3):
            clock.advance(0.3)
            await asyncio.sleep(0.01)
        assert inbox.full
        assert not following.done()
        clock.advance(0.3)
        assert [r.offset for r in (await asyncio.wait_for(following, 10)).records] == list(range(10, 20))
        # after a pause nothing waits
        clock.advance(5.0)
        assert len((await asyncio.wait_for(anext(batches), 10)).records) == 10

    asyncio.run(run())


def test_keys_go_with_their_partition() -> None:
    """Written or recovered: another process writes them from then on."""

    async def run() -> None:
        app = faust.App("app", store="memory://", Table=SourceTable, autodiscover=False)
        table = app.Table("plates", partitions=4, key_type=bytes, value_type=bytes)
        for partition, key in ((1, b"a"), (2, b"b"), (3, b"c")):
            table.write_partition = partition
            table[key] = b"state"
        table.write_partition = 3
        del table[b"c"]
        await table.on_recovery_completed({TP("changelog", 2), TP("changelog", 3)}, set())
        assert dict(table.items()) == {b"b": b"state"}
        await table.on_recovery_completed(set(), set())
        assert len(table) == 0

    asyncio.run(run())
