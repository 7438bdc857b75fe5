"""`platefleet publish`: a folder, file, stream or device in, messages on fleet.frames out."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from fleet.terminal import err, print_json, progress_bar, stop_event

if TYPE_CHECKING:
    from cameras.publisher import PublishSummary
    from cameras.sources import Source
    from fleet.settings import Settings
    from fleet.shift import Shift

PREFIX = click.option(
    "--prefix",
    default=None,
    show_default="cam; of a live camera: this machine's name and a hash of the address",
    help="Names of cameras that have none: PREFIX-01, ...",
)


@click.command()
@click.argument("source", required=False)
@click.option("--cameras", type=click.IntRange(min=1), default=None, help="How many cameras the source stands for.")
@click.option("--speed", type=click.Choice(["realtime", "max"]), default="realtime", show_default=True)
@click.option("--now", is_flag=True, help="Play a recording as if it were driven now: other times, new numbers.")
@PREFIX
@click.option("--brokers", default=None, help="Kafka; default: PLATEFLEET_BROKERS, or that of a running `up`.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines: started, progress, done.")
def publish(
    source: str | None,
    cameras: int | None,
    speed: str,
    now: bool,
    prefix: str | None,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Send the frames of SOURCE to Kafka as they were compressed.

    SOURCE is a folder (a recorded drive, pictures, or videos), a picture, a video, rtsp://..., or /dev/videoN; without
    it, what PLATEFLEET_SOURCE names: an address with a password belongs there.
    Frames of a live source wait in the data folder while there is no network.
    """
    from cameras.publisher import publish as send
    from cameras.spool import Spool
    from fleet.errors import CommandError
    from fleet.rooms import kafka_security
    from fleet.running import find_brokers
    from fleet.settings import load_settings
    from plumbing.kafka_bus import KafkaBusProducer
    from plumbing.logs import setup_logs

    settings = load_settings()
    source = source or (settings.source.get_secret_value() if settings.source else None)
    if source is None:
        raise CommandError("no source: name one, or set PLATEFLEET_SOURCE")
    setup_logs("cameras", level=settings.log_level, as_json=settings.log_json)
    address = brokers or find_brokers(settings)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_event())
        sources, shift = _open(settings, source, cameras, prefix, now, speed)
        spool = None
        live = [one.camera_id for one in sources if one.live]
        if live:
            # one folder per camera: several publishers on one machine share the data folder
            spool = Spool(settings.data_dir / "spool" / quote(live[0], safe=""))
            stack.callback(spool.close)
        tell = _teller(stack, sources, as_json)
        if as_json:
            _started(sources, shift)
        security = kafka_security(settings)

        def connect() -> KafkaBusProducer:
            return KafkaBusProducer(address, "platefleet-cameras", security=security)

        summary = send(
            sources,
            connect,
            speed="max" if speed == "max" else "realtime",
            stop=stop,
            on_progress=tell,
            spool=spool,
        )
    _finish(summary, as_json, stop)


def _open(
    settings: "Settings", source: str, cameras: int | None, prefix: str | None, now: bool, speed: str
) -> "tuple[list[Source], Shift]":
    from cameras.sources import open_sources
    from cameras.sources.recording import RecordedCamera
    from fleet.shift import Shift, ShiftedSource, shift_to_now
    from plumbing.clock import SystemClock

    found = open_sources(source, cameras=cameras, camera_prefix=prefix)
    if not now:
        return found, Shift()
    recorded = [one for one in found if isinstance(one, RecordedCamera)]
    if not recorded:
        return open_sources(source, cameras=cameras, rebase=True, camera_prefix=prefix), Shift()
    shift = shift_to_now(recorded, SystemClock(), at_end=speed == "max")
    return [ShiftedSource(one, shift) for one in recorded], shift


def _started(sources: "list[Source]", shift: "Shift") -> None:
    print_json(
        {
            "event": "started",
            "cameras": [one.camera_id for one in sources],
            "frames": None if any(one.total is None for one in sources) else sum(one.total or 0 for one in sources),
            "live": any(one.live for one in sources),
            "shift_ms": shift.ms,
        }
    )


def _teller(stack: ExitStack, sources: "list[Source]", as_json: bool) -> "Callable[[PublishSummary], None]":
    if as_json:
        return _progress_lines()
    bar = stack.enter_context(progress_bar())
    totals = [one.total for one in sources]
    task = bar.add_task("publishing", total=None if None in totals else sum(total or 0 for total in totals))
    return lambda summary: bar.update(task, completed=summary.frames)


def _progress_lines() -> "Callable[[PublishSummary], None]":
    told = 0

    def tell(summary: "PublishSummary") -> None:
        nonlocal told
        # a camera without a network would fill the log of `up` with the same line, for days
        if summary.frames != told:
            told = summary.frames
            print_json({"event": "progress", "frames": told})

    return tell


def _finish(summary: "PublishSummary", as_json: bool, stop: threading.Event) -> None:
    for line in (*summary.notes, *summary.errors):
        err.print(f"platefleet: {line}", soft_wrap=True)
    if as_json:
        print_json(
            {
                "event": "done",
                "frames": summary.frames,
                "bytes": summary.bytes,
                "seconds": round(summary.seconds, 3),
                "complete": summary.complete,
                "errors": list(summary.errors),
                "cameras": {name: count.frames for name, count in summary.cameras.items()},
            }
        )
    else:
        rate = summary.frames / summary.seconds if summary.seconds else 0.0
        err.print(f"{summary.frames} frames of {len(summary.cameras)} cameras, {rate:.1f} frames/s")
    if summary.errors or (not summary.complete and not stop.is_set()):
        raise SystemExit(1)
