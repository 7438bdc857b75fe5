"""How much memory a family of processes takes. In: nothing. Out: the most that was seen, in bytes."""

import threading
from contextlib import suppress

import psutil

PERIOD_S = 10.0
"""A look costs the kernel a tenth of a second: it walks the page tables of some twenty processes."""


def family_bytes() -> int:
    """Memory of this process and all under it; what several share is counted once (proportional set size)."""
    total = 0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total


class MemoryWatch:
    """Looks every few seconds from a thread of its own."""

    def __init__(self) -> None:
        self.most = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self.most = max(self.most, family_bytes())

    def close(self) -> None:
        """Look no longer."""
        self._stop.set()
        self._thread.join(2.0)
