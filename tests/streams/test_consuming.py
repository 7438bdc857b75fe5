"""The consumer asks for what has room, so that a topic whose agent is slow holds up no other."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from streams.app import make_app
from streams.consuming import Consumer
from streams.inbox import Inbox
from streams.records import CheckedRecords
from streams.settings import StreamSettings

READS = {TP("reads", 0), TP("reads", 1)}
ALERTS = {TP("alerts", 0)}


class FakeThread:
    """Notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[set[TP], float]] = []

    async def getmany(self, partitions: set[TP], timeout: float) -> dict[TP, list[Any]]:
        """As Faust's."""
        self.asked.append((set(partitions), timeout))
        return {}


def record(topic: str, offset: int) -> Any:
    return ConsumerRecord(topic, 0, offset, 1_700_000_000_123, 0, b"key", b"value", None, 3, 5, (("name", b"raw"),))


def consumer() -> tuple[Any, FakeThread]:
    """One without a broker: what it asks its client for, and what it does with the answer."""
    made: Any = object.__new__(Consumer)
    made.inboxes = {"reads": Inbox(3, 1_000), "alerts": Inbox(3, 1_000)}
    made._thread = thread = FakeThread()
    made.highwater = lambda tp: 10
    made.app = type("App", (), {"monitor": type("Monitor", (), {"track_tp_end_offset": staticmethod(print)})})
    return made, thread


def test_what_has_no_room_is_not_asked_for_and_holds_up_nothing_else() -> None:
    async def run() -> None:
        made, thread = consumer()
        # changes of tables have no inbox, and always room
        changes = {TP("changelog", 0)}
        await made._getmany(READS | ALERTS | changes, 1.0)
        await made._deliver(TP("reads", 0), [record("reads", offset) for offset in range(3)])
        await made._getmany(READS | ALERTS | changes, 1.0)
        await made._deliver(TP("alerts", 0), [record("alerts", offset) for offset in range(3)])
        assert await made._getmany(READS | ALERTS, 1.0) == {}
        made.inboxes["reads"].take(1)
        await made._getmany(READS | ALERTS, 1.0)
        assert [asked for asked, _ in thread.asked] == [READS | ALERTS | changes, ALERTS | changes, READS]
        # nobody waits long for others while a topic may have room again
        assert thread.asked[0][1] == 1.0
        assert all(timeout < 0.2 for _, timeout in thread.asked[1:])

    asyncio.run(run())


def test_a_record_comes_as_the_bus_knows_it() -> None:
    async def run() -> None:
        made, _ = consumer()
        await made._deliver(TP("reads", 0), [record("reads", 7)])
        (one,) = made.inboxes["reads"].take(5)
        assert one == ("reads", 0, 7, 1_700_000_000_123, b"key", b"value", (("name", b"raw"),))

    asyncio.run(run())


class Drained(Consumer):
    """Its fetcher ends after one answer."""

    should_stop = False  # type: ignore[assignment]


def test_what_was_paused_while_it_was_fetched_is_not_taken() -> None:
    async def run() -> None:
        made, _ = consumer()
        made.__class__ = Drained
        answers = [({TP("reads", 0): [record("reads", 0)], TP("alerts", 0): [record("alerts", 0)]}, ALERTS)]
        fetcher = type("Fetcher", (), {"should_stop": property(lambda _: not answers)})()
        made.flow_active = True

        async def answer(timeout: float) -> Any:
            return answers.pop()

        made._wait_next_records = answer
        made.sleep = asyncio.sleep
        await made._drain_messages(fetcher)
        assert {topic: len(inbox) for topic, inbox in made.inboxes.items()} == {"reads": 0, "alerts": 1}

    asyncio.run(run())


def test_no_question_hangs_at_a_broker_that_has_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)

    async def run() -> None:
        settings = StreamSettings(brokers="none:9", data_dir=tmp_path, roles=("tracker",))
        app: Any = make_app(settings, "tracker", 1)
        thread = app.consumer._new_consumer_thread()
        client = thread._create_worker_consumer(app.transport)
        await client.stop()
        # Faust's 1,500 keep partitions waiting in which something lies
        assert client._fetch_max_wait_ms <= 200
        # either checks records, and one of them
        assert (client._check_crcs, fetcher.MemoryRecords) == (False, CheckedRecords)

    asyncio.run(run())
