"""Which settings `platefleet tune` turns, and between which bounds: everything else stays as the config file says.

A reader's figure is the exact share of plates of `val` (mean over the sources), a detector's its average precision on
`val`; `test` is never looked at. The file's own settings are tried first, so the best is never worse than them.
Bounds are wide around what good runs had; widen one here when the best lies at its end.
"""

from dataclasses import dataclass

from vision.registry import Kind


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number between `low` and `high`; `by_ratio` draws as many between 1 and 10 as between 10 and 100."""

    low: float
    high: float
    by_ratio: bool = False


SPACE: dict[Kind, dict[str, Bounds]] = {
    "reader": {
        "rate": Bounds(2e-4, 6e-3, by_ratio=True),
        "weight_decay": Bounds(1e-3, 0.2, by_ratio=True),
        "decay_from": Bounds(0.0, 0.7),
        "dropout": Bounds(0.0, 0.3),
        "real_share": Bounds(0.2, 0.8),
        "spliced": Bounds(0.0, 0.8),
        "reuse": Bounds(1.0, 5.0),
        "hardest": Bounds(0.4, 1.0),
        "average": Bounds(0.98, 0.9995),
    },
    "detector": {
        "learning_rate": Bounds(3e-4, 6e-3, by_ratio=True),
        "weight_decay": Bounds(1e-3, 0.2, by_ratio=True),
        "decay_from": Bounds(0.0, 0.7),
        "average": Bounds(0.98, 0.9997),
    },
}
"""Settings of `ReaderTrainConfig` and `DetectorTrainConfig`."""

FIGURE: dict[Kind, tuple[str, ...]] = {"reader": ("exact", "greedy_exact"), "detector": ("average_precision",)}
"""What a trial is judged by, the first that its run's metrics have: the more the better. A reader without photographs
has the second alone."""
