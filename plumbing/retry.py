"""Back-off: how long to wait before the next try, and a loop that does so. Random only by the generator given."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first` to `most` seconds, each shortened at random by up to `jitter` (0..1) of itself."""

    first: float = 0.1
    most: float = 5.0
    factor: float = 2.0
    jitter: float = 0.2

    def waits(self, rng: random.Random | None = None) -> Iterator[float]:
        """Endless sequence of waits in seconds."""
        rng = rng or random.Random()
        wait = self.first
        while True:
            yield wait * (1.0 - self.jitter * rng.random())
            wait = min(self.most, wait * self.factor)


def retry(
    do: Callable[[], T],
    on: type[Exception] | tuple[type[Exception], ...],
    *,
    pause: Callable[[float], bool],
    tries: int | None = None,
    backoff: Backoff = Backoff(),
    tell: Callable[[Exception, int, float], None] | None = None,
) -> T:
    """Call `do` until it returns without an exception of kind `on`.

    Args:
        do: what to try.
        on: exceptions that are worth another try; all others pass through.
        pause: waits so many seconds; returns True when it is time to give up (`threading.Event.wait` fits).
        tries: how often at most; None: until `pause` says stop.
        backoff: the waits.
        tell: called before each wait with the error, the number of tries so far and the wait.

    Raises:
        The last exception, when the tries are used up or `pause` says stop.
    """
    for count, wait in enumerate(backoff.waits(), start=1):
        try:
            return do()
        except on as error:
            if count == tries:
                raise
            if tell:
                tell(error, count, wait)
            if pause(wait):
                raise
    raise AssertionError("the waits are endless")
