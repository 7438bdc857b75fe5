"""How plates of each region are written, as a prior that can be overruled: region odds in, a factor per text out. Pure.

A format is a string of A (a letter) and 9 (a digit). The formats are those of the invented plates' layouts, of the US
each state's own: fifty states together write nearly everything. A text that has no format of the likely regions is not
forbidden: it only has to be so much likelier by looks alone.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vision.plates.layouts import LAYOUTS

UNUSUAL = 0.1
"""Weight of a text in no format of any region, beside 1 for one that surely has its region's format."""
_CHOICE = re.compile(r"\{([^}]*)\}")
_TO_FORMAT = str.maketrans(dict.fromkeys("BCDEFGHIJKLMNOPQRSTUVWXYZ", "A") | dict.fromkeys("012345678", "9"))

Weigh = Callable[[str], float]


def format_of(text: str) -> str:
    """`AB12CD` to `AA99AA`."""
    return text.translate(_TO_FORMAT)


def formats_of(pattern: str) -> frozenset[str]:
    """The formats that a layout's pattern (see `vision.plates.layouts`) can give; none when anything goes."""
    if pattern == "VANITY" or "*" in pattern:
        return frozenset()
    beginnings = {""}
    position = 0
    for match in _CHOICE.finditer(pattern):
        plain = _plain(pattern[position : match.start()])
        choices = {format_of(_plain(choice)) for choice in match.group(1).split("|")}
        beginnings = {begin + plain + choice for begin in beginnings for choice in choices}
        position = match.end()
    return frozenset(begin + _plain(pattern[position:]) for begin in beginnings)


def _plain(part: str) -> str:
    return format_of(re.sub(r"[^A-Z0-9]", "", part))


@lru_cache(maxsize=4)
def _membership(regions: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Format -> for each region 1 when it writes plates so, else 0."""
    known = {
        region: {form for look in LAYOUTS.get(region, ()) for pattern in look.patterns for form in formats_of(pattern)}
        for region in regions
    }
    every = sorted(set().union(*known.values()))
    return {form: np.array([float(form in known[region]) for region in regions]) for form in every}


def format_prior(regions: Sequence[str], odds: NDArray[np.floating], unusual: float = UNUSUAL) -> Weigh:
    """A function that weighs a text, `unusual` to 1, by how sure it is that its region writes plates so.

    `odds` are the probabilities of `regions`, in their order.
    """
    membership = _membership(tuple(regions))

    def weigh(text: str) -> float:
        known = membership.get(format_of(text))
        return unusual if known is None else unusual + (1.0 - unusual) * float(known @ odds)

    return weigh
