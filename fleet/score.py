"""Truth against result, pure. In: passes of a simulated drive, sightings. Out: right, wrong, doubled, missed, invented.

A sighting belongs to the pass of the same camera whose time it overlaps and whose text is nearest to its own; a text
further from every such pass than half of its length belongs to none. Of the sightings of one pass the nearest counts,
the others are doubled.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from vision.training.judging import edit_distance

SLACK_MS = 1500
"""How far apart in time a sighting and its pass may lie."""


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `truth.jsonl`; times in epoch milliseconds."""

    camera_id: str
    vehicle_id: str
    plate: str
    region: str
    first_seen: int
    last_seen: int
    frames_visible: int
    max_plate_height_px: float
    conditions: tuple[str, ...] = ()
    legible_frames: int = 1
    """Frames in which a person could read the plate."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a sighting says; times in epoch milliseconds."""

    sighting_id: str
    camera_id: str
    plate: str
    first_seen: int
    last_seen: int


@dataclass(slots=True)
class Score:
    """Counts of passes, unless said otherwise."""

    passes: int = 0
    """In the truth, legible or not."""
    legible: int = 0
    sightings: int = 0
    """Sightings in the result."""
    right: int = 0
    """Legible passes with a sighting of exactly their text."""
    wrong: list[tuple[Pass, Seen]] = field(default_factory=list)
    """Legible passes whose nearest sighting has another text."""
    doubled: list[Seen] = field(default_factory=list)
    """Sightings of a pass that has a nearer one."""
    missed: list[Pass] = field(default_factory=list)
    """Legible passes without a sighting."""
    bonus: int = 0
    """Passes that were not counted as legible and yet have a sighting of exactly their text."""
    invented: list[Seen] = field(default_factory=list)
    """Sightings of no pass."""

    @property
    def right_share(self) -> float:
        """Right, of the legible passes, 0..1."""
        return self.right / self.legible if self.legible else 0.0


def read_truth(path: Path, shift_ms: int = 0) -> list[Pass]:
    """The passes of a truth file, shifted in time as the frames were.

    Raises:
        ValueError: a line is not a pass.
        OSError: the file cannot be read.
    """
    try:
        found = [msgspec.json.decode(line, type=Pass) for line in path.read_bytes().splitlines() if line.strip()]
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not a truth file: {error}") from error
    return [
        msgspec.structs.replace(one, first_seen=one.first_seen + shift_ms, last_seen=one.last_seen + shift_ms)
        for one in found
    ]


def score(passes: Sequence[Pass], sightings: Iterable[Seen]) -> Score:
    """Compare; see the module for the rules."""
    of_camera = defaultdict(list)
    for number, one in enumerate(passes):
        of_camera[one.camera_id].append((number, one))
    result = Score(passes=len(passes), legible=sum(one.legible_frames > 0 for one in passes))
    takers: dict[int, list[tuple[int, Seen]]] = defaultdict(list)
    for seen in sightings:
        result.sightings += 1
        near = [
            (edit_distance(seen.plate, one.plate), apart(seen, one), number)
            for number, one in of_camera[seen.camera_id]
            if apart(seen, one) <= SLACK_MS
        ]
        near = [one for one in near if one[0] <= len(seen.plate) // 2]
        if near:
            edits, _, number = min(near)
            takers[number].append((edits, seen))
        else:
            result.invented.append(seen)
    for number, one in enumerate(passes):
        _judge(one, sorted(takers[number], key=lambda taker: (taker[0], taker[1].first_seen)), result)
    return result


def apart(seen: Seen, one: Pass) -> int:
    """Milliseconds between the two; 0 when they overlap."""
    return max(0, one.first_seen - seen.last_seen, seen.first_seen - one.last_seen)


def _judge(one: Pass, takers: list[tuple[int, Seen]], result: Score) -> None:
    legible = one.legible_frames > 0
    if not takers:
        if legible:
            result.missed.append(one)
        return
    edits, best = takers[0]
    result.doubled += [seen for _, seen in takers[1:]]
    if edits == 0:
        result.right += legible
        result.bonus += not legible
    elif legible:
        result.wrong.append((one, best))
