"""The inbox: what went in comes out once, in order, a partition at a time."""

import asyncio
import random

from plumbing.bus import Record
from streams.inbox import Inbox


def records(partition: int, first: int, count: int) -> list[Record]:
    return [Record("reads", partition, offset, 0, None, b"", ()) for offset in range(first, first + count)]


def test_what_went_in_comes_out_in_order_and_a_partition_at_a_time() -> None:
    dice = random.Random(1)
    for _ in range(200):
        inbox = Inbox(1_000, 1_000)
        went: list[Record] = []
        came: list[Record] = []
        for _ in range(30):
            partition = dice.randrange(3)
            some = records(partition, sum(r.partition == partition for r in went), dice.randrange(9))
            inbox.put(some)
            went += some
            if dice.random() < 0.5:
                part = inbox.take(dice.randrange(1, 7))
                assert len({r.partition for r in part}) <= 1
                came += part
            assert len(inbox) == len(went) - len(came)
        while part := inbox.take(5):
            came += part
        assert came == went


def test_it_is_full_at_its_bound_and_has_room_again() -> None:
    inbox = Inbox(10, 1_000)
    inbox.put(records(0, 0, 9))
    assert not inbox.full
    # what was fetched goes in whole
    inbox.put(records(1, 0, 9))
    assert inbox.full
    inbox.take(9)
    assert not inbox.full


def test_it_is_full_at_its_bytes() -> None:
    inbox = Inbox(1_000, 100)
    large = [Record("reads", 0, offset, 0, None, bytes(30), ()) for offset in range(4)]
    inbox.put(large[:3])
    assert not inbox.full
    inbox.put(large[3:])
    assert inbox.full
    # half of a list counts as half
    inbox.take(2)
    assert not inbox.full
    inbox.put(large[:2])
    assert inbox.full
    inbox.clear()
    inbox.put(large[:3])
    assert not inbox.full


def test_who_waits_is_told_of_what_arrives_after_it_was_emptied() -> None:
    async def run() -> None:
        inbox = Inbox(10, 1_000)
        inbox.put(records(0, 0, 3))
        await inbox.arrival()
        inbox.clear()
        assert inbox.take(5) == ()
        waiting = asyncio.create_task(inbox.arrival())
        await asyncio.sleep(0)
        assert not waiting.done()
        inbox.put([])
        await asyncio.sleep(0)
        assert not waiting.done(), "nothing has arrived"
        inbox.put(records(0, 3, 1))
        await asyncio.wait_for(waiting, 5)

    asyncio.run(run())
