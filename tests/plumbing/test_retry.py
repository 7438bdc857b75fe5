"""Back-off without sleeping."""

import random
from itertools import islice

import pytest

from plumbing.retry import Backoff, retry


def test_waits_double_up_to_the_most() -> None:
    waits = Backoff(first=0.1, most=1.0, jitter=0.0).waits()
    assert list(islice(waits, 6)) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_jitter_only_shortens() -> None:
    waits = list(islice(Backoff(first=1.0, most=1.0, jitter=0.5).waits(random.Random(1)), 100))
    assert all(0.5 <= wait <= 1.0 for wait in waits)
    assert len(set(waits)) > 90


class Flaky:
    """Fails so often, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self) -> str:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not yet")
        return "yes"


def test_tries_until_it_works() -> None:
    waits: list[float] = []
    told: list[int] = []
    answer = retry(
        Flaky(3),
        ConnectionError,
        pause=lambda wait: bool(waits.append(wait)),
        tell=lambda error, count, wait: told.append(count),
    )
    assert (answer, len(waits), told) == ("yes", 3, [1, 2, 3])


def test_gives_up_after_the_last_try() -> None:
    with pytest.raises(ConnectionError):
        retry(Flaky(3), ConnectionError, pause=lambda wait: False, tries=3)


def test_gives_up_when_told_to_stop() -> None:
    with pytest.raises(ConnectionError):
        retry(Flaky(3), ConnectionError, pause=lambda wait: True)


def test_other_errors_pass_through() -> None:
    with pytest.raises(ConnectionError):
        retry(Flaky(1), KeyError, pause=lambda wait: False)
