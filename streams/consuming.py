"""Faust's Kafka consumer, with the positions of `streams.positions` in place of its own book of acknowledgements, and
the lists that the client has in place of an event for each message."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from plumbing.bus import Record
from plumbing.clock import Clock
from streams.inbox import Inbox
from streams.positions import Partition, Positions
from streams.records import check_quickly

log = logging.getLogger(__name__)

_ASK_AT_MOST = 20
_YIELD_EVERY = 100
"""Changes of a table delivered in a row before other tasks have their turn."""
_LOOK_S = 0.05
"""How often somebody looks whether a full inbox has room again."""
_FETCH_WAIT_MS = 100
"""How long a broker may keep a question to which it has no answer yet; Faust has 1,500. The client asks one question at
a time: what it has not handed over for 0.1 s it leaves out of the next, and until the broker lets go of that one the
very partitions in which something lies are not fetched. A sink beside other work stood still so for a fifth to a third
of its time (measured)."""


class NothingComes(RuntimeError):
    """The client does not deliver what lies in the log: only a new start helps."""


def _plain(tp: Any) -> Partition:
    return tp.topic, tp.partition


def _by_partition(offsets: Mapping[Any, int | None]) -> dict[Partition, int]:
    return {_plain(tp): offset or 0 for tp, offset in offsets.items()}


def _records(found: Iterable[Any]) -> list[Record]:
    """The client's records as the bus knows them."""
    return [Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in found]


class _Blind(dict[TP, int | None]):
    """Faust's own read offsets: always unknown, so that it neither drops a message nor marks a hole as done."""

    def __getitem__(self, key: TP) -> int | None:
        return None

    def __setitem__(self, key: TP, value: int | None) -> None:
        pass

    def update(self, *_: Any, **__: Any) -> None:
        """Nothing is remembered."""


class _Thread(aiokafka.AIOKafkaConsumerThread):
    """Faust's thread of the client, whose questions end sooner and whose records are checked sooner."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        made: Any = super()._create_worker_consumer(transport)
        # Faust has no setting for it; the client reads it when it starts
        made._fetch_max_wait_ms = _FETCH_WAIT_MS
        check_quickly(made)
        return made


class Consumer(aiokafka.Consumer):
    """Commits what `positions` says is done, and tells it what is assigned and where it begins.

    Records of the topics that have one go to `inboxes`; the others, changes of tables, go Faust's way.
    """

    logger = logging.getLogger("faust.consumer")

    def __init__(
        self, *args: Any, positions: Positions, inboxes: Mapping[str, Inbox], clock: Clock, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.positions = positions
        self.inboxes = inboxes
        self.clock = clock
        self._read_offset = _Blind()
        self._stored: dict[TP, int] = {}

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """All partitions are given back; what was finished is committed first, by Faust."""
        try:
            await super().on_partitions_revoked(revoked)
        finally:
            self._forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Other partitions, or the same ones in another generation."""
        self._forget()
        self._stored.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def _forget(self) -> None:
        self.positions.forget()
        for inbox in self.inboxes.values():
            inbox.clear()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """As Faust's; what was never committed begins at its first message, which Faust would not seek."""
        committed = await super().seek_to_committed()
        begins = await self.earliest_offsets(*committed)
        starts = {_plain(tp): max(begins[tp], at or 0) for tp, at in committed.items()}
        self.positions.begin(starts, self.clock.monotonic())
        return committed

    async def seek_missing(self, idle: set[str]) -> None:
        """Ask again for messages that lie in the log and never reached their stream.

        Args:
            idle: topics whose stream waits for messages.

        Raises:
            NothingComes: a message was asked for again and again.
        """
        still = [TP(*partition) for partition in self.positions.still(self.clock.monotonic(), idle)]
        if not still:
            return
        try:
            begins, ends = await self.earliest_offsets(*still), await self.highwaters(*still)
        except (KafkaError, TimeoutError) as error:
            log.info("cannot look for missing messages now: %s", error)
            return
        missing = self.positions.missing(_by_partition(begins), _by_partition(ends), self.clock.monotonic())
        if not missing:
            return
        if self.positions.asked() > _ASK_AT_MOST:
            raise NothingComes(f"messages are in the log and do not come: {missing}")
        log.warning("asking again for what did not arrive: %s", missing)
        self.resume_partitions([TP(*partition) for partition in missing])
        try:
            await self.seek_wait({TP(*partition): offset for partition, offset in missing.items()})
        except (KafkaError, TimeoutError) as error:
            # a rebalance came first: all positions are sought anew
            log.info("cannot seek %s now: %s", sorted(missing), error)

    async def _drain_messages(self, fetcher: Any) -> None:
        """As Faust's, which makes an event and two tasks of each message."""
        stopped: Any = (*self.consumer_stopped_errors, asyncio.CancelledError)
        try:
            while not (self.should_stop or fetcher.should_stop):
                found, active = await self._wait_next_records(timeout=1.0)
                # which may never release the loop
                await self.sleep(0)
                if self.should_stop:
                    return
                if self.flow_active:
                    for tp, records in (found or {}).items():
                        # paused meanwhile: the tables are not what its messages must meet
                        if active is None or tp in active:
                            await self._deliver(tp, records)
                else:
                    # what was fetched is not taken: a rebalance has begun
                    with contextlib.suppress(KafkaError, TimeoutError):
                        await self.perform_seek()
        except stopped:
            if not self.transport.app.should_stop:
                raise

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """As Faust's, of partitions whose inbox has room."""
        wanted = {tp for tp in active_partitions or () if not self._full(tp)}
        if active_partitions and not wanted:
            await asyncio.sleep(_LOOK_S)
            return {}
        waits = active_partitions is not None and len(wanted) < len(active_partitions)
        return await super()._getmany(wanted, _LOOK_S if waits else timeout)

    def _full(self, tp: TP) -> bool:
        inbox = self.inboxes.get(tp.topic)
        return inbox is not None and inbox.full

    async def _deliver(self, tp: TP, records: list[Any]) -> None:
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        inbox = self.inboxes.get(tp.topic)
        if inbox is not None:
            inbox.put(_records(records))
            return
        for number, record in enumerate(records, start=1):
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            message = self._to_message(tp, record)
            if self._may_wait(tp):
                await self.wait_first(self.callback(message), self.suspend_flow.wait())
            else:
                await self.callback(message)

    def _may_wait(self, tp: TP) -> bool:
        """Whether the delivery of a table's change may wait: for the flow, the producer or a full queue. Hardly any
        does, and the two tasks that leave one that waits cost more than all else that is done to it."""
        app = self.app
        buffer = app.producer.buffer
        conductor: Any = app.topics
        return (
            not self.flow_active
            or not app.flow_control.is_active()
            or buffer.size > buffer.max_messages
            or conductor._tp_to_callback_lock.locked()
            or any(channel.queue.full() for channel in conductor._tp_index[tp])
        )

    def ack(self, message: Any) -> bool:
        """Faust's acknowledgements, which it also gives for what it skips, count for nothing."""
        return False

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for topic, number in self.positions.owned():
            tp = TP(topic, number)
            if topics is None or tp in topics or topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        return self.positions.done(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > self._stored.get(tp, 0)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        stored = await super()._commit(offsets)
        if stored:
            self._stored.update(offsets)
        return stored


class _Flow(FlowControlEvent):
    """Flow that resumes without emptying the queues: what is stale is refused by offset, what is new must stay."""

    def resume(self) -> None:
        """Let the streams go on."""
        self._suspend.clear()
        self._resume.set()


def use_positions(app: faust.App, positions: Positions, inboxes: Mapping[str, Inbox], clock: Clock) -> None:
    """Make the app, which is not started, consume by these positions, into these inboxes."""
    app.flow_control = _Flow()
    transport: Any = app.transport
    transport.Consumer = functools.partial(Consumer, positions=positions, inboxes=inboxes, clock=clock)
