"""Faust apps, one per role, and the process that runs them until it is told to end.

platefleet-tracker   fleet.reads -> fleet.sightings, fleet.cameras
platefleet-vehicles  fleet.sightings -> fleet.alerts
platefleet-sink      all of them -> ClickHouse
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator

import faust

from plumbing.bus import BusError
from plumbing.clock import Clock, SystemClock
from plumbing.kafka_admin import KafkaSecurity, create_topics, list_topics, wait_for_broker
from schemas.topics import Topic
from store import open_store
from store.interface import Store
from streams import agents
from streams.follow import HotlistFollower, ssl_context
from streams.quiet import quieten
from streams.settings import StreamSettings

log = logging.getLogger(__name__)

_STOP_S = 4.0
PATIENCE_S = 30.0
"""How long a start waits for a broker's first answer."""
_BUFFER = 16_384
"""Changes of tables that wait to be recovered."""
_FETCH = 512 << 10
"""Most bytes of a partition in one answer (a larger message comes alone). More makes answers whose memory the system
takes back and gives anew each time: twice the time of a message (measured)."""
_COLLECT_AFTER = 100_000
"""So many more objects than went are there when Python's collector looks for cycles, instead of 700. Records that wait
for their rows to be in are no cycles, and looking through them took 7 % of the sink's time (measured)."""


class StreamsCrashed(RuntimeError):
    """An app ended by itself; whoever supervises starts the process again."""


def _credentials(security: KafkaSecurity) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """How Faust logs on; None for plain text without a password."""
    context = ssl_context(security)
    if security.protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def make_app(
    settings: StreamSettings,
    role: str,
    partitions: int,
    *,
    clock: Clock | None = None,
    store: Store | None = None,
    follower: HotlistFollower | None = None,
    stop: threading.Event | None = None,
) -> faust.App:
    """The Faust app of one role, not started.

    Args:
        settings: of the process.
        role: `tracker`, `vehicles` or `sink`.
        partitions: of the role's source topic: its tables have as many.
        clock: wall clock and monotonic clock.
        store: where the sink inserts; opened from `settings.store_url` when it is None.
        follower: keeps the hotlist; made when it is None.
        stop: set by the caller before the app is stopped, so that the sink waits no longer for its store.
    """
    clock = clock or SystemClock()
    app = faust.App(
        f"{settings.app_id}-{role}",
        broker=[f"kafka://{address.strip()}" for address in settings.brokers.split(",")],
        broker_credentials=_credentials(settings.security),
        datadir=str(settings.data_dir / role),
        store="memory://",
        Table=agents.SourceTable,
        processing_guarantee="at_least_once",
        autodiscover=False,
        web_enabled=bool(settings.web_port),
        web_port=settings.web_port or 6066,
        consumer_group_instance_id=f"{settings.instance_id}-{role}",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_commit_interval=settings.commit_interval_s,
        broker_max_poll_records=2000,
        stream_buffer_maxsize=_BUFFER,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_replication_factor=settings.replication,
        producer_linger_ms=settings.linger_ms,
        producer_max_request_size=4 << 20,
        consumer_max_fetch_size=_FETCH,
        worker_redirect_stdouts=False,
    )
    if role == "tracker":
        agents.add_tracker(app, settings, clock, partitions)
    elif role == "vehicles":
        follower = follower or HotlistFollower(settings.brokers, settings.topics.hotlist, settings.security)
        agents.add_vehicles(app, settings, clock, partitions, follower)
    elif role == "sink":
        agents.add_sink(app, settings, clock, store or open_store(settings.store_url), stop or threading.Event())
    else:
        raise ValueError(f"role {role!r} is none of tracker, vehicles, sink")
    return app


def create_changelogs(settings: StreamSettings, partitions: dict[str, int]) -> None:
    """Create the tables' changelogs where they are missing: a worker that meets a new topic does not see it at once.

    Raises:
        BusError: the cluster cannot be reached or refuses.
    """
    changelogs = [
        Topic(
            name=f"{settings.app_id}-{role}-{table}-changelog",
            about=f"State of the {role}",
            key="of the table",
            partitions=partitions[role],
            retention_ms=None,
            cleanup="compact",
            max_message_bytes=4 << 20,
            producers=("streams",),
            consumers=("streams",),
        )
        for role in settings.roles
        for table in agents.TABLES[role]
    ]
    create_topics(settings.brokers, changelogs, replication=settings.replication, security=settings.security)


def source_partitions(settings: StreamSettings) -> dict[str, int]:
    """Role -> partitions of its source topic.

    Raises:
        BusError: no broker answers, or a topic is missing: Faust would wait for it without a word.
    """
    wait_for_broker(settings.brokers, PATIENCE_S, settings.security)
    known = list_topics(settings.brokers, security=settings.security)
    names = settings.topics
    wanted = (names.reads, names.sightings, names.alerts, names.hotlist, names.cameras, names.dead)
    absent = [name for name in wanted if name not in known]
    if absent:
        raise BusError(f"topics {', '.join(absent)} do not exist at {settings.brokers}; create the topics first")
    return {"tracker": known[names.reads], "vehicles": known[names.sightings], "sink": known[names.reads]}


def run(
    settings: StreamSettings,
    *,
    store: Store | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run the roles of `settings` until SIGTERM or SIGINT; then end within 5 seconds.

    Args:
        settings: of the process.
        store: where the sink inserts, instead of what `store_url` says.
        on_ready: called once every role has its partitions and has recovered its tables.

    Raises:
        BusError: no broker answers, or the topics do not exist.
        StreamsCrashed: an app ended by itself; its reason is in the log.
    """
    quieten()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    partitions = source_partitions(settings)
    create_changelogs(settings, partitions)
    asyncio.run(_run(settings, partitions, store, on_ready))


async def _run(
    settings: StreamSettings, partitions: dict[str, int], store: Store | None, on_ready: Callable[[], None] | None
) -> None:
    clock = SystemClock()
    follower = HotlistFollower(settings.brokers, settings.topics.hotlist, settings.security)
    stop_sink = threading.Event()
    opened = store
    if "sink" in settings.roles and store is None:
        opened = open_store(settings.store_url)
    apps = [
        make_app(settings, role, partitions[role], clock=clock, store=opened, follower=follower, stop=stop_sink)
        for role in settings.roles
    ]
    with _signals() as stopped:
        watch = asyncio.create_task(_supervise(apps, on_ready))
        wait = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait((watch, wait), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
        finally:
            stop_sink.set()
            crashed = watch.done() and watch.exception() is not None
            for task in (watch, wait):
                task.cancel()
            await _end(apps, follower, status=int(crashed))
            if opened is not None and store is None:
                opened.close()


async def _supervise(apps: list[faust.App], on_ready: Callable[[], None] | None) -> None:
    await asyncio.gather(*(app.start() for app in apps))
    if on_ready is not None:
        while not all(_is_ready(app) for app in apps):
            await asyncio.sleep(0.05)
        on_ready()
    crashed = [asyncio.create_task(app._crashed.wait(), name=app.conf.id) for app in apps]
    try:
        done, _ = await asyncio.wait(crashed, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in crashed:
            task.cancel()
    name = next(iter(done)).get_name()
    reason = next(app._crash_reason for app in apps if app.conf.id == name)
    raise StreamsCrashed(f"{name} has crashed: {type(reason).__name__}: {reason}")


def _is_ready(app: faust.App) -> bool:
    return bool(app.consumer.assignment()) and not app.rebalancing and app.tables.actives_ready


async def _end(apps: list[faust.App], follower: HotlistFollower, status: int) -> None:
    """Stop all; what hangs is left behind, since everything unfinished is read again.

    Args:
        status: of the process when something hangs: a crash must not look like an orderly end.
    """
    await follower.stop()
    tasks = [asyncio.create_task(app.stop()) for app in apps]
    _, late = await asyncio.wait(tasks, timeout=_STOP_S)
    if late:
        log.warning("streams: %d of %d apps did not stop in %.0f s; ending without them", len(late), len(apps), _STOP_S)
        logging.shutdown()
        os._exit(status)


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
