"""One target's courier: follows fleet.alerts in a group of its own, and commits what the target has acknowledged.

In: alerts. Out: deliveries, at least once, in each plate's order. A target that is down keeps its alerts on the topic
(as long as that keeps them) and is tried again for ever; nobody else waits for it. A message that cannot be read, or
that the target refuses for what it says, becomes a dead letter. So does one to people, who need the next more than
this one, after some time: the service does not tell whether it is down or refuses.
"""

import logging
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from delivery.forms import render
from delivery.senders import Refused, Sender, SendError
from delivery.target import Target
from plumbing import metrics
from plumbing.bus import BusError, Consumer, Record, TopicPartition
from plumbing.clock import Clock
from plumbing.retry import Backoff
from schemas.alert import Alert
from schemas.codec import SchemaError, decode_json

log = logging.getLogger(__name__)

_POLL_S = 0.5
_COMMIT_S = 1.0
_LOOK_S = 2.0
_REMIND_S = 60.0
_REOPEN_S = 2.0
_BATCH = 100
_SEEN = 10_000
_GRACE_MS = 60_000
"""A target that is new gets alerts from so long before its first start: a crash in that first moment loses none."""


@dataclass(slots=True)
class Status:
    """What a person wants to know of a target."""

    target: str
    state: Literal["starting", "up", "down"] = "starting"
    delivered: int = 0
    skipped: int = 0
    """Other lists or priorities, withdrawals that the form has no word for, revisions that came too late."""
    dead: int = 0
    failed: int = 0
    """Tries that were not acknowledged."""
    backlog: int = 0
    delay_s: float = 0.0
    """Age of the oldest alert that the target does not have."""
    error: str = ""
    """Of the last try; empty when it succeeded."""


class Courier:
    """Delivers to one target until `stop` is set; `run` it on a thread of its own.

    Args:
        target: whom.
        sender: the way there.
        open_consumer: makes the group's consumer, again after the bus has failed.
        offsets_since: gives each partition's first offset of a time (epoch ms) or later.
        topic: of the alerts.
        bury: sends a record to the dead letters, with the reason; returns when it is there.
        clock: wall clock for ages, monotonic clock for waits.
        stop: set to end.
        backoff: waits between tries.
        refusals: tries of a message that the target refuses.
        give_up_s: seconds of tries after which a message is given up whatever the reason; None: never.
    """

    def __init__(
        self,
        target: Target,
        sender: Sender,
        open_consumer: Callable[[], Consumer],
        offsets_since: Callable[[int], Mapping[TopicPartition, int]],
        topic: str,
        bury: Callable[[Record, str], None],
        clock: Clock,
        stop: threading.Event,
        *,
        backoff: Backoff,
        refusals: int,
        give_up_s: float | None = None,
    ) -> None:
        self._target, self._sender, self._open = target, sender, open_consumer
        self._offsets_since = offsets_since
        self._topic, self._bury, self._clock, self._stop = topic, bury, clock, stop
        self._backoff, self._refusals, self._give_up_s = backoff, refusals, give_up_s
        self._consumer: Consumer | None = None
        self._pending: deque[Record] = deque()
        self._done: dict[TopicPartition, int] = {}
        self._begins: dict[TopicPartition, int] = {}
        self._started_ms = clock.now_ms()
        self._revisions: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        self._waits: Iterator[float] | None = None
        self._refused = 0
        self._since: float | None = None
        self._next = self._committed = self._looked = clock.monotonic()
        self._reminded = clock.monotonic()
        self.status = Status(target.name)

    def run(self) -> None:
        """Deliver; whatever goes wrong is logged and begun again: a target is never given up silently."""
        while not self._stop.is_set():
            try:
                with closing(self._open()) as consumer:
                    self._consumer = consumer
                    self._begin()
                    consumer.subscribe([self._topic], self)
                    while not self._stop.is_set():
                        self.turn(consumer)
                    self._commit(consumer)
            except BusError as error:
                log.warning("deliver to %s: %s; trying again", self._target.name, error)
                self._stop.wait(_REOPEN_S)
            except Exception:
                log.exception("deliver to %s: an error that nobody foresaw; trying again", self._target.name)
                self._stop.wait(_REOPEN_S)
        self._sender.close()

    def _begin(self) -> None:
        self._pending.clear()
        self._done.clear()
        self._begins.clear()
        self._recover()

    def turn(self, consumer: Consumer) -> None:
        """Take what came, or try the oldest alert that waits, or wait for the next try."""
        self._consumer = consumer
        now = self._clock.monotonic()
        if now - self._looked >= _LOOK_S:
            self._look(consumer)
        new = consumer.assignment() - self._begins.keys()
        if new:
            self._pin(consumer, new)
        if not self._pending:
            self._commit(consumer)
            self._pending.extend(consumer.poll(_POLL_S, _BATCH))
            return
        left = self._next - now
        if left > 0:
            self._wait(consumer, left)
            return
        if self._attempt(self._pending[0]):
            # a rebalance may have taken it away, but only while the consumer polls
            record = self._pending.popleft()
            self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1
            if self._clock.monotonic() - self._committed >= _COMMIT_S:
                self._commit(consumer)

    def _wait(self, consumer: Consumer, seconds: float) -> None:
        """Stay a member of the group without taking more."""
        self._commit(consumer)
        consumer.pause(consumer.assignment())
        self._pending.extend(consumer.poll(min(seconds, _POLL_S), 1))
        consumer.resume(consumer.assignment())

    def _attempt(self, record: Record) -> bool:
        """Whether the courier is through with the record."""
        if record.offset < self._begins.get(TopicPartition(record.topic, record.partition), 0):
            return self._count("skipped")
        try:
            alert = decode_json(record.value or b"", Alert)
        except SchemaError as error:
            self._bury(record, str(error))
            return self._count("dead")
        body = render(alert, self._target) if self._wanted(alert) else None
        if body is None:
            return self._count("skipped")
        try:
            self._sender.send(alert, body)
        except SendError as error:
            return self._failed(record, error)
        self._note(alert)
        self._recover()
        self._tell_up()
        return self._count("delivered")

    def _pin(self, consumer: Consumer, partitions: Collection[TopicPartition]) -> None:
        """A target that is new begins now, not with all that the topic keeps; from then on its offsets are its own."""
        fresh = [part for part in partitions if consumer.committed(part) is None]
        begins = self._offsets_since(self._started_ms - _GRACE_MS) if fresh else {}
        consumer.commit({part: begins[part] for part in fresh})
        self._begins.update(dict.fromkeys(partitions, 0) | {part: begins[part] for part in fresh})

    def _wanted(self, alert: Alert) -> bool:
        target = self._target
        if target.lists and alert.hotlist_id not in target.lists:
            return False
        if target.priorities and alert.priority not in target.priorities:
            return False
        # corrected under another plate, an alert may be overtaken by its own withdrawal
        said = self._revisions.get(alert.alert_id)
        return said is None or (alert.revision, alert.status == "withdrawn") > said

    def _note(self, alert: Alert) -> None:
        self._revisions[alert.alert_id] = (alert.revision, alert.status == "withdrawn")
        self._revisions.move_to_end(alert.alert_id)
        while len(self._revisions) > _SEEN:
            self._revisions.popitem(last=False)

    def _failed(self, record: Record, error: SendError) -> bool:
        self.status.failed += 1
        metrics.DELIVERY_FAILED.labels(self._target.name).inc()
        why = self._why_give_up(error)
        if why is not None:
            self._bury(record, f"{self._target.name} {why}: {error}")
            log.error("deliver to %s: it %s (%s); the alert is now a dead letter", self._target.name, why, error)
            self._recover()
            return self._count("dead")
        self._waits = self._waits or self._backoff.waits(random.Random())
        wait = max(next(self._waits), error.after_s or 0.0)
        self._next = self._clock.monotonic() + wait
        if self.status.state != "down":
            log.warning("deliver to %s: down (%s); its alerts wait on the topic", self._target.name, error)
            self._reminded = self._clock.monotonic()
        self.status.state, self.status.error = "down", str(error)
        metrics.DELIVERY_UP.labels(self._target.name).set(0)
        return False

    def _why_give_up(self, error: SendError) -> str | None:
        """What to say of a message that is tried no more; None while it is."""
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        self._refused += isinstance(error, Refused)
        if self._refused >= self._refusals:
            return f"refuses it, {self._refused} times"
        if self._give_up_s is not None and now - self._since >= self._give_up_s:
            return f"has not taken it within {(now - self._since) / 3600:.1f} h"
        return None

    def _recover(self) -> None:
        self._refused, self._since, self._waits, self._next = 0, None, None, self._clock.monotonic()

    def _tell_up(self) -> None:
        if self.status.state == "down":
            log.info("deliver to %s: up again", self._target.name)
        self.status.state, self.status.error = "up", ""
        metrics.DELIVERY_UP.labels(self._target.name).set(1)

    def _count(self, outcome: Literal["delivered", "skipped", "dead"]) -> bool:
        setattr(self.status, outcome, getattr(self.status, outcome) + 1)
        metrics.DELIVERY_SENT.labels(self._target.name, outcome).inc()
        return True

    def _look(self, consumer: Consumer) -> None:
        """Backlog and delay, for the status and, while it is down, the log."""
        self._looked = self._clock.monotonic()
        status = self.status
        status.backlog = len(self._pending) + sum(consumer.lag().values())
        oldest = min((record.timestamp_ms for record in self._pending), default=None)
        status.delay_s = 0.0 if oldest is None else max(0.0, (self._clock.now_ms() - oldest) / 1000)
        metrics.DELIVERY_BACKLOG.labels(status.target).set(status.backlog)
        metrics.DELIVERY_DELAY.labels(status.target).set(status.delay_s)
        if status.state == "starting" and consumer.assignment() and not status.backlog:
            status.state = "up"
        if status.state == "down" and self._looked - self._reminded >= _REMIND_S:
            self._reminded = self._looked
            log.warning(
                "deliver to %s: still down (%s); %d alerts wait, the oldest for %.0f s",
                status.target, status.error, status.backlog, status.delay_s,
            )  # fmt: skip

    def _commit(self, consumer: Consumer) -> None:
        self._committed = self._clock.monotonic()
        if self._done:
            done, self._done = dict(self._done), {}
            consumer.commit(done)

    def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """As `RebalanceListener.on_assigned`: their first records come by `poll`."""

    def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        """As `RebalanceListener.on_revoked`: what is done is committed, what is not is the next owner's."""
        gone = set(partitions)
        done = {part: offset for part, offset in self._done.items() if part in gone}
        if done and self._consumer is not None:
            self._consumer.commit(done)
        for part in gone:
            self._done.pop(part, None)
            self._begins.pop(part, None)
        kept = [r for r in self._pending if TopicPartition(r.topic, r.partition) not in gone]
        self._pending.clear()
        self._pending.extend(kept)
        self._recover()
