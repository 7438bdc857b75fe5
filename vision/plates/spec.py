"""A random generator in, a plate's facts out: `PlateSpec` says what is written where; drawing it is `render`'s work."""

import re
from dataclasses import dataclass

import numpy as np

from vision.plates.layouts import ALL_LETTERS, LAYOUTS, Kind, Layout

_NOT_TEXT = re.compile(r"[^A-Z0-9]")
_CHOICE = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class PlateSpec:
    """One invented plate."""

    text: str
    """A-Z and 0-9, both rows joined, without separators: what a reader should say."""
    shown: tuple[str, ...]
    """The rows as they are written, top first, with spaces, dashes and `~` for an emblem."""
    region: str
    kind: Kind
    style: int
    """Index into `LAYOUTS[region]`."""
    seed: int
    """Fixes what the layout leaves open: font, colours, slogan."""

    @property
    def rows(self) -> int:
        """1 or 2."""
        return len(self.shown)

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.region][self.style]


def fill_pattern(pattern: str, letters: str, rng: np.random.Generator) -> str:
    """Turn a layout's pattern into what is shown; see `vision.plates.layouts` for the language."""
    if pattern == "VANITY":
        return "".join(rng.choice(list(ALL_LETTERS + "0123456789"), p=_VANITY_ODDS) for _ in range(rng.integers(4, 8)))
    parts: list[str] = []
    position = 0
    for match in _CHOICE.finditer(pattern):
        parts.append(_fill(pattern[position : match.start()], letters, rng))
        choices = match.group(1).split("|")
        parts.append(choices[int(rng.integers(len(choices)))])
        position = match.end()
    parts.append(_fill(pattern[position:], letters, rng))
    return "".join(parts)


_VANITY_ODDS = np.array([0.85 / 26] * 26 + [0.15 / 10] * 10)


def _fill(pattern: str, letters: str, rng: np.random.Generator) -> str:
    out = []
    for sign in pattern:
        pool = {"A": letters, "9": "0123456789", "*": ALL_LETTERS + "0123456789"}.get(sign)
        out.append(pool[int(rng.integers(len(pool)))] if pool else sign)
    return "".join(out)


def random_plate(
    rng: np.random.Generator, region: str | None = None, kind: Kind | None = None, any_letters: float = 0.0
) -> PlateSpec:
    """Invent a plate.

    A country is drawn first and, for the US, its state then, so that fifty states do not drown the rest. With
    probability `any_letters` it may have letters that its region is not known to use: where a letter must stand, what
    looks like an O is one, wherever the plate comes from.
    Raises ValueError for a region that has no layout of that kind.
    """
    if region is None:
        region = _random_region(rng)
    if region not in LAYOUTS:
        raise ValueError(f"no plate layouts for region {region!r}; known regions are in vision.plates.REGIONS")
    styles = [(i, look) for i, look in enumerate(LAYOUTS[region]) if kind is None or look.kind == kind]
    if not styles:
        raise ValueError(f"region {region} has no {kind} plates")
    weights = np.array([look.weight for _, look in styles])
    style, look = styles[int(rng.choice(len(styles), p=weights / weights.sum()))]
    pattern = look.patterns[int(rng.integers(len(look.patterns)))]
    letters = ALL_LETTERS if any_letters and rng.random() < any_letters else look.letters
    return _spec(look, style, fill_pattern(pattern, letters, rng), int(rng.integers(2**31)))


def plate_with_text(shown: str, region: str, seed: int = 0, style: int = 0) -> PlateSpec:
    """A plate of `region` with chosen text; `/` in `shown` starts the second row.

    Raises ValueError for an unknown region or style, or when no letter or digit is left.
    """
    looks = LAYOUTS.get(region, ())
    if style >= len(looks):
        raise ValueError(f"region {region!r} has {len(looks)} plate styles, there is no style {style}")
    spec = _spec(looks[style], style, shown.upper(), seed)
    if not spec.text:
        raise ValueError(f"{shown!r} holds no letter or digit")
    return spec


def _spec(look: Layout, style: int, shown: str, seed: int) -> PlateSpec:
    rows = tuple(row for row in shown.split("/") if row)
    return PlateSpec(_NOT_TEXT.sub("", shown), rows, look.region, look.kind, style, seed)


_COUNTRY_ODDS = {"US": 12.0, "BR": 6.0, "IN": 5.0, "RO": 3.0, "AR": 2.5, "GB": 2.5, "DE": 2.0, "SK": 1.5, "CZ": 1.5}


def _random_region(rng: np.random.Generator) -> str:
    countries = sorted({region.split("-")[0] for region in LAYOUTS})
    odds = np.array([_COUNTRY_ODDS.get(c, 1.0) for c in countries])
    country = countries[int(rng.choice(len(countries), p=odds / odds.sum()))]
    regions = [region for region in LAYOUTS if region.split("-")[0] == country]
    return regions[int(rng.integers(len(regions)))]
