"""Light and air of a drive: names of conditions in, a `Light` and a `Conditions` out.

A camera's conditions are written `night+rain`: one time of day and any number of effects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

DAYLIGHT = ("sun", "overcast", "dusk", "night")
EFFECTS = ("shadows", "glare", "rain", "motion_blur", "dirt", "exposure")
CONDITIONS = DAYLIGHT + EFFECTS
"""Every word that `--conditions` knows."""
DEFAULT_ROUND = (
    "sun+shadows",
    "overcast+rain",
    "night",
    "sun+glare+exposure",
    "overcast+dirt",
    "dusk+motion_blur",
    "night+rain",
    "sun+shadows+motion_blur",
)
"""What the cameras of a drive get in turn when nothing is asked for."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one camera drives through."""

    daylight: str
    effects: frozenset[str]

    @property
    def names(self) -> list[str]:
        """The words, time of day first."""
        return [self.daylight, *(e for e in EFFECTS if e in self.effects)]


@dataclass(frozen=True, slots=True)
class Light:
    """How surfaces are lit. Colours are BGR factors, directions are in the road frame (X right, Y up, Z ahead)."""

    sun: tuple[float, float, float]
    """Unit vector towards the sun."""
    sun_colour: tuple[float, float, float]
    ambient: tuple[float, float, float]
    haze: tuple[float, float, float]
    """Colour 0..255 that far things fade to."""
    haze_m: float
    """Distance at which two thirds are faded."""
    sky_top: tuple[float, float, float]
    sky_low: tuple[float, float, float]
    night: bool = False
    wet: bool = False
    shadow: float = 0.5
    """Darkness of the shadow under a vehicle, 0..1."""


_SUN = Light(
    (0.52, 0.72, -0.46),
    (0.68, 0.79, 0.86), (0.56, 0.52, 0.49), (226, 214, 203), 420.0, (214, 160, 98), (236, 222, 206), shadow=0.62
)  # fmt: skip
_LIGHTS = {
    "sun": _SUN,
    "overcast": Light(
        (0.1, 0.98, -0.1), (0.26, 0.26, 0.26), (0.66, 0.65, 0.64), (205, 203, 200), 300.0,
        (190, 184, 178), (216, 214, 211), shadow=0.48
    ),
    "dusk": Light(
        (-0.7, 0.3, -0.6), (0.24, 0.33, 0.5), (0.36, 0.31, 0.3), (120, 118, 140), 260.0,
        (120, 82, 62), (112, 138, 205), shadow=0.4
    ),
    "night": Light(
        (0.0, 1.0, 0.0), (0.03, 0.04, 0.05), (0.1, 0.095, 0.1), (24, 20, 18), 110.0,
        (22, 15, 12), (40, 40, 52), night=True, shadow=0.3
    ),
}  # fmt: skip


def parse_conditions(text: str) -> Conditions:
    """`night+rain` to Conditions; without a time of day it is `sun` (`overcast` when it rains).

    Raises:
        ValueError: for a word that is not known, or two times of day.
    """
    words = [w.strip() for w in text.replace(",", "+").split("+") if w.strip()]
    unknown = [w for w in words if w not in CONDITIONS]
    if unknown or not words:
        raise ValueError(f"condition {text!r}: want words of {', '.join(CONDITIONS)} joined by +")
    times = [w for w in words if w in DAYLIGHT]
    if len(times) > 1:
        raise ValueError(f"condition {text!r}: {' and '.join(times)} exclude each other")
    effects = frozenset(w for w in words if w in EFFECTS)
    return Conditions(times[0] if times else "overcast" if "rain" in effects else "sun", effects)


def conditions_of(camera: int, asked: Sequence[str] | None) -> Conditions:
    """The conditions of camera number `camera`, from 0."""
    rounds = tuple(asked) if asked else DEFAULT_ROUND
    return parse_conditions(rounds[camera % len(rounds)])


def light_for(conditions: Conditions, rng: np.random.Generator) -> Light:
    """The light of a drive under `conditions`; the sun stands somewhere else in each."""
    light = _LIGHTS[conditions.daylight]
    if conditions.daylight == "sun":
        low = 0.42 if "glare" in conditions.effects else float(rng.uniform(0.55, 0.8))
        side = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.75))
        ahead = 0.75 if "glare" in conditions.effects else float(rng.uniform(-0.6, 0.15))
        sun = np.array([side * (0.35 if "glare" in conditions.effects else 1.0), low, ahead])
        sun /= np.linalg.norm(sun)
        light = replace(light, sun=(float(sun[0]), float(sun[1]), float(sun[2])))
    if "rain" in conditions.effects:
        light = replace(light, wet=True, haze_m=light.haze_m * 0.5, shadow=light.shadow * 0.7)
    return light
