"""The vehicles that drive about: a kind in, its body out."""

from functools import lru_cache

from cameras.simulator.body import Model
from cameras.simulator.cars import car
from cameras.simulator.utility import motorcycle, truck, van

__all__ = ["Model", "model"]


@lru_cache(maxsize=16)
def model(kind: str, coarse: bool = False) -> Model:
    """The body of `hatch`, `saloon`, `suv`, `van`, `truck` or `motorcycle`; coarse for far away."""
    if kind == "van":
        return van(coarse)
    if kind == "truck":
        return truck(coarse)
    return motorcycle(coarse) if kind == "motorcycle" else car(kind, coarse)
