"""Plate texts compared: a distance that knows which characters a camera takes for one another.

In: two texts. Out: a distance where 0 is equal, 0.3 a look-alike (0/O), 1 a plain substitution.
"""

from functools import lru_cache

LOOKALIKES = ("0OQD", "1IL", "8B", "5S", "2Z", "6G", "4A", "7T", "UV", "VY", "MN", "NH")
"""Groups of characters that readers confuse on plates."""

NEAR = ("CG", "EF", "PR", "KX", "38", "3B", "9P", "69", "7Z", "JI", "WM", "CO", "C0", "17")
"""Pairs that are confused less often."""

LOOKALIKE_COST = 0.3
NEAR_COST = 0.6
GAP_COST = 0.8
"""A character too many or too few."""
MIN_FRAGMENT = 3
"""Fewer characters than this are found in too many plates by chance."""


def _costs() -> dict[str, dict[str, float]]:
    costs: dict[str, dict[str, float]] = {}
    for groups, cost in ((NEAR, NEAR_COST), (LOOKALIKES, LOOKALIKE_COST)):
        for group in groups:
            for a in group:
                for b in group:
                    if a != b:
                        costs.setdefault(a, {})[b] = cost
    return costs


_COSTS = _costs()
_NO_COSTS: dict[str, float] = {}


def substitution(a: str, b: str) -> float:
    """Cost of reading character `b` for `a`: 0, 0.3, 0.6 or 1."""
    return 0.0 if a == b else _COSTS.get(a, _NO_COSTS).get(b, 1.0)


@lru_cache(maxsize=1 << 16)
def distance(a: str, b: str) -> float:
    """Cheapest way from `a` to `b` by substitutions (weighted by likeness) and gaps."""
    if a == b:
        return 0.0
    above = [j * GAP_COST for j in range(len(b) + 1)]
    for i, ca in enumerate(a, start=1):
        costs = _COSTS.get(ca, _NO_COSTS)
        last = i * GAP_COST
        row = [last]
        corner = above[0]
        for cb, over in zip(b, above[1:], strict=True):
            best = corner if ca == cb else corner + costs.get(cb, 1.0)
            # no calls here: this is where a tracker's time goes
            if over + GAP_COST < best:
                best = over + GAP_COST
            if last + GAP_COST < best:
                best = last + GAP_COST
            row.append(best)
            last, corner = best, over
        above = row
    return above[-1]


@lru_cache(maxsize=1 << 14)
def fragment(part: str, whole: str) -> bool:
    """True when `part` is a piece of `whole`, up to one look-alike: what is seen of a plate that something hides."""
    spare = len(whole) - len(part)
    return len(part) >= MIN_FRAGMENT and spare > 0 and any(_fits(part, whole[at:]) for at in range(spare + 1))


def _fits(part: str, text: str) -> bool:
    """True when `text` begins with `part`, up to one look-alike."""
    cost = 0.0
    for a, b in zip(part, text, strict=False):
        if a != b:
            cost += substitution(a, b)
            if cost > LOOKALIKE_COST:
                return False
    return True


@lru_cache(maxsize=1 << 14)
def align(text: str, reference: str) -> tuple[int, ...]:
    """For each character of `text` the position in `reference` that it answers to, -1 for none.

    Positions rise from left to right; the alignment is a cheapest one in the sense of `distance`.
    """
    if len(text) == len(reference) and distance(text, reference) >= sum(map(substitution, text, reference)):
        return tuple(range(len(text)))
    rows = [[j * GAP_COST for j in range(len(reference) + 1)]]
    for i, ca in enumerate(text, start=1):
        row = [i * GAP_COST]
        for j, cb in enumerate(reference, start=1):
            row.append(min(rows[-1][j - 1] + substitution(ca, cb), rows[-1][j] + GAP_COST, row[-1] + GAP_COST))
        rows.append(row)
    places = [-1] * len(text)
    i, j = len(text), len(reference)
    while i and j:
        if rows[i][j] == rows[i - 1][j - 1] + substitution(text[i - 1], reference[j - 1]):
            i, j = i - 1, j - 1
            places[i] = j
        elif rows[i][j] == rows[i - 1][j] + GAP_COST:
            i -= 1
        else:
            j -= 1
    return tuple(places)
