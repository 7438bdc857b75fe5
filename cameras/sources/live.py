"""What cameras that cannot be asked twice have in common: their clock, and coming back after a lost connection."""

from datetime import timedelta

from plumbing.clock import Clock

_MAX_LINES = 100

OFFSET_CREEP_MS_PER_S = 1.0
JUMP_MS = timedelta(seconds=5) / timedelta(milliseconds=1)


def without_credentials(address: str) -> str:
    """The address as it may be shown and logged: scheme, host, port and path.

    A password need not be written as an address wants it, so what stands before an `@` is left out, wherever that is.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    shown = rest[: min((rest.find(mark) for mark in "?#" if mark in rest), default=len(rest))]
    if "@" in rest[len(shown) :]:
        # The query belongs to the password, or the `@` to the query: nobody can tell.
        return f"{scheme}://..."
    return f"{scheme}://{shown.rpartition('@')[2]}"


def add_line(lines: list[str], line: str) -> None:
    """Keep the newest lines: a camera that is away for a week must not fill the memory."""
    lines.append(line)
    del lines[:-_MAX_LINES]


class LiveClock:
    """Stream time to wall time, smooth where the network is not.

    The wall clock at arrival less the stream's time is the offset plus a delay that varies; the least of them
    counts, and may rise by 1 ms a second, so that a camera clock that runs slow is followed. A jump of 5 s
    (the stream began anew, a clock was set) starts it afresh.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset: float | None = None
        self._asked = 0.0

    def restart(self) -> None:
        """A new connection: stream time begins anew."""
        self._offset = None

    def origin(self, time: float) -> float:
        """Epoch milliseconds of the stream's second 0, told by the picture of second `time` that has just arrived."""
        now = self._clock.now_ms()
        offset = now - time * 1000
        if self._offset is None or abs(offset - self._offset) > JUMP_MS:
            self._offset = offset
        else:
            creep = max(0.0, time - self._asked) * OFFSET_CREEP_MS_PER_S
            self._offset = min(self._offset + creep, offset)
        self._asked = time
        return self._offset
