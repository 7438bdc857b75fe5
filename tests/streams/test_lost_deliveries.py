"""What was fetched and is thrown away, as at a rebalance, must be read again, and only once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import faust
import pytest
from running import Place, wait_for
from scenes import T0, Car, Road

from schemas.codec import decode_json
from schemas.read import CloseTracks, ReadsMessage
from schemas.sighting import Sighting
from streams.app import create_changelogs, make_app, source_partitions
from streams.consuming import Consumer
from streams.inbox import Inbox
from streams.progress import Progress
from streams.settings import StreamSettings
from streams.track import new_state
from streams.tracker import step


@pytest.fixture
def place(kafka: str, tmp_path: Path) -> Iterator[Place]:
    made = Place.make(kafka, tmp_path)
    yield made
    made.close()


def messages() -> list[ReadsMessage]:
    road = Road("cam-0", [Car("KXW047", 1, 9, lane=300), Car("ZJT158", 4, 12, lane=900)], 30, fps=10)
    return [*road.frames(), CloseTracks(camera_id="cam-0", seq=1 << 60, sent_at=0)]


def test_what_was_thrown_away_is_asked_for_again(place: Place) -> None:
    lost = asyncio.run(_run(place))
    assert lost >= 10, "nothing was thrown away: nothing was proved"
    state = new_state("cam-0")
    wanted: dict[str, Sighting] = {}
    for offset, message in enumerate(messages()):
        state, told = step(state, message, offset, T0)
        wanted |= {s.sighting_id: s for s in told}
    told = [decode_json(r.value, Sighting) for r in place.log(place.topics.sightings)]
    assert len({(s.sighting_id, s.revision) for s in told}) == len(told)
    last = {s.sighting_id: s for s in told}
    assert {k: (s.plate, s.frames, s.revision, s.status) for k, s in last.items()} == {
        k: (s.plate, s.frames, s.revision, s.status) for k, s in wanted.items()
    }


async def _run(place: Place) -> int:
    """One tracker in this process, whose inbox is emptied while frames come in; how many messages that cost."""
    settings = StreamSettings(
        place.brokers, place.folder, app_id=place.app_id, roles=("tracker",), topics=place.topics, silence_s=600.0
    )
    partitions = source_partitions(settings)
    create_changelogs(settings, partitions)
    app = make_app(settings, "tracker", partitions["tracker"])
    await app.start()
    try:
        thrown: list[int] = []
        emptying = asyncio.create_task(_empty(app, thrown))
        every = messages()
        for start in range(0, len(every) - 1, 20):
            await asyncio.to_thread(place.send_reads, every[start : start + 20])
        emptying.cancel()
        # the last message of a partition has no successor that would show its absence
        thrown.append(await _lose_the_last(app, place, every[-1]))
        with Progress(place.brokers, place.app_id, roles=("tracker",), topics=place.topics) as progress:
            await asyncio.to_thread(wait_for, "drained", progress.drained)
        return sum(thrown)
    finally:
        await app.stop()


def _inbox(app: faust.App) -> Inbox:
    consumer = app.consumer
    assert isinstance(consumer, Consumer)
    return next(iter(consumer.inboxes.values()))


async def _empty(app: faust.App, thrown: list[int]) -> None:
    while sum(thrown) < 50:
        if not app.rebalancing:
            thrown.append(len(_inbox(app)))
            _inbox(app).clear()
        await asyncio.sleep(0.002)


async def _lose_the_last(app: faust.App, place: Place, message: ReadsMessage) -> int:
    inbox = _inbox(app)
    sending = asyncio.create_task(asyncio.to_thread(place.send_reads, [message]))
    # the agent that waits has been told of it, but has not taken it yet
    while not inbox:
        await asyncio.sleep(0)
    count = len(inbox)
    inbox.clear()
    await sending
    return count
