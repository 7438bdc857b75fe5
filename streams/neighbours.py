"""Which texts of a long list are nearly this one: an index of what is left of each text when up to n characters go.

Two texts at most n edits apart have such a remainder in common (the symmetric deletion method). Remainders are kept
as 64-bit hashes in sorted arrays, 12 bytes each: a text of eight characters takes 12 bytes at depth 0, 108 at depth 1
and 444 at depth 2. In: texts with numbers. Out: the numbers of texts that may be near: the caller compares them.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_BASE = 0x9E3779B97F4A7C15
_PENDING = 16_384
_LARGE = 1 << 22
"""Hashes: segments of this size are not merged any more, so that no merge takes long."""

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.uint32]


@lru_cache(maxsize=256)
def _weights(length: int, depth: int) -> Hashes:
    """One column per remainder: a text's bytes times it are the remainders' polynomial hashes, modulo 2 to the 64."""
    columns = []
    for gone in range(min(depth, length) + 1):
        for dropped in combinations(range(length), gone):
            kept = [i for i in range(length) if i not in dropped]
            column = [0] * length
            for power, place in enumerate(reversed(kept)):
                column[place] = pow(_BASE, power, 1 << 64)
            columns.append(column)
    return np.array(columns, dtype=np.uint64).T.copy()


def _bytes(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _hashes(texts: list[bytes], depth: int) -> Hashes:
    """Hashes of texts of one length, shape (texts, remainders)."""
    length = len(texts[0])
    letters = np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(len(texts), length)
    return letters.astype(np.uint64) @ _weights(length, depth)


class Neighbours:
    """The index of one depth: 0 for equal texts, up to 2 edits."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._segments: list[tuple[Hashes, Numbers]] = []
        self._pending: dict[int, list[tuple[bytes, int]]] = {}
        self._waiting = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the index, without what waits to be added."""
        return sum(hashes.nbytes + numbers.nbytes for hashes, numbers in self._segments)

    def add(self, text: str, number: int) -> None:
        """Note that `number` (below 2 to the 32) has this text, of at least one character."""
        raw = _bytes(text)
        self._pending.setdefault(len(raw), []).append((raw, number))
        self._waiting += 1
        if self._waiting >= _PENDING:
            self._flush()

    def find(self, text: str) -> set[int]:
        """Numbers whose text may lie within `depth` edits; those that do are all among them."""
        raw = _bytes(text)
        if not raw:
            return set()
        if self._waiting:
            self._flush()
        wanted = _hashes([raw], self.depth)[0]
        found: set[int] = set()
        for hashes, numbers in self._segments:
            begins = hashes.searchsorted(wanted, "left")
            ends = hashes.searchsorted(wanted, "right")
            for i in np.flatnonzero(ends > begins):
                found.update(numbers[begins[i] : ends[i]].tolist())
        return found

    def _flush(self) -> None:
        hashes, numbers = [], []
        for pairs in self._pending.values():
            made = _hashes([raw for raw, _ in pairs], self.depth)
            hashes.append(made.ravel())
            numbers.append(np.repeat(np.array([n for _, n in pairs], dtype=np.uint32), made.shape[1]))
        self._pending.clear()
        self._waiting = 0
        self._segments.append(_sorted(np.concatenate(hashes), np.concatenate(numbers)))
        while len(self._segments) > 1:
            (older, _), (newer, _) = self._segments[-2:]
            if older.size > 2 * newer.size or older.size + newer.size > _LARGE:
                return
            two = self._segments[-2:]
            del self._segments[-2:]
            self._segments.append(_sorted(*(np.concatenate(parts) for parts in zip(*two, strict=True))))


def _sorted(hashes: Hashes, numbers: Numbers) -> tuple[Hashes, Numbers]:
    order = hashes.argsort(kind="stable")
    return hashes[order], numbers[order]
