"""Patterns with `?` and `*`, found by their literals: a text looks at those few that can fit it.

In: patterns with what they stand for. Out: what the patterns that fit a text stand for.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from schemas.hotlist import HotlistEntry

_RUN = 3
_LITERALS = re.compile(rf"[^?*]{{1,{_RUN}}}")

Shape = tuple[int, int, str]
"""(length of the text, or 0 for any; where a run of literals begins, from the end when below 0; the run)."""


def _shape(pattern: str) -> Shape:
    """The bucket of a pattern, by its first run of literals; a text looks into few buckets."""
    head, star, _ = pattern.partition("*")
    found = _LITERALS.search(head)
    if found:
        return 0 if star else len(pattern), found.start(), found.group()
    tail = pattern.rpartition("*")[2]
    found = _LITERALS.search(tail)
    if found:
        return 0, found.start() - len(tail), found.group()
    # a part of a plate, `*B12*`: the run may lie anywhere
    found = _LITERALS.search(pattern)
    return 0, 0, f"*{found.group()}" if found else ""


def _shapes(text: str) -> Iterator[Shape]:
    length = len(text)
    for place in range(length):
        for end in range(place + 1, min(place + _RUN, length) + 1):
            run = text[place:end]
            yield length, place, run
            yield 0, place, run
            yield 0, place - length, run
            yield 0, 0, f"*{run}"


def _compiled(pattern: str) -> re.Pattern[str]:
    """For `fullmatch`. What lies between two stars is taken where it comes first (a later place would leave less to
    what follows), so that no text makes the expression try out all places of all parts."""
    head, *parts = [part.replace("?", ".") for part in pattern.split("*")]
    if not parts:
        return re.compile(head)
    *between, tail = parts
    return re.compile(head + "".join(f"(?>.*?{part})" for part in between) + ".*" + tail)


@lru_cache(maxsize=4096)
def _known(pattern: str) -> re.Pattern[str]:
    return _compiled(pattern)


def covers(entry: str, text: str) -> bool:
    """True when `entry` (a plate or a pattern) says `text`."""
    if "?" in entry or "*" in entry:
        return _known(entry).fullmatch(text) is not None
    return entry == text


class Patterns:
    """The index."""

    def __init__(self) -> None:
        self._buckets: dict[Shape, dict[str, tuple[re.Pattern[str], HotlistEntry]]] = {}

    def add(self, entry: HotlistEntry) -> None:
        """Add an entry that is a pattern; one of the same key is replaced."""
        self._buckets.setdefault(_shape(entry.entry), {})[entry.key] = (_compiled(entry.entry), entry)

    def remove(self, entry: HotlistEntry) -> None:
        """Take an entry out that was added."""
        shape = _shape(entry.entry)
        del self._buckets[shape][entry.key]
        if not self._buckets[shape]:
            del self._buckets[shape]

    def fitting(self, text: str) -> Iterator[HotlistEntry]:
        """Entries whose pattern fits the text, each once."""
        seen: set[Shape] = set()
        for shape in _shapes(text) if self._buckets else ():
            bucket = self._buckets.get(shape)
            if bucket is None or shape in seen:
                continue
            # a run that comes twice in the text
            seen.add(shape)
            for pattern, entry in bucket.values():
                if pattern.fullmatch(text):
                    yield entry
