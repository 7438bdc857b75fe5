"""Frames on disk while there is no network: a bounded queue of append-only files that survives a crash at any byte.

In: frames as they would travel. Out: the same frames, oldest first, until each is acknowledged.

A record is magic, CRC-32 of what follows, length of header and value, header (msgpack), value. Records lie in
segment files `<number>.seg`; a segment goes when all of it is acknowledged, and `acked.json` says how far the
oldest one is. What was acknowledged in the last moment before a crash may be sent twice, never not at all.
"""

import errno
import fcntl
import json
import logging
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from plumbing.clock import Clock, SystemClock
from schemas.frame import FrameHeader

_HEAD = struct.Struct("<4sIII")
_MAGIC = b"PFs1"
_MAX_HEADER = 1 << 20
_MAX_VALUE = 64 << 20
_header_decoder = msgspec.msgpack.Decoder(FrameHeader)
_header_encoder = msgspec.msgpack.Encoder()
_T = TypeVar("_T")

log = logging.getLogger(__name__)


class SpoolError(Exception):
    """The spool cannot be opened or written; the text is one line that says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """How much may lie on disk and when it must be safe there."""

    max_bytes: int = 4 << 30
    """Beyond it the oldest segment is dropped, and its frames counted."""
    segment_bytes: int = 16 << 20
    fsync: Literal["always", "interval", "never"] = "interval"
    """`always`: before `append` returns. `interval`: at most `fsync_s` later. `never`: when the system likes."""
    fsync_s: float = 1.0


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One frame taken from the spool, and where it lies."""

    segment: int
    offset: int
    end: int
    header: FrameHeader
    value: bytes


@dataclass(slots=True)
class _Segment:
    frames: int = 0
    size: int = 0
    acked: int = 0


class Spool:
    """One folder, one process; appending and taking may happen on different threads."""

    def __init__(self, folder: Path, settings: SpoolSettings = SpoolSettings(), *, clock: Clock | None = None) -> None:
        """Open the folder, or make it; a torn last record is cut off.

        Raises:
            SpoolError: the folder cannot be written, or another process has it.
        """
        self._folder = folder
        self._settings = settings
        self._segment_bytes = min(settings.segment_bytes, settings.max_bytes // 4)
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self.dropped = 0
        """Frames given up because the spool was full, since it was opened."""
        self.damaged = 0
        """Stretches of segments that could not be read, since it was opened."""
        self._closed = False
        self._taken: deque[tuple[SpoolEntry, bool]] = deque()
        self._segments: dict[int, _Segment] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = (folder / "lock").open("a")
        except OSError as error:
            raise SpoolError(f"{folder}: no spool can be kept here: {error.strerror}") from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise SpoolError(f"{folder}: another process has this spool; give each publisher its own") from error
        try:
            self._load()
        except OSError as error:
            self._lock_file.close()
            raise SpoolError(f"{folder}: the spool cannot be read: {error.strerror}") from error

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:010}.seg"

    def _load(self) -> None:
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.seg") if path.stem.isdecimal())
        acked_segment, acked_offset = self._load_acked()
        for number in [n for n in numbers if n < acked_segment]:
            self._path(number).unlink()
        numbers = [n for n in numbers if n >= acked_segment]
        for number in numbers:
            data = self._path(number).read_bytes()
            places = list(_records(data))
            segment = _Segment(frames=len(places), size=len(data))
            if number == acked_segment:
                segment.acked = sum(1 for _, end in places if end <= acked_offset)
            self._segments[number] = segment
        self._write = max(numbers[-1] if numbers else 0, acked_segment) + 1
        """A new segment at every start: what a crash left torn is never written behind."""
        self._segments[self._write] = _Segment()
        self._file = FileIO(self._path(self._write), "w")
        self._synced = self._clock.monotonic()
        self._dirty = False
        first = min(self._segments)
        self._read = first, acked_offset if first == acked_segment else 0
        self._acked = self._read
        self._acked_saved = self._read

    def _load_acked(self) -> tuple[int, int]:
        try:
            found = json.loads((self._folder / "acked.json").read_text("utf-8"))
            return int(found["segment"]), int(found["offset"])
        except FileNotFoundError:
            return 0, 0
        except (ValueError, KeyError, TypeError):
            # Written by rename, so this is a damaged disk: sending all again is safe, losing is not.
            return 0, 0

    @property
    def pending(self) -> int:
        """Frames not yet acknowledged."""
        with self._changed:
            return sum(segment.frames - segment.acked for segment in self._segments.values())

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        with self._changed:
            return sum(segment.size for segment in self._segments.values())

    def append(self, header: FrameHeader, value: bytes) -> None:
        """Keep one frame. When the disk or the bound is full, the oldest frames go first and are counted.

        Raises:
            SpoolError: the frame cannot be written even so, or what was written cannot be made safe on the disk.
        """
        meta = _header_encoder.encode(header)
        crc = zlib.crc32(value, zlib.crc32(meta))
        record = _HEAD.pack(_MAGIC, crc, len(meta), len(value)) + meta + value
        with self._changed:
            if self._closed:
                raise SpoolError(f"{self._folder}: the spool is closed")
            if self._segments[self._write].size + len(record) > self._segment_bytes:
                self._roll()
            self._make_room(len(record))
            self._with_room(lambda: self._put(record))
            segment = self._segments[self._write]
            segment.size += len(record)
            segment.frames += 1
            self._dirty = True
            self._changed.notify_all()
            due = self._clock.monotonic() - self._synced >= self._settings.fsync_s
            if self._settings.fsync == "always" or (self._settings.fsync == "interval" and due):
                self._sync()

    def _with_room(self, write: Callable[[], _T]) -> _T:
        """What `write` gives; as long as the disk is full the oldest segment goes and it is called again."""
        while True:
            try:
                return write()
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not (full and self._drop_oldest()):
                    raise SpoolError(f"{self._folder}: a frame cannot be kept: {error.strerror}") from error

    def _put(self, record: bytes) -> None:
        # Always at the end of the last whole record: what a failed write left there is written over.
        self._file.seek(self._segments[self._write].size)
        left = memoryview(record)
        while left:
            left = left[self._file.write(left) :]

    def _sync(self) -> None:
        if self._dirty and self._settings.fsync != "never":
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise SpoolError(
                    f"{self._folder}: frames cannot be made safe on the disk: {error.strerror}; check the disk"
                ) from error
        self._dirty = False
        self._synced = self._clock.monotonic()

    def sync(self) -> None:
        """Make sure that all that was appended is on the disk (unless the policy is `never`).

        Raises:
            SpoolError: the disk refuses.
        """
        with self._changed:
            if not self._closed:
                self._sync()

    def _roll(self) -> None:
        if self._segments[self._write].size == 0:
            return
        self._sync()
        # The old file stays until the new one is there: a full disk must leave the spool as it was.
        file = self._with_room(lambda: FileIO(self._path(self._write + 1), "w"))
        with suppress(OSError):
            self._file.close()
        self._file = file
        self._write += 1
        self._segments[self._write] = _Segment()

    def _make_room(self, wanted: int) -> None:
        while sum(s.size for s in self._segments.values()) + wanted > self._settings.max_bytes:
            if not self._drop_oldest():
                return

    def _drop_oldest(self) -> bool:
        oldest = min(self._segments)
        if oldest == self._write:
            return False
        segment = self._segments[oldest]
        self.dropped += segment.frames - segment.acked
        self._remove(oldest)
        return True

    def _remove(self, number: int) -> None:
        del self._segments[number]
        try:
            self._path(number).unlink(missing_ok=True)
        except OSError as error:
            # The next start removes it; at worst its frames are sent twice.
            log.warning("%s: cannot be removed: %s", self._path(number), error.strerror)
        following = min(self._segments), 0
        self._read = max(self._read, following)
        self._acked = max(self._acked, following)

    def take(self, timeout: float = 0.0) -> SpoolEntry | None:
        """The oldest frame that was not taken yet; None when there is none within `timeout` seconds."""
        with self._changed:
            entry = self._next()
            if entry is None and timeout > 0 and not self._closed:
                self._changed.wait(timeout)
                entry = self._next()
            if entry is not None:
                self._taken.append((entry, False))
            return entry

    def _next(self) -> SpoolEntry | None:
        while True:
            number, offset = self._read
            segment = self._segments.get(number)
            if segment is not None and offset < segment.size:
                entry = self._load_record(number, offset, segment.size)
                self._read = number, entry.end if entry else segment.size
                if entry:
                    return entry
            later = [n for n in self._segments if n > number]
            if not later:
                return None
            self._read = min(later), 0

    def _load_record(self, number: int, offset: int, size: int) -> SpoolEntry | None:
        try:
            return self._read_record(number, offset, size)
        except OSError as error:
            self.damaged += 1
            log.error("%s: cannot be read, the rest of it is passed over: %s", self._path(number), error.strerror)
            return None

    def _read_record(self, number: int, offset: int, size: int) -> SpoolEntry | None:
        with self._path(number).open("rb") as file:
            file.seek(offset)
            head = file.read(_HEAD.size)
            length = _length(head)
            if length is not None and offset + length <= size:
                entry = _entry(number, offset, head + file.read(length - _HEAD.size))
                if entry is not None:
                    return entry
            self.damaged += 1
            file.seek(0)
            data = file.read(size)
        place = next((place for place, _ in _records(data, offset + 1)), None)
        if place is None:
            return None
        return _entry(number, place, data[place:])

    def ack(self, entry: SpoolEntry) -> None:
        """The broker has it; the spool lets go of it once all older ones are acknowledged too."""
        with self._changed:
            for place, (taken, _) in enumerate(self._taken):
                if taken is entry:
                    self._taken[place] = (entry, True)
                    break
            else:
                return
            if entry.segment not in self._segments:
                self.dropped -= 1
            while self._taken and self._taken[0][1]:
                done = self._taken.popleft()[0]
                self._acked = max(self._acked, (done.segment, done.end))
                if done.segment in self._segments:
                    self._segments[done.segment].acked += 1
            for number in [n for n in self._segments if n < self._acked[0] and n != self._write]:
                self._remove(number)

    def save(self) -> None:
        """Write down how far the acknowledgements are; a crash then repeats only what came after.

        Raises:
            SpoolError: the disk refuses; a later call tries again.
        """
        with self._changed:
            if self._acked == self._acked_saved:
                return
            new = self._folder / "acked.json.new"
            try:
                new.write_text(json.dumps({"segment": self._acked[0], "offset": self._acked[1]}), "utf-8")
                new.replace(self._folder / "acked.json")
            except OSError as error:
                raise SpoolError(
                    f"{self._folder}: what is acknowledged cannot be written down: {error.strerror}; "
                    "after a crash it is sent again"
                ) from error
            self._acked_saved = self._acked

    def close(self) -> None:
        """Make all safe and let go of the folder. A second call does nothing.

        Raises:
            SpoolError: the disk refuses; the folder is let go all the same.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            try:
                self._sync()
                self.save()
                self._file.close()
                for number, segment in list(self._segments.items()):
                    if segment.frames == segment.acked:
                        self._path(number).unlink(missing_ok=True)
            except OSError as error:
                raise SpoolError(f"{self._folder}: the spool cannot be closed cleanly: {error.strerror}") from error
            finally:
                self._lock_file.close()
                self._changed.notify_all()


def _length(head: bytes) -> int | None:
    """Bytes of the record that begins with `head`, None when none can begin so."""
    if len(head) < _HEAD.size:
        return None
    magic, _, meta, value = _HEAD.unpack(head)
    if magic != _MAGIC or meta > _MAX_HEADER or value > _MAX_VALUE:
        return None
    return int(_HEAD.size + meta + value)


def _entry(segment: int, offset: int, record: bytes) -> SpoolEntry | None:
    """The record at the start of `record`, None when it is torn or its checksum is wrong."""
    length = _length(record[: _HEAD.size])
    if length is None or len(record) < length:
        return None
    _, crc, meta, _ = _HEAD.unpack_from(record)
    body = record[_HEAD.size : length]
    if zlib.crc32(body) != crc:
        return None
    try:
        header = _header_decoder.decode(body[:meta])
    except msgspec.MsgspecError:
        return None
    return SpoolEntry(segment, offset, offset + length, header, body[meta:])


def _records(data: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """(begin, end) of each sound record of a segment from `start` on; what lies between is passed over."""
    place = data.find(_MAGIC, start)
    while place >= 0:
        length = _length(data[place : place + _HEAD.size])
        if length is not None and place + length <= len(data):
            crc = _HEAD.unpack_from(data, place)[1]
            if zlib.crc32(memoryview(data)[place + _HEAD.size : place + length]) == crc:
                yield place, place + length
                place = data.find(_MAGIC, place + length)
                continue
        place = data.find(_MAGIC, place + 1)
