"""One worker process from settings to end: metrics, Ray, Kafka, the loop."""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack

from plumbing.clock import SystemClock
from plumbing.kafka_bus import KafkaBusConsumer, KafkaBusProducer
from plumbing.metrics import MetricsServer
from workers.actors import RayPool
from workers.emitter import Emitter
from workers.feeder import Feeder
from workers.ledger import Ledger
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

MAX_UNACKNOWLEDGED = 256


def run(settings: WorkerSettings, stop: threading.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Read frames until `stop` is set; blocks. The end takes a few seconds.

    What was taken and is not emitted and committed by then is read again after the next start. `on_ready` is called
    when the readers have loaded their models and the group is about to be joined.

    Raises:
        BusError: the broker cannot be reached or refuses.
        PoolError: Ray cannot be started or reached, lacks the GPUs asked for, or its readers keep dying.
    """
    clock = SystemClock()
    with ExitStack() as stack:
        if settings.metrics_port is not None:
            server = MetricsServer(settings.metrics_port, settings.metrics_host)
            stack.callback(server.close)
            log.info("metrics at http://%s:%d/metrics", settings.metrics_host, server.port)
        # Kafka first: an address that is wrong is told in seconds, before Ray has started anything
        name = settings.instance_id or f"{settings.group}-worker"
        producer = KafkaBusProducer(
            settings.brokers, name, max_unacknowledged=2 * MAX_UNACKNOWLEDGED, security=settings.security
        )
        stack.callback(producer.close, 2.0)
        pool = RayPool(settings, stop)
        stack.callback(pool.close)
        if stop.is_set():
            return
        consumer = KafkaBusConsumer(
            settings.brokers, settings.group, name, instance_id=settings.instance_id, security=settings.security
        )
        stack.callback(consumer.close)
        ledger = Ledger()
        emitter = Emitter(
            producer,
            ledger,
            clock,
            reads_topic=settings.reads_topic,
            dead_topic=settings.dead_topic,
            max_unacknowledged=MAX_UNACKNOWLEDGED,
        )
        feeder = Feeder(settings, consumer, pool, emitter, ledger, clock)
        if on_ready is not None:
            on_ready()
        feeder.run(stop)
