"""What the drive really showed: plate observations in, rows of the truth files out.

A pass is one vehicle's plate in view of one camera: it begins with the first frame in which the plate is visible and
ends with the last one before the plate is out of view for more than PASS_GAP_MS. The same vehicle coming back later is
a new pass. Front and rear plate of one vehicle belong to the same pass when no such gap lies between.

In view: visible, or no worse than that but for the picture's edge, with at least MIN_PART of it inside: a vehicle that
waits at the edge has not left. Visible: wholly inside the picture, turned towards the camera by less than MAX_TURN_DEG,
at least MIN_VISIBLE_PX high, and at most MAX_HIDDEN of it behind something. Legible: visible, at least MIN_LEGIBLE_PX
high, at most MAX_HIDDEN_LEGIBLE hidden, not under an opaque cover or so much dirt that characters are gone, not smeared
by motion over more than a stroke's width, and with at least MIN_CONTRAST grey levels of contrast left in the picture
(before the encoder). `covered` says that an opaque cover hides the plate.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cameras.simulator.geometry import Floats

PASS_GAP_MS = 5000
MIN_TOLD_PX = 3.0
"""Smaller plates have no row in `truth_frames.jsonl`."""
MIN_VISIBLE_PX = 4.0
MIN_LEGIBLE_PX = 14.0
MAX_HIDDEN = 0.5
MAX_HIDDEN_LEGIBLE = 0.05
MIN_PART = 0.25
MAX_TURN_DEG = 72.0
MIN_CONTRAST = 12.0
"""Standard deviation of grey levels on the recorded plate: below it, night, glare, dirt or a drop has swallowed it."""
MAX_SMEAR = 0.12
"""Of the plate's height."""


@dataclass(frozen=True)
class Observation:
    """One plate in one frame."""

    camera_id: str
    seq: int
    captured_at: int
    vehicle_id: str
    plate: str
    region: str
    kind: str
    end: str
    """`rear` or `front`."""
    corners: Floats
    height_px: float
    occluded: float
    in_view: bool
    visible: bool
    legible: bool
    covered: bool
    conditions: tuple[str, ...]
    smear_px: float
    contrast: float

    def row(self) -> dict[str, Any]:
        """Its line in `truth_frames.jsonl`."""
        return {
            "camera_id": self.camera_id,
            "seq": self.seq,
            "captured_at": self.captured_at,
            "vehicle_id": self.vehicle_id,
            "plate": self.plate,
            "region": self.region,
            "end": self.end,
            "corners": [[round(float(x), 2), round(float(y), 2)] for x, y in self.corners],
            "in_view": self.in_view,
            "visible": self.visible,
            "legible": self.legible,
            "height_px": round(self.height_px, 2),
            "occluded": round(self.occluded, 3),
            "covered": self.covered,
            "smear_px": round(self.smear_px, 2),
            "contrast": round(self.contrast, 1),
        }


@dataclass
class _Pass:
    first: Observation
    last: Observation
    in_view_at: int = 0
    frames: int = 0
    legible: int = 0
    highest: float = 0.0
    first_height: float = 0.0
    conditions: set[str] = field(default_factory=set)

    def add(self, seen: Observation) -> None:
        if seen.seq != self.last.seq or self.frames == 0:
            self.frames += 1
        self.legible += seen.legible
        self.highest = max(self.highest, seen.height_px)
        self.conditions.update(seen.conditions)
        self.last = seen

    def row(self, order: tuple[str, ...]) -> dict[str, Any]:
        growth = self.last.height_px / max(self.first.height_px, 1e-6)
        direction = "approaching" if growth > 1.08 else "receding" if growth < 0.92 else "steady"
        return {
            "camera_id": self.first.camera_id,
            "vehicle_id": self.first.vehicle_id,
            "plate": self.first.plate,
            "region": self.first.region,
            "first_seen": self.first.captured_at,
            "last_seen": self.last.captured_at,
            "frames_visible": self.frames,
            "max_plate_height_px": round(self.highest, 1),
            "conditions": sorted(self.conditions, key=lambda c: (order.index(c) if c in order else 99, c)),
            "kind": self.first.kind,
            "direction": direction,
            "legible_frames": self.legible,
            "covered": self.first.covered,
            "first_seq": self.first.seq,
            "last_seq": self.last.seq,
        }


def passes(observations: Iterable[Observation], order: tuple[str, ...]) -> list[dict[str, Any]]:
    """Lines of `truth.jsonl`, by camera and first sight. `order`: how conditions are listed.

    Args:
        observations: of any cameras, each camera's in order of time.
    """
    open_passes: dict[tuple[str, str], _Pass] = {}
    done: list[_Pass] = []
    for seen in observations:
        key = (seen.camera_id, seen.vehicle_id)
        current = open_passes.get(key)
        if current is not None and seen.captured_at - current.in_view_at > PASS_GAP_MS:
            del open_passes[key]
            current = None
        if seen.visible:
            if current is None:
                current = open_passes[key] = _Pass(seen, seen)
                done.append(current)
            current.add(seen)
        if current is not None and seen.in_view:
            current.in_view_at = seen.captured_at
    done.sort(key=lambda p: (p.first.camera_id, p.first.captured_at, p.first.vehicle_id))
    return [p.row(order) for p in done]
