"""What a user of the system sees while it runs. In: the public topics and SQL, read as any client does. Out: what
comes, and the latencies where a run has an end at which they are reported.

captured -> alert      capture time of the frame that raised it, to the moment a subscriber holds the message
captured -> sighting   capture time of the newest frame in its first revision, to the moment a SELECT gives its row
captured -> read       capture time of a frame, to the moment a SELECT gives its row
"""

import logging
import math
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from plumbing.bus import BusError, Record
from plumbing.clock import to_ms
from plumbing.kafka_bus import KafkaBusConsumer, KafkaSecurity
from schemas.alert import Alert
from schemas.codec import SchemaError, decode_json
from schemas.sighting import Sighting
from schemas.topics import ALERTS, SIGHTINGS
from store import StoreError, open_store

log = logging.getLogger(__name__)

POLL_S = 0.1
_LOOK_BACK_S = 5
_TOLD = 10_000
"""Sightings whose later revisions are known as such."""


@dataclass(slots=True)
class Seen:
    """What was seen so far; latencies in milliseconds, none where they are not measured."""

    alert_ms: list[int] = field(default_factory=list)
    sighting_ms: list[int] = field(default_factory=list)
    read_ms: list[int] = field(default_factory=list)
    first_sighting: float | None = None
    """`time.monotonic` of the first one on the topic."""


class Monitor:
    """A thread that subscribes to sightings and alerts, and where latencies are measured one that asks SQL.

    Args:
        brokers: Kafka.
        store_url: the store.
        security: how to log on to Kafka.
        on_sighting: called with each sighting when it is first told, and when it is final.
        on_alert: called with each alert.
        measure: keep latencies, for which SQL is asked all the time: only for a run that ends and reports them, because
            they grow with it.
    """

    def __init__(
        self,
        brokers: str,
        store_url: str,
        security: KafkaSecurity,
        on_sighting: Callable[[Sighting], None],
        on_alert: Callable[[Alert], None],
        *,
        measure: bool,
    ) -> None:
        self._brokers, self._store_url, self._security = brokers, store_url, security
        self._on_sighting, self._on_alert = on_sighting, on_alert
        self._stop = threading.Event()
        self._subscribed = threading.Event()
        self._measure = measure
        self._told: OrderedDict[str, None] = OrderedDict()
        self._raised: dict[str, int] = {}
        self._visible: dict[str, int] = {}
        self._reads: set[tuple[object, ...]] = set()
        self._alerts: set[str] = set()
        self._since = _sql_time(time.time() - _LOOK_BACK_S)
        self.seen = Seen()
        self._threads = [threading.Thread(target=self._follow, name="monitor-topics", daemon=True)]
        if measure:
            self._threads.append(threading.Thread(target=self._poll, name="monitor-sql", daemon=True))

    def start(self, timeout: float = 15.0) -> None:
        """Start, and return when what is sent from now on will be seen."""
        for thread in self._threads:
            thread.start()
        self._subscribed.wait(timeout)

    def stop(self) -> None:
        """End both threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)

    def _follow(self) -> None:
        group = f"platefleet-monitor-{uuid.uuid4()}"
        while not self._stop.is_set():
            try:
                consumer = KafkaBusConsumer(
                    self._brokers, group, "platefleet-monitor", from_beginning=False, security=self._security
                )
                with closing(consumer):
                    consumer.subscribe([SIGHTINGS.name, ALERTS.name])
                    while not self._stop.is_set():
                        records = consumer.poll(POLL_S)
                        if consumer.assignment():
                            self._subscribed.set()
                        for record in records:
                            self._take(record)
            except BusError as error:
                log.warning("%s", error)
                self._stop.wait(1.0)

    def _take(self, record: Record) -> None:
        now = time.time_ns() // 1_000_000
        try:
            if record.topic == ALERTS.name:
                self._take_alert(decode_json(record.value or b"", Alert), now)
            else:
                self._take_sighting(decode_json(record.value or b"", Sighting))
        except SchemaError as error:
            log.warning("%s offset %d: %s", record.topic, record.offset, error)

    def _take_alert(self, alert: Alert, now: int) -> None:
        if self._measure and alert.status == "raised" and alert.alert_id not in self._alerts:
            self._alerts.add(alert.alert_id)
            self.seen.alert_ms.append(now - to_ms(alert.seen_at))
        self._on_alert(alert)

    def _take_sighting(self, sighting: Sighting) -> None:
        name = sighting.sighting_id
        if name not in self._told and sighting.status != "withdrawn":
            self._told[name] = None
            if len(self._told) > _TOLD:
                self._told.popitem(last=False)
            if self.seen.first_sighting is None:
                self.seen.first_sighting = time.monotonic()
            if self._measure and name not in self._raised:
                self._raised[name] = to_ms(sighting.last_seen)
                self._match(name)
            self._on_sighting(sighting)
        elif sighting.status == "final":
            self._on_sighting(sighting)

    def _match(self, name: str) -> None:
        """Both ends of a sighting are known: which of them comes last calls this."""
        if name in self._raised and name in self._visible:
            self.seen.sighting_ms.append(self._visible[name] - self._raised[name])

    def _poll(self) -> None:
        with closing(open_store(self._store_url)) as store:
            while not self._stop.wait(POLL_S):
                try:
                    fresh = store.query(
                        "SELECT toString(sighting_id) AS id, max(inserted_at) AS at FROM sightings_raw "
                        "WHERE inserted_at >= {since:DateTime64(3, 'UTC')} GROUP BY id",
                        {"since": self._since},
                    )
                    reads = store.query(
                        "SELECT camera_id, seq, frame_index, toUnixTimestamp64Milli(captured_at) AS captured, "
                        "inserted_at AS at FROM reads_raw WHERE inserted_at >= {since:DateTime64(3, 'UTC')}",
                        {"since": self._since},
                    )
                except StoreError as error:
                    log.warning("%s", error)
                    self._stop.wait(1.0)
                    continue
                self._note(fresh, reads, time.time_ns() // 1_000_000)

    def _note(self, fresh: list[dict[str, object]], reads: list[dict[str, object]], now: int) -> None:
        for row in fresh:
            name = str(row["id"])
            if name not in self._visible:
                self._visible[name] = now
                self._match(name)
        for row in reads:
            key = (row["camera_id"], row["seq"], row["frame_index"])
            if key not in self._reads:
                self._reads.add(key)
                self.seen.read_ms.append(now - int(str(row["captured"])))
        moments = [row["at"] for row in (*fresh, *reads) if isinstance(row["at"], datetime)]
        if moments:
            # rows of one insert become visible together, but two inserts may pass each other
            self._since = _sql_time(max(moments).timestamp() - _LOOK_BACK_S)


def _sql_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + ".000"


def percentile(values: list[int], share: float) -> float:
    """The value below which `share` (0..1) of them lie, nearest rank; NaN without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    # the small number keeps 0.99 * 100 from being a hair over 99
    return float(ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)])
