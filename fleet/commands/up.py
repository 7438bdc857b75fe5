"""`platefleet up`: everything on this machine, from a source of frames to sightings in SQL and alerts on a topic."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet.commands.publish import PREFIX
from fleet.terminal import err, out, print_json, progress_bar, stop_event

if TYPE_CHECKING:
    from fleet.run import Plan, Screen
    from fleet.settings import Settings
    from schemas.alert import Alert
    from schemas.hotlist import HotlistEntry
    from schemas.sighting import Sighting

_SIM = "sim"
_NONE = "none"


@click.command()
@click.option(
    "--source",
    default=None,
    show_default="PLATEFLEET_SOURCE, else sim",
    help="sim, none, a folder, a file, rtsp://..., /dev/videoN.",
)
@click.option("--cameras", type=click.IntRange(min=1), default=None, help="How many cameras; of sim: 4.")
@PREFIX
@click.option("--speed", type=click.Choice(["realtime", "max"]), default="realtime", show_default=True)
@click.option("--now", is_flag=True, help="Play a recording as if it were driven now; sim always is.")
@click.option("--hotlist", type=click.Path(path_type=Path), default=None, help="CSV or text file to import first.")
@click.option("--exit", "leave", is_flag=True, help="End when the source is at its end, and print a report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def up(
    source: str | None,
    cameras: int | None,
    prefix: str | None,
    speed: str,
    now: bool,
    hotlist: Path | None,
    leave: bool,
    as_json: bool,
) -> None:
    """Run Kafka, workers, streams, store and cameras on this machine until Ctrl-C.

    Without options: the demo, four simulated dash cams. With PLATEFLEET_BROKERS, PLATEFLEET_STORE_URL and
    PLATEFLEET_RAY_ADDRESS set, those are used and not started. An address with a password belongs into
    PLATEFLEET_SOURCE.
    """
    from fleet.settings import load_settings

    settings = load_settings()
    source = source or (settings.source.get_secret_value() if settings.source else _SIM)
    with stop_event() as stop:
        plan = _plan(settings, source, cameras, prefix, speed, now, hotlist, leave, stop)
        from fleet.run import Run

        err.print(f"starting; data in {settings.data_dir}", soft_wrap=True)
        report = Run(settings, plan, _screen(as_json), stop).go()
        interrupted = stop.is_set()
    if report is not None:
        from fleet.summary import print_report

        if as_json:
            print_json(report.as_json())
        else:
            print_report(report, out)
        if report.source_errors or report.dead_letters:
            raise SystemExit(1)
    elif interrupted:
        err.print("stopped")


def _plan(
    settings: "Settings",
    source: str,
    cameras: int | None,
    prefix: str | None,
    speed: str,
    now: bool,
    hotlist: Path | None,
    leave: bool,
    stop: threading.Event,
) -> "Plan":
    from fleet.errors import CommandError
    from fleet.hotlist_files import read_entries
    from fleet.run import Plan

    entries: list[HotlistEntry] = read_entries(hotlist, hotlist.stem, "up") if hotlist else []
    if source == _NONE:
        if leave:
            raise CommandError("--exit needs a source that ends; --source none has none")
        return Plan("", None, speed, False, False, tuple(entries), None, time.monotonic())
    if source == _SIM:
        folder, demo = _demo(settings, cameras or 4, stop)
        return Plan(
            str(folder), cameras or 4, speed, True, leave or settings.demo_exit, (*entries, *demo),
            folder / "truth.jsonl", time.monotonic(),
        )  # fmt: skip
    _check_source(source, cameras, leave)
    truth = Path(source) / "truth.jsonl"
    return Plan(
        source, cameras, speed, now, leave, tuple(entries), truth if truth.is_file() else None, time.monotonic(), prefix
    )


def _demo(settings: "Settings", cameras: int, stop: threading.Event) -> "tuple[Path, list[HotlistEntry]]":
    from fleet.drive import demo_drive, demo_hotlist

    with progress_bar() as bar:
        task = bar.add_task("rendering the demo drive, once", total=None)

        def progress(done: int, total: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            bar.update(task, completed=done, total=total)

        folder = demo_drive(settings, cameras, progress)
    return folder, demo_hotlist(folder)


def _check_source(source: str, cameras: int | None, leave: bool) -> None:
    """Open the source and close it: what is wrong with it is told before anything is started."""
    from cameras.sources import open_sources
    from fleet.errors import CommandError

    found = open_sources(source, cameras=cameras)
    live = [one.name for one in found if one.live]
    for one in found:
        one.close()
    if live and leave:
        raise CommandError(f"--exit needs a source that ends; {live[0]} is live")


def _screen(as_json: bool) -> "Screen":
    from fleet.commands.alerts import alert_line
    from fleet.run import Screen

    def sighting(message: "Sighting") -> None:
        if message.status == "final":
            return
        place = "" if message.lat is None or message.lon is None else f" at {message.lat:.5f},{message.lon:.5f}"
        err.print(
            f"{message.first_seen:%H:%M:%S} {message.camera_id} saw {message.plate} {message.region or '?'} "
            f"{message.confidence:.0%}{place}",
            soft_wrap=True,
        )

    def alert(message: "Alert") -> None:
        err.print(alert_line(message), soft_wrap=True, style="bold red")

    def note(text: str) -> None:
        err.print(text, soft_wrap=True, style="dim")

    return Screen(note, sighting, alert)
