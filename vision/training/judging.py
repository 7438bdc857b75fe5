"""Plates judged one by one, pure. In: truths and what was read. Out: shares right, strict and folded, with intervals.

Strict counts every character; folded takes O and Q for 0 and I for 1, which the truth of the published sets itself
mixes up. Intervals are bootstrap percentiles (Efron 1979) over the plates of a group: how far the figure would move
had other plates of the same kind been photographed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_FOLD = str.maketrans("OQI", "001")
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Judged:
    """One annotated plate and what came of it."""

    source: str
    image: Path
    """The picture's file."""
    truth: str
    text: str
    """What was read; the nearest text where several lie at the plate's place, empty when nothing does."""
    confidence: float = 0.0
    found: bool = True
    """Whether anything lay at the plate's place; always true on the annotated box."""
    top10: bool = False
    """Whether the truth is among the first ten candidates."""
    slices: frozenset[str] = field(default_factory=frozenset)
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height of the plate in the picture's pixels; None where the whole picture is the plate."""

    @property
    def strict(self) -> bool:
        """Right to the letter."""
        return self.text == self.truth

    @property
    def folded(self) -> bool:
        """Right but for O, Q and 0, I and 1."""
        return fold(self.text) == fold(self.truth)


def fold(text: str) -> str:
    """O and Q become 0, I becomes 1."""
    return text.translate(_FOLD)


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions from one text to the other."""
    row = list(range(len(b) + 1))
    for i, sign in enumerate(a, 1):
        above, row[0] = row[0], i
        for k, other in enumerate(b, 1):
            above, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, above + (sign != other))
    return row[-1]


def interval(right: Sequence[bool], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the share of True, 0..1; (0, 1) of nothing."""
    if not right:
        return 0.0, 1.0
    hits = np.asarray(right, bool)
    draws = np.random.default_rng(seed).binomial(len(hits), hits.mean(), _RESAMPLES) / len(hits)
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)


def figures(plates: Sequence[Judged]) -> dict[str, Any]:
    """One row of a table: percentages, rounded to one decimal."""
    count = max(1, len(plates))
    low, high = interval([one.strict for one in plates])
    characters = max(1, sum(len(one.truth) for one in plates))
    return {
        "plates": len(plates),
        "strict": round(100 * sum(one.strict for one in plates) / count, 1),
        "strict_from": round(100 * low, 1),
        "strict_to": round(100 * high, 1),
        "folded": round(100 * sum(one.folded for one in plates) / count, 1),
        "top10": round(100 * sum(one.top10 for one in plates) / count, 1),
        "found": round(100 * sum(one.found for one in plates) / count, 1),
        "character_errors": round(100 * sum(edit_distance(one.text, one.truth) for one in plates) / characters, 2),
    }


def by_group(plates: Iterable[Judged], groups: Callable[[Judged], Iterable[str]]) -> dict[str, dict[str, Any]]:
    """`figures` of every group, sorted by name; a plate may be in several."""
    members: dict[str, list[Judged]] = {}
    for one in plates:
        for name in groups(one):
            members.setdefault(name, []).append(one)
    return {name: figures(found) for name, found in sorted(members.items())}


def by_source(plates: Iterable[Judged]) -> dict[str, dict[str, Any]]:
    """`figures` of every source and of all together."""
    return by_group(plates, lambda one: (one.source, "all"))
