"""One vehicle, seen by one camera, in one pass: the public message of `fleet.sightings`."""

from datetime import datetime
from typing import Literal

import msgspec

from schemas.read import Candidate, Point, Probability

SIGHTING_SCHEMA = 1


class TrailPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the camera was at one read of the pass."""

    at: datetime
    lat: float
    lon: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The winning read: its crop, and where the whole frame can be fetched while Kafka keeps it (72 h)."""

    seq: int
    captured_at: datetime
    corners: tuple[Point, Point, Point, Point]
    crop_jpeg: bytes
    """JPEG, base64 in JSON."""
    crop_sha256: str
    frame_sha256: str
    topic: str
    partition: int
    offset: int
    frame_index: int = 0


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """First sent as `provisional`, then again with a higher `revision` when it improves, at last as `final`.

    `withdrawn` takes a revision back: the sighting is now known under another plate, and the message
    keyed by the old plate says so. `sighting_id` never changes.
    """

    schema: int = SIGHTING_SCHEMA
    sighting_id: str
    """UUIDv5 of (camera_id, first seq of the track, its rank)."""
    revision: int
    status: Literal["provisional", "final", "withdrawn"]
    camera_id: str
    plate: str
    confidence: Probability
    region: str
    region_confidence: Probability
    candidates: tuple[Candidate, ...]
    votes: int
    """Reads that agree with `plate` to the letter."""
    frames: int
    """Frames in which the plate was read."""
    opened_at: datetime
    """Capture time of the read that opened the sighting. Fixed: SQL orders and partitions by it."""
    first_seen: datetime
    last_seen: datetime
    """Camera clock. A late frame may move both."""
    lat: float | None
    lon: float | None
    heading: float | None
    speed: float | None
    """Of the camera, at the winning read."""
    direction: Literal["approaching", "receding", "unknown"]
    """Of the plate in the picture: growing, shrinking, or not enough frames to tell."""
    trail: tuple[TrailPoint, ...]
    evidence: Evidence
    model_version: str
    emitted_at: datetime
    """Wall clock of the tracker when it sent this revision."""
    former_plates: tuple[str, ...] = ()
    """Other plates that earlier revisions said; each was withdrawn."""
