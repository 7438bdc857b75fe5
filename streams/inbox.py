"""Records on their way from the consumer to the agent of their topic, in the lists in which the client has them.

A list is handed over at once: what a message costs on its own way through Faust is more than all else that is done
to most messages.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from plumbing.bus import Record


def _size(records: Sequence[Record]) -> int:
    return sum(len(record.value or b"") for record in records)


class Inbox:
    """Records of one topic. With `most` of them, or so many bytes, it is full; the list that fills it goes in whole."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lists: deque[Sequence[Record]] = deque()
        self._count = 0
        self._bytes = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether nothing more should be fetched for now."""
        return self._count >= self._most or self._bytes >= self._most_bytes

    def put(self, records: Sequence[Record]) -> None:
        """Add records of one partition, in order; never waits."""
        if records:
            self._lists.append(records)
            self._count += len(records)
            self._bytes += _size(records)
            self._arrived.set()

    async def arrival(self) -> None:
        """Return when there is something to take."""
        while not self._count:
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, most: int) -> Sequence[Record]:
        """The next records of one partition, at most so many; none when it is empty."""
        if not self._lists:
            return ()
        first = self._lists[0]
        if len(first) > most:
            self._lists[0] = first[most:]
            first = first[:most]
        else:
            self._lists.popleft()
        self._count -= len(first)
        self._bytes -= _size(first)
        return first

    def clear(self) -> None:
        """Throw everything away: it is read again."""
        self._lists.clear()
        self._count = self._bytes = 0
