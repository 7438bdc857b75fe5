"""What photographs a model comes from: its card in, sources of the pack out, its own and those of what it came from.

A training with a licence filter refuses a start, a teacher or a helper whose photographs the filter leaves out: weights
that were copied, or taught what to say, hold what others were trained on.
"""

from collections.abc import Iterable

from vision.registry import Kind, ModelFolder, find_model
from vision.training.data import LICENCES, Licence, licensed_sources


def sources_of(model: ModelFolder) -> frozenset[str]:
    """The pack's sources that the model's card names, those that it has from other models included."""
    card = model.card
    named = card["training"]["licences"] if "training" in card else card.get("sources", ())
    return frozenset(named) & frozenset(LICENCES)


def inherited(kind: Kind, names: Iterable[str | None]) -> dict[str, str]:
    """Source -> version of the first of these models that was trained on it; empty names are passed over."""
    found: dict[str, str] = {}
    for name in filter(None, names):
        model = find_model(kind, name)
        for source in sorted(sources_of(model)):
            found.setdefault(source, model.version)
    return found


def with_licences(sources: Iterable[str]) -> dict[str, str]:
    """Source -> licence as a card tells it, sorted."""
    return {name: LICENCES[name] or "none stated" for name in sorted(sources)}


def beyond(licence: Licence, sources: dict[str, str]) -> str:
    """One line that names a model which `licence` leaves out, of what `inherited` gave; empty when there is none."""
    outside = sorted(frozenset(sources) - licensed_sources(licence))
    if not outside:
        return ""
    source = outside[0]
    return (
        f"{sources[source]} was trained on {source} (licence {LICENCES[source] or 'not stated'}), which "
        f"--licence {licence} leaves out: train without it (start, teachers, detectors, spliced_by), or with another"
    )
