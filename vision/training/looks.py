"""When to stop early: the figures of a run's looks at val in, whether one was the best, and whether enough were not."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Looks:
    """The looks so far; a larger figure is a better one."""

    best: float = -1.0
    since_best: int = 0
    """Looks since then."""

    def better(self, figure: float) -> bool:
        """Take note of a look; True when it is the best so far."""
        if figure > self.best:
            self.best, self.since_best = figure, 0
            return True
        self.since_best += 1
        return False

    def over(self, patience: int) -> bool:
        """Whether `patience` looks in a row were none the better; never with 0."""
        return 0 < patience <= self.since_best
