"""A few idle connections, shared by threads.

Comes in: how to make a connection and how to end one. Goes out: one that is idle, or a new one. Who took it alone uses
it, and gives it back when it is whole.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from store.interface import StoreUnavailable

C = TypeVar("C")
_MOST = 8


class Pool(Generic[C]):
    """Connections to one store. `shown` is its address without a password."""

    def __init__(self, make: Callable[[], C], end: Callable[[C], None], shown: str) -> None:
        self._make, self._end, self._shown = make, end, shown
        self._idle: list[C] = []
        self._lock = threading.Lock()
        self._closed = False

    def take(self, *, fresh: bool = False) -> tuple[C, bool]:
        """A connection, and whether it was used before: the other side may have closed it meanwhile.

        Raises:
            StoreUnavailable: the pool is closed.
        """
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the store client of {self._shown} is closed")
            if self._idle and not fresh:
                return self._idle.pop(), True
        return self._make(), False

    def give_back(self, connection: C) -> None:
        """Keep it for the next, or end it where there are enough."""
        with self._lock:
            if not self._closed and len(self._idle) < _MOST:
                self._idle.append(connection)
                return
        self._end(connection)

    def close(self) -> None:
        """End the idle ones; those in use end when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            self._end(connection)
