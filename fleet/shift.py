"""A recorded drive as if it were driven now. In: its cameras. Out: the same cameras with other times and numbers.

A drive that is played twice must not look like the same frames twice: each time gets picture numbers above the last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cameras.sources import Source, SourceError, SourceMessage
from cameras.sources.recording import INDEX_NAME, RecordedCamera, RecordedFrame
from plumbing.clock import Clock


@dataclass(frozen=True, slots=True)
class Shift:
    """What is added to every message of a drive."""

    ms: int = 0
    seq: int = 0


class ShiftedSource:
    """A source with its times and numbers shifted."""

    def __init__(self, source: Source, shift: Shift) -> None:
        self._source = source
        self._shift = shift
        self.name = source.name
        self.camera_id = source.camera_id
        self.live = source.live
        self.total = source.total
        self.skipped = source.skipped
        self.notes = source.notes

    def __iter__(self) -> Iterator[SourceMessage]:
        """The messages, shifted."""
        for message in self._source:
            yield replace(message, captured_at=message.captured_at + self._shift.ms, seq=message.seq + self._shift.seq)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def shift_to_now(cameras: Sequence[RecordedCamera], clock: Clock, *, at_end: bool) -> Shift:
    """The one shift of all cameras of a drive that makes it begin now or, `at_end`, end now.

    Raises:
        SourceError: an index cannot be read.
    """
    if not cameras:
        return Shift()
    now = clock.now_ms()
    if at_end:
        known = max(_last_ms(Path(camera.name) / INDEX_NAME) for camera in cameras)
    else:
        known = min(camera.first_ms for camera in cameras)
    # microseconds: above what any earlier play of this drive, or a clock sequence, has given out
    return Shift(now - known, now * 1000)


def _last_ms(index: Path) -> int:
    try:
        lines = [line for line in index.read_bytes().splitlines() if line.strip()]
        return msgspec.json.decode(lines[-1], type=RecordedFrame).captured_at
    except (OSError, IndexError, msgspec.DecodeError) as error:
        raise SourceError(f"{index}: its last line cannot be read: {error}") from error
