"""Follows the compacted fleet.hotlist into a `Hotlist`: from the beginning, caught up before it is used, then live."""

import asyncio
import contextlib
import logging
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from plumbing.bus import Record
from plumbing.kafka_admin import NO_SECURITY, KafkaSecurity
from schemas.codec import SchemaError
from streams.hotlist import Hotlist

log = logging.getLogger(__name__)

_PAUSE_S = 1.0
_AT_ONCE = 2000


def ssl_context(security: KafkaSecurity) -> ssl.SSLContext | None:
    """What aiokafka wants for an encrypted connection; None for plain text.

    Raises:
        OSError: a file of the settings cannot be read.
    """
    if not security.protocol.endswith("SSL"):
        return None
    context = ssl.create_default_context(cafile=security.ca_file)
    if security.certificate_file:
        context.load_cert_chain(security.certificate_file, security.key_file)
    return context


def _log_on(security: KafkaSecurity) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": security.protocol, "ssl_context": ssl_context(security)}
    if security.protocol.startswith("SASL"):
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = security.password
    return options


class HotlistFollower:
    """A consumer without a group: every process reads the whole topic.

    Args:
        brokers: `host:port`, several separated by commas.
        topic: the hotlist's.
        security: how to log on.
    """

    def __init__(self, brokers: str, topic: str, security: KafkaSecurity = NO_SECURITY) -> None:
        self._brokers = brokers
        self._topic = topic
        self._security = security
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.hotlist = Hotlist()
        self.bad: asyncio.Queue[tuple[Record, str]] = asyncio.Queue(maxsize=10_000)
        """Records that are none of a hotlist, with the reason, for the dead letters."""

    def start(self) -> None:
        """Begin to follow, in the running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="hotlist")

    async def ready(self) -> None:
        """Wait until everything that lay on the topic at the start is in the hotlist."""
        await self._ready.wait()

    async def ended(self) -> None:
        """Wait until it follows no more. A broker that is away does not end it.

        Raises:
            Exception: the fault that has ended it; from then on the hotlist stands still.
        """
        task = self._task
        if task is not None:
            # awaiting the task itself would cancel it together with who waits
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def stop(self) -> None:
        """Stop following. A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # a fault is for who waits for the end
            await asyncio.wait({task})

    async def _run(self) -> None:
        positions: dict[TopicPartition, int] = {}
        while True:
            consumer = AIOKafkaConsumer(
                self._topic,
                bootstrap_servers=self._brokers.split(","),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=250,
                max_partition_fetch_bytes=4 << 20,
                **_log_on(self._security),
            )
            try:
                await consumer.start()
                await self._follow(consumer, positions)
            except (KafkaError, OSError) as error:
                log.warning("hotlist: cannot read topic %s (%s); trying again", self._topic, error)
            finally:
                await consumer.stop()
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self, consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]) -> None:
        # without a group the client takes all partitions by itself
        partitions = sorted(consumer.assignment())
        for partition in partitions:
            if partition in positions:
                consumer.seek(partition, positions[partition])
            else:
                await consumer.seek_to_beginning(partition)
        ends = await consumer.end_offsets(partitions)
        while True:
            for partition in partitions:
                positions[partition] = await consumer.position(partition)
            # a few entries at a time: others want their turn, too
            caught_up = self.hotlist.catch_up(1)
            if not self._ready.is_set() and caught_up and all(positions[p] >= ends[p] for p in partitions):
                log.info("hotlist: %d entries", len(self.hotlist))
                self._ready.set()
            batches = await consumer.getmany(timeout_ms=1000 if caught_up else 0, max_records=_AT_ONCE)
            for partition, records in batches.items():
                for r in records:
                    self._apply(Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers)))
                    positions[partition] = r.offset + 1
            await asyncio.sleep(0)

    def _apply(self, record: Record) -> None:
        try:
            self.hotlist.apply(record.key, record.value)
        except SchemaError as error:
            log.warning("hotlist: record %d is none: %s", record.offset, error)
            with contextlib.suppress(asyncio.QueueFull):
                self.bad.put_nowait((record, str(error)))
