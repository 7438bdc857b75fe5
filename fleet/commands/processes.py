"""The long-running processes: `workers`, `streams`, `store`. In: settings. Out: a process that ends on SIGTERM.

`up`, docker-compose and Kubernetes start the same three. With --ready-file a file appears when the process serves.
"""

from collections.abc import Callable
from pathlib import Path

import click

from fleet.settings import Settings, load_settings
from fleet.terminal import stop_event

_BROKERS = click.option(
    "--brokers", default=None, help="Kafka; default: PLATEFLEET_BROKERS, or that of a running `up`."
)
_WAIT = click.option(
    "--wait", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait for Kafka's topics."
)
_READY = click.option(
    "--ready-file", type=click.Path(path_type=Path), default=None, help="Written when the process serves."
)


def begin(process: str) -> Settings:
    """Load the settings and set up the logs of a process."""
    from plumbing.logs import setup_logs

    settings = load_settings()
    setup_logs(process, level=settings.log_level, as_json=settings.log_json)
    return settings


def announce(path: Path | None, text: str = "ready") -> Callable[[], None]:
    """What writes the ready file."""

    def write() -> None:
        if path is not None:
            fresh = path.with_name(f".{path.name}")
            fresh.write_text(text)
            fresh.replace(path)

    return write


@click.command()
@_BROKERS
@_WAIT
@_READY
@click.option("--speed", type=click.Choice(["realtime", "max"]), default="realtime", show_default=True)
def workers(brokers: str | None, wait: float, ready_file: Path | None, speed: str) -> None:
    """Read frames from fleet.frames on Ray actors, and send what they show to fleet.reads.

    --speed realtime leaves a core to everything else on this machine, which keeps the latency low.
    """
    from fleet.readiness import wait_for_topics
    from fleet.rooms import kafka_security, worker_settings
    from fleet.running import find_brokers

    settings = begin("workers")
    address = brokers or find_brokers(settings)
    chosen = worker_settings(settings, address, realtime=speed == "realtime")
    with stop_event() as stop:
        if wait_for_topics(address, wait, stop, kafka_security(settings)):
            from workers.service import run

            run(chosen, stop, announce(ready_file))


@click.command()
@_BROKERS
@_WAIT
@_READY
@click.option("--store-url", default=None, help="The store; default: PLATEFLEET_STORE_URL, or that of a running `up`.")
def streams(brokers: str | None, wait: float, ready_file: Path | None, store_url: str | None) -> None:
    """Track, vote, match and store: fleet.reads to sightings, alerts and SQL."""
    from fleet.readiness import wait_for_topics
    from fleet.rooms import kafka_security, stream_settings
    from fleet.running import find_brokers, find_store, with_login

    settings = begin("streams")
    address = brokers or find_brokers(settings)
    store = ""
    if "sink" in settings.stream_roles:
        store = with_login(settings, store_url) if store_url else find_store(settings)
    chosen = stream_settings(settings, address, store)
    with stop_event() as stop:
        ready = wait_for_topics(address, wait, stop, kafka_security(settings))
    if ready:
        from streams.app import run

        run(chosen, on_ready=announce(ready_file))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Default: PLATEFLEET_STORE_PORT or 8123.")
@_READY
def store(port: int | None, ready_file: Path | None) -> None:
    """Own the embedded store in the data folder, and answer ClickHouse's HTTP interface.

    The tables are brought to this version first, and rows are kept as long as the settings say. The ready file holds
    the port.
    """
    from contextlib import closing

    from fleet.rooms import retention
    from fleet.running import STORE_FOLDER
    from store import migrate, open_store
    from store.owner import OwnerSettings, serve
    from store.owner_request import Access
    from store.retention import apply

    settings = begin("store")
    folder = settings.data_dir / STORE_FOLDER
    with closing(open_store(f"chdb://{folder}", threads=settings.threads)) as embedded:
        migrate(embedded)
        apply(embedded, retention(settings))
    wanted = next(number for number in (port, settings.store_port, 8123) if number is not None)
    secret = settings.store_password.get_secret_value() if settings.store_password else ""
    with stop_event() as stop:
        serve(
            folder,
            settings.store_host,
            wanted,
            on_ready=lambda number: announce(ready_file, str(number))(),
            stop=stop,
            settings=OwnerSettings(threads=settings.threads, access=Access(settings.store_user, secret)),
        )
