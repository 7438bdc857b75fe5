"""The delivery process: a courier per target, each on its thread; a status file. In: settings. Out: when `stop` is set.

The alerts stay on fleet.alerts until each target has them: that is the retry queue, and its offsets are the state.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from delivery.courier import Courier, Status
from delivery.senders import open_sender
from delivery.settings import DeliverySettings
from delivery.target import Target
from plumbing.bus import BusError, Record
from plumbing.clock import Clock, SystemClock, from_ms
from plumbing.kafka_admin import list_topics, offsets_since, wait_for_broker
from plumbing.kafka_bus import KafkaBusConsumer, KafkaBusProducer
from plumbing.retry import Backoff
from schemas.codec import encode_dead
from schemas.dead import DeadLetter
from schemas.ids import dead_id

log = logging.getLogger(__name__)

_STATUS_S = 2.0
_END_S = 5.0
_PATIENCE_S = 30.0
_DETAIL = 500


class StatusFile(msgspec.Struct, frozen=True):
    """What `platefleet deliver --status` shows."""

    at_ms: int
    pid: int
    targets: list[Status]


def run(
    settings: DeliverySettings,
    stop: threading.Event,
    on_ready: Callable[[], None] = lambda: None,
    status_file: Path | None = None,
    clock: Clock | None = None,
) -> None:
    """Deliver until `stop` is set.

    Raises:
        BusError: no broker answers, or a topic is missing.
    """
    clock = clock or SystemClock()
    wait_for_broker(settings.brokers, _PATIENCE_S, settings.security)
    known = list_topics(settings.brokers, security=settings.security)
    for topic in (settings.alerts_topic, settings.dead_topic):
        if topic not in known:
            raise BusError(f"topic {topic} does not exist at {settings.brokers}; create the topics first")
    burier = Burier(settings, clock)
    couriers = [make_courier(settings, target, burier, clock, stop) for target in settings.targets]
    threads = [
        threading.Thread(target=courier.run, name=f"deliver-{courier.status.target}", daemon=True)
        for courier in couriers
    ]
    for thread in threads:
        thread.start()
    log.info("delivering to %s", ", ".join(target.name for target in settings.targets))
    told = False
    while not told or not stop.wait(_STATUS_S):
        # who is ready can be asked how far it is
        if status_file is not None:
            write_status(status_file, couriers, clock)
        if not told:
            on_ready()
            told = True
    for thread in threads:
        thread.join(_END_S)
        if thread.is_alive():
            log.warning("%s did not end in time; what it did not commit is delivered again", thread.name)


def write_status(path: Path, couriers: Sequence[Courier], clock: Clock) -> None:
    """Write the file anew; a disk that is full is no reason to stop delivering."""
    told = StatusFile(clock.now_ms(), os.getpid(), [courier.status for courier in couriers])
    fresh = path.with_name(f".{path.name}")
    try:
        fresh.write_bytes(msgspec.json.encode(told))
        fresh.replace(path)
    except OSError as error:
        log.warning("cannot write %s: %s", path, error.strerror or error)


def read_status(path: Path) -> StatusFile | None:
    """What the process last wrote; None when there is nothing to read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=StatusFile)
    except (OSError, msgspec.DecodeError):
        return None


def make_courier(
    settings: DeliverySettings, target: Target, burier: "Burier", clock: Clock, stop: threading.Event
) -> Courier:
    """The courier of one target."""

    def open_consumer() -> KafkaBusConsumer:
        return KafkaBusConsumer(
            settings.brokers,
            f"{settings.app_id}-deliver-{target.name}",
            "platefleet-deliver",
            instance_id=settings.instance_id,
            security=settings.security,
        )

    return Courier(
        target,
        open_sender(target),
        open_consumer,
        lambda since_ms: offsets_since(settings.brokers, settings.alerts_topic, since_ms, security=settings.security),
        settings.alerts_topic,
        burier.bury,
        clock,
        stop,
        backoff=Backoff(first=settings.first_wait_s, most=settings.most_wait_s),
        refusals=settings.refusals,
        give_up_s=settings.notify_give_up_s if target.kind == "notify" else None,
    )


class Burier:
    """Sends dead letters; its producer is made when the first one comes. Any thread may call it."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()

    def bury(self, record: Record, why: str) -> None:
        """Return when the letter is on its topic.

        Raises:
            BusError: it is not.
        """
        letter = DeadLetter(
            dead_id=dead_id("delivery", record.topic, record.partition, record.offset),
            stage="delivery",
            reason="bad_value",
            detail=" ".join(why.split())[:_DETAIL],
            origin_topic=record.topic,
            origin_partition=record.partition,
            origin_offset=record.offset,
            trace_id=f"{record.topic}-{record.partition}-{record.offset}",
            at=from_ms(self._clock.now_ms()),
        )
        headers = encode_dead(letter, list(record.headers))
        with (
            self._lock,
            closing(
                KafkaBusProducer(self._settings.brokers, "platefleet-deliver", security=self._settings.security)
            ) as producer,
        ):
            sent = producer.send(self._settings.dead_topic, record.value, key=record.key, headers=headers)
            producer.flush(30.0)
            sent.result(1.0)
