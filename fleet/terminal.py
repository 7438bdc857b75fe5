"""What every command shares at the terminal: consoles, progress, JSON lines, who sits there, an event for Ctrl-C."""

import getpass
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# what is printed holds names and reasons that others wrote: none of it is markup
err = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""For people: progress, notes."""
out = Console(highlight=False, markup=False, emoji=False)
"""For results in tables."""


def user() -> str:
    """The person at the terminal, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run as a user without a name
        return "unknown"


def print_json(value: Any) -> None:
    """One JSON object, one line, at once on standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def progress_bar() -> Progress:
    """A bar on standard error that goes away when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set while the block runs; a second Ctrl-C ends the program at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
