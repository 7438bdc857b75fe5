"""Numbers for pictures that bring none: they rise for ever, also across restarts, so that (camera_id, seq) is new."""

import json
import os
import threading
from pathlib import Path
from typing import Protocol

from plumbing.clock import Clock, SystemClock


class Sequence(Protocol):
    """Hands out picture numbers per camera."""

    def take(self, camera_id: str, count: int = 1) -> int:
        """The first of `count` numbers in a row that were never given out for this camera."""

    def close(self) -> None:
        """Write down what is known. A second call does nothing."""


class ClockSequence:
    """Starts at the wall clock in microseconds: needs no file.

    A restart starts above all that went before, as long as the clock is not set back and a camera makes
    fewer than a million pictures a second. The gap at a restart is as long as the pause.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._next: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, camera_id: str, count: int = 1) -> int:
        """The first of `count` numbers in a row."""
        with self._lock:
            first = self._next.get(camera_id)
            if first is None:
                first = self._clock.now_ms() * 1000
            self._next[camera_id] = first + count
            return first

    def close(self) -> None:
        """Nothing to write down."""


class StoredSequence:
    """Keeps a high-water mark per camera in a small file, so that numbers go on without a gap.

    A block of numbers is written down before the first of them is given out: after a crash up to
    `block` numbers are never used, and none is used twice. A clean `close` leaves no gap.
    """

    def __init__(self, path: Path, *, block: int = 1000) -> None:
        self._path = path
        self._block = block
        self._lock = threading.Lock()
        self._marks = self._load()
        self._next = dict(self._marks)
        self._closed = False

    def _load(self) -> dict[str, int]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self._path}: the picture counters cannot be read ({error}); mend the file, or remove it and "
                "give the cameras new names"
            ) from error
        if not isinstance(found, dict) or not all(isinstance(mark, int) for mark in found.values()):
            raise ValueError(f"{self._path}: not a table of camera to number; restore it from a copy")
        return found

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self._marks, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)

    def take(self, camera_id: str, count: int = 1) -> int:
        """The first of `count` numbers in a row; writes the file once per block."""
        with self._lock:
            first = self._next.get(camera_id, 0)
            if first + count > self._marks.get(camera_id, 0):
                self._marks[camera_id] = first + count + self._block
                self._save()
            self._next[camera_id] = first + count
            return first

    def close(self) -> None:
        """Write the exact numbers down."""
        with self._lock:
            if not self._closed and self._next != self._marks:
                self._marks = dict(self._next)
                self._save()
            self._closed = True
