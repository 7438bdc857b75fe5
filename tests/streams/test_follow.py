"""What ends the following of the hotlist: a fault ends the whole process, a broker that is away ends nothing."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiokafka.errors import KafkaConnectionError

import streams.follow
from streams.app import make_app
from streams.follow import HotlistFollower
from streams.settings import StreamSettings

SETTINGS = StreamSettings(brokers="unused:1", data_dir=Path("unused"), roles=("vehicles",))


class Consumer:
    """A client that cannot start."""

    faults: ClassVar[list[Exception]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    async def start(self) -> None:
        raise self.faults.pop(0)

    async def stop(self) -> None:
        pass


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.follow, "AIOKafkaConsumer", Consumer)
    monkeypatch.setattr(streams.follow, "_PAUSE_S", 0.0)


def test_a_fault_while_the_hotlist_is_followed_ends_the_process() -> None:
    Consumer.faults = [KafkaConnectionError("away"), OSError("away"), RuntimeError("unforeseen")]
    crashes: list[BaseException] = []

    async def run() -> None:
        follower = HotlistFollower("unused:1", "fleet.hotlist")
        app: Any = make_app(SETTINGS, "vehicles", 1, follower=follower)

        async def crash(error: BaseException) -> None:
            crashes.append(error)

        app.crash = crash
        (follow,) = [task for task in app._app_tasks if task.__name__ == "follow_hotlist"]
        with pytest.raises(RuntimeError, match="unforeseen"):
            await asyncio.wait_for(follow(), 10)
        await follower.stop()

    asyncio.run(run())
    assert [str(error) for error in crashes] == ["unforeseen"]


def test_to_stop_is_no_fault() -> None:
    Consumer.faults = [KafkaConnectionError("away")] * 100_000

    async def run() -> None:
        follower = HotlistFollower("unused:1", "fleet.hotlist")
        await follower.ended()
        follower.start()
        waiting = asyncio.create_task(follower.ended())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await follower.stop()
        await asyncio.wait_for(waiting, 10)
        await follower.stop()

    asyncio.run(run())
